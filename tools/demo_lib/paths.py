# SPDX-License-Identifier: Apache-2.0
"""The three ways to receive that tools/demo compares, each in network namespaces of its own:
devmem over a TAP, and the kernel's TCP over a veth pair with two kinds of copy. One run is one
connection from the same kernel sender with the same content; sender and receiver are pinned the
same way in all of them."""

import contextlib
import dataclasses
import json
import re
import signal
import subprocess

import measure
from netns import Failed, Namespace, join_with_veth, realtime_allowed

PORT, UNSTEERED_PORT = 5201, 5202

# A run that takes longer than this per byte hangs: 20 Mbit/s.
SLOWEST_S_PER_BYTE = 8 / 20e6
UNSTEERED_BYTES_MAX = 16 << 20

# What a run of devmem has none of, or next to none.
BLEMISHES = ("payload_bytes_bounced", "missteered_bytes", "net_iovs_leaked")


@dataclasses.dataclass(frozen=True)
class Family:
    """The addresses of one IP version, for the TAP and for the veth pair of the copies."""
    ours: str
    kernels: str
    copy_sender: str
    copy_receiver: str
    prefix_bits: int

    def with_prefix(self, address):
        return f"{address}/{self.prefix_bits}"


FAMILIES = {"4": Family("192.0.2.2", "192.0.2.1", "198.18.0.1", "198.18.0.2", 24),
            "6": Family("2001:db8::2", "2001:db8::1", "2001:db8:1::1", "2001:db8:1::2", 64)}


class Programs:
    """Where the built programs are, and what every run of them shares."""

    def __init__(self, folder, seed, region_bytes, family):
        self._folder = folder
        self.pattern = f"demo-block:{seed}"
        self.region_bytes = region_bytes
        self.family = family
        self.receiver_cpu, self.sender_cpu = measure.pinned_cpus()
        self._realtime = realtime_allowed()

    def path(self, name):
        return str(self._folder / name)

    def start_sender(self, namespace, address, port, byte_count, hashed):
        return namespace.start(
            self.path("dmsend"), "--to", address, "--port", port, "--bytes", byte_count,
            "--send-pattern", self.pattern, "--sha256", "yes" if hashed else "no",
            cpu=self.sender_cpu, realtime=self._realtime and not hashed, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)

    def start_receiver(self, namespace, *argv, timed):
        return namespace.start_when_ready(*argv, cpu=self.receiver_cpu,
                                          realtime=self._realtime and timed,
                                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def method(self):
        """How the speed was measured, in words."""
        pinned = ("sender and receiver share the only CPU" if self.receiver_cpu is None else
                  f"the receiver is pinned to CPU {self.receiver_cpu} and the sender to CPU "
                  f"{self.sender_cpu}")
        scheduled = (", both with real-time priority, so that other programs disturb none of them"
                     if self._realtime else "")
        return (f"In all three ways {pinned}{scheduled}; congestion control reno. Speed and CPU of "
                "the receiver are by its own clock, from the connection's start to its end; of the "
                "machine from /proc/stat.")


def report_of(process, byte_count):
    """The JSON object that a program prints at its end; raises Failed with what it complained
    about."""
    status = process.wait(60 + byte_count * SLOWEST_S_PER_BYTE)
    if status != 0:
        said = process.popen.stderr.read().decode(errors="replace").strip()
        raise Failed(f"{process.name} failed with status {status}: {said}")
    return json.loads(process.output)


def _timed(programs, receiver, namespace, address, byte_count):
    """Sends to a waiting receiver; returns its report and what the machine spent meanwhile."""
    busy = measure.machine_busy_seconds()
    sender = programs.start_sender(namespace, address, PORT, byte_count, hashed=False)
    report_of(sender, byte_count)
    report = report_of(receiver, byte_count)
    busy = measure.machine_busy_seconds() - busy
    if report["bytes"] != byte_count:
        raise Failed(f"{receiver.name} received {report['bytes']} of {byte_count} bytes")
    return report, {"gbit_per_s": round(report["gbit_per_s"], 3),
                    "cpu_s_per_gb": round(report["cpu_s_per_gb"], 4),
                    "machine_cpu_s_per_gb": round(busy / (byte_count / 1e9), 4)}


class DevmemPath:
    """ncdevmem on a TAP that it makes in the namespace, a kernel sender on the TAP's other side."""

    def __init__(self, programs, steering, stack):
        self._programs = programs
        self._steering = steering
        self._namespace = stack.enter_context(Namespace())

    def _start(self, *options, timed):
        family = self._programs.family
        return self._programs.start_receiver(
            self._namespace, self._programs.path("ncdevmem"), "-l", "-s", family.ours, "-p", PORT,
            "--kernel-address", family.with_prefix(family.kernels), "--backend", "stack",
            "--steering", self._steering, "--region-size", self._programs.region_bytes, "--json",
            "--quiet", *options, timed=timed)

    def timed_run(self, byte_count):
        """Nobody reads a byte of payload on the CPU."""
        report, figures = _timed(self._programs, self._start(timed=True), self._namespace,
                                 self._programs.family.ours, byte_count)
        for name in BLEMISHES:
            figures[name] = report[name]
        return figures

    def verified_run(self, byte_count):
        """Both sides hash the stream while it flows; a ping and a connection without a flow rule
        run beside it. Returns the receiver's report, the sender's, the ping's and the unsteered
        one's."""
        ours = self._programs.family.ours
        # An empty connection at the end lets the receiver finish after everything else has.
        receiver = self._start("--sha256", "--unsteered-port", UNSTEERED_PORT, "--count", 2,
                               timed=False)
        ping = self._namespace.start("ping", "-q", "-i", "0.2", ours, stdout=subprocess.PIPE)
        unsteered_bytes = max(1, min(UNSTEERED_BYTES_MAX, byte_count // 16))
        beside = self._programs.start_sender(self._namespace, ours, UNSTEERED_PORT, unsteered_bytes,
                                             hashed=True)
        sender = self._programs.start_sender(self._namespace, ours, PORT, byte_count, hashed=True)
        sent, sent_beside = report_of(sender, byte_count), report_of(beside, unsteered_bytes)
        pings = _end_ping(ping)
        last = self._programs.start_sender(self._namespace, ours, PORT, 0, hashed=False)
        report_of(last, 0)
        report = report_of(receiver, byte_count)
        return report, sent, pings, _unsteered(report, sent_beside)


def _end_ping(ping):
    ping.signal(signal.SIGINT)
    ping.wait(60)
    match = re.search(r"(\d+) packets transmitted, (\d+) received", ping.output)
    if not match:
        raise Failed(f"ping said nothing about its packets: {ping.output.strip()}")
    return {"sent": int(match.group(1)), "received": int(match.group(2))}


def _unsteered(report, sent):
    landed = [stream for stream in report["streams"] if not stream["bound"]]
    ok = (len(landed) == 1 and landed[0]["bytes"] == sent["bytes"] and
          landed[0]["sha256"] == sent["sha256"])
    return {"bytes": landed[0]["bytes"] if landed else 0, "ok": ok}


class CopyPath:
    """The kernel's TCP over a veth pair: MTU 1500, offloads on, recv() and a memcpy."""

    def __init__(self, programs, stack):
        self._programs = programs
        self._sender = stack.enter_context(Namespace())
        self._receiver = stack.enter_context(Namespace())
        family = programs.family
        join_with_veth(self._sender, self._receiver, family.with_prefix(family.copy_sender),
                       family.with_prefix(family.copy_receiver))

    def timed_run(self, byte_count, mode):
        address = self._programs.family.copy_receiver
        receiver = self._programs.start_receiver(
            self._receiver, self._programs.path("copy_baseline"), "--mode", mode, "--listen",
            address, "--port", PORT, "--region-size", self._programs.region_bytes, timed=True)
        _, figures = _timed(self._programs, receiver, self._sender, address, byte_count)
        return figures


def measure_everything(programs, options, say):
    """The verified run and the interleaved rounds; returns the fields of the demo's result that
    come from measuring."""
    with contextlib.ExitStack() as stack:
        devmem = DevmemPath(programs, options.steering, stack)
        copy = CopyPath(programs, stack)
        say(f"verified run: {options.bytes:,} bytes, both sides hash ...")
        report, sent, ping, unsteered = devmem.verified_run(options.bytes)
        rounds = []
        for number in range(1, options.rounds + 1):
            say(f"speed: round {number} of {options.rounds} ...")
            rounds.append({"devmem": devmem.timed_run(options.round_bytes),
                           "copy": copy.timed_run(options.round_bytes, "rising"),
                           "copy_lifo": copy.timed_run(options.round_bytes, "lifo")})
    landed = next(stream for stream in report["streams"] if stream["bound"])
    return {
        **{name: report[name] for name in
           ("backend", "nic", "device", "steering", "steering_note", "region_bytes",
            "presteer_bytes")},
        # What must not happen is counted over all runs of devmem.
        **{name: report[name] + sum(one["devmem"][name] for one in rounds)
           for name in BLEMISHES},
        "queue": landed["queue"],
        "bytes": landed["bytes"],
        "sha256": landed["sha256"],
        "sha256_match": landed["sha256"] == sent["sha256"] and landed["bytes"] == sent["bytes"],
        "verified_gbit_per_s": round(report["gbit_per_s"], 3),
        "ping": ping,
        "unsteered": unsteered,
        "rounds": rounds,
    }
