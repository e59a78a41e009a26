# SPDX-License-Identifier: Apache-2.0
"""What every module of the lab shares: where things are, how progress is told, and the two ways in
which the lab gives up. Imported by all of tools/lab_lib."""

import contextlib
import fcntl
import os
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "tools" / "lab_lib"

# What scripts and ctest know: 77 is "skipped, for the reason that was printed".
EXIT_FAILED, EXIT_USAGE, EXIT_CANNOT_RUN = 1, 2, 77


# How often a step that takes long tells of itself where nobody watches a terminal.
DETAIL_SECONDS = 20


class LabError(Exception):
    """Something was tried and went wrong; the text says what, and what to do next."""


class CannotRun(Exception):
    """This machine cannot run the lab; the text says what is missing."""


def cache_folder():
    """Where packages and images are kept between runs; outside the source tree."""
    chosen = os.environ.get("DEVMEM_LAB_CACHE")
    if chosen:
        return pathlib.Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "devmem" / "lab"


class Progress:
    """One line per step on stderr, with the seconds it took; a terminal sees the line grow."""

    def __init__(self, quiet=False):
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()
        self._told = time.monotonic()

    def say(self, text):
        self._told = time.monotonic()
        if not self._quiet:
            print(f"lab: {text}", file=sys.stderr, flush=True)

    def update(self, text):
        if self._terminal and not self._quiet:
            print(f"\r\033[Klab: {text}", end="", file=sys.stderr, flush=True)

    def detail(self, step, text):
        """How far a step is: a terminal sees all of it, a log a line now and then."""
        self.update(f"{step[:40]}: {text[:50]}")
        if not self._terminal and time.monotonic() - self._told >= DETAIL_SECONDS:
            self.say(f"... {text[:80]}")

    def print(self, text):
        """A result, which is told even when progress is not."""
        print(text, file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def step(self, text):
        """Tells that a step begins and, when it was not instant, how long it took."""
        start = time.monotonic()
        self.update(text)
        if not self._terminal:
            self.say(text)
        yield
        seconds = time.monotonic() - start
        if self._terminal and not self._quiet:
            print(f"\r\033[Klab: {text}: {seconds:.1f} s", file=sys.stderr, flush=True)
        elif seconds > 2:
            self.say(f"... {seconds:.1f} s")


@contextlib.contextmanager
def only_one(path):
    """Holds a lock file, so that two labs never fill the same part of the cache."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
