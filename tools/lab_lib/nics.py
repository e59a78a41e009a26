# SPDX-License-Identifier: Apache-2.0
"""The virtual NICs of a guest: starts gvnicd with one socket per device and ends it. Called by
session.py."""

import subprocess
import time

from common import CannotRun, LabError

START_SECONDS_MAX = 10


class NicProcess:
    """One gvnicd; `sockets` are where QEMU finds the devices, in the guest's order."""

    def __init__(self, bin_folder, folder, options):
        program = options.gvnicd or bin_folder / "gvnicd"
        if not program.is_file():
            raise CannotRun(f"no {program}; build it: cmake --build --preset release --target "
                            "gvnicd, or boot without NICs: --nics 0")
        self.sockets = [folder / f"nic{number}" for number in range(options.nics)]
        self._log_path = folder / "gvnicd.log"
        with open(self._log_path, "wb") as log:
            self._process = subprocess.Popen([str(program), *map(str, self.sockets)],
                                             stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._wait_until_it_listens()

    def _wait_until_it_listens(self):
        deadline = time.monotonic() + START_SECONDS_MAX
        while not all(path.exists() for path in self.sockets):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.end()
                raise LabError(f"gvnicd did not start:\n{self.log()}")
            time.sleep(0.02)

    def log(self):
        return self._log_path.read_text(encoding="utf-8", errors="replace")

    def end(self):
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
        return self._process.wait()
