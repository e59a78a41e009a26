# SPDX-License-Identifier: Apache-2.0
"""Which shared libraries a program needs, by asking the loader that will load it (ld.so(8),
--list). Called by initrd.py for our own programs and for those of the unpacked packages."""

import pathlib
import re
import subprocess

from common import LabError


def is_dynamic(program):
    with open(program, "rb") as file:
        head = file.read(4096)
    return head[:4] == b"\x7fELF" and b"ld-linux" in head


def _listing(argv, program):
    run = subprocess.run([*map(str, argv), str(program)], capture_output=True, text=True,
                         check=False)
    if run.returncode:
        raise LabError(f"cannot list the libraries of {program}: {run.stderr.strip()}")
    missing = re.findall(r"(\S+) => not found", run.stdout)
    if missing:
        raise LabError(f"{program} needs {', '.join(missing)}, which is not installed here")
    return [pathlib.Path(path) for path in re.findall(r"(?:=> |^\s+)(/\S+) \(0x", run.stdout,
                                                      re.MULTILINE)]


def libraries(program):
    """Paths of what a program of this machine needs, its loader among them; none if static."""
    return _listing(["ldd"], program) if is_dynamic(program) else []


def packaged_libraries(tools, program):
    """The same for a program of the unpacked packages, within those packages."""
    return _listing([tools.loader, "--library-path", tools.libraries, "--list"], program)
