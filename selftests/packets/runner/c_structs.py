# SPDX-License-Identifier: Apache-2.0
"""The C structs that system calls take, for ctypes, with Linux's layout on 64-bit machines, and
socket addresses. calls.py fills them from a script's expressions."""

import ctypes
import socket
import struct


class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class Msghdr(ctypes.Structure):
    _fields_ = [("name", ctypes.c_void_p), ("name_bytes", ctypes.c_uint32),
                ("iov", ctypes.POINTER(Iovec)), ("iov_count", ctypes.c_size_t),
                ("control", ctypes.c_void_p), ("control_bytes", ctypes.c_size_t),
                ("flags", ctypes.c_int)]


class Pollfd(ctypes.Structure):
    _fields_ = [("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short)]


class EpollEvent(ctypes.Structure):
    _pack_ = 1  # As on x86-64; elsewhere Linux aligns it.
    _fields_ = [("events", ctypes.c_uint32), ("fd", ctypes.c_int32), ("rest", ctypes.c_uint32)]


class Linger(ctypes.Structure):
    _fields_ = [("onoff", ctypes.c_int), ("linger", ctypes.c_int)]


class Timeval(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("micros", ctypes.c_long)]


def sockaddr(address, port):
    """struct sockaddr_in or sockaddr_in6 for an address's text, as a ctypes buffer."""
    if ":" in address:
        data = struct.pack("=H", socket.AF_INET6) + struct.pack("!HI", port, 0) + \
            socket.inet_pton(socket.AF_INET6, address) + struct.pack("=I", 0)
    else:
        data = struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + \
            socket.inet_aton(address) + bytes(8)
    return ctypes.create_string_buffer(data, len(data))
