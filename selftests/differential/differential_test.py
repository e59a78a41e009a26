# SPDX-License-Identifier: Apache-2.0
"""Tests of the comparison itself: seeds make the same steps again, what differs is noticed, what is
accepted is only that, and shrinking leaves the steps that matter. Needs neither kernel nor
plug-in."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from differential import steps, verdict  # noqa: E402  (found through the path above)
from differential.compare import Comparison, Difference  # noqa: E402
from differential.side import Said  # noqa: E402


def said(ack=0, sack=(), echo=None, **fields):
    return Said(acks=[(ack, tuple(sack), echo)], ack=ack, **fields)


class StepsTest(unittest.TestCase):
    def test_a_seed_always_makes_the_same_steps(self):
        for seed in range(20):
            self.assertEqual(steps.make(seed), steps.make(seed))
        self.assertNotEqual(steps.make(1), steps.make(2))

    def test_the_seeds_reach_every_kind_of_step(self):
        kinds = {step.kind for seed in range(300) for step in steps.make(seed)[1]}
        self.assertGreaterEqual(kinds, {
            "in order", "ahead", "duplicate", "overlap", "fill", "beyond window", "probe",
            "bare ack", "future ack", "ancient ack", "no ack bit", "stale stamp", "no stamp",
            "sack nonsense", "junk options", "urgent", "syn inside", "blind reset", "far reset",
            "write", "read", "fin", "fin ahead", "exact reset",
            "old ack", "shutdown", "edge reset", "edge ack", "edge data"})

    def test_no_step_reaches_the_edge_of_a_first_window(self):
        for seed in range(300):
            for step in steps.make(seed)[1]:
                if step.position < steps.FAR_BYTES // 2:
                    self.assertLessEqual(step.position + step.length, 60_000, step)


class VerdictTest(unittest.TestCase):
    STEP = steps.Step("ahead", "P.", 10, 5)

    def fields(self, ours, theirs, step=STEP):
        return [field for field, _, _ in verdict.differences(step, ours, theirs,
                                                             verdict.History())]

    def test_the_same_is_no_difference(self):
        self.assertEqual(self.fields(said(5, [(10, 15)], 3), said(5, [(10, 15)], 3)), [])

    def test_each_field_is_compared(self):
        same = dict(ack=5, sack=[(10, 15)], echo=3)
        for change, field in (({"ack": 6}, "told ack"), ({"sack": [(10, 14)]}, "sack blocks"),
                              ({"sack": ()}, "sack blocks"), ({"echo": 4}, "timestamp echo"),
                              ({"readable": 1}, "bytes to read"), ({"call": "EPIPE"}, "call"),
                              ({"resets": [1]}, "resets"), ({"sent": 1}, "sent")):
            self.assertIn(field, self.fields(said(**same | change), said(**same)), change)
        self.assertIn("answered", self.fields(Said(ack=5), said(5)))

    def test_a_block_that_is_too_small_is_not_accepted(self):
        self.assertEqual(self.fields(said(sack=[(11, 20)]), said(sack=[(10, 20)])), ["sack blocks"])
        full = [(30, 40), (50, 60)]
        larger, smaller = [(10, 20)], [(11, 20)]
        self.assertEqual(self.fields(said(sack=larger + full), said(sack=smaller + full)), [])
        self.assertEqual(self.fields(said(sack=smaller + full), said(sack=larger + full)),
                         [verdict.BLOCKS_ONCE_FULL])
        self.assertEqual(self.fields(said(sack=larger), said(sack=smaller)), [verdict.BLOCKS])

    def test_blocks_in_another_order_are_not_accepted(self):
        self.assertEqual(self.fields(said(sack=[(10, 20), (30, 40)]),
                                     said(sack=[(30, 40), (10, 20)])), ["sack blocks"])

    def test_an_echo_that_is_newer_than_linuxs_is_not_accepted(self):
        self.assertEqual(self.fields(said(echo=4), said(echo=3)), ["timestamp echo"])
        self.assertEqual(self.fields(said(echo=3), said(echo=4)), [])

    def test_an_answer_to_what_linux_ignores_is_accepted_only_without_the_ack_bit(self):
        self.assertEqual(self.fields(said(0), Said()), ["answered"])
        self.assertEqual(self.fields(said(0), Said(), steps.Step("no ack bit")), [])


class DocumentationTest(unittest.TestCase):
    def test_every_accepted_difference_is_documented_and_no_other(self):
        root = pathlib.Path(__file__).resolve().parents[2]
        text = (root / "Documentation" / "tcp.md").read_text(encoding="utf-8")
        table = text.split("## Compared with Linux")[1].split("\n## ")[0]
        for entry in verdict.ACCEPTED:
            self.assertIn(f"| {entry.reason} |", table)
        self.assertEqual(table.count("\n|") - 2, len(verdict.ACCEPTED))


class ShrinkTest(unittest.TestCase):
    def test_only_the_steps_that_matter_are_left(self):
        class Scripted(Comparison):
            def __init__(self):
                pass

            def play(self, setup, chosen, trace=None):
                numbers = [step.position for step in chosen]
                return Difference(0, [("told ack", 1, 2)]) if {3, 17} <= set(numbers) else None

        many = [steps.Step("ahead", position=number) for number in range(40)]
        self.assertEqual(Scripted().shrink(None, many, list(range(40))), [3, 17])


if __name__ == "__main__":
    unittest.main()
