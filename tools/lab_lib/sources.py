# SPDX-License-Identifier: Apache-2.0
"""Finds the Debian mirror that this machine itself uses, in both formats of apt's configuration
(sources.list(5): one line each, and deb822 stanzas). Called by packages.py."""

import dataclasses
import pathlib
import re

from common import CannotRun

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# Suites that only a mirror of Debian proper has.
DEBIAN_SUITES = {"bullseye", "bookworm", "trixie", "forky", "sid", "stable", "oldstable",
                 "testing", "unstable"}

NO_MIRROR = """\
no Debian mirror in apt's configuration under {folder}. The lab takes QEMU and a kernel from Debian
packages, unpacked into a cache folder; nothing is installed. Say where they may come from:
  tools/lab fetch --mirror <the address of a Debian mirror, ending in /debian>
or set DEVMEM_LAB_MIRROR. On Ubuntu, first install debian-archive-keyring, which verifies them."""


@dataclasses.dataclass(frozen=True)
class Mirror:
    address: str
    keyring: str


def _one_line_entries(text):
    for line in text.splitlines():
        line = line.split("#", 1)[0].strip()
        match = re.match(r"deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+(.+)$", line)
        if match:
            options = dict(re.findall(r"(\S+?)=(\S+)", match.group(1) or ""))
            yield match.group(2), match.group(3), match.group(4).split(), options.get("signed-by")


def _deb822_entries(text):
    for stanza in re.split(r"\n\s*\n", text):
        lines = [line for line in stanza.splitlines() if not line.lstrip().startswith("#")]
        fields = {}
        name = None
        for line in lines:
            if line[:1].isspace() and name:
                fields[name] += " " + line.strip()
            elif ":" in line:
                name, value = line.split(":", 1)
                name = name.strip().lower()
                fields[name] = value.strip()
        disabled = fields.get("enabled", "yes").lower() in ("no", "false", "0", "off", "disable")
        if "deb" not in fields.get("types", "").split() or disabled:
            continue
        for address in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield address, suite, fields.get("components", "").split(), fields.get("signed-by")


def _entries(folder):
    one_line = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*.list"))]
    for path in one_line:
        if path.is_file():
            yield from _one_line_entries(path.read_text(encoding="utf-8", errors="replace"))
    for path in sorted((folder / "sources.list.d").glob("*.sources")):
        yield from _deb822_entries(path.read_text(encoding="utf-8", errors="replace"))


def find_mirror(address=None, keyring=None, folder=pathlib.Path("/etc/apt")):
    """The mirror to use: what was asked for, else the first of the machine's own that carries
    Debian's main archive. Raises CannotRun where there is none."""
    if address:
        return Mirror(address, keyring or KEYRING)
    for found, suite, components, signed_by in _entries(folder):
        if suite.split("-")[0] in DEBIAN_SUITES and "-security" not in suite \
                and "main" in components and "security" not in found:
            usable = signed_by if signed_by and signed_by.startswith("/") else KEYRING
            return Mirror(found, keyring or usable.split()[0])
    raise CannotRun(NO_MIRROR.format(folder=folder))
