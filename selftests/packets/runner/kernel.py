# SPDX-License-Identifier: Apache-2.0
"""The Linux kernel as a back end: a TUN device in a network namespace of this process's own, real
sockets, real time. Needs root and /dev/net/tun. The namespace ends with the process, so one process
(a child of run_packets) plays one script. Packets are stamped when they are read, which is at once:
every wait of the player is a wait on the device."""

import ctypes
import fcntl
import os
import select
import socket
import struct
import time

from . import wire
from .backend import Backend, Unavailable

_CLONE_NEWNET = 0x40000000
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_SIOCSIFFLAGS, _SIOCSIFADDR, _SIOCSIFNETMASK, _SIOCSIFMTU = 0x8914, 0x8916, 0x891C, 0x8922
_SIOCADDRT = 0x890B
_IFA_F_TENTATIVE = 0x40
_IFF_UP_RUNNING = 0x41
_PACKET_BYTES_MAX = 65536
_NAME = b"tun0"

_libc = ctypes.CDLL(None, use_errno=True)

# What a namespace must not inherit from the machine, so that scripts see the same everywhere.
SETTLED = {
    "ipv4.tcp_congestion_control": "reno", "ipv4.tcp_ecn": "2",
    "ipv4.tcp_rmem": "4096 131072 6291456",
    "ipv4.tcp_wmem": "4096 16384 4194304", "ipv4.tcp_sack": "1", "ipv4.tcp_timestamps": "1",
    "ipv4.tcp_window_scaling": "1", "ipv4.tcp_dsack": "1", "ipv4.tcp_syncookies": "1",
    "ipv4.tcp_no_metrics_save": "1", "ipv4.tcp_shrink_window": "0", "ipv4.tcp_fastopen": "0",
    "ipv4.tcp_invalid_ratelimit": "500", "ipv4.tcp_challenge_ack_limit": "2147483647",
    # Without compressed SACKs, which come at times that no RFC names; and without tail loss probes,
    # which scripts ask for that expect them.
    "ipv4.tcp_comp_sack_nr": "0", "ipv4.tcp_early_retrans": "0",
    "ipv4.tcp_syn_linear_timeouts": "0", "ipv4.tcp_recovery": "1",
    "ipv4.tcp_notsent_lowat": "4294967295", "ipv4.tcp_fin_timeout": "60",
    "ipv6.conf.all.accept_dad": "0", "ipv6.conf.default.accept_dad": "0",
    "ipv6.conf.default.router_solicitations": "0",
}


def set_sysctl(name, value):
    """Writes a setting of this network namespace by its name below net.; False if there is none."""
    path = "/proc/sys/net/" + name.removeprefix("net.").replace(".", "/")
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(value)
        return True
    except OSError:
        return False


def why_not():
    """Why this machine cannot play scripts against its kernel, or None."""
    if os.geteuid() != 0:
        return "needs root, to make a network namespace and a TUN device"
    if not os.path.exists("/dev/net/tun"):
        return "needs /dev/net/tun; load the module tun"
    return None


def _interface_request(*fields):
    return struct.pack("16s", _NAME) + b"".join(fields)


def _inet_field(address):
    return struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(address)).ljust(24, b"\0")


def enter_namespace():
    """Moves this process into a network namespace of its own."""
    if _libc.unshare(_CLONE_NEWNET) != 0:
        raise Unavailable(f"no network namespace: {os.strerror(ctypes.get_errno())}")
    for name, value in SETTLED.items():
        set_sysctl(name, value)


def _add_ipv6(control, index, address):
    # struct in6_ifreq, and struct in6_rtmsg for a default route through the device.
    packed = socket.inet_pton(socket.AF_INET6, address)
    fcntl.ioctl(control, _SIOCSIFADDR, packed + struct.pack("=Ii", 64, index))
    route = struct.pack("@48xIHHILIi", 0, 0, 0, 1, 0, 1, index)
    fcntl.ioctl(control, _SIOCADDRT, route)
    # The address may be used once the kernel's worker has looked at it.
    while any(int(line.split()[4], 16) & _IFA_F_TENTATIVE
              for line in open("/proc/net/if_inet6", encoding="ascii")):
        select.poll().poll(1)


def _add_ipv4(control, address):
    fcntl.ioctl(control, _SIOCSIFADDR, _interface_request(_inet_field(address)))
    fcntl.ioctl(control, _SIOCSIFNETMASK, _interface_request(_inet_field("255.255.0.0")))
    # struct rtentry: a default route through the device.
    device = ctypes.create_string_buffer(_NAME)
    any_address = struct.pack("=HH4s8x", socket.AF_INET, 0, bytes(4))
    route = struct.pack("@L48sHhLPhPLLH", 0, any_address * 3, 1, 0, 0, 0, 0,
                        ctypes.addressof(device), 0, 0, 0)
    fcntl.ioctl(control, _SIOCADDRT, route)


def open_tun(addresses, mtu):
    """A TUN device, up and with the default route; returns its descriptor. Its name is tun0."""
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, _TUNSETIFF, _interface_request(struct.pack("=H22x", _IFF_TUN | _IFF_NO_PI)))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control, \
            socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as control6:
        fcntl.ioctl(control, _SIOCSIFMTU, _interface_request(struct.pack("=i20x", mtu)))
        fcntl.ioctl(control, _SIOCSIFFLAGS, _interface_request(struct.pack("=H22x",
                                                                           _IFF_UP_RUNNING)))
        if ":" in addresses.local[0]:
            _add_ipv6(control6, socket.if_nametoindex("tun0"), addresses.local[0])
        else:
            _add_ipv4(control, addresses.local[0])
    return tun


def be_punctual():
    """Asks to run before everything that has no deadlines: a script's times are real here."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        pass  # Then a busy machine makes scripts late, and they are played again.


class KernelBackend(Backend):
    name = "the Linux kernel " + os.uname().release
    # The kernel's clock ticks of 4 ms, and a machine that may be busy with something else.
    early_us = 8_000
    late_us = 120_000

    def __init__(self, addresses, mtu=1500):
        reason = why_not()
        if reason:
            raise Unavailable(reason)
        enter_namespace()
        self._tun = open_tun(addresses, mtu)
        self._addresses = addresses
        self._received = []
        self._poll = select.poll()
        self._poll.register(self._tun, select.POLLIN)
        be_punctual()
        self._start_ns = time.monotonic_ns()

    def now_us(self):
        return (time.monotonic_ns() - self._start_ns) // 1000

    def _drain(self):
        while True:
            try:
                packet = os.read(self._tun, _PACKET_BYTES_MAX)
            except BlockingIOError:
                return
            if self._concerns_us(packet):
                self._received.append((packet, self.now_us()))

    def _concerns_us(self, packet):
        """TCP, and nothing that Linux says by itself, such as router solicitations."""
        return wire.parse_segment(packet) is not None

    def _wait(self, time_us, until_one):
        self._drain()
        while not (until_one and self._received):
            left_us = time_us - self.now_us()
            if left_us <= 0:
                return
            # Milliseconds: the last one is spent looking again and again.
            self._poll.poll(left_us // 1000)
            self._drain()

    def wait_until(self, time_us):
        self._wait(time_us, until_one=False)

    def inject(self, packet):
        self._drain()
        os.write(self._tun, packet)
        self._drain()

    def receive(self, deadline_us):
        self._wait(deadline_us, until_one=True)
        return self._received.pop(0) if self._received else None

    def invoke(self, name, *arguments):
        return getattr(_libc, name)(*arguments)

    def set_knob(self, name, value):
        return set_sysctl(name, value)

    def close(self):
        os.close(self._tun)
