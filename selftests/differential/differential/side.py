# SPDX-License-Identifier: Apache-2.0
"""One side of the comparison: a listener on a back end, one connection after the other, and for
each step what came out. After each step a segment to a port where nobody listens follows: its reset
says that everything before it has been said. No ACK stays delayed: the kernel's routes ask for
quick ACKs, and the engine's clock is moved on."""

import ctypes
import dataclasses
import errno
import hashlib
import socket

from runner import c_structs, wire
from runner.options import option_value
from runner.pattern import pattern

_FIONREAD = 0x541B
_MSG_DONTWAIT = 0x40
_WINDOW = 500
_STAMP_START = 1_000_000
_DELAYED_ACK_US = 45_000  # In which a delayed ACK comes, and no retransmission.
_ANSWER_INTERVAL_US = 600_000
_MARKER_PORT = 9
_MARKER_US = 1_000_000  # Of real time: for the reset that marks the end.


@dataclasses.dataclass
class Said:
    """What a side said in one step."""
    acks: list = dataclasses.field(default_factory=list)  # (ack position, SACK ranges, echo).
    resets: list = dataclasses.field(default_factory=list)  # Sequence numbers, as the side's own.
    sent: int = 0  # New sequence numbers: data and FIN.
    ack: int = 0  # The latest that was told, in this step or before.
    advanced: bool = False  # Whether it was told in this step.
    readable: int = 0
    call: str = ""  # What a call returned.


class Side:
    """`local` and `remote` are (address, port); `backend` is closed by who made it."""

    def __init__(self, backend, local):
        self._backend = backend
        self._local = local
        family = socket.AF_INET6 if ":" in local[0] else socket.AF_INET
        self._listener = self._call("socket", family, socket.SOCK_STREAM, 0)
        raw = c_structs.sockaddr(*local)
        self._call("bind", self._listener, raw, len(raw))
        self._call("listen", self._listener, 8)
        self._fd = -1

    def _call(self, name, *arguments):
        result = self._backend.invoke(name, *arguments)
        if result < 0:
            raise OSError(ctypes.get_errno(), f"{self._backend.name}: {name}()")
        return result

    def open(self, setup, remote):
        """The handshake; returns what the SYN-ACK negotiated."""
        self._setup, self._remote = setup, remote
        self._hash, self._read_bytes, self._written = hashlib.sha256(), 0, 0
        self._stamp = _STAMP_START
        self._echo = 0
        options = [("mss", setup.mss)]
        options += [("sackOK",)] * setup.sack
        options += [("TS", self._stamp, 0)] * setup.stamps
        options += [("wscale", setup.scale)] * (setup.scale is not None)
        self._inject("S", setup.isn, 0, options=options, window=65535)
        answers = self._collect()
        if len(answers) != 1 or set(answers[0].flags) != {"S", "."}:
            raise ValueError(f"{self._backend.name} answered a SYN by {answers}")
        self._isn = answers[0].seq
        self._edge = answers[0].window  # The right edge of the window, as a position.
        scale = option_value(answers[0].options, "wscale")
        self._scale = scale[0] if scale else 0
        self._note_echo(answers[0])
        self._inject(".", setup.isn + 1, self._isn + 1, options=self._options(0))
        self._collect()
        self._fd = self._call("accept", self._listener, None, None)
        self._set(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        self._told = self._sent = 0
        return sorted(option[0] for option in answers[0].options if option[0] != "nop")

    def _set(self, level, name, value):
        number = ctypes.c_int(value)
        self._backend.invoke("setsockopt", self._fd, level, name, ctypes.byref(number), 4)

    def _note_echo(self, segment):
        stamp = option_value(segment.options, "TS")
        if stamp:
            self._echo = stamp[0]

    def _options(self, stamp):
        if stamp is None:
            return []
        return [("nop",), ("nop",), ("TS", (self._stamp + stamp) & 0xFFFFFFFF, self._echo)]

    def _inject(self, flags, seq, ack, payload=b"", options=(), window=_WINDOW, urgent=0):
        segment = wire.Segment(self._remote, self._local, flags, seq & 0xFFFFFFFF,
                               ack & 0xFFFFFFFF, window, urgent, list(options), payload)
        self._backend.inject(wire.build_segment(segment))

    def _collect(self):
        """Every segment of this connection that has come out."""
        port = (self._local[0], _MARKER_PORT)
        self._backend.inject(wire.build_segment(wire.Segment(self._remote, port, ".", 0, 1)))
        found = []
        while True:
            received = self._backend.receive(self._backend.now_us() + _MARKER_US)
            if received is None:
                raise ValueError(f"{self._backend.name} no longer answers")
            segment = wire.parse_segment(*received)
            if segment is None or segment.target != self._remote:
                continue
            if segment.source == port:
                return found
            found.append(segment)

    def play(self, step):
        """Does one step and returns what was said."""
        said = Said()
        if step.kind == "read":
            said.call = self._read(step.count)
        elif step.kind == "write":
            said.call = self._write(step.count)
        elif step.kind == "shutdown":
            said.call = self._shutdown()
        else:
            self._send_step(step)
        segments = self._collect()
        if self._backend.is_virtual and not segments and (step.length or "F" in step.flags):
            self._backend.wait_until(self._backend.now_us() + _DELAYED_ACK_US)
            segments = self._collect()
        before = self._told
        for segment in segments:
            self._note(segment, said)
        said.advanced = self._told != before
        said.ack = self._told
        said.readable = self._readable()
        return said

    def _send_step(self, step):
        self._stamp += 1
        if self._backend.is_virtual:
            # The engine answers what is unacceptable once in so long; the kernel is told to do so
            # always.
            self._backend.wait_until(self._backend.now_us() + _ANSWER_INTERVAL_US)
        base = self._setup.isn + 1
        options = self._options(step.stamp) if self._setup.stamps or step.stamp else []
        if "S" in step.flags:
            options = [("mss", 1400)]
        if step.sack:
            options = options + [("nop",), ("nop",), ("sack", step.sack)]
        if step.at_edge:
            base += self._edge
        self._inject(step.flags, base + step.position,
                     self._isn + 1 + self._written + step.ack if "." in step.flags else 0,
                     pattern(step.position, step.length), options + list(step.junk_options),
                     step.window, step.urgent)

    def _position(self, number):
        """A sequence number of the far stream as a position; below its start it is negative."""
        position = (number - self._setup.isn - 1) & 0xFFFFFFFF
        return position - 2**32 if position >= 2**31 else position

    def _note(self, segment, said):
        if segment.has("R"):
            said.resets.append((segment.seq - self._isn) & 0xFFFFFFFF)
            return
        self._note_echo(segment)
        sent = (segment.end - self._isn - 1) & 0xFFFFFFFF
        if segment.payload or segment.has("F"):
            if sent <= self._sent:
                return  # A retransmission, whose time the two sides' clocks do not share.
            said.sent += sent - self._sent
            self._sent = sent
        blocks = option_value(segment.options, "sack")
        ranges = tuple((self._position(left), self._position(right))
                       for left, right in (blocks[0] if blocks else ()))
        stamp = option_value(segment.options, "TS")
        echo = (stamp[1] - _STAMP_START) & 0xFFFFFFFF if stamp else None
        self._told = self._position(segment.ack)
        self._edge = max(self._edge, self._told + (segment.window << self._scale))
        said.acks.append((self._told, ranges, echo))

    def _read(self, count):
        """Up to `count` bytes, in as many calls as it takes: Linux stops at an urgent mark."""
        total = 0
        while total < count:
            room = ctypes.create_string_buffer(count - total)
            result = self._backend.invoke("recv", self._fd, room, len(room), _MSG_DONTWAIT)
            if result < 0 and total == 0:
                return errno.errorcode.get(ctypes.get_errno(), "?")
            if result <= 0:
                break
            data = room.raw[:result]
            self._hash.update(data)
            if data != pattern(self._read_bytes, result):
                return f"{result} bytes, other than those that were sent"
            self._read_bytes += result
            total += result
        return f"{total} bytes"

    def _write(self, count):
        data = pattern(self._written, count)
        result = self._backend.invoke("send", self._fd, data, count, socket.MSG_NOSIGNAL)
        if result < 0:
            return errno.errorcode.get(ctypes.get_errno(), "?")
        self._written += result
        return f"{result} bytes"

    def _shutdown(self):
        if self._backend.invoke("shutdown", self._fd, socket.SHUT_WR) < 0:
            return errno.errorcode.get(ctypes.get_errno(), "?")
        self._written += 1  # The FIN's number.
        return "shut"

    def _readable(self):
        number = ctypes.c_int(-1)
        if self._backend.invoke("ioctl", self._fd, _FIONREAD, ctypes.byref(number)) < 0:
            return -1
        return number.value

    def finish(self):
        """Reads what is left; returns (bytes, sha256, how it ended), and closes by a reset."""
        while (said := self._read(65536)).endswith("bytes") and said != "0 bytes":
            pass
        ended = "end of stream" if said == "0 bytes" else said
        linger = c_structs.Linger(1, 0)
        self._backend.invoke("setsockopt", self._fd, socket.SOL_SOCKET, socket.SO_LINGER,
                             ctypes.byref(linger), 8)
        self._backend.invoke("close", self._fd)
        self._fd = -1
        self._collect()
        return self._read_bytes, self._hash.hexdigest(), ended
