# SPDX-License-Identifier: Apache-2.0
"""The pinned packages: which version of each package the lab was proven with, and the SHA-256 of
its file. packages.lock in this folder is the project's; one in the cache says what a person
accepted instead. Called by packages.py."""

import dataclasses
import hashlib

from common import LIBRARY, LabError

LOCK = LIBRARY / "packages.lock"

HEADER = """\
# SPDX-License-Identifier: Apache-2.0
#
# Written by `tools/lab fetch --write-lock`: the packages that the lab was proven with.
# suite NAME | kernel VERSION | package NAME VERSION SHA256 BYTES
"""


@dataclasses.dataclass(frozen=True)
class Package:
    name: str
    version: str
    sha256: str
    file_bytes: int

    def __str__(self):
        return f"{self.name} {self.version}"


@dataclasses.dataclass
class Lock:
    """`kernel` is the version that is booted when nobody asks for another; `kernels` maps each
    pinned kernel version to its packages."""
    suite: str
    kernel: str
    packages: dict
    text: str = ""

    @property
    def id(self):
        return hashlib.sha256(self.text.encode()).hexdigest()[:12]

    def write(self, path):
        lines = [f"suite {self.suite}", f"kernel {self.kernel}"]
        lines += [f"package {package.name} {package.version} {package.sha256} {package.file_bytes}"
                  for _, package in sorted(self.packages.items())]
        self.text = HEADER + "\n".join(lines) + "\n"
        path.write_text(self.text, encoding="utf-8")


def read_lock(path=LOCK):
    text = path.read_text(encoding="utf-8")
    lock = Lock("", "", {}, text)
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        if words[0] == "suite" and len(words) == 2:
            lock.suite = words[1]
        elif words[0] == "kernel" and len(words) == 2:
            lock.kernel = words[1]
        elif words[0] == "package" and len(words) == 5 and words[4].isdigit():
            lock.packages[words[1]] = Package(words[1], words[2], words[3], int(words[4]))
        else:
            raise LabError(f"{path}:{number}: '{line}' is none of suite, kernel, package")
    if not lock.suite or not lock.kernel:
        raise LabError(f"{path}: names no suite or no kernel; restore it from version control")
    return lock
