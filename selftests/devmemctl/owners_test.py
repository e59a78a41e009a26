#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whom `devmemctl stats` names as holding tokens: real receivers that hold some, over the copy
backend and over a TAP, in a network namespace made for the purpose; one that is killed, one in a
PID namespace of its own, and files that only look like what a session publishes.

usage: owners_test.py DEVMEMCTL [unittest arguments]    exit 77: namespaces are not allowed here"""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import in_namespace
from in_namespace import DEVMEMCTL, ip, run

NCDEVMEM = pathlib.Path(DEVMEMCTL).with_name("ncdevmem")
WATCHDOG_S = 120  # Only what hangs takes so long.
REGION, HOLD, UNDER_WAY = 4 << 20, 1 << 20, 2 << 20
COPY = ("--backend", "copy", "-s", "127.0.0.1")
TAP = ("--backend", "stack", "-s", "192.0.2.2", "--kernel-address", "192.0.2.1/24")


class Receiver:
    """ncdevmem, which keeps about HOLD bytes of what it receives, and its peer, which sends without
    end."""

    def __init__(self, *options, prefix=()):
        read_end, write_end = os.pipe()
        self.process = subprocess.Popen(
            [*prefix, NCDEVMEM, "-l", "-p", "5201", "--region-size", str(REGION), "--hold",
             str(HOLD), "--quiet", "--ready-fd", str(write_end), *options],
            pass_fds=(write_end,), stdout=subprocess.DEVNULL, start_new_session=True)
        os.close(write_end)
        with os.fdopen(read_end, "rb") as ready:
            ready.read(1)
        self.address = options[options.index("-s") + 1]
        self.peer = self.sender = None

    def start_peer(self):
        self.peer = socket.create_connection((self.address, 5201), timeout=WATCHDOG_S)
        self.sender = threading.Thread(target=self.send_without_end)
        self.sender.start()

    def send_without_end(self):
        try:
            while True:
                self.peer.sendall(bytes(1 << 16))
        except OSError:
            pass  # The receiver has ended.

    def stop(self):
        """Wherever it is; it stays as it is until it is ended."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def end(self, number=signal.SIGKILL):
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)
            os.killpg(self.process.pid, signal.SIGCONT)
        self.process.wait(WATCHDOG_S)
        if self.peer is not None:
            # Wakes the sender where nobody is left to reset the connection.
            with contextlib.suppress(OSError):
                self.peer.shutdown(socket.SHUT_RDWR)
            self.sender.join(WATCHDOG_S)
            self.peer.close()
            self.peer = None


class OwnersTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        ip("link set lo up")

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        os.environ["DEVMEM_STATS_DIR"] = scratch.name

    def start(self, *options, **more):
        receiver = Receiver(*options, **more)
        self.addCleanup(receiver.end)
        return receiver

    def stats(self, *arguments):
        result = run("-j", "stats", *arguments)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return json.loads(result.stdout)

    def stop_while_it_holds(self, receiver):
        """Lets it receive until it holds tokens, stops it so, and returns what is told of it."""
        receiver.start_peer()
        deadline = time.monotonic() + WATCHDOG_S
        while True:
            owners = self.stats()["owners"]
            self.assertEqual(len(owners), 1, owners)
            if owners[0]["tokens"] > 0 and owners[0]["payload_bytes"] >= UNDER_WAY:
                break
            self.assertLess(time.monotonic(), deadline, owners)
        receiver.stop()
        return self.stats()["owners"][0]

    def check_holder(self, owner, backend):
        self.assertEqual((owner["state"], owner["command"], owner["backend"]),
                         ("live", "ncdevmem", backend))
        self.assertEqual((owner["region_bytes"], owner["queues"], owner["connections"]),
                         (REGION, [1], 1))
        self.assertGreater(owner["tokens"], 0)
        self.assertTrue(0 < owner["held_bytes"] <= REGION, owner)
        self.assertGreaterEqual(owner["held_bytes"], owner["tokens"])
        self.assertAlmostEqual(owner["share"], owner["held_bytes"] / REGION, places=3)
        self.assertGreaterEqual(owner["tokens_issued"], owner["tokens_returned"])
        self.assertEqual(owner["net_iovs"], REGION // 4096)

    def check_backend(self, options, backend, device):
        receiver = self.start(*options)
        self.assertEqual([one["tokens"] for one in self.stats()["owners"]], [0])
        owner = self.stop_while_it_holds(receiver)
        self.check_holder(owner, backend)
        self.assertEqual((owner["pid"], owner["own_pid"]), (receiver.process.pid,) * 2)
        self.assertEqual((owner["device"], owner["uid"]), (device, os.geteuid()))
        said = run("stats").stdout.splitlines()
        self.assertRegex(said[0], "^PID .* TOKENS  HELD .* EMPTY-IN  DROPS  STATE$")
        self.assertEqual(said[1].split()[0], str(receiver.process.pid))
        self.assertIn(f" {owner['tokens']} ", said[1])
        self.assertIn(f" {owner['held_bytes']} ", said[1])
        pictures = [json.loads(line) for line in
                    run("-j", "stats", "--watch", "--interval", "0", "--count",
                        "2").stdout.splitlines()]
        self.assertEqual(pictures[1]["owners"][0]["drain_bytes_per_second"], 0)
        self.assertEqual(pictures[1]["tokens"], owner["tokens"])
        receiver.end(signal.SIGINT)
        self.assertEqual(self.stats()["owners"], [])

    def test_a_copy_receiver_is_named_with_the_tokens_that_it_holds(self):
        self.check_backend(COPY, "copy", "")

    @unittest.skipUnless(os.path.exists("/dev/net/tun"), "needs /dev/net/tun")
    def test_a_receiver_over_a_tap_is_named_with_the_tokens_that_it_holds(self):
        self.check_backend(TAP, "stack", "dm0")
        self.check_backend((*TAP, "--threads", "thread"), "stack", "dm0")

    @unittest.skipUnless(os.path.exists("/dev/net/tun"), "needs /dev/net/tun")
    def test_a_device_is_that_of_this_network_namespace(self):
        self.start(*TAP)
        self.assertEqual(len(self.stats("dm0")["owners"]), 1)
        self.assertEqual(self.stats("lo")["owners"], [])

    def test_a_killed_receiver_is_seen_as_gone_until_the_next_one_starts(self):
        receiver = self.start(*COPY)
        tokens = self.stop_while_it_holds(receiver)["tokens"]
        receiver.end(signal.SIGKILL)
        stats = self.stats()
        self.assertEqual((stats["owners_gone"], stats["tokens"]), (1, 0))
        gone = stats["owners"][0]
        self.assertEqual((gone["state"], gone["pid"], gone["own_pid"], gone["tokens"]),
                         ("gone", None, receiver.process.pid, tokens))
        self.assertTrue(run("stats").stdout.splitlines()[1].endswith("gone"))
        after = self.start(*COPY)
        self.assertEqual([one["pid"] for one in self.stats()["owners"]], [after.process.pid])

    def test_a_receiver_in_a_pid_namespace_is_named_by_its_number_here(self):
        unshare = ("unshare", "--pid", "--fork")
        if subprocess.run([*unshare, "true"], check=False).returncode != 0:
            self.skipTest("PID namespaces are not allowed here")
        receiver = self.start(*COPY, prefix=unshare)
        owner = self.stats()["owners"][0]
        self.assertEqual((owner["own_pid"], owner["same_pid_namespace"]), (1, False))
        self.assertEqual(owner["state"], "live")
        if owner["pid"] is None:
            self.skipTest("this file system's locks are not listed by its inodes")
        children = pathlib.Path(f"/proc/{receiver.process.pid}/task/{receiver.process.pid}"
                                "/children").read_text(encoding="ascii")
        self.assertEqual([owner["pid"]], [int(pid) for pid in children.split()])

    def test_what_only_looks_like_a_page_is_passed_over_and_nothing_waits_for_it(self):
        os.mkfifo(self.folder / "1.stats")
        (self.folder / "2.stats").symlink_to("/etc/passwd")
        (self.folder / "3\x1b[2J.stats").write_bytes(b"x" * 16384)
        self.start(*COPY)
        stats = self.stats()
        self.assertEqual(len(stats["owners"]), 1)
        self.assertEqual(len(stats["passed_over"]), 3, stats["passed_over"])
        text = run("stats").stdout
        self.assertEqual(text.count("passed over "), 3)
        self.assertNotIn("\x1b", text)

    def test_a_receiver_that_publishes_nothing_works_and_is_not_seen(self):
        os.environ["DEVMEM_STATS_DIR"] = "none"
        receiver = self.start(*COPY)
        receiver.start_peer()
        os.environ["DEVMEM_STATS_DIR"] = str(self.folder)
        self.assertEqual(self.stats()["owners"], [])


if __name__ == "__main__":
    sys.exit(in_namespace.main())
