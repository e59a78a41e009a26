# SPDX-License-Identifier: Apache-2.0
"""Plays one script against one back end: keeps its time, injects its packets, makes its calls, and
asks of each packet that comes out whether it is the next expected one. Raises PlayError at the
first that is not. One player plays one script, on one thread."""

import ctypes
import pathlib
import socket

from . import compare, tcp_info, wire
from .backend import FIRST_FAR_PORT, Addresses
from .blocking_call import BlockingCall
from .calls import CallFailed, Calls
from .flow import Flow
from .options import option_value
from .report import PlayError, Trace, mismatch, seconds
from .script import CallEvent, CodeEvent, PacketEvent, ShellEvent
from .shell import settings_of

_QUIET_US = 20_000  # At the end of a strict run: so long nothing may come.
_PATIENCE_US = 130_000_000  # For a packet that may come at any time.


class Player:
    """`strict` asks that nothing is left over at the end of the script; `foreign` scripts expect
    what packetdrill shows of Linux: super-segments, and nothing of other connections."""

    def __init__(self, script, backend, addresses, strict=False, remote_offset=0, foreign=False):
        self._script = script
        self._backend = backend
        self._addresses = addresses
        self._strict = strict
        self._remote_offset = remote_offset
        self._calls = Calls(backend, addresses)
        self._blocking = None
        self._foreign = foreign
        self._held = None  # A segment that was read and is not part of the one before it.
        self._flow = None
        self._flows = {}
        self._far_port = FIRST_FAR_PORT - 1
        self._fresh_listener = False
        self._base_us = 0  # What relative times are relative to,
        self._last_us = 0  # and what those of the current event were.
        self._tolerance_us = int(script.options.get("tolerance_usecs", 4000))
        self._python = {}
        self.trace = Trace()
        self.notes = []  # What was ignored, for the reader of the result.

    def play(self):
        for event in self._script.events:
            try:
                self._play_event(event)
            except PlayError:
                raise
            except (CallFailed, ValueError) as error:
                raise PlayError(event.line, f"{event.text}\n  {error}") from None
        self._finish_blocking(None)
        if self._strict:
            self._check_nothing_left()

    def _play_event(self, event):
        start_us, end_us = self._due(event.when)
        if isinstance(event, PacketEvent) and not event.inbound:
            self._settle()
            self._expect(event, start_us, end_us)
            return
        if start_us is None:
            start_us = self._backend.now_us()
        self._last_us, self._base_us = self._base_us, start_us
        self._finish_blocking(start_us)
        self._backend.wait_until(start_us)
        self._settle()
        if isinstance(event, PacketEvent):
            self._inject(event)
        elif isinstance(event, CallEvent):
            self._call(event)
        elif isinstance(event, CodeEvent):
            self._run_code(event)
        elif isinstance(event, ShellEvent):
            self._run_shell(event)
        self._settle()

    def _due(self, when):
        """(start, end) of an event on the script's clock; start is None for any time."""
        if when.start_us is None:
            return None, None
        start = when.start_us + (self._base_us if when.relative else 0)
        if when.range_end_us is None:
            return start, start
        return start, when.range_end_us + (self._base_us if when.range_relative else 0)

    # Packets.

    def _new_flow(self, event):
        """The flow of an inbound packet: the one of its port mark, else the current one."""
        tcp = event.tcp
        opens = tcp is not None and "S" in tcp.flags and "." not in tcp.flags
        if event.port is not None:
            return self._flow_of_port(event.port)
        if self._flow is None or (opens and self._fresh_listener):
            self._fresh_listener = False
            self._far_port += 1
            return self._flow_of_port(self._far_port)
        return self._flow

    def _flow_of_port(self, port):
        if port not in self._flows:
            remote = (self._addresses.remote[0], port)
            self._flows[port] = Flow(self._addresses.local, remote, self._remote_offset)
        return self._flows[port]

    def _inject(self, event):
        self._flow = self._new_flow(event)
        if event.icmp is not None:
            self.trace.note(self._backend.now_us(), event.text.partition(" ")[2])
            self._backend.inject(self._flow.inbound_icmp(event))
            return
        if "U" in event.tcp.flags:
            self._calls.checks_content = False
        segment = self._flow.inbound(event)
        self.trace.packet(self._backend.now_us(), True, event.tcp, event.ecn, event.port)
        self._backend.inject(wire.build_segment(segment))

    def _next_segment(self, deadline_us):
        """The next TCP segment that came out, or None."""
        if self._held is not None:
            segment, self._held = self._held, None
            return segment
        while True:
            received = self._backend.receive(deadline_us)
            if received is None:
                return None
            segment = wire.parse_segment(*received)
            if segment is not None:
                return segment
            self.trace.note(received[1], f"> {len(received[0])} bytes that are not TCP")

    def _is_of_another(self, segment):
        """Whether a segment is of an earlier connection of the script, and opens none."""
        opens = segment.has("S") and not segment.has(".")
        return not opens and self._flow is not None and not self._flow.matches(segment) and \
            segment.target[1] in self._flows

    def _merge(self, event, segment):
        """Joins what leaves back to back behind `segment`, up to the size that the script names: it
        was written for a device that takes segments larger than the MSS."""
        while 0 < len(segment.payload) < event.tcp.payload_bytes and not segment.has("F"):
            more = self._next_segment(segment.time_us + self._tolerance_us)
            if more is None:
                break
            follows = more.seq == segment.end and more.source == segment.source and more.payload
            if not follows or len(segment.payload + more.payload) > event.tcp.payload_bytes:
                self._held = more
                break
            segment.payload += more.payload
            segment.flags = more.flags

    def _expect(self, event, start_us, end_us):
        deadline = (self._backend.now_us() + _PATIENCE_US if start_us is None else
                    end_us + self._tolerance_us + self._backend.late_us)
        segment = self._next_segment(deadline)
        while self._foreign and segment is not None and self._is_of_another(segment):
            segment = self._next_segment(deadline)
        if segment is None:
            raise PlayError(event.line, f"expected {event.text}\n  and nothing came until "
                            f"{seconds(self._backend.now_us())}")
        if self._foreign:
            self._merge(event, segment)
        self._adopt(event, segment)
        flow = self._flow
        if event.port is not None or not flow.matches(segment):
            flow = self._flow_of_port(segment.target[1])
        differing = compare.differences(event, flow, segment, self._calls.checks_content)
        differing += self._stamp_difference(event, flow, segment)
        actual = flow.outbound(segment)
        if event.port not in (None, segment.target[1]):
            differing.append(("far port", event.port, segment.target[1]))
        if event.port is None and flow is not self._flow:
            differing.append(("far port", self._flow.remote[1], segment.target[1]))
        self.trace.packet(segment.time_us, False, actual, segment.ecn or None,
                          self._told_port(segment))
        if differing:
            raise PlayError(event.line, mismatch(event, actual, differing, segment.time_us))
        self._check_time(event, segment.time_us, start_us, end_us)
        # After `*` and after a range, what follows is relative to what really happened.
        exact = event.when.start_us is not None and event.when.range_end_us is None
        self._base_us = start_us if exact else segment.time_us

    def _stamp_difference(self, event, flow, segment):
        """Whether our timestamps tick as the script says, for one that names the tick."""
        tick_us = int(self._script.options.get("tcp_ts_tick_usecs", 0))
        expected = option_value(event.tcp.options, "TS")
        actual = option_value(segment.options, "TS")
        if not tick_us or not expected or not actual:
            return []
        error = flow.stamp_error(expected[0], actual[0])
        if error is None or abs(error) * tick_us <= self._tolerance_us + self._backend.late_us:
            return []
        return [("timestamp", expected[0], expected[0] + error)]

    def _told_port(self, segment):
        return segment.target[1] if len(self._flows) > 1 else None

    def _adopt(self, event, segment):
        """Our SYN opens a flow of its own: its port is the one that TCP chose."""
        if not (segment.has("S") and not segment.has(".")):
            if self._flow is None:
                self._flow = self._flow_of_port(segment.target[1])
            return
        known = self._flow is not None and self._flow.matches(segment)
        if not known:
            self._flow = Flow((self._addresses.local[0], segment.source[1]),
                              (self._addresses.remote[0], segment.target[1]), self._remote_offset)
            self._flows[segment.target[1]] = self._flow

    def _check_time(self, event, time_us, start_us, end_us):
        if start_us is None:
            return
        early = start_us - self._tolerance_us - self._backend.early_us
        late = end_us + self._tolerance_us + self._backend.late_us
        if not early <= time_us <= late:
            due = seconds(start_us) if start_us == end_us else \
                f"between {seconds(start_us)} and {seconds(end_us)}"
            raise PlayError(event.line, f"{event.text}\n  came at {seconds(time_us)}; it was due "
                            f"{due}, give or take {self._tolerance_us} us", late=time_us > late)

    def _check_nothing_left(self):
        end_us = self._backend.now_us() + (0 if self._backend.is_virtual else _QUIET_US)
        segment = self._next_segment(end_us)
        if segment is not None and segment.time_us <= end_us:
            flow = self._flow_of_port(segment.target[1])
            tcp = flow.outbound(segment)
            self.trace.packet(segment.time_us, False, tcp, port=self._told_port(segment))
            line = self._script.events[-1].line if self._script.events else 1
            raise PlayError(line, "a packet that the script does not expect came at its end")

    # Calls.

    def _call(self, event):
        self.trace.note(self._backend.now_us(), event.text.partition(" ")[2])
        if event.name == "listen":
            self._fresh_listener = True
        if event.blocks:
            self._finish_blocking(self._backend.now_us())
            if self._blocking:
                raise PlayError(event.line, "two calls block at once; there is one second thread")
            due_us = event.when.call_end_us + (self._last_us if event.when.call_end_relative else 0)
            self._blocking = BlockingCall(self._calls, event, self._backend, due_us)
            return
        self._calls.perform(event)

    def _settle(self):
        if self._blocking and self._blocking.settle():
            self._end_blocking()

    def _finish_blocking(self, time_us):
        """Before time goes on to `time_us` (None: the end): a call that is due must return."""
        if not self._blocking:
            return
        event = self._blocking.event
        end_us = self._blocking.due_us
        if time_us is not None and time_us < end_us + self._tolerance_us:
            return
        self._backend.wait_until(end_us)
        if not self._blocking.wait():
            raise PlayError(event.line, f"{event.text}\n  did not return by {seconds(end_us)}")
        self._end_blocking()

    def _end_blocking(self):
        call, self._blocking = self._blocking, None
        self.trace.note(call.ended_us, f"{call.event.name}() returned")
        if call.failure:
            raise PlayError(call.event.line, f"{call.event.text}\n  {call.failure}")
        late = call.due_us + self._tolerance_us + self._backend.late_us
        early = call.due_us - self._tolerance_us - self._backend.early_us
        if not early <= call.ended_us <= late:
            raise PlayError(call.event.line, f"{call.event.text}\n  returned at "
                            f"{seconds(call.ended_us)}, not at {seconds(call.due_us)}",
                            late=call.ended_us > late)

    # Code and shell lines.

    def _option_bytes(self, level, option):
        """What getsockopt() says of the connection under test; nothing if there is none."""
        room = ctypes.create_string_buffer(tcp_info.BYTES_MAX)
        size = ctypes.c_uint32(len(room))
        fd = self._calls.stream_fd
        if fd is None or self._backend.invoke("getsockopt", self._calls.live(fd), level, option,
                                              room, ctypes.byref(size)) < 0:
            return b""
        return room.raw[:size.value]

    def _tcp_info(self):
        info = self._option_bytes(socket.SOL_TCP, socket.TCP_INFO)
        meminfo = self._option_bytes(socket.SOL_SOCKET, tcp_info.SO_MEMINFO)
        names = tcp_info.decode(info) if info else {}
        return names | tcp_info.decode_meminfo(meminfo)

    def _run_code(self, event):
        self._python.update(self._tcp_info())
        lines = event.code.strip("\n").split("\n")
        indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
        code = "\n".join(line[indent:] if line[:indent].isspace() else line for line in lines)
        code = code.strip().rstrip("\\")  # A line that goes on, and then nothing does.
        try:
            exec(compile(code, self._script.path, "exec"), self._python)
        except Exception as error:
            raise PlayError(event.line, f"%{{{event.code}}}%\n  {type(error).__name__}: {error}") \
                from None

    def _run_shell(self, event):
        folder = pathlib.Path(self._script.path).parent
        settings, ignored = settings_of(event.command, folder)
        for command in ignored:
            self.notes.append(f"line {event.line}: ignored the command `{command}`")
        for name, value in settings:
            if not self._backend.set_knob(name, value):
                self.notes.append(f"line {event.line}: {self._backend.name} has no {name} to set")


def addresses_for(script, default):
    """The addresses of a script: its options, or the defaults."""
    ports = int(script.options.get("bind_port", default.local[1])), \
        int(script.options.get("connect_port", default.remote[1]))
    return Addresses((script.options.get("local_ip", default.local[0]), ports[0]),
                     (script.options.get("remote_ip", default.remote[0]), ports[1]))

