# SPDX-License-Identifier: Apache-2.0
"""Makes the system calls of a script on a back end: turns expressions into C arguments, calls, and
says what came back differently from what the script expects. Stream bytes that are read must be
those that the script's packets carried. Runs on the player's thread, or on a second one for calls
that block."""

import ctypes
import socket

from . import c_structs, constants, control
from .call_text import ELLIPSIS, NULL, Text
from .pattern import pattern

_READ_ROOM_BYTES = 1 << 20


class CallFailed(Exception):
    """What a call did that the script does not expect."""


class Calls:
    """`descriptors` maps the script's file descriptors to the back end's."""

    def __init__(self, backend, addresses):
        self._backend = backend
        self._addresses = addresses
        self.descriptors = {}
        self.stream_fd = None  # The script's fd of the connection under test, for TCP_INFO.
        self._read_bytes = {}
        self._sent_bytes = {}
        self.checks_content = True

    def perform(self, event):
        """Makes the call of a CallEvent; raises CallFailed where it ends otherwise."""
        method = getattr(self, "_call_" + event.name, None)
        if method is None:
            raise CallFailed(f"the call {event.name}() is not known here")
        result, check = method(event, *event.arguments)
        number = ctypes.get_errno()
        self._check_result(event, result, number)
        if check is not None and result >= 0:
            check(result)

    def live(self, fd):
        """The back end's descriptor for the script's, which may be one that was never opened."""
        return self.descriptors.get(fd, fd)

    def _invoke(self, name, *arguments):
        ctypes.set_errno(0)
        result = self._backend.invoke(name, *arguments)
        return result

    def _check_result(self, event, result, number):
        if event.name in ("socket", "accept", "accept4", "epoll_create") and result >= 0:
            if event.result is not None and event.result < 0:
                raise CallFailed(f"it returned {result}, not {event.result}")
            self.descriptors[result if event.result is None else event.result] = result
            return
        if event.result is not None and result != event.result:
            said = f"-1 {constants.errno_text(number)}" if result < 0 else str(result)
            raise CallFailed(f"it returned {said}, not {event.result} {event.error or ''}".strip())
        if event.error and number != constants.errno_of(event.error):
            raise CallFailed(f"it failed with {constants.errno_text(number)}, not {event.error}")

    # Opening and closing.

    def _call_socket(self, event, domain, kind, protocol):
        if domain is ELLIPSIS:
            domain = self._addresses.family
        return self._invoke("socket", domain, kind, protocol), None

    def _sockaddr(self, value, default):
        if isinstance(value, dict):
            address, port = default
            address = value.get("sin_addr", value.get("sin6_addr", address))
            return c_structs.sockaddr(str(address), value.get("sin_port",
                                                              value.get("sin6_port", port)))
        return c_structs.sockaddr(*default)

    def _call_bind(self, event, fd, address, length):
        raw = self._sockaddr(address, self._addresses.local)
        return self._invoke("bind", self.live(fd), raw, len(raw)), None

    def _call_connect(self, event, fd, address, length):
        raw = self._sockaddr(address, self._addresses.remote)
        self.stream_fd = fd
        return self._invoke("connect", self.live(fd), raw, len(raw)), None

    def _call_listen(self, event, fd, backlog):
        return self._invoke("listen", self.live(fd), backlog), None

    def _call_accept(self, event, fd, address, length):
        raw, size = ctypes.create_string_buffer(128), ctypes.c_uint32(128)
        result = self._invoke("accept", self.live(fd), raw, ctypes.byref(size))
        if result >= 0:
            self.stream_fd = result if event.result is None else event.result
        return result, None

    def _call_close(self, event, fd):
        return self._invoke("close", self.live(fd)), lambda _: self.descriptors.pop(fd, None)

    def _call_shutdown(self, event, fd, how):
        return self._invoke("shutdown", self.live(fd), how), None

    # Reading.

    def _content_checker(self, fd, buffers, wanted, peek=False):
        """Checks bytes read into `buffers`, [(buffer, room)], against `wanted` or the pattern."""
        def check(count):
            data = b"".join(buffer.raw[:room] for buffer, room in buffers)[:count]
            at = self._read_bytes.get(fd, 0)
            if not peek:
                self._read_bytes[fd] = at + count
            if isinstance(wanted, Text):
                expected = wanted.encode("latin-1")[:count]
            elif self.checks_content:
                expected = pattern(at, count)
            else:
                return
            if data != expected:
                first = next(i for i in range(count) if data[i] != expected[i])
                raise CallFailed(f"byte {at + first} of the stream is {data[first]}, "
                                 f"not {expected[first]}")
        return check

    def _read_like(self, name, fd, wanted, room, *more, flags=0):
        buffer = ctypes.create_string_buffer(max(room, 1))
        if wanted is NULL:
            return self._invoke(name, self.live(fd), None, room, *more), None
        result = self._invoke(name, self.live(fd), buffer, room, *more)
        # Urgent bytes are read apart from the stream; with MSG_TRUNC nothing is copied.
        if flags & (socket.MSG_OOB | socket.MSG_TRUNC):
            return result, None
        return result, self._content_checker(fd, [(buffer, room)], wanted,
                                             bool(flags & socket.MSG_PEEK))

    def _call_read(self, event, fd, buffer, room):
        return self._read_like("read", fd, buffer, room)

    def _call_recv(self, event, fd, buffer, room, flags):
        return self._read_like("recv", fd, buffer, room, flags, flags=flags)

    def _call_recvfrom(self, event, fd, buffer, room, flags, address, length):
        return self._read_like("recvfrom", fd, buffer, room, flags, None, None, flags=flags)

    def _iovecs(self, vectors):
        """A C array for [{..., n}, ...], and the buffers in it."""
        buffers, array = [], (c_structs.Iovec * max(len(vectors), 1))()
        for entry, vector in zip(vectors, array):
            text, room = entry if isinstance(entry, list) else (ELLIPSIS, entry["iov_len"])
            buffer = ctypes.create_string_buffer(max(room, 1))
            if isinstance(text, Text):
                buffer.raw = text.encode("latin-1")[:room].ljust(max(room, 1), b"\0")
            buffers.append((buffer, room))
            vector.base, vector.length = ctypes.addressof(buffer), room
        return array, buffers

    def _call_readv(self, event, fd, vectors, count):
        array, buffers = self._iovecs(vectors)
        result = self._invoke("readv", self.live(fd), array, count)
        return result, self._content_checker(fd, buffers, ELLIPSIS)

    def _msghdr(self, script):
        array, buffers = self._iovecs(script.get("msg_iov", []))
        message = c_structs.Msghdr(None, 0, array, len(buffers), None, 0, 0)
        control = script.get("msg_control")
        if control is not None:
            room = ctypes.create_string_buffer(_READ_ROOM_BYTES // 1024)
            message.control, message.control_bytes = ctypes.addressof(room), len(room)
            buffers.append((room, 0))
        return message, buffers

    def _call_recvmsg(self, event, fd, script, flags):
        message, buffers = self._msghdr(script)
        result = self._invoke("recvmsg", self.live(fd), ctypes.byref(message), flags)
        check_content = self._content_checker(fd, buffers, ELLIPSIS, bool(flags & socket.MSG_PEEK))

        def check(count):
            check_content(count)
            expected = script.get("msg_flags", ELLIPSIS)
            if expected is not ELLIPSIS and message.flags != expected:
                raise CallFailed(f"msg_flags is {message.flags:#x}, not {expected:#x}")
            if isinstance(script.get("msg_control"), list):
                said = buffers[-1][0].raw[:message.control_bytes]
                if wrong := control.difference(script["msg_control"], said):
                    raise CallFailed(wrong)
        return result, check

    # Writing.

    def _outgoing(self, fd, text, count):
        """The bytes to write: a given text, or the pattern from where the last write ended."""
        if isinstance(text, Text):
            return text.encode("latin-1")[:count].ljust(count, b"\0")
        return pattern(self._sent_bytes.get(fd, 0), count)

    def _sent(self, fd):
        def note(count):
            self._sent_bytes[fd] = self._sent_bytes.get(fd, 0) + count
        return note

    def _write_like(self, name, fd, text, count, *more):
        data = None if text is NULL else self._outgoing(fd, text, count)
        return self._invoke(name, self.live(fd), data, count, *more), self._sent(fd)

    def _call_write(self, event, fd, text, count):
        return self._write_like("write", fd, text, count)

    def _call_send(self, event, fd, text, count, flags):
        return self._write_like("send", fd, text, count, flags)

    def _call_sendto(self, event, fd, text, count, flags, address, length):
        if not flags & constants.NAMES["MSG_FASTOPEN"]:
            return self._write_like("sendto", fd, text, count, flags, None, 0)
        self.stream_fd = fd
        raw = self._sockaddr(address, self._addresses.remote)
        return self._write_like("sendto", fd, text, count, flags, raw, len(raw))

    def _fill(self, fd, buffers):
        at = 0
        data = self._outgoing(fd, ELLIPSIS, sum(room for _, room in buffers))
        for buffer, room in buffers:
            if room:
                buffer.raw = data[at:at + room]
            at += room

    def _call_writev(self, event, fd, vectors, count):
        array, buffers = self._iovecs(vectors)
        self._fill(fd, buffers)
        return self._invoke("writev", self.live(fd), array, count), self._sent(fd)

    def _call_sendmsg(self, event, fd, script, flags):
        message, buffers = self._msghdr(script)
        self._fill(fd, buffers)
        return (self._invoke("sendmsg", self.live(fd), ctypes.byref(message), flags),
                self._sent(fd))

    # Asking and setting.

    def _call_fcntl(self, event, fd, command, value=0):
        return self._invoke("fcntl", self.live(fd), command, value), None

    def _call_ioctl(self, event, fd, request, value=None):
        number = ctypes.c_int(0)

        def check(_):
            expected = value[0] if isinstance(value, list) else value
            if isinstance(expected, int) and number.value != expected:
                raise CallFailed(f"it says {number.value}, not {expected}")
        return self._invoke("ioctl", self.live(fd), request, ctypes.byref(number)), check

    def _option_bytes(self, value, length):
        if isinstance(value, dict):
            return bytes(c_structs.Linger(value.get("onoff", value.get("l_onoff", 0)),
                                          value.get("linger", value.get("l_linger", 0))))
        if isinstance(value, Text):
            return value.encode("latin-1")
        number = value[0] if isinstance(value, list) else value
        size = length if isinstance(length, int) and length in (1, 4, 8) else 4
        return int(number).to_bytes(size, "little", signed=number < 0)

    def _call_setsockopt(self, event, fd, level, name, value, length):
        data = self._option_bytes(value, length)
        size = len(data) if length is ELLIPSIS else length
        return self._invoke("setsockopt", self.live(fd), level, name, data, size), None

    def _call_getsockopt(self, event, fd, level, name, value, length):
        room, size = ctypes.create_string_buffer(512), ctypes.c_uint32(512)
        if isinstance(length, list) and isinstance(length[0], int):
            size.value = length[0]

        def check(_):
            if value is ELLIPSIS or value == [ELLIPSIS]:
                return
            expected = self._option_bytes(value, size.value)
            if room.raw[:len(expected)] != expected:
                found = int.from_bytes(room.raw[:min(size.value, 8)], "little", signed=True)
                raise CallFailed(f"it says {found}, not {value}")
        return (self._invoke("getsockopt", self.live(fd), level, name, room, ctypes.byref(size)),
                check)

    # Waiting.

    def _call_poll(self, event, entries, count, timeout_ms):
        array = (c_structs.Pollfd * max(len(entries), 1))()
        for entry, slot in zip(entries, array):
            slot.fd, slot.events = self.live(entry["fd"]), entry["events"]
        result = self._invoke("poll", array, count, timeout_ms)

        def check(_):
            for entry, slot in zip(entries, array):
                expected = entry.get("revents", ELLIPSIS)
                if expected is not ELLIPSIS and slot.revents != expected:
                    raise CallFailed(f"revents of {entry['fd']} is {slot.revents:#x}, "
                                     f"not {expected:#x}")
        return result, check

    def _call_epoll_create(self, event, size):
        return self._invoke("epoll_create", size), None

    def _call_epoll_ctl(self, event, epoll_fd, operation, fd, script):
        entry = c_structs.EpollEvent(script.get("events", 0) & 0xFFFFFFFF, fd, 0)
        return self._invoke("epoll_ctl", self.live(epoll_fd), operation, self.live(fd),
                            ctypes.byref(entry)), None

    def _call_epoll_wait(self, event, epoll_fd, script, count, timeout_ms):
        array = (c_structs.EpollEvent * max(count, 1))()
        result = self._invoke("epoll_wait", self.live(epoll_fd), array, count, timeout_ms)
        expected = script if isinstance(script, dict) else None

        def check(found):
            if found and expected and array[0].events != expected["events"] & 0xFFFFFFFF:
                raise CallFailed(f"events is {array[0].events:#x}, "
                                 f"not {expected['events'] & 0xFFFFFFFF:#x}")
        return result, check

    def _call_pipe(self, event, ends):
        live = (ctypes.c_int * 2)()
        result = self._invoke("pipe", live)
        self.descriptors.update(zip(ends, live))
        return result, None

    def _call_splice(self, event, source, source_at, target, target_at, count, flags):
        return self._invoke("splice", self.live(source), None, self.live(target), None, count,
                            flags), None
