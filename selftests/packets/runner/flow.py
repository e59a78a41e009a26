# SPDX-License-Identifier: Apache-2.0
"""One connection as a script names it and as it is on the wire: turns a script's packets into
segments and segments into the script's numbers. Our initial sequence number and our timestamps are
learnt from what the TCP under test sends; the far side's are the script's plus a fixed offset."""

import ipaddress

from . import wire
from .packet_text import ICMP4, ICMP6
from .pattern import pattern
from .script import TcpText

WINDOW_DEFAULT = 65535  # Of an inbound packet that names none.


def _add(number, offset):
    return (number + offset) & 0xFFFFFFFF


class Flow:
    """`local` is the side under test; `remote_offset` is what the far side's numbers on the wire
    are ahead of the script's."""

    def __init__(self, local, remote, remote_offset=0):
        self.local = local
        self.remote = remote
        self._remote_offset = remote_offset
        self._local_offset = 0
        self._remote_isn = None  # In the script's numbers: where the far stream begins.
        self._local_isn = None
        self._stamps = {}  # The script's TS val of ours → the wire's.
        self._stamp_offset = 0
        self._first_stamp = None  # (the script's, the wire's)

    def learn_isn(self, expected_seq, live_seq):
        """Called with each SYN of ours: the script says `expected_seq` for it."""
        self._local_offset = _add(live_seq, -expected_seq)
        self._local_isn = expected_seq

    def stamp_error(self, script_value, live_value):
        """By how many ticks our timestamp is ahead of where the first one, and the script, put it;
        None for the first one."""
        if self._first_stamp is None:
            self._first_stamp = script_value, live_value
            return None
        first_script, first_live = self._first_stamp
        ahead = _add(live_value - first_live, -(script_value - first_script))
        return ahead - (1 << 32) if ahead >> 31 else ahead

    def learn_stamp(self, script_value, live_value):
        self._stamps[script_value] = live_value
        self._stamp_offset = _add(live_value, -script_value)

    def _live_echo(self, script_value):
        if script_value == 0:
            return 0
        return self._stamps.get(script_value, _add(script_value, self._stamp_offset))

    def _live_options(self, options):
        live = []
        for option in options or []:
            if option[0] == "TS":
                option = ("TS", option[1], self._live_echo(option[2]))
            elif option[0] == "sack":
                offset = self._local_offset
                option = ("sack", tuple((_add(left, offset), _add(right, offset))
                                        for left, right in option[1]))
            live.append(option)
        return live

    def _payload(self, seq, count, isn):
        """Stream bytes at a sequence number of the script's; SYN takes the number before them."""
        return pattern(_add(seq, -(isn or 0) - 1) if isn is not None else 0, count)

    def inbound(self, event):
        """The Segment to inject for an inbound PacketEvent."""
        tcp = event.tcp
        if "S" in tcp.flags:
            self._remote_isn = tcp.seq
        seq = tcp.seq + 1 if "S" in tcp.flags else tcp.seq
        return wire.Segment(
            self.remote, self.local, tcp.flags, _add(tcp.seq, self._remote_offset),
            0 if tcp.ack is None else _add(tcp.ack, self._local_offset),
            WINDOW_DEFAULT if tcp.window is None else tcp.window, tcp.urgent,
            self._live_options(tcp.options), self._payload(seq, tcp.payload_bytes,
                                                           self._remote_isn),
            event.ecn or 0, 64 if event.ttl is None else event.ttl)

    def inbound_icmp(self, event):
        """The IP packet for an inbound ICMP error: it quotes our segment as it was sent."""
        icmp = event.icmp
        v6 = ":" in self.local[0]
        kinds = ICMP6 if v6 else ICMP4
        if v6 and icmp.code in ("frag_needed", "packet_too_big"):
            number, code = 2, 0
        else:
            if icmp.kind not in kinds or icmp.code not in kinds[icmp.kind][1]:
                raise ValueError(f"ICMP{'v6' if v6 else ''} has no {icmp.kind} {icmp.code}")
            number, code = kinds[icmp.kind][0], kinds[icmp.kind][1][icmp.code]
        quoted = wire.build_segment(wire.Segment(
            self.local, self.remote, ".", _add(icmp.seq or 0, self._local_offset), 0, 0, 0, [],
            bytes(icmp.payload_bytes)))
        # IPv4 errors quote the IP header and 8 bytes; ICMPv6 as much as fits the smallest MTU.
        quoted = quoted[:1232] if v6 else quoted[:28]
        return wire.build_icmp(self.remote[0], self.local[0], number, code, icmp.mtu or 0, quoted)

    def matches(self, segment):
        """Whether a segment from the TCP under test belongs here."""
        return (segment.source[1] == self.local[1] and segment.target[1] == self.remote[1] and
                ipaddress.ip_address(segment.target[0]) == ipaddress.ip_address(self.remote[0]))

    def outbound(self, segment):
        """A segment of the TCP under test in the script's numbers."""
        options = []
        for option in segment.options:
            if option[0] == "sack":
                option = ("sack", tuple((_add(left, -self._remote_offset),
                                         _add(right, -self._remote_offset))
                                        for left, right in option[1]))
            elif option[0] == "TS":
                option = ("TS", _add(option[1], -self._stamp_offset), option[2])
            options.append(option)
        ack = _add(segment.ack, -self._remote_offset) if segment.has(".") else None
        return TcpText(segment.flags, _add(segment.seq, -self._local_offset), len(segment.payload),
                       ack, segment.window, segment.urgent, options)

    def expected_payload(self, tcp):
        """What the payload of an outbound packet must be, given that calls write the pattern."""
        return self._payload(tcp.seq, tcp.payload_bytes, self._local_isn)
