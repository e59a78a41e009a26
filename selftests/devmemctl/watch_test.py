#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Commands of devmemctl that go on, and those that are refused, on veth devices of a network
namespace made for the purpose: events as the kernel sends them, pictures at an interval, ends by
signal, and who lacks the right to change anything.

usage: watch_test.py DEVMEMCTL [unittest arguments]     exit 77: namespaces are not allowed here"""

import json
import os
import select
import signal
import subprocess
import sys
import unittest

import in_namespace
from in_namespace import DEVMEMCTL, ip, run

NOBODY = 65534


def start(*arguments):
    return subprocess.Popen([DEVMEMCTL, *arguments], stdout=subprocess.PIPE, text=True)


def poke_until_it_ends(process):
    """Events before the program has subscribed are lost, so they are made until it has enough."""
    on = True
    while process.poll() is None:
        in_namespace.switch_gro("va", on)
        on = not on
    return process.stdout.read()


class WatchTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        ip("link add va type veth peer vb")
        ip("link set va up")
        ip("link set vb up")

    def test_changed_settings_are_told_as_they_happen(self):
        with start("-j", "monitor", "va", "--count", "3") as process:
            events = [json.loads(line) for line in poke_until_it_ends(process).splitlines()]
            self.assertEqual(process.returncode, 0)
        self.assertEqual(len(events), 3)
        self.assertEqual({event["ifname"] for event in events}, {"va"})
        features = [one for one in events if one["event"] == "features-ntf"]
        self.assertNotEqual(features, [])
        for event in features:
            self.assertEqual(event["family"], "ethtool")
            self.assertRegex(event["attributes"]["active"], "^0x[0-9a-f]{16}$")

    def test_a_new_device_is_told(self):
        with start("-j", "monitor", "--count", "2") as process:
            number = 0
            while process.poll() is None:
                ip(f"link add new{number} type veth peer other{number}")
                ip(f"link del new{number}")
                number += 1
            events = [json.loads(line) for line in process.stdout]
        self.assertEqual({event["family"] for event in events}, {"netdev"})
        self.assertLessEqual({event["event"] for event in events},
                             {"dev-add-ntf", "dev-change-ntf", "dev-del-ntf"})

    def test_a_signal_ends_it_well(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number), start("monitor") as process:
                printed, on = b"", True
                while b"\n" not in printed:
                    in_namespace.switch_gro("va", on)
                    on = not on
                    if select.select([process.stdout], [], [], 0)[0]:
                        printed += os.read(process.stdout.fileno(), 65536)
                process.send_signal(number)
                self.assertEqual(process.wait(), 0)
                self.assertIn(b"-ntf ", printed)

    def test_pictures_follow_one_another(self):
        result = run("-j", "stats", "--watch", "--interval", "0", "--count", "3")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        times = [json.loads(line)["time_ns"] for line in result.stdout.splitlines()]
        self.assertEqual(len(times), 3)
        self.assertEqual(times, sorted(times))

    def test_a_device_without_rules_is_passed_over_unless_it_is_asked_for(self):
        self.assertEqual(run("-j", "rule").stdout, "[]\n")
        result = run("-j", "rule", "list", "va")
        self.assertEqual(result.returncode, 4)
        self.assertEqual(json.loads(result.stdout)["error"]["kind"], "unsupported")

    def test_a_device_without_header_split_cannot_be_set_up(self):
        for arguments in (("setup", "va", "--queues", "1", "--dry-run"),
                          ("setup", "va", "--queues", "1")):
            result = run("-j", *arguments)
            self.assertIn(result.returncode, (2, 4), result.stdout)
            self.assertIn("va", json.loads(result.stdout)["error"]["message"])

    @unittest.skipUnless(os.geteuid() == 0 and open("/proc/self/uid_map", encoding="ascii").read()
                         .split()[2] != "1", "only root of a whole machine can become nobody")
    def test_without_the_right_to_change_a_nic_the_error_says_what_is_missing(self):
        result = run("-j", "rule", "add", "va", "tcp4", "dst-port", "5201", "action", "0",
                     "loc", "0", user=NOBODY)
        self.assertEqual(result.returncode, 2, result.stdout)
        error = json.loads(result.stdout)["error"]
        self.assertEqual((error["kind"], error["code"]), ("refused", "PERMISSION_DENIED"))
        self.assertIn("CAP_NET_ADMIN", error["message"])
        # Looking needs no rights.
        self.assertEqual(run("queue", "show", user=NOBODY).returncode, 0)


if __name__ == "__main__":
    sys.exit(in_namespace.main())
