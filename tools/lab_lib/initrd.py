# SPDX-License-Identifier: Apache-2.0
"""Builds the guest's root file system, which lives in memory: busybox, a few tools and driver
modules from the packages (kept in the cache), our own programs with their libraries, and what this
one boot is about. Called by machine.py."""

import gzip
import hashlib
import lzma
import pathlib
import subprocess

import elf
from common import LIBRARY, LabError, only_one
from cpio import Archive

# Modules of the kernel that the lab's scenes use; whatever is built in is not found and not needed.
NEED_INET_DIAG = ("tcp_diag", "udp_diag")
MODULES = ("gve", "veth", "tun", "dummy", "sch_netem", "netdevsim", "inet_diag", "tcp_diag",
           "udp_diag")
# Packaged tools. busybox's own timeout, env, nice and nohup run its applets before what PATH says.
PACKAGED = ("ip", "ethtool", "tc", "ss", "timeout", "env", "nice", "nohup")
# Our programs that a guest gets when they are built.
PROGRAMS = ("ncdevmem", "dmsend", "devmemctl", "lab_exit")


def _module_bytes(path):
    data = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(data)
    if path.suffix == ".gz":
        return gzip.decompress(data)
    if path.suffix == ".zst":
        return subprocess.run(["zstd", "-dc", str(path)], check=True, capture_output=True).stdout
    return data


def _find_modules(kernel):
    found = {}
    for name in MODULES:
        for path in kernel.modules.glob(f"**/{name}.ko*"):
            found[name] = path
    if "gve" not in found:
        raise LabError(f"kernel {kernel.version} has no gve module under {kernel.modules}")
    return found


def _base(tools, kernel):
    archive = Archive()
    for folder in ("/dev", "/proc", "/sys", "/root", "/tmp", "/run", "/out"):
        archive.folder(folder)
    archive.character_device("/dev/console", 5, 1)
    archive.character_device("/dev/null", 1, 3)
    archive.copy("/bin/busybox", tools.root / "usr/bin/busybox")
    # A shell of its own: that of busybox prefers busybox's applets, and its ip knows no namespaces.
    archive.copy("/bin/bash", tools.root / "usr/bin/bash-static")
    archive.link("/bin/sh", "bash")
    # The packaged tools bring their own C library, which may be newer than that of our programs.
    for name in PACKAGED:
        program = next(path for folder in ("usr/bin", "usr/sbin")
                       if (path := tools.root / folder / name).is_file())
        archive.copy(f"/lab/packaged/{name}", program.resolve())
        for library in elf.packaged_libraries(tools, program):
            archive.copy(f"/lab/lib/{library.name}", library.resolve())
        archive.copy("/lab/lib/ld.so", tools.loader.resolve())
        archive.file(f"/lab/bin/{name}", program=True, data=(
            f'#!/bin/sh\nexec /lab/lib/ld.so --library-path /lab/lib /lab/packaged/{name} "$@"\n'
        ).encode())
    folder = f"/lib/modules/{kernel.modules.parent.name}"
    modules = _find_modules(kernel)
    for name, path in modules.items():
        archive.file(f"{folder}/{name}.ko", _module_bytes(path))
    lines = [f"{name}.ko:" + (" inet_diag.ko" if name in NEED_INET_DIAG else "")
             for name in modules]
    archive.file(f"{folder}/modules.dep", "".join(f"{line}\n" for line in lines).encode())
    if kernel.config:
        archive.copy(f"/boot/config-{kernel.modules.parent.name}", kernel.config)
    archive.file("/etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
    archive.file("/etc/group", b"root:x:0:\nnogroup:x:65534:\n")
    archive.file("/etc/hosts", b"127.0.0.1 localhost\n::1 localhost\n")
    return archive.finished()


def base_image(cache, tools, kernel):
    """The part that only packages decide, from the cache or built into it."""
    recipe = pathlib.Path(__file__).read_bytes() + (LIBRARY / "cpio.py").read_bytes()
    key = hashlib.sha256(recipe + f"{tools.root.name} {kernel.version}".encode()).hexdigest()[:12]
    path = cache / f"base-{kernel.version}-{key}.cpio"
    with only_one(cache / "lock"):
        if not path.exists():
            for old in cache.glob(f"base-{kernel.version}-*.cpio"):
                old.unlink()
            scratch = path.with_suffix(".partial")
            scratch.write_bytes(_base(tools, kernel))
            scratch.rename(path)
    return path.read_bytes()


def _stripped(cache, program):
    """A copy without debug information: a tenth of the size, so the guest boots faster."""
    state = program.stat()
    key = hashlib.sha256(f"{program} {state.st_mtime_ns} {state.st_size}".encode()).hexdigest()[:16]
    path = cache / "stripped" / f"{program.name}-{key}"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        for old in path.parent.glob(f"{program.name}-????????????????"):
            old.unlink(missing_ok=True)
        scratch = path.with_suffix(".partial")
        subprocess.run(["strip", "-o", str(scratch), str(program)], check=True)
        scratch.rename(path)
    return path


def programs_image(cache, programs):
    """Our programs in /devmem/bin, and the libraries of this machine that they load."""
    archive = Archive()
    for program in programs:
        archive.copy(f"/devmem/bin/{program.name}", _stripped(cache, program))
        for library in elf.libraries(program):
            archive.copy(str(library), library.resolve())
    return archive.finished()


def boot_image(kernel, settings, network, files):
    """What differs from boot to boot: the guest's scripts, its settings (a dictionary of shell
    variables), its network set-up (a script), and files {path in the guest: Path or bytes}."""
    archive = Archive()
    settings = {"LAB_MODULES": " ".join(_find_modules(kernel)), "LAB_SHELL": "no", **settings}
    archive.file("/init", (LIBRARY / "guest/init").read_bytes(), program=True)
    archive.file("/lab/agent", (LIBRARY / "guest/agent").read_bytes(), program=True)
    archive.file("/lab/settings", "".join(f"{name}='{value}'\n"
                                          for name, value in settings.items()).encode())
    archive.file("/lab/network", network.encode())
    for path, content in files.items():
        if isinstance(content, bytes):
            archive.file(path, content)
        else:
            archive.copy(path, content)
    return archive.finished()
