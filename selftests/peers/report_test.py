# SPDX-License-Identifier: Apache-2.0
"""What tools/demo and tools/bench make of the numbers that they measured, on numbers made up
here."""

import importlib.machinery
import importlib.util
import sys
import unittest

from peers_case import ROOT

import report  # Beside netns, which peers_case has found.


def figures(gbit_per_s):
    return {"gbit_per_s": gbit_per_s, "cpu_s_per_gb": 0.1, "machine_cpu_s_per_gb": 0.3}


def result(**changes):
    """A run in which everything was right."""
    right = {"sha256_match": True, "bytes": 1_000_000, "payload_bytes_bounced": 1000,
             "net_iovs_leaked": 0, "missteered_bytes": 0, "presteer_bytes": 5, "steering": "bpf",
             "unsteered": {"bytes": 10, "ok": True}, "ping": {"sent": 3, "received": 3}}
    return {**right, **changes}


class SummaryTest(unittest.TestCase):
    def test_ratios_are_those_of_the_medians(self):
        rounds = [{"devmem": figures(speed), "copy": figures(20), "copy_lifo": figures(40)}
                  for speed in (1, 50, 30, 40, 1000)]
        summary = report.summarize(rounds)
        self.assertEqual((summary["gbit_per_s"], summary["ratio"], summary["ratio_lifo"]),
                         (40, 2, 1))


class VerdictTest(unittest.TestCase):
    def test_only_a_run_in_which_everything_was_right_succeeds(self):
        self.assertTrue(report.succeeded(result()))
        for wrong in ({"sha256_match": False}, {"payload_bytes_bounced": 1001},
                      {"net_iovs_leaked": 1}, {"missteered_bytes": 1},
                      {"unsteered": {"bytes": 10, "ok": False}},
                      {"ping": {"sent": 3, "received": 0}}):
            self.assertFalse(report.succeeded(result(**wrong)), wrong)

    def test_the_auto_tier_may_misjudge_the_first_frames(self):
        self.assertTrue(report.succeeded(result(steering="auto", missteered_bytes=7)))


class BenchTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        loader = importlib.machinery.SourceFileLoader("bench", str(ROOT / "tools" / "bench"))
        spec = importlib.util.spec_from_loader("bench", loader)
        cls.bench = importlib.util.module_from_spec(spec)
        dont_write, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        loader.exec_module(cls.bench)
        sys.dont_write_bytecode = dont_write

    def figure(self, name, **fields):
        entry = {"run_name": name, "cpu_time": 2.0, "time_unit": "us", **fields}
        return self.bench.figure_of(entry)

    def test_a_counter_of_the_benchmarks_own_name_is_its_figure(self):
        self.assertEqual(self.figure("rx_ns/manual_time", rx_ns=70.5), ("rx_ns", 70.5))

    def test_other_benchmarks_are_reported_in_nanoseconds_of_cpu_time(self):
        self.assertEqual(self.figure("BM_WireNicPoll/64/manual_time"),
                         ("wire_nic_poll_64_ns", 2000.0))

    def test_a_budget_that_is_missed_says_so(self):
        self.assertEqual(self.bench.verdict("region_efficiency", 0.8), (">= 0.85", "MISS"))
        self.assertEqual(self.bench.verdict("page_pool_get_put_ns", 6), ("<= 6", "pass"))
        self.assertEqual(self.bench.verdict("ratio_lwip_rx_segment_ns_1_flow", 2.9),
                         (">= 3", "MISS"))
        self.assertEqual(self.bench.verdict("anything_else_ns", 1), ("", ""))

    def test_a_ratio_is_of_the_same_turn_and_needs_both_its_rows(self):
        ratios = self.bench.ratios_of({"lwip_rx_a_ns": [6, 20], "rx_a_ns": [2, 5],
                                       "lwip_rx_b_ns": [1, 1], "flood_good_ns": [10, 10],
                                       "flood_syn_ns": [15, 30], "flood_goodput_ratio": [1, 1]})
        self.assertEqual(ratios, {"ratio_lwip_rx_a_ns": [3, 4], "ratio_flood_syn_ns": [1.5, 3]})

    def test_a_group_is_the_programs_whose_names_begin_so(self):
        for program, groups, belongs in (("rx_segment_benchmark", ["rx"], True),
                                         ("lwip_rx_benchmark", ["rx"], True),
                                         ("wire_nic_benchmark", ["rx", "wire"], False),
                                         ("wire_nic_benchmark", ["rx", "nic"], True),
                                         ("anything_benchmark", [], True)):
            self.assertEqual(self.bench.belongs(program, groups), belongs, (program, groups))


if __name__ == "__main__":
    unittest.main()
