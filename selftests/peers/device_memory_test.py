# SPDX-License-Identifier: Apache-2.0
"""Payload lands in the memory of a device that the processor cannot map, staged on its way, and
the device itself says what landed. With PoCL, whose device is the processor: `tools/setup test`
installs it."""

import json
import subprocess
import unittest

from peers_case import BIN, LOOPBACK, OURS, PORT, WATCHDOG_S, PeerCase

SIZE = 64 << 20


def why_no_device():
    """Why there is no OpenCL device, in the provider's own words, or None. Nobody listens where the
    probe connects to, which it learns only after it has its memory."""
    probe = subprocess.run([str(BIN / "ncdevmem"), "-s", LOOPBACK, "-p", "1", "--backend", "copy",
                            "--provider", "opencl", "--quiet"], text=True, capture_output=True,
                           check=False, timeout=WATCHDOG_S)
    return probe.stderr.strip() if "OpenCL" in probe.stderr else None


class OpenClTest(PeerCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        reason = why_no_device()
        if reason:
            raise unittest.SkipTest(reason)

    def receive(self, *options):
        """Returns what the sender and the receiver say of one stream."""
        receiver = self.start_receiver("--provider", "opencl", *options)
        sender = self.namespace.start(BIN / "dmsend", "--to", OURS, "--port", PORT, "--bytes", SIZE,
                                      "--sha256", "yes", stdout=subprocess.PIPE)
        self.assert_ends_well(sender)
        return json.loads(sender.output), self.result_of(receiver)

    def assert_landed_on_the_device(self, sent, result):
        self.assertEqual((result["bytes"], result["sha256"]), (SIZE, sent["sha256"]))
        self.assertEqual((result["provider"], result["hash_on"]), ("opencl", "device"))
        # All of it crossed host memory once, is told so, and none of it came back.
        self.assertGreaterEqual(result["payload_bytes_staged"], SIZE)
        self.assertGreaterEqual(result["payload_bytes_bounced"], result["payload_bytes_staged"])
        self.assertEqual((result["bytes_read_back"], result["missteered_bytes"]), (0, 0))
        self.assertEqual(result["net_iovs_leaked"], 0)
        self.assertEqual(result["tokens_issued"], result["tokens_returned"])
        self.assert_nothing_left()

    def test_what_landed_on_the_device_is_hashed_there(self):
        self.assert_landed_on_the_device(*self.receive())

    def test_threads_of_the_queues_stage_as_well(self):
        self.assert_landed_on_the_device(*self.receive("--threads", "thread", "--hold", "8M"))

    def test_a_small_region_pushes_the_peer_back_and_loses_nothing(self):
        self.assert_landed_on_the_device(*self.receive("--region-size", "256K"))


if __name__ == "__main__":
    unittest.main()
