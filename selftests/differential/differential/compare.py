# SPDX-License-Identifier: Apache-2.0
"""Plays a seed on both sides until they differ, and shrinks what differs to the fewest steps.
Called by run_differential, in a process whose network namespace is its own."""

import dataclasses
import subprocess

from runner.backend import Addresses
from runner.kernel import KernelBackend, set_sysctl
from runner.plugin import PluginBackend

from . import steps as steps_module
from .side import Side
from .verdict import History, differences

_PORT = 8080
ADDRESSES = {"ipv4": Addresses(("192.168.0.1", _PORT), ("192.0.2.1", 0)),
             "ipv6": Addresses(("fd3d:a0b:17d6::1", _PORT), ("2001:db8::1", 0))}
_FAR_PORTS = range(10_000, 60_000)


def ask_for_quick_acks(version):
    """Makes this namespace's kernel delay no ACK, by a property of the route."""
    flag = "-6" if version == "ipv6" else "-4"
    routes = subprocess.run(["ip", flag, "route", "show", "default"], check=True,
                            capture_output=True, text=True).stdout
    if "quickack" not in routes:
        subprocess.run(["ip", flag, "route", "replace", "default", "dev", "tun0", "metric",
                        "1" if version == "ipv6" else "0", "quickack", "1"],
                       check=True)


@dataclasses.dataclass
class Difference:
    """The first one of a run: at which step (None: at the end), and in what."""
    step: int | None
    fields: list

    def names(self):
        return {name for name, _, _ in self.fields}


class Comparison:
    """Both sides, kept open from seed to seed. The engine is made anew for each connection."""

    def __init__(self, plugin_path, version, flags=""):
        self._version = version
        self._addresses = ADDRESSES[version]
        self._plugin_path = plugin_path
        self._knobs = [tuple(word.split("=", 1)) for word in flags.split()]
        kernel = KernelBackend(self._addresses)
        set_sysctl("ipv4.tcp_invalid_ratelimit", "0")
        ask_for_quick_acks(version)
        self._kernel = Side(kernel, self._addresses.local)
        self._port = 0

    def play(self, setup, steps, trace=None):
        """The first Difference of these steps, or None. `trace` collects a line a step."""
        remote = (self._addresses.remote[0], _FAR_PORTS[self._port % len(_FAR_PORTS)])
        self._port += 1
        backend = PluginBackend(self._plugin_path, self._addresses, self._knobs)
        try:
            return self._play(setup, steps, Side(backend, self._addresses.local), remote, trace)
        finally:
            backend.close()

    def _play(self, setup, steps, engine, remote, trace):
        negotiated = engine.open(setup, remote), self._kernel.open(setup, remote)
        found = None
        if negotiated[0] != negotiated[1]:
            found = Difference(None, [("SYN-ACK options", *negotiated)])
        history = History()
        for number, step in enumerate(steps):
            if found:
                break
            ours, theirs = engine.play(step), self._kernel.play(step)
            if trace is not None:
                trace.append((step, ours, theirs))
            if fields := differences(step, ours, theirs, history):
                found = Difference(number, fields)
        ends = engine.finish(), self._kernel.finish()
        if not found and ends[0] != ends[1]:
            names = ("delivered bytes", "sha256", "end")
            found = Difference(None, [(name, ours, theirs) for name, ours, theirs in
                                      zip(names, *ends) if ours != theirs])
        return found

    def shrink(self, setup, steps, keep):
        """The fewest of the steps `keep` (their numbers) that still differ: whole runs of steps are
        left out first, then single ones. What differs stays the same."""
        names = self.play(setup, [steps[number] for number in keep]).names()
        size = max(len(keep) // 2, 1)
        while True:
            at = 0
            while at < len(keep):
                candidate = keep[:at] + keep[at + size:]
                found = self.play(setup, [steps[number] for number in candidate])
                if found and found.names() == names:
                    keep = candidate
                else:
                    at += size
            if size == 1:
                return keep
            size //= 2


def make(seed):
    return steps_module.make(seed)
