# SPDX-License-Identifier: Apache-2.0
"""IPv4 and IPv6 packets with TCP and ICMP, from fields to bytes and back. Checksums are made and
checked. Numbers are the wire's: no mapping to a script's. Used by both back ends and by the
differential test."""

import dataclasses
import ipaddress
import struct

from .options import decode_options, encode_options

FLAG_LETTERS = "FSRP.UEW"  # From the lowest bit; `.` is ACK, E is ECE, W is CWR.
TCP, ICMP4, ICMP6 = 6, 1, 58


@dataclasses.dataclass
class Segment:
    """One TCP segment as on the wire. `source` and `target` are (address text, port)."""
    source: tuple
    target: tuple
    flags: str
    seq: int
    ack: int = 0
    window: int = 0
    urgent: int = 0
    options: list = dataclasses.field(default_factory=list)
    payload: bytes = b""
    ecn: int = 0
    ttl: int = 64
    time_us: int = 0  # When it was seen; for what came out.

    def has(self, flag):
        return flag in self.flags

    @property
    def end(self):
        """The sequence number behind the segment, SYN and FIN counted."""
        length = len(self.payload) + self.has("S") + self.has("F")
        return (self.seq + length) & 0xFFFFFFFF


def checksum(data):
    if len(data) % 2:
        data += b"\x00"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _pseudo(source, target, protocol, length):
    packed = ipaddress.ip_address(source).packed + ipaddress.ip_address(target).packed
    if len(packed) == 8:
        return packed + struct.pack("!BBH", 0, protocol, length)
    return packed + struct.pack("!IHBB", length, 0, 0, protocol)


def flag_bits(flags):
    return sum(1 << FLAG_LETTERS.index("." if letter == "A" else letter)
               for letter in set(flags.replace("C", "W")))


def flag_text(bits):
    """Letters in the order that scripts use: F S R P . last but for E, W and U."""
    letters = "".join(FLAG_LETTERS[bit] for bit in (0, 1, 2, 3, 5, 6, 7) if bits >> bit & 1)
    return letters + ("." if bits & 16 else "")


def ip_packet(source, target, protocol, body, ecn=0, ttl=64):
    """`body` under an IP header of the addresses' version."""
    if ":" in source:
        return struct.pack("!IHBB", 6 << 28 | ecn << 20, len(body), protocol, ttl) + \
            ipaddress.ip_address(source).packed + ipaddress.ip_address(target).packed + body
    header = struct.pack("!BBHHHBBH", 0x45, ecn, 20 + len(body), 0, 0x4000, ttl, protocol, 0) + \
        ipaddress.ip_address(source).packed + ipaddress.ip_address(target).packed
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + body


def build_segment(segment):
    """The IP packet of a Segment."""
    options = encode_options(segment.options)
    header = struct.pack(
        "!HHIIBBHHH", segment.source[1], segment.target[1], segment.seq & 0xFFFFFFFF,
        segment.ack & 0xFFFFFFFF, (5 + len(options) // 4) << 4, flag_bits(segment.flags),
        segment.window, 0, segment.urgent) + options
    body = header + segment.payload
    sum_ = checksum(_pseudo(segment.source[0], segment.target[0], TCP, len(body)) + body)
    body = body[:16] + struct.pack("!H", sum_) + body[18:]
    return ip_packet(segment.source[0], segment.target[0], TCP, body, segment.ecn, segment.ttl)


def build_icmp(source, target, kind, code, value, quoted):
    """An ICMP error from `source` with `value` in its second word (the MTU), quoting a packet."""
    body = struct.pack("!BBHI", kind, code, 0, value) + quoted
    protocol = ICMP6 if ":" in source else ICMP4
    covered = _pseudo(source, target, ICMP6, len(body)) + body if protocol == ICMP6 else body
    body = body[:2] + struct.pack("!H", checksum(covered)) + body[4:]
    return ip_packet(source, target, protocol, body)


def _parse_ip(packet):
    """(source, target, protocol, ecn, ttl, body), or None for what is not whole."""
    if len(packet) < 20:
        return None
    if packet[0] >> 4 == 4:
        header_bytes, total = (packet[0] & 15) * 4, struct.unpack("!H", packet[2:4])[0]
        return (str(ipaddress.ip_address(packet[12:16])), str(ipaddress.ip_address(packet[16:20])),
                packet[9], packet[1] & 3, packet[8], packet[header_bytes:total])
    if packet[0] >> 4 == 6 and len(packet) >= 40:
        length = struct.unpack("!H", packet[4:6])[0]
        return (str(ipaddress.ip_address(packet[8:24])), str(ipaddress.ip_address(packet[24:40])),
                packet[6], packet[1] >> 4 & 3, packet[7], packet[40:40 + length])
    return None


def parse_segment(packet, time_us=0):
    """The Segment in an IP packet; None for anything that is not TCP. A wrong sum is an error."""
    parsed = _parse_ip(packet)
    if parsed is None or parsed[2] != TCP or len(parsed[5]) < 20:
        return None
    source, target, _, ecn, ttl, body = parsed
    if checksum(_pseudo(source, target, TCP, len(body)) + body):
        raise ValueError(f"a TCP packet from {source} to {target} with a wrong checksum")
    (source_port, target_port, seq, ack, offset, bits, window, _,
     urgent) = struct.unpack("!HHIIBBHHH", body[:20])
    header_bytes = (offset >> 4) * 4
    return Segment((source, source_port), (target, target_port), flag_text(bits), seq, ack, window,
                   urgent, decode_options(body[20:header_bytes]), body[header_bytes:], ecn, ttl,
                   time_us)
