# SPDX-License-Identifier: Apache-2.0
"""Sends a stream from a kernel to a receiver through the lossy relay, and says whether the bytes
that landed have the hash of what was sent and how long it took. The receiver is devmem's stack on a
TAP of its own, or Linux on a TAP of the relay's: the same program, the same relay, the same seeds.

Run by itself it compares the two on a series of seeds, taking turns, and prints one JSON object;
lossy_test.py calls run_once() for what must be right whatever the time. Needs root and
/dev/net/tun. Exit status: 0 the bytes were right and the ratio is within its bound, 1 they were not
or it is not, 77 this machine cannot run it."""

import argparse
import contextlib
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "demo_lib"))

import evidence  # noqa: E402
import netns  # noqa: E402  (found through the path above)

RECEIVERS = ("stack", "linux")
PORT = 5201
# sender, receiver and prefix length of a family.
ADDRESSES = {4: ("192.0.2.1", "192.0.2.2", 24), 6: ("2001:db8::1", "2001:db8::2", 64)}
BYTES = 20_000_000
SEEDS = 15
RATIO_MAX = 1.2
# For one transfer; only what hangs takes so long.
WATCHDOG_S = 240
# A connection that has not come about by then is looked at: seven SYNs in a row were lost, or
# something stands still.
STALL_S = 10


def why_not():
    """Why this machine cannot run it, or None."""
    if os.geteuid() != 0:
        return "needs root, to make network namespaces and TAP devices"
    if not os.path.exists("/dev/net/tun"):
        return "needs /dev/net/tun; load the module tun"
    try:
        netns.Namespace().close()
    except (netns.Failed, OSError) as error:
        return f"needs network namespaces: {error}"
    return None


class Course:
    """Two namespaces, a relay between them, a sender and a receiver: one transfer."""

    def __init__(self, folder, receiver, seed, family, relay_options=()):
        self.folder, self.kind, self.seed, self.family = folder, receiver, seed, family
        self.sender_address, self.receiver_address, self.prefix = ADDRESSES[family]
        self.relay_options = relay_options
        self.stall_s = STALL_S
        self.syn_retries = None  # As the kernel has it.

    def run(self, size_bytes):
        """The results of the sender, the receiver and the relay."""
        with contextlib.ExitStack() as stack:
            self.left = stack.enter_context(netns.Namespace())
            self.right = stack.enter_context(netns.Namespace())
            # A host has no second address by itself, so no frame but TCP and its neighbour
            # requests crosses the relay.
            for namespace in (self.left, self.right):
                namespace.sysctl("net.ipv6.conf.default.accept_dad", 0)
                namespace.sysctl("net.ipv6.conf.default.accept_ra", 0)
                if self.family == 4:
                    namespace.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
            if self.kind == "stack":
                receiver = self.start_receiver("--backend", "stack", "--device", "right0")
                relay = self.start_relay("join")
            else:
                relay = self.start_relay("tap")
            if self.syn_retries is not None:
                self.left.sysctl("net.ipv4.tcp_syn_linear_timeouts", 0)
                self.left.sysctl("net.ipv4.tcp_syn_retries", self.syn_retries)
            # The sender's side first: what the other one says meanwhile has somewhere to go.
            self.configure(self.left, "left0", self.sender_address)
            if self.kind == "linux":
                self.configure(self.right, "right0", self.receiver_address)
                receiver = self.start_receiver("--backend", "copy")
            sender = self.left.start(
                self.folder / "bin" / "dmsend", "--to", self.receiver_address, "--port", PORT,
                "--bytes", size_bytes, "--send-pattern", f"demo-block:{self.seed}", "--sha256",
                "yes", stdout=subprocess.PIPE)
            seen = self.evidence_of_a_stall(sender, receiver, relay)
            try:
                sent = self.result_of(sender)
            except netns.Failed as error:
                words = self.last_words(receiver, relay)
                raise netns.Failed(f"{error}\n{seen}\n{words}") from error
            received = self.result_of(receiver)
            relay.signal(signal.SIGTERM)
            return sent, received, self.result_of(relay)

    def evidence_of_a_stall(self, sender, receiver, relay):
        """Waits until the sender is connected, for stall_s; a text if it is not by then."""
        if evidence.ended_within(sender, self.stall_s) or not evidence.is_connecting(self.left):
            return ""
        seen = (f"not connected after {self.stall_s} s\n" +
                evidence.of({"left": self.left, "right": self.right}, (sender, receiver, relay)))
        print(seen, file=sys.stderr, flush=True)
        return seen

    def last_words(self, receiver, relay):
        """The counters of those who did not fail."""
        texts = []
        for process in (receiver, relay):
            process.stop()
            texts.append(f"{process.name}, status {process.popen.returncode}: {process.output}")
        return "\n".join(texts)

    def start_receiver(self, *options):
        return self.right.start_when_ready(
            self.folder / "bin" / "ncdevmem", "-l", "-s", f"{self.receiver_address}/{self.prefix}",
            "-p", PORT, "--sha256", "--json", "--quiet", *options, stdout=subprocess.PIPE)

    def start_relay(self, right_kind):
        return self.left.start_when_ready(
            self.folder / "selftests" / "lossy" / "lossy_relay", "--left", "left0", "--right",
            "right0", "--right-pid", self.right.pid, "--right-kind", right_kind, "--seed",
            self.seed, *self.relay_options, stdout=subprocess.PIPE)

    def configure(self, namespace, device, address):
        # Nobody has to look for a second owner of an IPv6 address.
        nodad = ("nodad",) if self.family == 6 else ()
        namespace.run("ip", "address", "add", f"{address}/{self.prefix}", "dev", device, *nodad)
        namespace.run("ip", "link", "set", device, "up")

    @staticmethod
    def result_of(process):
        if process.wait(WATCHDOG_S) != 0:
            raise netns.Failed(f"{process.name} failed: {process.output}")
        return json.loads(process.output)


def run_once(folder, receiver, seed, family=4, size_bytes=BYTES, relay_options=()):
    """One transfer with the programs of a build folder: seconds, whether the bytes are right, and
    what the relay did."""
    sent, received, relay = Course(folder, receiver, seed, family, relay_options).run(size_bytes)
    streams = received["streams"]
    return {"seed": seed, "seconds": sent["seconds"],
            "right": (len(streams) == 1 and received["bytes"] == size_bytes and
                      streams[0]["sha256"] == sent["sha256"]),
            "net_iovs_leaked": received.get("net_iovs_leaked", 0), "relay": relay}


def compare(folder, seeds, family, size_bytes, relay_options):
    """The runs of both receivers and what they come to."""
    runs = {receiver: [] for receiver in RECEIVERS}
    for seed in seeds:
        for receiver in RECEIVERS:
            run = run_once(folder, receiver, seed, family, size_bytes, relay_options)
            runs[receiver].append(run)
            print(f"seed {seed} {receiver}: {run['seconds']:.2f} s, "
                  f"{'right' if run['right'] else 'WRONG BYTES'}", file=sys.stderr, flush=True)
    result = {"bytes": size_bytes, "family": family, "seeds": list(seeds),
              "right": all(run["right"] for each in runs.values() for run in each)}
    for receiver, each in runs.items():
        result[f"{receiver}_seconds"] = [run["seconds"] for run in each]
        result[f"{receiver}_median_s"] = statistics.median(run["seconds"] for run in each)
    result["ratio"] = round(result["stack_median_s"] / result["linux_median_s"], 3)
    result["ratio_max"] = RATIO_MAX
    result["relay"] = {receiver: [run["relay"] for run in each] for receiver, each in runs.items()}
    return result


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0],
        epilog="Everything after -- goes to lossy_relay, for example: -- --drop 0 --reorder 0")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release",
                        help="build folder with ncdevmem, dmsend and lossy_relay")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="run seeds 1 to N (default 15)")
    parser.add_argument("--bytes", type=int, default=BYTES, help="default 20000000")
    parser.add_argument("--family", type=int, choices=(4, 6), default=4)
    parser.add_argument("relay_options", nargs="*", metavar="RELAY_OPTION")
    options = parser.parse_args()
    reason = why_not()
    if reason:
        print(f"lossy.py: {reason}", file=sys.stderr)
        return 77
    try:
        result = compare(options.build.resolve(), range(1, options.seeds + 1), options.family,
                         options.bytes, options.relay_options)
    except netns.Failed as error:
        print(f"lossy.py: {error}", file=sys.stderr)
        return 1
    print(json.dumps(result, indent=2))
    return 0 if result["right"] and result["ratio"] <= RATIO_MAX else 1


if __name__ == "__main__":
    sys.exit(main())
