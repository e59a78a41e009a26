# SPDX-License-Identifier: Apache-2.0
"""The text of a packet: `[ect0] P. 1:1001(1000) ack 1 win 257 <nop,nop,TS val 1 ecr 2>` and
`icmp unreachable frag_needed mtu 1400 [1:1461(1460)]`. Parses what the reader hands over and prints
packets in the same form for reports."""

import re

from .options import format_options, parse_options
from .script import IcmpText, TcpText

ECN_BITS = {"noecn": 0, "ect1": 1, "ect01": None, "ect0": 2, "ce": 3, "ect": 2}

# Name → (type, {code name: code}) of ICMP for IPv4, then of ICMPv6.
ICMP4 = {
    "unreachable": (3, {
        "net_unreachable": 0, "host_unreachable": 1, "protocol_unreachable": 2,
        "port_unreachable": 3, "frag_needed": 4, "source_route_failed": 5, "net_unknown": 6,
        "host_unknown": 7, "source_host_isolated": 8, "net_prohibited": 9, "host_prohibited": 10,
        "net_unreachable_for_tos": 11, "host_unreachable_for_tos": 12,
        "communication_prohibited": 13, "packet_filtered": 13, "host_precedence_violation": 14,
        "precedence_cutoff": 15}),
    "source_quench": (4, {"": 0}),
    "redirect": (5, {"net": 0, "host": 1, "tos_net": 2, "tos_host": 3}),
    "time_exceeded": (11, {"": 0, "ttl_exceeded": 0, "exc_fragtime": 1}),
    "parameter_problem": (12, {"": 0}),
}
ICMP6 = {
    "unreachable": (1, {
        "no_route": 0, "admin_prohibited": 1, "not_neighbour": 2, "address_unreachable": 3,
        "addr_unreachable": 3, "port_unreachable": 4, "source_policy": 5, "reject_route": 6}),
    "packet_too_big": (2, {"": 0}),
    "time_exceeded": (3, {"": 0, "exc_hop": 0, "exc_fragtime": 1}),
    "parameter_problem": (4, {"": 0, "erroneous_header": 0, "unknown_next_header": 1}),
}

_SEQ = re.compile(r"(?P<seq>\d+):(?P<end>\d+)\((?P<bytes>\d+)\)")
_TCP = re.compile(
    r"(?P<flags>[FSRPAUEWC.\-]+)"
    r"(?:\s+(?P<seq>\d+|\.\.\.):(?P<end>\d+|\.\.\.)\((?P<bytes>\d+)\))?"
    r"(?:\s+ack\s+(?P<ack>\d+|\.\.\.))?"
    r"(?:\s+win\s+(?P<win>\d+|\.\.\.))?"
    r"(?:\s+urg\s+(?P<urg>\d+))?"
    r"(?:\s*<(?P<options>[^>]*)>)?\s*")
_ICMP = re.compile(
    r"icmp(?:v6)?\s+(?P<kind>\w+)(?:\s+(?!mtu\b)(?P<code>[a-z]\w*))?(?:\s+mtu\s+(?P<mtu>\d+))?"
    r"(?:\s*\[\s*(?P<quote>[^\]]*)\])?\s*")


def _parse_marks(text, fields):
    """`[ect0]`, `[ce,port 40000]`, `[tos 0x2]`, `[ttl 1]`: what stands before the segment."""
    for mark in (part.strip() for part in text.split(",")):
        if mark in ECN_BITS:
            fields["ecn"] = ECN_BITS[mark]
        elif match := re.fullmatch(r"tos\s+(0x[0-9a-fA-F]+|\d+)", mark):
            fields["ecn"] = int(match[1], 0) & 3
        elif match := re.fullmatch(r"port\s+(\d+)", mark):
            fields["port"] = int(match[1])
        elif match := re.fullmatch(r"(?:ttl|hlim)\s+(\d+)", mark):
            fields["ttl"] = int(match[1])
        elif not re.fullmatch(r"flowlabel\s+\S+", mark):
            raise ValueError(f"unknown mark '{mark}'; there are noecn, ect0, ect1, ce, tos N, "
                             "ttl N and port N")


def _parse_tcp(text):
    match = _TCP.fullmatch(text)
    if not match:
        raise ValueError(f"'{text}' is no packet; one looks like "
                         "P. 1:1001(1000) ack 1 win 257 <nop,nop,TS val 1 ecr 2>")
    tcp = TcpText(flags=match["flags"].replace("-", ""))
    if match["seq"] == "...":
        tcp.seq = None
        tcp.payload_bytes = int(match["bytes"])
    elif match["seq"]:
        tcp.seq, tcp.payload_bytes = int(match["seq"]), int(match["bytes"])
        if (tcp.seq + tcp.payload_bytes) & 0xFFFFFFFF != int(match["end"]) & 0xFFFFFFFF:
            raise ValueError(f"{match['seq']}:{match['end']}({match['bytes']}): the end is not the "
                             f"start plus {match['bytes']}")
    if match["ack"] and match["ack"] != "...":
        tcp.ack = int(match["ack"])
    if match["win"] and match["win"] != "...":
        tcp.window = int(match["win"])
    tcp.urgent = int(match["urg"] or 0)
    tcp.options = parse_options(match["options"] or "")
    return tcp


def _parse_icmp(text):
    match = _ICMP.fullmatch(text)
    if not match:
        raise ValueError(f"'{text}' is no ICMP packet; one looks like "
                         "icmp unreachable host_unreachable [1:1001(1000)]")
    icmp = IcmpText(match["kind"], match["code"] or "", int(match["mtu"]) if match["mtu"] else None)
    if icmp.kind not in ICMP4 and icmp.kind not in ICMP6:
        raise ValueError(f"unknown ICMP type '{icmp.kind}'")
    if quote := _SEQ.search(match["quote"] or ""):
        icmp.seq, icmp.payload_bytes = int(quote["seq"]), int(quote["bytes"])
    return icmp


def parse_packet(text):
    """The fields of a PacketEvent for the text after `<` or `>`; ValueError says what is wrong."""
    fields = {}
    if text.startswith("["):
        marks, _, text = text[1:].partition("]")
        _parse_marks(marks, fields)
        text = text.strip()
    if text.startswith("icmp"):
        fields["icmp"] = _parse_icmp(text)
    elif text.startswith(("udp", "ip ", "ipv4", "ipv6", "gre", "mpls", "arp")):
        raise ValueError(f"'{text.split()[0]}' packets are not spoken here, only TCP and ICMP")
    else:
        fields["tcp"] = _parse_tcp(text)
    return fields


def format_tcp(tcp, ecn=None):
    """A segment as a script would write it."""
    words = [f"[{('noecn', 'ect1', 'ect0', 'ce')[ecn]}]"] if ecn is not None else []
    words.append(tcp.flags or "-")
    if tcp.seq is None:
        words.append(f"...:...({tcp.payload_bytes})")
    else:
        words.append(f"{tcp.seq}:{(tcp.seq + tcp.payload_bytes) & 0xFFFFFFFF}"
                     f"({tcp.payload_bytes})")
    if tcp.ack is not None:
        words.append(f"ack {tcp.ack}")
    if tcp.window is not None:
        words.append(f"win {tcp.window}")
    if tcp.urgent:
        words.append(f"urg {tcp.urgent}")
    words.append(format_options(tcp.options))
    return " ".join(word for word in words if word)
