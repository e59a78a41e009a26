# SPDX-License-Identifier: Apache-2.0
"""What the tests of this folder share: a network namespace of their own, content with a known hash,
started programs, and the look afterwards whether anything was left behind. Skips where the machine
does not allow it, with the reason."""

import hashlib
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "demo_lib"))

import netns  # noqa: E402  (found through the path above)

# ctest sets these; by hand, the debug preset's are used.
BIN = pathlib.Path(os.environ.get("DEVMEM_BIN", ROOT / "build" / "debug" / "bin"))
PEERS = pathlib.Path(os.environ.get("DEVMEM_PEERS", BIN.parent / "selftests" / "peers"))

# Every test runs over both families: ctest sets this to 6 for the twins.
V6 = os.environ.get("DEVMEM_FAMILY", "4") == "6"
OURS, KERNELS, PREFIX_BITS = ("2001:db8::2", "2001:db8::1", 64) if V6 else (
    "192.0.2.2", "192.0.2.1", 24)
KERNEL_ADDRESS = f"{KERNELS}/{PREFIX_BITS}"
LOOPBACK = "::1" if V6 else "127.0.0.1"
IP_HEADER_BYTES = 40 if V6 else 20
PORT = 5201
WATCHDOG_S = 120  # For one program; only what hangs takes so long.


def in_url(address):
    """The address as it stands in front of a port."""
    return f"[{address}]" if ":" in address else address


def why_not():
    """Why this machine cannot run the tests, or None."""
    if os.geteuid() != 0:
        return "needs root, to make network namespaces and a TAP device"
    if not os.path.exists("/dev/net/tun"):
        return "needs /dev/net/tun; load the module tun"
    if V6 and not os.path.exists("/proc/net/if_inet6"):
        return "needs IPv6 in the kernel"
    try:
        netns.Namespace().close()
    except (netns.Failed, OSError) as error:
        return f"needs network namespaces: {error}"
    return None


class PeerCase(unittest.TestCase):
    PROGRAMS = ()  # That the peers of a class need.

    @classmethod
    def setUpClass(cls):
        reason = why_not()
        missing = [name for name in ("ip", "nsenter", "unshare", *cls.PROGRAMS)
                   if shutil.which(name) is None]
        if missing:
            reason = f"needs {', '.join(missing)}; run tools/setup test"
        if reason:
            raise unittest.SkipTest(reason)

    def setUp(self):
        self.namespace = netns.Namespace()
        self.addCleanup(self.namespace.close)
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        self.ready_pipes = []

    def content(self, size_bytes, seed=1):
        """A file of bytes that are always the same; returns its path and its hash."""
        path = self.folder / f"content-{seed}"
        data = random.Random(seed).randbytes(size_bytes)
        path.write_bytes(data)
        return path, hashlib.sha256(data).hexdigest()

    def start_program(self, *argv, greeting="ready"):
        """Starts a program of ours that says when it is ready on its standard output."""
        process = self.namespace.start(*argv, stdout=subprocess.PIPE)
        self.assertEqual(netns.read_line(process.popen.stdout, WATCHDOG_S, process.name), greeting)
        return process

    def result_of(self, process):
        """The JSON object that a program of ours prints at its end."""
        self.assertEqual(process.wait(WATCHDOG_S), 0, f"{process.name} failed")
        return json.loads(process.output)

    def start_receiver(self, *options, **streams):
        """Starts ncdevmem as a listener on a new TAP; returns it once it accepts connections."""
        return self.namespace.start_when_ready(
            BIN / "ncdevmem", "-l", "-s", OURS, "-p", PORT, "--kernel-address", KERNEL_ADDRESS,
            "--sha256", "--json", "--quiet", *options, timeout_s=WATCHDOG_S, stdout=subprocess.PIPE,
            **streams)

    def start_client(self, *options):
        """Starts ncdevmem as a client of the kernel's side."""
        return self.namespace.start(
            BIN / "ncdevmem", "-s", KERNELS, "-c", OURS, "--kernel-address", KERNEL_ADDRESS,
            "--sha256", "--json", "--quiet", *options, stdout=subprocess.PIPE)

    def wait_until_listening(self, port):
        """Until a kernel socket listens on `port`. Asks again and again: the kernel tells
        nobody."""
        deadline = time.monotonic() + WATCHDOG_S
        while not self.namespace.run("ss", "-Hltn", f"sport = :{port}").stdout.strip():
            self.assertLess(time.monotonic(), deadline, f"nobody listens on port {port}")

    def assert_landed(self, result, size_bytes, sha256):
        """One stream came whole, on the bound queue, and everything was given back."""
        self.assertEqual(len(result["streams"]), 1, result)
        self.assertEqual(result["bytes"], size_bytes)
        self.assertEqual(result["streams"][0]["sha256"], sha256)
        self.assertGreaterEqual(result["queue"], 1)
        self.assert_account_is_settled(result)
        self.assert_nothing_left()

    def assert_account_is_settled(self, result):
        self.assertEqual(result["backend"], "stack")
        self.assertEqual(result["net_iovs_leaked"], 0)
        if result["steering"] == "bpf":
            self.assertEqual(result["missteered_bytes"], 0)
            self.assertEqual(result["payload_bytes_bounced"], 0)

    def shell(self, script, **options):
        """Starts a peer as a shell line."""
        return self.namespace.start("sh", "-c", script, **options)

    def assert_ends_well(self, *processes):
        for process in processes:
            self.assertEqual(process.wait(WATCHDOG_S), 0, f"{process.name} failed")

    def assert_nothing_left(self):
        """No device, and no process but the one that holds the namespace."""
        self.assertEqual(self.namespace.links(), [])
        self.assertEqual(self.processes_inside(), [self.namespace.pid])

    def processes_inside(self):
        inside = os.readlink(f"/proc/{self.namespace.pid}/ns/net")
        found = []
        for entry in os.listdir("/proc"):
            try:
                if entry.isdigit() and os.readlink(f"/proc/{entry}/ns/net") == inside:
                    found.append(int(entry))
            except OSError:
                continue  # It has ended meanwhile, or is a kernel thread.
        return found
