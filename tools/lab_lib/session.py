# SPDX-License-Identifier: Apache-2.0
"""One boot of the lab from packages to the end: fetches, builds the image, starts the virtual NICs
and the guest, and clears all of it away. Called by the commands."""

import contextlib
import os
import pathlib
import platform
import shutil
import tempfile

import initrd
import kernel_log
import machine
import network
from common import ROOT, CannotRun, LabError, cache_folder
from nics import NicProcess
from packages import Packages


def find_programs(folder):
    """The folder of built programs: the one that was asked for, else release, else debug."""
    candidates = [folder] if folder else [ROOT / "build" / name / "bin"
                                          for name in ("release", "debug")]
    for candidate in candidates:
        if (candidate / "lab_exit").is_file():
            return candidate
    raise CannotRun(f"no lab_exit in {' or '.join(map(str, candidates))}; build the programs: "
                    "cmake --preset release && cmake --build --preset release")


class Session:
    """A booted guest with its NICs; a context manager. `options` are those of the command line."""

    def __init__(self, options, progress, shape=None, extra_programs=(), files=None):
        self._options = options
        self._progress = progress
        self._shape = shape or machine.Shape(
            cpus=options.cpus, memory_mib=options.memory, verbose=options.verbose,
            kernel_line=options.kernel_line)
        self._extra_programs = list(extra_programs)
        self._files = dict(files or {})
        self._stack = contextlib.ExitStack()
        self.nics = None
        self.guest = None
        self.folder = None

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception):
        self._stack.close()

    def _start(self, stack):
        cache = cache_folder()
        bin_folder = find_programs(self._options.bin)
        tools, kernel = Packages(cache, self._options, self._progress).ensure()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="devmem-lab-"))
        stack.callback(self._remove_folder)
        layout = network.Layout(self._options.nics, self._options.mtu, self._options.tap)
        with self._progress.step("building the guest's image"):
            image = self._image(cache, tools, kernel, bin_folder, layout)
        if self._options.nics:
            self.nics = NicProcess(bin_folder, self.folder, self._options)
            stack.callback(self.nics.end)
        with self._progress.step(f"booting Linux {kernel.version} with {layout}"):
            self._boot(stack, cache, (tools, kernel, image))

    def _boot(self, stack, cache, parts):
        """Boots with KVM where that is known or hoped to work, else with QEMU's own emulation."""
        note = cache / f"no-kvm-{platform.release()}"
        wanted = self._options.accel
        self._shape.kvm = wanted == "kvm" or (
            wanted == "auto" and not note.exists() and not self._shape.shell
            and os.access("/dev/kvm", os.R_OK | os.W_OK))
        sockets = self.nics.sockets if self.nics else []
        self.guest = machine.Guest(*parts, self.folder, sockets, self._shape)
        stack.callback(lambda: self.guest.end())  # Whichever it is by then.
        if self._shape.shell:
            return
        try:
            self.guest.wait_until_ready()
            return
        except machine.KvmFails:
            if wanted == "kvm":
                raise
            note.touch()
        except LabError as error:
            # An emulated kernel that patches itself on one CPU can trip over it on another. One
            # that is only slow would be no faster the second time.
            if wanted == "kvm" or self.guest.alive():
                raise
            self._progress.say(f"booting once more: {str(error).splitlines()[0]}")
        self.guest.end()
        self._shape.kvm = False
        machine.remove_sockets(self.folder)
        self.guest = machine.Guest(*parts, self.folder, sockets, self._shape)
        self.guest.wait_until_ready()

    def _image(self, cache, tools, kernel, bin_folder, layout):
        names = [*initrd.PROGRAMS, *self._options.program_names]
        programs = [bin_folder / name for name in names if (bin_folder / name).is_file()]
        programs += self._extra_programs
        settings = {"LAB_SHELL": "yes" if self._shape.shell else "no"}
        image = self.folder / "initrd"
        with open(image, "wb") as file:
            file.write(initrd.base_image(cache, tools, kernel))
            file.write(initrd.programs_image(cache, programs))
            file.write(initrd.boot_image(kernel, settings, layout.script(), self._files))
        return image

    def _remove_folder(self):
        if self._options.keep:
            self._progress.say(f"logs and sockets are kept in {self.folder}")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def check(self, script, seconds_max=60):
        """Runs a script in the guest and returns its output. Raises LabError when it fails."""
        result = self.guest.run(script, seconds_max)
        if result.status:
            raise LabError(f"'{script.strip()}' ended with {result.status} in the guest:\n"
                           f"{result.out}{result.err}")
        return result.out

    def kernel_warnings(self):
        """The warnings of the guest's kernel since it booted."""
        return kernel_log.warnings(self.guest.run("dmesg").out)
