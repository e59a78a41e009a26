# SPDX-License-Identifier: Apache-2.0
"""The virtual NICs of a guest: starts gvnicd with one socket per device and ends it. Called by
session.py."""

import json
import select
import socket
import subprocess

from common import CannotRun, LabError

START_SECONDS_MAX = 20
# What a device can carry; the guest chooses less with `ip link set mtu`.
DEVICE_MTU_BYTES = 9000


class NicProcess:
    """One gvnicd; `sockets` are where QEMU finds the devices, in the guest's order."""

    def __init__(self, bin_folder, folder, options):
        program = options.gvnicd or bin_folder / "gvnicd"
        if not program.is_file():
            raise CannotRun(f"no {program}; build it: cmake --build --preset release --target "
                            "gvnicd, or boot without NICs: --nics 0")
        self.sockets = [folder / f"nic{number}" for number in range(options.nics)]
        self._control = folder / "gvnicd.control"
        self._stats = folder / "gvnicd.json"
        self._log = folder / "gvnicd.log"
        # A suite keeps a TAP away from this machine's own network.
        prefix = ["unshare", "-n"] if getattr(options, "own_network", False) else []
        argv = [*prefix, str(program), "--control", str(self._control),
                "--stats-json", str(self._stats)]
        for path in self.sockets:
            argv += ["--device", f"socket={path},mtu={DEVICE_MTU_BYTES}"]
        if options.tap:
            argv += ["--link", f"tap={options.tap}"]
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(argv + options.gvnicd_option, stderr=log,
                                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self._wait_until_it_listens()

    def _wait_until_it_listens(self):
        ready, _, _ = select.select([self._process.stdout], [], [], START_SECONDS_MAX)
        if not ready or self._process.stdout.readline() != b"ready\n":
            self.end()
            raise LabError(f"gvnicd did not start:\n{self.log()}")

    @property
    def pid(self):
        """gvnicd's process."""
        return self._process.pid

    def log(self):
        return self._log.read_text(encoding="utf-8", errors="replace")

    def command(self, line):
        """Sends one line to gvnicd's control socket and returns the answer, a dictionary."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(START_SECONDS_MAX)
            connection.connect(str(self._control))
            connection.sendall(line.encode() + b"\n")
            answer = connection.makefile("rb").readline()
        return json.loads(answer)

    def end(self):
        """Ends gvnicd and returns its exit status, 0 when it ended in order."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.stdout.close()
        return self._process.wait()

    def statistics(self):
        """gvnicd's counters, which it writes at its end."""
        return json.loads(self._stats.read_text(encoding="utf-8"))
