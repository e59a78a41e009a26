#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares what `devmemctl -j OBJECT show` says with what a reader of its own gets from the same
kernel, on devices of a network namespace made for the purpose: lo, a veth pair with several queues
and NAPIs, and a TAP.

usage: show_test.py DEVMEMCTL [unittest arguments]      exit 77: namespaces are not allowed here"""

import ctypes
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import netlink_reader  # pylint: disable=wrong-import-position

INSIDE = "DEVMEMCTL_SHOW_TEST_INSIDE"
OBJECTS = {"netdev": "dev", "queue": "queue", "napi": "napi", "page-pool": "page-pool"}

devmemctl = None


SIOCETHTOOL, ETHTOOL_SGRO = 0x8946, 0x2C
TUNSETIFF, IFF_TAP_NAPI = 0x400454CA, 0x0012


def switch_gro_on(device):
    value = ctypes.create_string_buffer(struct.pack("II", ETHTOOL_SGRO, 1))
    request = struct.pack("16sP16x", device.encode(), ctypes.addressof(value))
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCETHTOOL, request)


def run(*arguments):
    return subprocess.run([devmemctl, *arguments], capture_output=True, text=True, check=False)


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
        for command in ("link set lo up",
                        "link add va numtxqueues 4 numrxqueues 4 type veth peer vb numrxqueues 2",
                        "link set va up", "link set vb up"):
            subprocess.run(["ip", *command.split()], check=True)
        # A veth has NAPIs once it receives with GRO.
        switch_gro_on("va")
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


def main():
    global devmemctl  # pylint: disable=global-statement
    devmemctl = os.path.abspath(sys.argv[1])
    if INSIDE not in os.environ:
        isolate = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-Urn"]
        if subprocess.run([*isolate, "true"], capture_output=True, check=False).returncode != 0:
            print("skipped: network namespaces are not allowed here")
            return 77
        os.environ[INSIDE] = "1"
        os.execvp(isolate[0], [*isolate, sys.executable, *sys.argv])
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
    return 0


if __name__ == "__main__":
    sys.exit(main())
