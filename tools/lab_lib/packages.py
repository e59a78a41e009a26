# SPDX-License-Identifier: Apache-2.0
"""Fills the cache with QEMU, a stock kernel and the few tools of the guest: resolves, downloads,
verifies and unpacks packages. Called by every command of the lab before anything else."""

import dataclasses
import hashlib
import os
import pathlib
import re
import shutil
import subprocess

import lockfile
from apt import PrivateApt
from common import CannotRun, LabError, only_one
from sources import find_mirror

# The tools of the host and of the guest; a kernel comes on top. What must be exactly what was
# proven; other packages are libraries, whose security updates are taken.
TOOLS = ("qemu-system-x86", "seabios", "busybox-static", "bash-static", "coreutils", "ethtool",
         "iproute2")
EXACT = re.compile(r"qemu-system-.*|seabios|busybox-static|bash-static|ethtool|iproute2|linux-.*")
KERNEL_PACKAGE = re.compile(r"linux-(?:image|base|binary|modules)-(\d+\.\d+\.\d+)\+\w+-cloud-amd64")
# vfio-user-pci came with QEMU 10.1, zcrx on gve with Linux 7.2.
KERNEL_MIN = (7, 2)

MOVED = """\
the mirror has moved on from the versions that the lab was proven with:
{lines}
To go on with what the mirror has now, run once:
  tools/lab fetch --accept-newer
The choice is remembered in {accepted}; remove that file to go back."""


@dataclasses.dataclass(frozen=True)
class Tools:
    """The unpacked packages: QEMU for the host; busybox, ip and ethtool for the guest."""
    root: pathlib.Path

    @property
    def libraries(self):
        return self.root / "usr/lib/x86_64-linux-gnu"

    @property
    def loader(self):
        return self.libraries / "ld-linux-x86-64.so.2"


@dataclasses.dataclass(frozen=True)
class Kernel:
    version: str
    image: pathlib.Path
    modules: pathlib.Path
    config: pathlib.Path | None


def _as_numbers(version):
    return tuple(int(part) for part in version.split("."))


class Packages:
    """The cache of one project tree. `options` are those of the command line: mirror, keyring,
    accept_newer, kernel, offline."""

    def __init__(self, cache, options, progress):
        self._cache = cache
        self._options = options
        self._progress = progress
        self._project_lock = lockfile.read_lock()
        self._accepted = cache / f"accepted-{self._project_lock.id}.lock"
        self._apt = None

    @property
    def lock(self):
        if self._accepted.exists():
            return lockfile.read_lock(self._accepted)
        return self._project_lock

    def ensure(self):
        """(Tools, Kernel) from the cache, after filling it where something is missing."""
        with only_one(self._cache / "lock"):
            if self._options.accept_newer:
                self._accept()
            return self._ensure_tools(), self._ensure_kernel()

    def _ensure_tools(self):
        folder = self._cache / f"tools-{self.lock.id}"
        if not folder.exists():
            names = [name for name in self.lock.packages if not KERNEL_PACKAGE.fullmatch(name)]
            self._install(folder, self._choose(names))
        return Tools(folder)

    def _ensure_kernel(self):
        version = self._options.kernel or self.lock.kernel
        pinned = " ".join(str(self.lock.packages[name]) for name in self._pinned_kernel(version))
        key = hashlib.sha256(pinned.encode()).hexdigest()[:6]
        folder = self._cache / (f"kernel-{version}-{key}" if pinned else f"kernel-{version}")
        if not folder.exists():
            self._install(folder, self._choose(self._kernel_names(version)))
        images = sorted(folder.glob("usr/lib/modules/*/vmlinuz")) + \
            sorted(folder.glob("boot/vmlinuz-*"))
        modules = sorted(folder.glob("**/lib/modules/*/kernel"))
        if not images or not modules:
            raise LabError(f"no kernel image or no modules in {folder}; remove that folder")
        configs = [*folder.glob("boot/config-*"), *folder.glob("usr/lib/modules/*/config")]
        return Kernel(version, images[0], modules[0], configs[0] if configs else None)

    def _pinned_kernel(self, version):
        return [name for name in sorted(self.lock.packages)
                if (match := KERNEL_PACKAGE.fullmatch(name)) and match.group(1) == version]

    def _kernel_names(self, version):
        pinned = self._pinned_kernel(version)
        if pinned:
            return pinned
        offered = {match.group(1): None for name in self._index().search("linux-image.*-cloud")
                   if (match := KERNEL_PACKAGE.fullmatch(name))}
        if version not in offered:
            known = ", ".join(sorted(offered, key=_as_numbers))
            raise CannotRun(f"the mirror has no cloud kernel {version}; it has: {known}")
        return self._names_of_kernel(version)

    def _names_of_kernel(self, version):
        """The packages that hold the image, the modules and the configuration: one in older
        kernels, a few in newer."""
        found = [name for name in self._index().search(f"linux-.*{re.escape(version)}.*-cloud")
                 if (match := KERNEL_PACKAGE.fullmatch(name)) and match.group(1) == version]
        return [name for name in found if self._index().versions([name])[name]]

    def _index(self):
        """apt with fresh package lists, at most once per run."""
        if self._apt is None:
            if self._options.offline:
                raise CannotRun(f"the cache {self._cache} lacks packages and --offline forbids to "
                                "fetch them; run tools/lab fetch where there is a network")
            if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
                raise CannotRun("no apt-get and dpkg-deb here; the lab needs Debian or Ubuntu")
            mirror = find_mirror(self._options.mirror or os.environ.get("DEVMEM_LAB_MIRROR"),
                                 self._options.keyring)
            self._apt = PrivateApt(self._cache / "apt", mirror, self._project_lock.suite)
            with self._progress.step("reading the mirror's package lists"):
                self._apt.update()
        return self._apt

    def _choose(self, names):
        """The packages to fetch, of the pinned versions. A library that has moved on is taken as
        it is now; a tool or a kernel that has moved on is refused, naming wanted and found."""
        offered = self._index().versions(names)
        chosen, moved = [], []
        for name in names:
            wanted = self.lock.packages.get(name)
            there = offered[name]
            if wanted is None and there:
                chosen.append(max(there.values(), key=lambda package: package.version))
            elif wanted and wanted.version in there:
                if there[wanted.version].sha256 != wanted.sha256:
                    raise LabError(f"{wanted}: the mirror's file has SHA-256 "
                                   f"{there[wanted.version].sha256}, pinned is {wanted.sha256}")
                chosen.append(wanted)
            elif EXACT.fullmatch(name) or not there:
                found = ", ".join(sorted(there)) or "none"
                moved.append(f"  {name}: wanted {wanted.version if wanted else '-'}, "
                             f"found {found}")
            else:
                newer = next(iter(there.values()))
                self._progress.say(f"{name}: taking {newer.version} in place of {wanted.version}")
                chosen.append(newer)
        if moved:
            raise CannotRun(MOVED.format(lines="\n".join(moved), accepted=self._accepted))
        return chosen

    def _install(self, folder, packages):
        """Downloads, verifies and unpacks into `folder`, which appears only when complete."""
        total = sum(package.file_bytes for package in packages)
        text = f"downloading {len(packages)} packages, {total / 1e6:.0f} MB"
        with self._progress.step(text):
            files = self._index().download(packages, lambda got: self._progress.update(
                f"{text}: {min(got, total) / 1e6:.0f} MB"))
        scratch = folder.with_name(folder.name + ".partial")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        with self._progress.step(f"verifying and unpacking {len(packages)} packages"):
            for package in packages:
                file = files[package.name]
                digest = hashlib.sha256(file.read_bytes()).hexdigest()
                if digest != package.sha256:
                    raise LabError(f"{file} has SHA-256 {digest}, expected {package.sha256}")
                subprocess.run(["dpkg-deb", "-x", str(file), str(scratch)], check=True)
                file.unlink()
        scratch.rename(folder)

    def _accept(self):
        """Resolves anew and remembers what the mirror has now."""
        newest = self.resolve()
        if newest.packages != self._project_lock.packages:
            newest.write(self._accepted)
            self._progress.say(f"accepted what the mirror has now: {self._accepted}")
        else:
            self._accepted.unlink(missing_ok=True)
            self._progress.say("the mirror has exactly the pinned versions")

    def resolve(self):
        """A Lock of what the mirror offers now, with the pinned kernel while it is there."""
        apt = self._index()
        lock = lockfile.Lock(self._project_lock.suite, self._project_lock.kernel, {})
        chosen = apt.resolve(TOOLS)
        offered = {match.group(1) for name in apt.search("linux-image.*-cloud")
                   if (match := KERNEL_PACKAGE.fullmatch(name))}
        if lock.kernel not in offered:
            fresh = [version for version in offered if _as_numbers(version)[:2] >= KERNEL_MIN]
            if not fresh:
                raise CannotRun("the mirror has no cloud kernel of 7.2 or newer")
            lock.kernel = max(fresh, key=_as_numbers)
        names = [*chosen, *self._names_of_kernel(lock.kernel)]
        for name, versions in apt.versions(names).items():
            wanted = chosen.get(name) or max(versions)
            lock.packages[name] = versions[wanted]
        return lock
