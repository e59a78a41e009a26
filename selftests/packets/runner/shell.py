# SPDX-License-Identifier: Apache-2.0
"""What is understood of a script's shell commands: the assignments of `sysctl`, and those of the
set_sysctls.py that Linux's own scripts use. They become settings of the back end. Nothing is ever
run."""

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
        known = words[0] == "sysctl" or words[0].endswith("/set_sysctls.py")
        if known and assignments and all("=" in word for word in assignments):
            for word in assignments:
                name, _, value = word.partition("=")
                name = name.strip().removeprefix("/proc/sys/").replace("/", ".")
                settings.append((name, value.strip()))
        else:
            ignored.append(part.strip())
    return settings, ignored


def settings_of_script(script):
    """Every setting that the script makes, for a back end that wants them before it starts."""
    return [setting for event in script.events if isinstance(event, ShellEvent)
            for setting in settings_of(event.command)[0]]
