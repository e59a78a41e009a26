# SPDX-License-Identifier: Apache-2.0
"""What is left when ncdevmem is ended by force, or by its user, in the middle of a transfer:
nothing."""

import re
import signal
import subprocess
import time
import unittest

from peers_case import OURS, PORT, WATCHDOG_S, PeerCase

UNDER_WAY_BYTES = 64 << 20


class CrashTest(PeerCase):
    PROGRAMS = ("nc",)

    def start_endless_transfer(self, *options, **streams):
        """A receiver and a sender without end, some way into the transfer."""
        receiver = self.start_receiver(*options, **streams)
        sender = self.shell(f"exec nc {OURS} {PORT} </dev/zero", stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + WATCHDOG_S
        while self.bytes_sent() < UNDER_WAY_BYTES:
            self.assertLess(time.monotonic(), deadline, "the transfer does not get under way")
        return receiver, sender

    def bytes_sent(self):
        """By the kernel's side of dm0 so far."""
        said = self.namespace.run("ip", "-s", "-o", "link", "show", "dm0").stdout
        return int(re.search(r"TX:.*?\\\s+(\d+)", said).group(1))

    def assert_next_run_works(self):
        path, sha256 = self.content(8 << 20)
        receiver = self.start_receiver()
        self.assert_ends_well(self.shell(f"exec nc -N {OURS} {PORT} <{path}"))
        self.assert_landed(self.result_of(receiver), 8 << 20, sha256)

    def test_a_killed_receiver_leaves_nothing_and_the_next_run_works(self):
        receiver, sender = self.start_endless_transfer()
        receiver.kill()
        sender.kill()
        self.assert_nothing_left()
        self.assert_next_run_works()

    def test_an_interrupted_receiver_reports_gives_everything_back_and_leaves_nothing(self):
        receiver, sender = self.start_endless_transfer()
        receiver.signal(signal.SIGINT)
        self.assertEqual(receiver.wait(WATCHDOG_S), 128 + signal.SIGINT)
        self.assertIn('"net_iovs_leaked":0', receiver.output.replace(" ", ""))
        # The device is gone, so nobody tells the sender that its peer has closed, if it lost that.
        sender.kill()
        self.assert_nothing_left()
        self.assert_next_run_works()

    def test_a_receiver_whose_device_is_deleted_says_so_and_ends(self):
        for threads in ("inline", "thread"):
            with self.subTest(threads=threads):
                receiver, sender = self.start_endless_transfer("--threads", threads,
                                                               stderr=subprocess.PIPE)
                self.namespace.run("ip", "link", "del", "dm0")
                self.assertEqual(receiver.wait(WATCHDOG_S), 1)
                said = receiver.popen.stderr.read().decode()
                self.assertIn("the network device is gone", said)
                self.assertIn('"net_iovs_leaked":0', receiver.output.replace(" ", ""))
                sender.kill()
                self.assert_nothing_left()

    def test_a_receiver_that_waits_on_a_deleted_device_says_so_and_ends(self):
        for threads in ("inline", "thread"):
            with self.subTest(threads=threads):
                receiver = self.start_receiver("--threads", threads, stderr=subprocess.PIPE)
                self.namespace.run("ip", "link", "del", "dm0")
                self.assertEqual(receiver.wait(WATCHDOG_S), 1)
                said = receiver.popen.stderr.read().decode()
                self.assertIn("dm0 was deleted", said)
                self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main()
