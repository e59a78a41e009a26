# SPDX-License-Identifier: Apache-2.0
"""What is understood of a script's shell commands: `sysctl` assignments, which become settings of
the back end. Nothing is ever run."""

import re
import shlex

from .script import ShellEvent


def settings_of(command):
    """([(name, value), ...], [what is not understood, ...]) of the text between backticks."""
    settings, ignored = [], []
    for part in re.split(r"[;\n]|&&", command):
        try:
            words = shlex.split(part)
        except ValueError:
            words = [part]
        if not words:
            continue
        assignments = [word for word in words[1:] if not word.startswith("-")]
        if words[0] == "sysctl" and assignments and all("=" in word for word in assignments):
            settings += [tuple(piece.strip() for piece in word.split("=", 1))
                         for word in assignments]
        else:
            ignored.append(part.strip())
    return settings, ignored


def settings_of_script(script):
    """Every setting that the script makes, for a back end that wants them before it starts."""
    return [setting for event in script.events if isinstance(event, ShellEvent)
            for setting in settings_of(event.command)[0]]
