# SPDX-License-Identifier: Apache-2.0
"""What a test of the lab is: a function, a sentence that names it, and the kind of boot it needs.
The modules scenes_*.py register theirs here; suite.py runs them."""

import dataclasses

import kernel_log
from common import LabError
from transfer import Stream, transfer


class Skip(Exception):
    """The scene cannot be tried here; the text says what is missing."""


@dataclasses.dataclass(frozen=True)
class Boot:
    """The guest that a group of scenes shares: what gvnicd and QEMU are told."""
    name: str
    gvnicd_option: tuple = ()
    cpus: int = 1
    memory_mib: int = 1024
    nics: int = 2
    # The other end of eth0, as `gvnicd --link tap=` takes it, in a network namespace of gvnicd's
    # own; needs root.
    tap: str = ""


PLAIN = Boot("plain")
# Scenes that may leave the driver broken do so in a boot of their own.
ROUGH = Boot("rough")


@dataclasses.dataclass(frozen=True)
class Scene:
    """`quick` scenes are those of ctest; `needs` are programs without which it is skipped."""
    name: str
    function: object
    boot: Boot
    quick: bool
    needs: tuple


SCENES = []


def scene(name, boot=PLAIN, quick=False, needs=("ncdevmem", "dmsend")):
    """Registers a function(lab) under a sentence. Scenes run in the order of registration, those
    of one boot together."""
    def register(function):
        SCENES.append(Scene(name, function, boot, quick, needs))
        return function
    return register


class Lab:
    """What a scene sees of the running lab."""

    def __init__(self, session, keep_xml=None):
        self.session = session
        # A folder of the host for the results of test programs, or None.
        self.keep_xml = keep_xml
        self.guest = session.guest
        self.nics = session.nics
        # The scene's own remarks, by name; they stand in its result.
        self.notes = {}
        # Alarms of the kernel that this scene provokes and documents.
        self.allowed_warnings = []

    def run(self, script, seconds_max=60):
        return self.guest.run(script, seconds_max)

    def check(self, script, seconds_max=60):
        """The output of a script that must succeed."""
        return self.session.check(script, seconds_max)

    def expect(self, condition, what):
        if not condition:
            raise LabError(f"not so: {what}")

    def lands(self, stream):
        """Carries a stream and proves what every stream must show: each byte right, all of it
        written by the device, every token back, no chunk lost."""
        landed = transfer(self.guest, stream)
        report = landed.report
        self.expect(report["ok"], f"the receiver is content: {report.get('error')}")
        if stream.backend != "copy":
            self.expect(report["backend"] == stream.backend, f"backend is {stream.backend}")
            self.expect(landed.linear_bytes == 0, f"no linear bytes, {landed.linear_bytes} came")
        self.expect(report["net_iovs_leaked"] == 0, "no chunk is lost")
        self.expect(landed.tokens_out == 0, f"no token is out, {landed.tokens_out} are")
        return landed

    def receives_again(self, backend="kernel", **options):
        """A short stream lands: the queue is as good as new."""
        return self.lands(Stream(backend, stream_bytes=1 << 20, port=5299, **options))


def alarms_since(session, seen):
    """(all alarms so far, the undocumented ones that came after the first `seen`)."""
    lines = session.kernel_warnings()
    return lines, kernel_log.undocumented(lines[seen:])
