# SPDX-License-Identifier: Apache-2.0
"""What the player remembers of a run, and how a failure is told: the script's line, what was
expected beside what came, the fields that differ, and the packets and calls so far."""

from .packet_text import format_tcp
from .script import ScriptError

_TRACE_LINES_MAX = 60


class PlayError(ScriptError):
    """The TCP under test did not do what the script says. `timely` is set where only the time was
    wrong, which a loaded machine may cause where time is real."""

    def __init__(self, line, message, late=False):
        super().__init__(line, message)
        self.late = late


def seconds(time_us):
    return "any time" if time_us is None else f"{time_us / 1_000_000:.6f}"


class Trace:
    """Every packet and call of one run, in the script's numbers."""

    def __init__(self):
        self._lines = []

    def packet(self, time_us, inbound, tcp, ecn=None, port=None):
        direction = "< " if inbound else "> "
        # The far port is told where a script has several connections.
        direction += f"[port {port}] " if port is not None else ""
        self._lines.append(f"{seconds(time_us)} {direction}{format_tcp(tcp, ecn)}")

    def note(self, time_us, text):
        self._lines.append(f"{seconds(time_us)} {text}")

    def text(self):
        skipped = max(len(self._lines) - _TRACE_LINES_MAX, 0)
        first = [f"    ({skipped} earlier lines left out)"] if skipped else []
        return "\n".join(first + [f"    {line}" for line in self._lines[skipped:]])


def mismatch(event, actual, differing, time_us):
    """The message for a packet that is not the expected one, both side by side."""
    lines = [f"expected {event.text}",
             f"actual   {seconds(time_us)} > {format_tcp(actual)}"]
    lines += [f"differs in {field}: expected {wanted}, actual {got}"
              for field, wanted, got in differing]
    return "\n  ".join(["the packet is not the expected one"] + lines)


def failure(script, error, trace, backend_name):
    """The whole report of a failed script."""
    lines = [f"{script}:{error.line}: {error.message}", f"  run against: {backend_name}"]
    if trace is not None and trace.text():
        lines += ["  so far:", trace.text()]
    return "\n".join(lines)
