# SPDX-License-Identifier: Apache-2.0
"""apt with directories of its own: it reads the machine's proxy settings and nothing else, installs
nothing, and verifies what it downloads with the distribution's keyring. Called by packages.py."""

import os
import pathlib
import re
import subprocess
import threading

from common import CannotRun, LabError
from lockfile import Package

NO_KEY = """\
{error}
The mirror's signature could not be verified with {keyring}.
Debian 12 needs the package debian-archive-keyring 2023.3+deb12u2 or newer; another keyring can be
given with --keyring FILE."""


class PrivateApt:
    """apt-get and apt-cache over one mirror, with everything that they write under `folder`."""

    def __init__(self, folder, mirror, suite):
        self._folder = folder
        self._mirror = mirror
        self._suites = (suite, f"{suite}-backports")
        self._environment = {**os.environ, "APT_CONFIG": str(folder / "apt.conf"), "LC_ALL": "C"}
        self.archives = folder / "archives"

    def _prepare(self):
        if not pathlib.Path(self._mirror.keyring).is_file():
            raise CannotRun(f"no keyring {self._mirror.keyring}: install debian-archive-keyring, "
                            "or give another with --keyring FILE")
        for name in ("state/lists/partial", "cache/archives/partial", "archives", "empty"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        (self._folder / "status").touch()
        source = [f"deb [signed-by={self._mirror.keyring}] {self._mirror.address} {suite} main\n"
                  for suite in self._suites]
        (self._folder / "sources.list").write_text("".join(source), encoding="utf-8")
        # Proxies and the like are the machine's business; its hooks and its preferences are not.
        dump = subprocess.run(["apt-config", "dump", "Acquire"], capture_output=True, text=True,
                              check=False).stdout
        options = {
            "Dir::State": "state", "Dir::State::status": "status", "Dir::Cache": "cache",
            "Dir::Etc::sourcelist": "sources.list", "Dir::Etc::sourceparts": "empty",
            "Dir::Etc::parts": "empty", "Dir::Etc::main": "none",
            "Dir::Etc::preferences": "none", "Dir::Etc::preferencesparts": "empty",
            "Dir::Log": "empty"}
        own = "".join(f'{key} "{self._folder / name}";\n' for key, name in options.items())
        own += ('APT::Install-Recommends "false";\nAcquire::Languages "none";\n'
                'APT::Sandbox::User "root";\nAcquire::Retries "3";\nAPT::Architecture "amd64";\n'
                'APT::Architectures { "amd64"; };\n'
                f'APT::Default-Release "{self._suites[1]}";\n')
        (self._folder / "apt.conf").write_text(dump + own, encoding="utf-8")

    def _run(self, *argv, cwd=None):
        return subprocess.run(argv, env=self._environment, cwd=cwd, capture_output=True,
                              text=True, check=False)

    def update(self):
        """Fetches the signed package lists. Raises CannotRun when the mirror does not answer."""
        self._prepare()
        run = self._run("apt-get", "update", "-q", "-o", "APT::Update::Error-Mode=any")
        error = "\n".join(line for line in run.stderr.splitlines() if line[:2] == "E:"
                          or "NO_PUBKEY" in line)
        if re.search("NO_PUBKEY|not signed|KEYEXPIRED", run.stderr):
            raise LabError(NO_KEY.format(error=error, keyring=self._mirror.keyring))
        if run.returncode:
            raise CannotRun(f"{error}\nThe mirror {self._mirror.address} did not give the package "
                            f"lists of {' and '.join(self._suites)}; try --mirror with another.")

    def versions(self, names):
        """{name: {version: Package}} of everything that the mirror offers under these names."""
        found = {name: {} for name in names}
        shown = self._run("apt-cache", "show", *sorted(names)).stdout
        for stanza in shown.split("\n\n"):
            fields = dict(re.findall(r"^(\S+): (.*)$", stanza, re.MULTILINE))
            if fields.get("Package") in found and "SHA256" in fields:
                package = Package(fields["Package"], fields["Version"], fields["SHA256"],
                                  int(fields["Size"]))
                found[package.name][package.version] = package
        return found

    def search(self, pattern):
        """Names of packages that match a regular expression."""
        shown = self._run("apt-cache", "search", "--names-only", pattern).stdout
        return [line.split()[0] for line in shown.splitlines()]

    def resolve(self, names):
        """{name: version} of these packages and all that they depend on."""
        run = self._run("apt-get", "install", "-s", "-q", *names)
        chosen = dict(re.findall(r"^Inst (\S+) \((\S+)", run.stdout, re.MULTILINE))
        if run.returncode or not chosen:
            raise LabError(f"apt found no way to combine {' '.join(names)}:\n{run.stderr.strip()}")
        return chosen

    def download(self, packages, on_bytes):
        """Files of the packages, by name; apt checks each against the signed list. `on_bytes` is
        told a few times a second how much has arrived."""
        done = threading.Event()

        def watch():
            while not done.wait(0.3):
                on_bytes(sum(file.stat().st_size for file in self.archives.glob("*.deb")))

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            run = self._run("apt-get", "download", "-q",
                            *[f"{package.name}={package.version}" for package in packages],
                            cwd=self.archives)
        finally:
            done.set()
            watcher.join()
        if run.returncode:
            raise CannotRun(f"the download failed:\n{run.stderr.strip()}")
        return {package.name: self.archives / _file_name(self.archives, package)
                for package in packages}


def _file_name(folder, package):
    """apt escapes the colon of an epoch in the name of the file."""
    version = package.version.replace(":", "%3a")
    for architecture in ("amd64", "all"):
        name = f"{package.name}_{version}_{architecture}.deb"
        if (folder / name).is_file():
            return name
    raise LabError(f"{package} was downloaded, and there is no file of it in {folder}")
