# SPDX-License-Identifier: Apache-2.0
"""The packetdrill plug-in libdevmem_packetdrill.so as a back end: the engine in this process, on
virtual time that stands still between two calls. Loaded through the interface's table of functions,
as packetdrill does it; tools/packetdrill/interface.h says what each member is."""

import ctypes
import errno

from .backend import Backend, Unavailable
from .c_structs import Timeval

_PACKET_BYTES_MAX = 1 << 17

_int, _size, _pointer = ctypes.c_int, ctypes.c_ssize_t, ctypes.c_void_p
_ulong, _uint = ctypes.c_ulong, ctypes.c_uint

# Every member behind `userdata`, in order: name, result, arguments behind userdata.
MEMBERS = (
    ("free", None, ()),
    ("socket", _int, (_int, _int, _int)),
    ("bind", _int, (_int, _pointer, _uint)),
    ("listen", _int, (_int, _int)),
    ("accept", _int, (_int, _pointer, _pointer)),
    ("connect", _int, (_int, _pointer, _uint)),
    ("read", _size, (_int, _pointer, _ulong)),
    ("readv", _size, (_int, _pointer, _int)),
    ("recv", _size, (_int, _pointer, _ulong, _int)),
    ("recvfrom", _size, (_int, _pointer, _ulong, _int, _pointer, _pointer)),
    ("recvmsg", _size, (_int, _pointer, _int)),
    ("write", _size, (_int, _pointer, _ulong)),
    ("writev", _size, (_int, _pointer, _int)),
    ("send", _size, (_int, _pointer, _ulong, _int)),
    ("sendto", _size, (_int, _pointer, _ulong, _int, _pointer, _uint)),
    ("sendmsg", _size, (_int, _pointer, _int)),
    ("fcntl", _int, (_int, _int, _ulong)),
    ("ioctl", _int, (_int, _ulong, _pointer)),
    ("close", _int, (_int,)),
    ("shutdown", _int, (_int, _int)),
    ("getsockopt", _int, (_int, _int, _int, _pointer, _pointer)),
    ("setsockopt", _int, (_int, _int, _int, _pointer, _uint)),
    ("poll", _int, (_pointer, _ulong, _int)),
    ("netdev_send", _int, (_pointer, _ulong)),
    ("netdev_receive", _int, (_pointer, _pointer, _pointer)),
    ("usleep", _int, (_uint,)),
    ("gettimeofday", _int, (_pointer, _pointer)),
    ("epoll_create", _int, (_int,)),
    ("epoll_ctl", _int, (_int, _int, _int, _pointer)),
    ("epoll_wait", _int, (_int, _pointer, _int, _int)),
    ("pipe", _int, (_pointer,)),
    ("splice", _size, (_int, _pointer, _int, _pointer, _ulong, _uint)),
)


class Interface(ctypes.Structure):
    _fields_ = [("userdata", _pointer)] + [
        (name, ctypes.CFUNCTYPE(result, _pointer, *arguments, use_errno=True))
        for name, result, arguments in MEMBERS]


def load(path, flags):
    """A filled-in Interface; raises Unavailable with the reason."""
    try:
        library = ctypes.CDLL(str(path), use_errno=True)
        init = library.packetdrill_interface_init
    except (OSError, AttributeError) as error:
        raise Unavailable(f"{path}: {error}") from None
    init.restype, init.argtypes = None, (ctypes.c_char_p, ctypes.POINTER(Interface))
    interface = Interface()
    init(flags.encode(), ctypes.byref(interface))
    if not interface.netdev_send:
        raise Unavailable(f"{path}: packetdrill_interface_init() left its table empty")
    interface.library = library  # Keeps it loaded.
    return interface


class PluginBackend(Backend):
    name = "the plug-in"
    is_virtual = True

    def __init__(self, path, addresses, knobs=(), mtu=1500):
        """`knobs` are (name, value) pairs of sysctls, given to the plug-in as it starts."""
        # As against Linux, scripts ask for tail loss probes if they expect them.
        self._knobs = {"tcp_early_retrans": "0"}
        for name, value in knobs:
            bare = name.removeprefix("net.").removeprefix("ipv4.").removeprefix("core.")
            self._knobs[bare] = value
        words = [f"{name}={value.replace(' ', ':')}" for name, value in self._knobs.items()]
        self._interface = load(path, " ".join([addresses.local[0], f"mtu={mtu}"] + words))
        self._room = ctypes.create_string_buffer(_PACKET_BYTES_MAX)
        self._waiting = None  # A packet that came out later than it was asked for.
        self._start_us = self._time_us()

    def _time_us(self):
        now = Timeval()
        self.invoke("gettimeofday", ctypes.byref(now), None)
        return now.seconds * 1_000_000 + now.micros

    def now_us(self):
        return self._time_us() - self._start_us

    def wait_until(self, time_us):
        # The plug-in's clock ticks with each question, so it may be there already.
        left_us = time_us - self.now_us()
        while left_us > 0:
            step_us = min(left_us, 1_000_000_000)
            self.invoke("usleep", step_us)
            left_us -= step_us

    def inject(self, packet):
        if self.invoke("netdev_send", packet, len(packet)) < 0:
            raise ValueError(f"netdev_send failed: {errno.errorcode.get(ctypes.get_errno())}")

    def receive(self, deadline_us):
        if self._waiting is None:
            self._waiting = self._next()
        if self._waiting is None or self._waiting[1] > deadline_us:
            return None
        packet, self._waiting = self._waiting, None
        return packet

    def _next(self):
        count, time_us = ctypes.c_size_t(_PACKET_BYTES_MAX), ctypes.c_longlong(0)
        if self.invoke("netdev_receive", self._room, ctypes.byref(count),
                       ctypes.byref(time_us)) < 0 or count.value == 0:
            return None
        return self._room.raw[:count.value], time_us.value - self._start_us

    def invoke(self, name, *arguments):
        if name == "fcntl":
            arguments = arguments[:2] + (arguments[2] & 0xFFFFFFFFFFFFFFFF,)
        function = getattr(self._interface, name)
        if not function:
            ctypes.set_errno(errno.ENOSYS)
            return -1
        return function(self._interface.userdata, *arguments)

    def set_knob(self, name, value):
        """Knobs are given at the start: True for one that was, with this value."""
        return self._knobs.get(name.removeprefix("net.").removeprefix("ipv4.")
                               .removeprefix("core.")) == value

    def close(self):
        self._interface.free(self._interface.userdata)
