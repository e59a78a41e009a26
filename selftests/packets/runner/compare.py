# SPDX-License-Identifier: Apache-2.0
"""Whether a packet that came out is the one that the script expects, and in what it differs. Called
by the player; reading a packet also teaches the flow our sequence numbers and timestamps."""

from .options import option_value
from .packet_text import format_options


def _flag_set(flags):
    return set(flags.replace("A", ".").replace("C", "W"))


def _learn(event, flow, segment):
    if segment.has("S") and "S" in event.tcp.flags and event.tcp.seq is not None:
        flow.learn_isn(event.tcp.seq, segment.seq)
    expected, actual = option_value(event.tcp.options, "TS"), option_value(segment.options, "TS")
    if expected and actual:
        flow.learn_stamp(expected[0], actual[0])


def _trim(options):
    """Without the end mark and what pads behind it, which say nothing."""
    return [option for option in options if option != ("eol",)]


def differences(event, flow, segment, checks_content):
    """[(field, expected, actual)] between an outbound PacketEvent and a Segment; [] when it is the
    one, and then the flow has learnt from it."""
    expected = event.tcp
    _learn(event, flow, segment)
    actual = flow.outbound(segment)
    found = []

    def check(field, wanted, got):
        if wanted is not None and wanted != got:
            found.append((field, wanted, got))

    # PSH must be where it is expected; one more harms nobody, and where a sender cuts differs.
    missing = _flag_set(expected.flags) ^ _flag_set(actual.flags)
    if missing - {"P"} or ("P" in missing and "P" in expected.flags):
        found.append(("flags", expected.flags, actual.flags))
    check("sequence number", expected.seq, actual.seq)
    check("payload bytes", expected.payload_bytes, actual.payload_bytes)
    check("ack", expected.ack, actual.ack)
    check("window", expected.window, actual.window)
    if "U" in expected.flags:
        check("urgent pointer", expected.urgent, actual.urgent)
    if expected.options is not None and _trim(expected.options) != _trim(actual.options):
        found.append(("options", format_options(expected.options) or "none",
                      format_options(actual.options) or "none"))
    check("ECN bits", event.ecn, segment.ecn)
    check("ttl", event.ttl, segment.ttl)
    if checks_content and not found and segment.payload != flow.expected_payload(actual):
        found.append(("payload", "the bytes that were written", "others"))
    return found
