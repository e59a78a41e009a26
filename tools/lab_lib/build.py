# SPDX-License-Identifier: Apache-2.0
"""Builds our own programs, as a fresh clone needs before the lab can run them. Called by `lab
demo` and `lab test` where no folder of programs is named; `lab run` and `lab shell` take what is
built."""

import subprocess
import sys

from common import ROOT, LabError
from initrd import PROGRAMS

# What every boot takes: the guest's programs, and the device process of the host.
ALWAYS = (*PROGRAMS, "gvnicd")


def _step(progress, text, *argv):
    """Runs a program and passes its last line on as progress; all of its lines when it fails."""
    lines = []
    with progress.step(text), subprocess.Popen(
            argv, cwd=ROOT, stdin=subprocess.DEVNULL, text=True, errors="replace",
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        for line in process.stdout:
            lines.append(line)
            progress.detail(text, line.strip())
    if process.returncode:
        print("".join(lines), file=sys.stderr)
        raise LabError(f"{' '.join(argv)} failed; its output stands above")


def build(progress, more=()):
    """Sets up, builds ALWAYS and `more` with the preset `release`; returns their folder."""
    targets = sorted({*ALWAYS, *more})
    _step(progress, "looking for the build's packages", str(ROOT / "tools" / "setup"), "build")
    _step(progress, "configuring the preset release", "cmake", "--preset", "release")
    _step(progress, f"building {', '.join(targets)}", "cmake", "--build", "--preset", "release",
          "--target", *targets)
    return ROOT / "build" / "release" / "bin"
