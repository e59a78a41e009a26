# SPDX-License-Identifier: Apache-2.0
"""The front door itself: tools/demo proves its run, prints what it promises, and leaves nothing
behind, however it ends."""

import json
import os
import signal
import subprocess
import unittest

from peers_case import BIN, ROOT, V6, WATCHDOG_S, PeerCase

BYTES = 32 << 20


def network_namespaces():
    """The identities of all that any process is in."""
    found = set()
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit():
                found.add(os.readlink(f"/proc/{entry}/ns/net"))
        except OSError:
            continue  # It has ended meanwhile, or is a kernel thread.
    return found


class DemoTest(PeerCase):
    PROGRAMS = ("ping",)

    def command(self, *options):
        return [ROOT / "tools" / "demo", "--bin", BIN, "--bytes", str(BYTES), "--family",
                "6" if V6 else "4", *options]

    def run_demo(self, *options, **environment):
        return subprocess.run(self.command(*options), stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, check=False, timeout=WATCHDOG_S,
                              env={**os.environ, **environment})

    def test_one_object_says_what_was_proven_and_how_fast(self):
        run = self.run_demo("--json")
        self.assertEqual(run.returncode, 0, run.stderr)
        result = json.loads(run.stdout)
        self.assertEqual({name: result[name] for name in (
            "backend", "nic", "steering", "bytes", "sha256_match", "missteered_bytes",
            "net_iovs_leaked", "region_bytes")}, {
                "backend": "stack", "nic": "tap", "steering": "bpf", "bytes": BYTES,
                "sha256_match": True, "missteered_bytes": 0, "net_iovs_leaked": 0,
                "region_bytes": 64 << 20})
        self.assertGreaterEqual(result["queue"], 1)
        self.assertLessEqual(result["payload_bytes_bounced"], BYTES // 1000)
        self.assertEqual(len(result["rounds"]), 5)
        for name in ("gbit_per_s", "copy_gbit_per_s", "copy_lifo_gbit_per_s", "ratio",
                     "ratio_lifo"):
            self.assertGreater(result[name], 0)
        for name in ("cpu_s_per_gb", "machine_cpu_s_per_gb"):
            self.assertEqual(set(result[name]), {"devmem", "copy", "copy_lifo"})

    def test_the_auto_tier_is_proven_too_and_its_presteer_bytes_are_told(self):
        run = self.run_demo("--json", "--steering", "auto")
        self.assertEqual(run.returncode, 0, run.stderr)
        result = json.loads(run.stdout)
        self.assertEqual((result["steering"], result["sha256_match"]), ("auto", True))
        self.assertIn("presteer_bytes", result)

    def test_the_table_for_eyes_has_no_colour_codes_in_a_pipe(self):
        run = self.run_demo()
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("every byte landed", run.stdout)
        self.assertNotIn("\033", run.stdout + run.stderr)

    def test_an_interrupted_demo_leaves_no_namespace_behind(self):
        self.assert_ended_by(signal.SIGINT, 128 + signal.SIGINT)

    def test_a_killed_demo_leaves_no_namespace_behind(self):
        self.assert_ended_by(signal.SIGKILL, -signal.SIGKILL)

    def assert_ended_by(self, number, status):
        before = network_namespaces()
        demo = subprocess.Popen(self.command("--bytes", str(8 << 30)), stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(demo.wait)
        self.addCleanup(demo.kill)
        # Three namespaces: devmem's, and the two ends of the copy. Then the transfer starts.
        while len(network_namespaces() - before) < 3:
            self.assertIsNone(demo.poll(), "the demo ended by itself")
        ours = network_namespaces() - before
        demo.send_signal(number)
        self.assertEqual(demo.wait(WATCHDOG_S), status)
        # The kernel ends the processes of a killed demo a moment after it.
        deadline = os.times().elapsed + WATCHDOG_S
        while ours & network_namespaces():
            self.assertLess(os.times().elapsed, deadline, "a namespace was left behind")


class DemoRefusalTest(PeerCase):
    def test_a_user_who_is_not_root_is_told_why_it_cannot_run(self):
        # In a user namespace of its own, without a mapping, root is nobody.
        run = self.namespace.run("unshare", "--user", "--", ROOT / "tools" / "demo", "--bin", BIN,
                                 check=False)
        self.assertEqual((run.returncode, run.stdout), (77, ""), run.stderr)
        self.assertIn("needs root", run.stderr)

    def test_a_machine_without_the_tap_driver_is_told_how_to_get_it(self):
        run = self.namespace.run("unshare", "--mount", "--", "sh", "-c",
                                 'mount -t tmpfs none /dev/net && exec "$@"', "sh",
                                 ROOT / "tools" / "demo", "--bin", BIN, check=False)
        self.assertEqual((run.returncode, run.stdout), (77, ""), run.stderr)
        self.assertIn("modprobe tun", run.stderr)

    def test_fewer_rounds_than_a_median_needs_are_refused(self):
        run = self.namespace.run(ROOT / "tools" / "demo", "--bin", BIN, "--rounds", 4, check=False)
        self.assertEqual(run.returncode, 2)
        self.assertIn("--rounds 4", run.stderr)


if __name__ == "__main__":
    unittest.main()
