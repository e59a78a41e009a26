#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares what `devmemctl -j OBJECT show` says with what a reader of its own gets from the same
kernel, on devices of a network namespace made for the purpose: lo, a veth pair with several queues
and NAPIs, and a TAP.

usage: show_test.py DEVMEMCTL [unittest arguments]      exit 77: namespaces are not allowed here"""

import fcntl
import json
import os
import socket
import struct
import sys
import unittest

import in_namespace
import netlink_reader
from in_namespace import ip, run

OBJECTS = {"netdev": "dev", "queue": "queue", "napi": "napi", "page-pool": "page-pool"}
TUNSETIFF, IFF_TAP_NAPI = 0x400454CA, 0x0012


def shown(*arguments):
    """The JSON of a command that works, without the names that the kernel does not send."""
    result = run("-j", *arguments)
    if result.returncode != 0 or result.stderr:
        raise AssertionError(f"{arguments}: exit {result.returncode}: {result.stderr}")
    objects = json.loads(result.stdout)
    for one in objects:
        name = one.pop("ifname", None)
        if "ifindex" in one and name != socket.if_indextoname(one["ifindex"]):
            raise AssertionError(f"{name} is not the name of {one['ifindex']}")
    return objects


def by_key(objects):
    return sorted(objects, key=lambda one: json.dumps(one, sort_keys=True))


class ShowTest(unittest.TestCase):
    tap = None

    @classmethod
    def setUpClass(cls):
        ip("link set lo up")
        ip("link add va numtxqueues 4 numrxqueues 4 type veth peer vb numrxqueues 2")
        ip("link set va up")
        ip("link set vb up")
        # A veth has NAPIs once it receives with GRO.
        in_namespace.switch_gro("va", True)
        if os.path.exists("/dev/net/tun"):
            cls.tap = os.open("/dev/net/tun", os.O_RDWR)
            fcntl.ioctl(cls.tap, TUNSETIFF, struct.pack("16sH14x", b"tap0", IFF_TAP_NAPI))

    @classmethod
    def tearDownClass(cls):
        if cls.tap is not None:
            os.close(cls.tap)

    def test_every_device_is_told_as_the_kernel_tells_it(self):
        for what, judge in OBJECTS.items():
            with self.subTest(what):
                expected = netlink_reader.read(judge)
                self.assertEqual(by_key(shown(what, "show")), by_key(expected))
        self.assertGreaterEqual(len(shown("queue", "show")), 2 + 8 + 3)
        self.assertEqual(len(shown("napi", "show", "va")), 4)

    def test_one_device_is_told_alone(self):
        for what, judge in OBJECTS.items():
            for device in ("lo", "va"):
                with self.subTest(what=what, device=device):
                    expected = netlink_reader.read(judge, device)
                    self.assertEqual(by_key(shown(what, "show", device)), by_key(expected))
        self.assertEqual({one["type"] for one in shown("queue", "show", "va")}, {"rx", "tx"})

    def test_the_table_has_a_row_for_each_object(self):
        for what in OBJECTS:
            rows = run(what).stdout.splitlines()
            self.assertEqual(len(rows) - 1, len(shown(what)), what)

    def test_a_device_that_there_is_not_is_refused_with_those_that_there_are(self):
        for what in OBJECTS:
            result = run(what, "show", "eth9")
            self.assertEqual(result.returncode, 2)
            self.assertIn('there is no network device "eth9"', result.stderr)
            self.assertIn("va", result.stderr)
            error = json.loads(run("-j", what, "show", "eth9").stdout)["error"]
            self.assertEqual((error["kind"], error["code"]), ("refused", "NOT_FOUND"))


if __name__ == "__main__":
    sys.exit(in_namespace.main())
