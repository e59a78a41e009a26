# SPDX-License-Identifier: Apache-2.0
"""What lands behind the lossy relay is what was sent, on every seed. How long it takes is not
asserted here: `lossy.py` compares that with Linux."""

import concurrent.futures
import contextlib
import io
import os
import pathlib
import shutil
import unittest

import lossy

BUILD = pathlib.Path(os.environ.get("DEVMEM_BUILD", lossy.ROOT / "build" / "debug"))
# Nearly all of a transfer is waiting for retransmission timers, so some run at a time.
AT_A_TIME = 3


class LossyTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        missing = [name for name in ("ip", "nsenter", "unshare") if shutil.which(name) is None]
        reason = f"needs {', '.join(missing)}; run tools/setup test" if missing else lossy.why_not()
        if reason:
            raise unittest.SkipTest(reason)

    def assert_right_bytes(self, receiver, seeds, size_bytes=lossy.BYTES, **options):
        with concurrent.futures.ProcessPoolExecutor(AT_A_TIME) as pool:
            runs = {seed: pool.submit(lossy.run_once, BUILD, receiver, seed, size_bytes=size_bytes,
                                      **options) for seed in seeds}
            for seed, future in runs.items():
                run = future.result()
                with self.subTest(receiver=receiver, seed=seed):
                    self.assertTrue(run["right"], run)
                    self.assertEqual(run["net_iovs_leaked"], 0)
                    self.assert_relay_was_bad(run["relay"])

    def assert_relay_was_bad(self, relay):
        """Every fate happened, both ways, and nothing was lost but by the dice."""
        for counts in relay.values():
            for fate in ("dropped", "duplicated", "reordered", "corrupted"):
                self.assertGreater(counts[fate], 0, relay)
            self.assertEqual((counts["refused"], counts["unsent"]), (0, 0), relay)

    def test_every_byte_lands_on_every_seed(self):
        self.assert_right_bytes("stack", range(1, lossy.SEEDS + 1))

    def test_every_byte_lands_over_ipv6(self):
        self.assert_right_bytes("stack", range(1, 6), family=6)

    def test_linux_receives_through_the_same_relay(self):
        self.assert_right_bytes("linux", [1], size_bytes=4_000_000)

    def test_damage_is_refused_and_comes_again(self):
        """The relay's damage is real: at nothing but corruption, each damaged segment was refused
        and came again."""
        run = lossy.run_once(BUILD, "stack", 1, size_bytes=4_000_000, relay_options=(
            "--drop", 0, "--duplicate", 0, "--reorder", 0, "--corrupt", 20))
        self.assertTrue(run["right"])
        counts = run["relay"]["to_receiver"]
        self.assertGreater(counts["corrupted"], 0)
        self.assertEqual(counts["dropped"] + counts["duplicated"] + counts["reordered"], 0)

    def test_a_connection_that_stalls_leaves_evidence(self):
        """Behind a relay that loses every segment: who reads the failure learns where they went."""
        course = lossy.Course(BUILD, "stack", 1, 6, ("--drop", 1000))
        course.syn_retries, course.stall_s = 1, 0.5
        said = io.StringIO()
        with contextlib.redirect_stderr(said), self.assertRaises(lossy.netns.Failed) as failed:
            course.run(1000)
        text = str(failed.exception)
        self.assertIn("not connected after 0.5 s", said.getvalue())
        for words in ("left: ip -6 neigh\n2001:db8::2 dev left0 lladdr", "right: tc -s qdisc",
                      "ncdevmem: is there", "lossy_relay: is there", '"rx_frames":',
                      '"to_receiver":{"frames":2,"dropped":2,', '"syns":2,"neighbours":1,'):
            self.assertIn(words, text)


if __name__ == "__main__":
    unittest.main()
