# SPDX-License-Identifier: Apache-2.0
"""Writes the "newc" archives that Linux unpacks into its first root file system
(Documentation/driver-api/early-userspace/buffer-format.rst of the kernel). Several archives may
follow one another in one image. Called by initrd.py."""

import os
import stat

MODE_FILE = 0o100644
MODE_PROGRAM = 0o100755
MODE_LINK = 0o120777
MODE_FOLDER = 0o040755
MODE_CHARACTER_DEVICE = 0o020600


class Archive:
    """An archive in memory. Folders above a file are made when they are first needed; a path that
    is added twice keeps the first."""

    def __init__(self):
        self._parts = []
        self._known = set()
        self._bytes = 0

    def _entry(self, name, mode, data=b"", device=(0, 0)):
        inode = len(self._known) + 1
        head = "070701" + "".join(f"{field:08X}" for field in (
            inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0))
        for part in (head.encode() + name.encode() + b"\0", data):
            padded = part + bytes(-len(part) % 4)
            self._parts.append(padded)
            self._bytes += len(padded)

    def _parents(self, name):
        folder = os.path.dirname(name)
        if folder and folder not in self._known:
            self._parents(folder)
            self._known.add(folder)
            self._entry(folder, MODE_FOLDER)

    def _add(self, path, mode, data=b"", device=(0, 0)):
        name = path.strip("/")
        if name in self._known:
            return
        self._parents(name)
        self._known.add(name)
        self._entry(name, mode, data, device)

    def folder(self, path):
        self._add(path, MODE_FOLDER)

    def link(self, path, target):
        self._add(path, MODE_LINK, target.encode())

    def character_device(self, path, major, minor):
        self._add(path, MODE_CHARACTER_DEVICE, device=(major, minor))

    def file(self, path, data, program=False):
        self._add(path, MODE_PROGRAM if program else MODE_FILE, data)

    def copy(self, path, source):
        """A copy of a file of the host, executable if it is so there."""
        executable = source.stat().st_mode & stat.S_IXUSR
        self.file(path, source.read_bytes(), program=bool(executable))

    def finished(self):
        self._entry("TRAILER!!!", 0)
        # The kernel skips zeros between archives; 512 is what other writers align to.
        return b"".join(self._parts) + bytes(-self._bytes % 512)
