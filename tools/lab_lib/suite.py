# SPDX-License-Identifier: Apache-2.0
"""Runs scenes: boots what they share, keeps going when one fails, boots anew when a guest has died,
and tells each result by name. Called by the command `lab test`."""

import dataclasses
import fnmatch
import json
import os
import time

import build
import scenes  # noqa: F401, registers every scene
from common import CannotRun, LabError
from scene import SCENES, Lab, Skip, alarms_since
from session import Session, find_programs

# Ends what a failed scene left running; each part may find nothing to do.
CLEAR_AWAY = "killall -q -KILL ncdevmem dmsend; usleep 500000; devmemctl restore eth0"
PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


@dataclasses.dataclass
class Outcome:
    name: str
    verdict: str
    seconds: float
    why: str = ""
    notes: dict = dataclasses.field(default_factory=dict)


def choose(options):
    """The scenes that were asked for, in order of registration."""
    chosen = [one for one in SCENES if one.quick or not options.quick]
    if options.filter:
        chosen = [one for one in chosen
                  if any(fnmatch.fnmatchcase(one.name, f"*{word}*") for word in options.filter)]
    if not chosen:
        raise CannotRun("no scene has such a name; tools/lab test --list shows them")
    return chosen


class Suite:
    """One run over the chosen scenes."""

    def __init__(self, options, progress):
        self._options = options
        self._progress = progress
        self._bin = find_programs(options.bin)
        self.outcomes = []
        self.warnings = 0
        self.boots = 0

    def run(self, chosen):
        boots = list(dict.fromkeys(one.boot for one in chosen))
        for boot in boots:
            waiting = [one for one in chosen if one.boot == boot and not self._lacks(one)]
            while waiting:
                waiting = self._run_boot(boot, waiting)

    def _lacks(self, one):
        missing = [name for name in one.needs if not (self._bin / name).is_file()]
        why = f"{', '.join(missing)} is not built" if missing else ""
        if one.boot.tap and not (os.geteuid() == 0 and os.access("/dev/net/tun", os.W_OK)):
            why = "a TAP in a network namespace needs root and /dev/net/tun"
        if why:
            self._tell(Outcome(one.name, SKIPPED, 0, why))
        return bool(why)

    def _run_boot(self, boot, waiting):
        """Runs scenes in one guest; returns those that remain when the guest died."""
        options = self._options
        options.gvnicd_option = list(boot.gvnicd_option)
        options.cpus, options.memory = boot.cpus, boot.memory_mib
        options.nics, options.tap, options.own_network = boot.nics, boot.tap, bool(boot.tap)
        options.program_names = sorted({name for one in waiting for name in one.needs})
        self.boots += 1
        with Session(options, self._progress) as session:
            seen = 0
            while waiting:
                one = waiting.pop(0)
                seen = self._run_scene(one, session, seen)
                if not session.guest.alive():
                    break
        return waiting

    def _run_scene(self, one, session, seen):
        lab = Lab(session, self._options.xml)
        start = time.monotonic()
        self._progress.update(f"{one.name} ...")
        verdict, why = PASSED, ""
        try:
            one.function(lab)
        except Skip as reason:
            verdict, why = SKIPPED, str(reason)
        except LabError as error:
            verdict, why = FAILED, str(error)
        if session.guest.alive():
            verdict, why, seen = self._after(lab, verdict, why, seen)
        self._tell(Outcome(one.name, verdict, time.monotonic() - start, why, lab.notes))
        return seen

    def _after(self, lab, verdict, why, seen):
        """Reads the kernel's log, and after a failure clears away for the next scene."""
        try:
            if verdict == FAILED:
                lab.run(CLEAR_AWAY)
            lines, fresh = alarms_since(lab.session, seen)
            seen = len(lines)
            alarming = [line for line in fresh
                        if not any(text in line for text in lab.allowed_warnings)]
            self.warnings += len(alarming)
            if alarming and verdict != SKIPPED:
                verdict, why = FAILED, f"{why}\nthe kernel warned: {alarming[0]}".strip()
        except LabError as error:
            verdict, why = FAILED, f"{why}\n{error}".strip()
        return verdict, why, seen

    def _tell(self, outcome):
        self.outcomes.append(outcome)
        mark = {PASSED: "ok  ", FAILED: "FAIL", SKIPPED: "skip"}[outcome.verdict]
        self._progress.update("")
        text = f"{mark} {outcome.seconds:5.1f} s  {outcome.name}"
        notes = ", ".join(f"{name} {value}" for name, value in outcome.notes.items())
        self._progress.print(text + (f" ({notes})" if notes else ""))
        if outcome.why:
            self._progress.print("".join(f"            {line}\n"
                                         for line in outcome.why.splitlines()).rstrip())

    def count(self, verdict):
        return sum(one.verdict == verdict for one in self.outcomes)

    def json(self, seconds):
        return json.dumps({
            "passed": self.count(PASSED), "failed": self.count(FAILED),
            "skipped": self.count(SKIPPED), "kernel_warnings": self.warnings,
            "boots": self.boots, "seconds": round(seconds, 1),
            "results": [dataclasses.asdict(one) for one in self.outcomes]}, indent=2)


def run_suite(options, progress):
    """The command `lab test`; returns its exit status."""
    if options.list:
        for one in SCENES:
            print(f"{'quick' if one.quick else '     '}  {one.boot.name:12} {one.name}")
        return 0
    start = time.monotonic()
    chosen = choose(options)
    if not options.bin:
        options.bin = build.build(progress, {name for one in chosen for name in one.needs})
    suite = Suite(options, progress)
    suite.run(chosen)
    seconds = time.monotonic() - start
    if options.json:
        print(suite.json(seconds))
    else:
        print(f"{suite.count(PASSED)} passed, {suite.count(FAILED)} failed, "
              f"{suite.count(SKIPPED)} skipped, {suite.warnings} undocumented kernel warnings; "
              f"{suite.boots} boots, {seconds:.0f} s")
    return 1 if suite.count(FAILED) else 0
