# SPDX-License-Identifier: Apache-2.0
"""What is understood of a script's shell commands: the assignments of `sysctl`, those of the
set_sysctls.py that Linux's own scripts use, and both in a shell file beside the script that a
command names. They become settings of the back end. Nothing is ever run."""

import pathlib
import re
import shlex

from .script import ShellEvent

_ARITHMETIC = re.compile(r"\$\(\(([\d\s*+()-]+)\)\)")
_REDIRECTION = re.compile(r"\d?[<>]")


def _value(text):
    """The value of an assignment, with what the shell would reckon, such as $((32*1024))."""
    return _ARITHMETIC.sub(lambda match: str(eval(match[1])), text).strip()


def _words(part):
    try:
        words = shlex.split(part, comments=True)
    except ValueError:
        return [part]
    for at, word in enumerate(words):
        if _REDIRECTION.match(word):
            return words[:at]
    return words


def _shell_file(words, folder):
    """The file beside the script that `words` run, or None."""
    if folder is None or not words[0].endswith(".sh") or words[0].startswith("/"):
        return None
    path = pathlib.Path(folder) / words[0]
    return path if path.is_file() else None


def settings_of(command, folder=None):
    """([(name, value), ...], [what is not understood, ...]) of the text between backticks; files
    that it names are looked for in `folder`."""
    settings, ignored = [], []
    for part in re.split(r"[;\n]|&&|\|\|", command):
        words = _words(part)
        if not words:
            continue
        assignments = [word for word in words[1:] if not word.startswith("-")]
        known = words[0] == "sysctl" or words[0].endswith("/set_sysctls.py")
        file = _shell_file(words, folder)
        if file is not None:
            # What a shared file does besides concerns the machine, not the script.
            settings += settings_of(file.read_text(encoding="utf-8"))[0]
        elif known and assignments and all("=" in word for word in assignments):
            for word in assignments:
                name, _, value = word.partition("=")
                name = name.strip().removeprefix("/proc/sys/").replace("/", ".")
                settings.append((name, _value(value)))
        else:
            ignored.append(part.strip())
    return settings, ignored


def settings_of_script(script):
    """Every setting that the script makes, for a back end that wants them before it starts."""
    folder = pathlib.Path(script.path).parent
    return [setting for event in script.events if isinstance(event, ShellEvent)
            for setting in settings_of(event.command, folder)[0]]
