# SPDX-License-Identifier: Apache-2.0
"""Builds our own programs, as a fresh clone needs before the lab can run them. Called by the
commands that show something; `lab run` and `lab test` take what is built."""

import subprocess
import sys

from common import ROOT, LabError


def _step(progress, text, *argv):
    with progress.step(text):
        run = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, text=True, check=False,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if run.returncode:
        print(run.stdout, file=sys.stderr)
        raise LabError(f"{' '.join(argv)} failed; its output stands above")


def build(progress, targets):
    """Sets up, builds the programs with the preset `release` and returns their folder."""
    _step(progress, "looking for the build's packages", str(ROOT / "tools" / "setup"), "build")
    _step(progress, "configuring the preset release", "cmake", "--preset", "release")
    _step(progress, f"building {', '.join(targets)}", "cmake", "--build", "--preset", "release",
          "--target", *targets)
    return ROOT / "build" / "release" / "bin"
