# SPDX-License-Identifier: Apache-2.0
"""Tests of the player of packet scripts itself: what it reads, what it writes to the wire, and that
a script which must fail does fail, with a report that shows where. A scripted TCP stands in for a
back end."""

import pathlib
import struct
import tempfile
import unittest

from runner import control, wire
from runner.backend import DEFAULT_ADDRESSES, Backend
from runner.call_text import NULL
from runner.options import decode_options, encode_options, parse_options
from runner.pattern import pattern
from runner.player import Player
from runner.reader import parse_time, read_script
from runner.report import PlayError, failure
from runner.script import ScriptError
from runner.shell import settings_of

OPENING = """\
+0 < S 0:0(0) win 1000 <mss 1460>
+0 > S. 0:0(0) ack 1 <mss 1460>
+0 < . 1:1(0) ack 1 win 1000
+0 < P. 1:101(100) ack 1 win 1000
"""


class EchoingTcp(Backend):
    """Answers a SYN by SYN-ACK and data by an ACK that `answer` may spoil. Time is virtual."""
    name = "a scripted TCP"
    is_virtual = True
    stamps = False  # Whether it says the time, which stands still.

    def __init__(self, answer=lambda segment: [segment]):
        self._answer = answer
        self._now_us = 0
        self._out = []

    def now_us(self):
        return self._now_us

    def wait_until(self, time_us):
        self._now_us = max(self._now_us, time_us)

    def _reply(self, got, flags, seq, ack, options=()):
        return wire.Segment(got.target, got.source, flags, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, 500,
                            0, list(options))

    def inject(self, packet):
        got = wire.parse_segment(packet)
        options = [("TS", 1000, 0)] if self.stamps else []
        if got.has("S"):
            self._send(self._reply(got, "S.", 777_000, got.end, options or [("mss", 1460)]))
        elif got.payload:
            for segment in self._answer(self._reply(got, ".", 777_001, got.end, options)):
                self._send(segment)

    def _send(self, segment):
        self._out.append((wire.build_segment(segment), self._now_us))

    def receive(self, deadline_us):
        if not self._out:
            self._now_us = deadline_us
            return None
        return self._out.pop(0)

    def invoke(self, name, *arguments):
        return 0

    def set_knob(self, name, value):
        return name == "net.ipv4.known"

    def close(self):
        pass


def play(text, tcp=None, strict=True, **options):
    script = read_script("test.pkt", text)
    player = Player(script, tcp or EchoingTcp(), DEFAULT_ADDRESSES["ipv4"], strict, **options)
    player.play()
    return player


def spoiled(**fields):
    """A TCP whose ACKs differ in `fields`."""
    def answer(segment):
        for name, value in fields.items():
            setattr(segment, name, value)
        return [segment]
    return EchoingTcp(answer)


class ScriptsThatMustFail(unittest.TestCase):
    def assert_fails(self, text, tcp, *words):
        with self.assertRaises(PlayError) as raised:
            play(text, tcp)
        for word in words:
            self.assertIn(word, raised.exception.message)
        return raised.exception

    def test_the_right_answer_passes(self):
        play(OPENING + "+0 > . 1:1(0) ack 101 win 500\n")

    def test_a_wrong_ack_fails_and_is_shown_beside_the_expected_one(self):
        error = self.assert_fails(OPENING + "+0 > . 1:1(0) ack 102\n", None,
                                  "differs in ack: expected 102, actual 101",
                                  "expected +0 > . 1:1(0) ack 102", "actual   0.000000 > . 1:1(0)")
        self.assertEqual(error.line, 5)

    def test_a_wrong_sequence_number_fails(self):
        self.assert_fails(OPENING + "+0 > . 1:1(0) ack 101\n", spoiled(seq=777_002),
                          "differs in sequence number: expected 1, actual 2")

    def test_a_wrong_flag_fails(self):
        self.assert_fails(OPENING + "+0 > . 1:1(0) ack 101\n", spoiled(flags="R."),
                          "differs in flags: expected ., actual R.")

    def test_a_missing_push_fails_and_one_more_does_not(self):
        play(OPENING + "+0 > . 1:1(0) ack 101\n", spoiled(flags="P."))
        self.assert_fails(OPENING + "+0 > P. 1:1(0) ack 101\n", None, "differs in flags")

    def test_a_wrong_option_fails(self):
        tcp = spoiled(options=[("sack", ((1, 2),))])
        self.assert_fails(OPENING + "+0 > . 1:1(0) ack 101\n", tcp,
                          "differs in options: expected none, actual <sack 1:2")

    def test_an_option_in_another_place_fails(self):
        tcp = spoiled(options=[("sack", ((1, 2),)), ("nop",), ("nop",)])
        self.assert_fails(OPENING + "+0 > . 1:1(0) ack 101 <nop,nop,sack 1:2>\n", tcp, "options")

    def test_any_options_pass_where_the_script_says_so(self):
        play(OPENING + "+0 > . 1:1(0) ack 101 <...>\n", spoiled(options=[("sack", ((1, 2),))]))

    def test_a_wrong_window_fails(self):
        self.assert_fails(OPENING + "+0 > . 1:1(0) ack 101 win 501\n", None, "differs in window")

    def test_wrong_ecn_bits_fail(self):
        self.assert_fails(OPENING + "+0 > [ect0] . 1:1(0) ack 101\n", None, "differs in ECN bits")

    def test_wrong_payload_fails(self):
        self.assert_fails(OPENING + "+0 > P. 1:4(3) ack 101\n", spoiled(flags="P.", payload=b"abc"),
                          "differs in payload")

    def test_a_missing_packet_fails(self):
        self.assert_fails(OPENING + "+0 > . 1:1(0) ack 101\n+0 > . 1:1(0) ack 101\n", None,
                          "nothing came")

    def test_a_packet_more_fails_at_the_next_expected_one(self):
        tcp = EchoingTcp(lambda segment: [segment, segment])
        text = OPENING + "+0 > . 1:1(0) ack 101\n+0 < P. 101:201(100) ack 1 win 1000\n"
        self.assert_fails(text + "+0 > . 1:1(0) ack 201\n", tcp, "expected 201, actual 101")

    def test_a_packet_more_at_the_end_fails_a_strict_run(self):
        self.assert_fails(OPENING, None, "does not expect came at its end")
        play(OPENING, strict=False)

    def test_a_packet_at_another_time_fails(self):
        self.assert_fails(OPENING + "+1 > . 1:1(0) ack 101\n", None, "came at 0.000000")
        self.assert_fails(OPENING + "+.1~+.2 > . 1:1(0) ack 101\n", None, "due between")

    def test_a_call_with_another_result_fails(self):
        self.assert_fails("0 close(3) = -1 EBADF (Bad file descriptor)\n", None,
                          "close(3)", "it returned 0, not -1 EBADF")

    def test_an_assertion_that_does_not_hold_fails(self):
        self.assert_fails("0 %{ assert 1 + 1 == 3, 'sum' }%\n", None, "AssertionError: sum")

    def test_the_report_names_the_line_and_tells_what_happened_before(self):
        text = OPENING + "+0 > . 1:1(0) ack 102\n"
        script = read_script("test.pkt", text)
        player = Player(script, EchoingTcp(), DEFAULT_ADDRESSES["ipv4"])
        with self.assertRaises(PlayError) as raised:
            player.play()
        report = failure("test.pkt", raised.exception, player.trace, "a scripted TCP")
        self.assertTrue(report.startswith("test.pkt:5: "), report)
        self.assertIn("0.000000 < P. 1:101(100) ack 1 win 1000", report)


class ReaderTest(unittest.TestCase):
    def test_every_form_of_time(self):
        for text, expected in (("0.5 <", (500_000, False)), ("+.25 <", (250_000, True)),
                               ("+0 <", (0, True)), ("* <", (None, False))):
            moment, _ = parse_time(text, 1)
            self.assertEqual((moment.start_us, moment.relative), expected, text)
        moment, rest = parse_time("+0~+.2 > . 1:1(0) ack 1", 1)
        self.assertEqual((moment.range_end_us, moment.range_relative), (200_000, True))
        self.assertEqual(rest, "> . 1:1(0) ack 1")
        moment, _ = parse_time("0.1...0.3 read(4, ..., 10) = 10", 1)
        self.assertEqual((moment.start_us, moment.call_end_us), (100_000, 300_000))
        self.assertFalse(moment.call_end_relative)
        for text in ("+.1...0.3 read(4, ..., 10) = 10", "+.1...+.2 read(4, ..., 10) = 10"):
            moment, _ = parse_time(text, 1)
            self.assertEqual((moment.call_end_us, moment.call_end_relative), (300_000, True))

    def test_comments_vanish_and_statements_go_on_over_lines(self):
        script = read_script("x", "/* a\n b */ 0 < P. 1:11(10) ack 1 win 5 // why\n"
                                  "   <nop,nop,TS val 1 ecr 2>\n# more\n+1 close(3)\n  = 0\n")
        self.assertEqual([event.line for event in script.events], [2, 5])
        self.assertEqual(script.events[0].tcp.options[-1], ("TS", 1, 2))

    def test_calls_with_structs_lists_and_strings(self):
        script = read_script("x", '0 sendmsg(4, {msg_name(...)=..., msg_iov(2)=[{..., 5}, '
                                  '{"a)b", 3}], msg_flags=0}, MSG_OOB|MSG_DONTWAIT) '
                                  '= -1 EAGAIN (x)\n')
        call = script.events[0]
        self.assertEqual(call.arguments[1]["msg_iov"][1], ["a)b", 3])
        self.assertEqual((call.arguments[2], call.result, call.error), (0x41, -1, "EAGAIN"))

    def test_code_and_shell_lines(self):
        script = read_script("x", "`sysctl -q net.ipv4.known=1; rm -rf nothing\n"
                                  "./set_sysctls.py /proc/sys/net/ipv4/known=\"1 2\"`\n"
                                  "+0 %{\n a = 1\n}%\n0 `sysctl net.ipv4.unknown=1`\n")
        player = Player(script, EchoingTcp(), DEFAULT_ADDRESSES["ipv4"])
        player.play()
        self.assertEqual(len(player.notes), 2, player.notes)
        self.assertIn("rm -rf nothing", player.notes[0])

    def test_a_shell_file_beside_the_script_is_read(self):
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "defaults.sh").write_text(
                "# many\nsysctl -q net.ipv4.a=\"1 $((2*1024))\" > /dev/null 2>&1\ntc qdisc\n",
                encoding="utf-8")
            settings, ignored = settings_of("./defaults.sh\nsysctl b=2  # why\n./none.sh", folder)
        self.assertEqual(settings, [("net.ipv4.a", "1 2048"), ("b", "2")])
        self.assertEqual(ignored, ["./none.sh"])

    def test_null_is_no_buffer(self):
        script = read_script("x", "0 write(4, NULL, 10) = -1 EFAULT (Bad address)\n")
        self.assertIs(script.events[0].arguments[1], NULL)

    def test_mistakes_name_their_line(self):
        for text, word in (("\n+0 < P. 1:11(9) ack 1\n", "the end is not"),
                           ("\n+0 < Q 1:1(0)\n", "no packet"),
                           ("\n+0 < . 1:1(0) <mss>\n", "unknown TCP option"),
                           ("\n+0 read(3, ..., 5)\n", "result of a call"),
                           ("\n+0 read(3, SO_NOTHING, 5) = 0\n", "unknown name"),
                           ("\nread(3, ..., 5) = 0\n", "expected a time"),
                           ("\n+0 %{ a = 1\n", "never closed")):
            with self.assertRaises(ScriptError) as raised:
                read_script("x", text)
            self.assertEqual(raised.exception.line, 2, text)
            self.assertIn(word, raised.exception.message)

    def test_a_reason_to_differ_from_linux_is_found(self):
        script = read_script("x", "// RFC 1\n// linux: differs because of the moon\n")
        self.assertEqual(script.differs_from_linux, "of the moon")


class ForeignScriptsTest(unittest.TestCase):
    """Scripts written for packetdrill over a device that takes super-segments."""

    @staticmethod
    def in_two(segment):
        first = wire.Segment(segment.source, segment.target, ".", segment.seq, segment.ack,
                             segment.window, payload=pattern(0, 60))
        rest = wire.Segment(segment.source, segment.target, "P.", segment.seq + 60, segment.ack,
                            segment.window, payload=pattern(60, 40))
        return [first, rest]

    def test_segments_of_one_burst_are_joined(self):
        text = OPENING + "+0 > P. 1:101(100) ack 101 win 500\n"
        play(text, EchoingTcp(self.in_two), foreign=True)
        with self.assertRaises(PlayError):
            play(text, EchoingTcp(self.in_two))

    def test_no_more_is_joined_than_was_asked_for(self):
        play(OPENING + "+0 > . 1:61(60) ack 101\n+0 > P. 61:101(40) ack 101\n",
             EchoingTcp(self.in_two), foreign=True)

    def test_packets_of_an_earlier_connection_are_passed_over(self):
        text = OPENING + "0 listen(3, 1) = 0\n" + OPENING + "+0 > . 1:1(0) ack 101\n"
        play(text, foreign=True, strict=False)
        with self.assertRaises(PlayError):
            play(text, strict=False)

    def test_timestamps_tick_as_the_script_says(self):
        tcp = EchoingTcp(lambda segment: [segment])
        tcp.stamps = True
        text = "--tcp_ts_tick_usecs=1000\n" + OPENING.replace("<mss 1460>", "<TS val 5 ecr 0>")
        play(text + "+0 > . 1:1(0) ack 101 <TS val 5 ecr 0>\n", tcp)
        with self.assertRaises(PlayError):
            play(text + "+0 > . 1:1(0) ack 101 <TS val 99 ecr 0>\n", tcp)

    def test_control_messages_are_compared(self):
        said = struct.pack("=Qiii4x", 20, 6, 36, 8000)
        wanted = [{"cmsg_level": 6, "cmsg_type": 36, "cmsg_data": 8000}]
        self.assertIsNone(control.difference(wanted, said))
        self.assertIn("8000, not 1", control.difference([wanted[0] | {"cmsg_data": 1}], said))
        self.assertIn("0 control messages", control.difference(wanted, b""))


class WireTest(unittest.TestCase):
    def test_what_is_built_is_parsed_again(self):
        for far, near in ((("192.0.2.1", 1), ("192.168.0.1", 2)),
                          (("2001:db8::1", 1), ("fd3d:a0b:17d6::1", 2))):
            segment = wire.Segment(far, near, "PE.", 1, 2, 3, 4, [("nop",), ("nop",), ("TS", 5, 6)],
                                   b"odd", 3, 9)
            again = wire.parse_segment(wire.build_segment(segment))
            self.assertEqual(again.flags, "PE.")
            self.assertEqual(again, segment)

    def test_a_wrong_checksum_is_an_error(self):
        packet = bytearray(wire.build_segment(wire.Segment(("1.1.1.1", 1), ("2.2.2.2", 2), ".", 1)))
        packet[-1] ^= 1
        with self.assertRaises(ValueError):
            wire.parse_segment(bytes(packet))

    def test_every_option_survives_the_wire(self):
        text = "mss 1460,sackOK,nop,wscale 7,sack 1:2 3:4,TS val 1 ecr 2"
        options = parse_options(text)
        parts = options[:4], options[4:5], options[5:]
        decoded = [option for part in parts for option in decode_options(encode_options(part))
                   if option != ("eol",)]
        self.assertEqual(decoded, options)

    def test_broken_options_are_told_as_they_are(self):
        self.assertEqual(decode_options(b"\x01\x02\x00"), [("nop",), ("raw", b"\x02\x00")])

    def test_sequence_numbers_may_wrap(self):
        play(OPENING + "+0 > . 1:1(0) ack 101 win 500\n", remote_offset=0xFFFFFFF0)


if __name__ == "__main__":
    unittest.main()
