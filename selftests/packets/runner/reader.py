# SPDX-License-Identifier: Apache-2.0
"""Reads the text of a packet script: cuts it into statements, each with its line number, and hands
packets and calls to their own parsers. A statement begins with a time (or is an option, a shell
command or a block of code) and may go on over lines that begin with none of these."""

import re

from . import call_text, packet_text
from .script import CallEvent, CodeEvent, Moment, PacketEvent, Script, ScriptError, ShellEvent

_NUMBER = r"(?:\d+(?:\.(?!\.)\d*)?|\.\d+)"
_TIME = re.compile(
    rf"(?:(?P<any>\*)|(?P<plus>\+?)\s*(?P<start>{_NUMBER})"
    rf"(?:\s*~\s*(?P<range_plus>\+?)\s*(?P<range>{_NUMBER})"
    rf"|\s*\.\.\.\s*(?P<end_plus>\+?)\s*(?P<end>{_NUMBER}))?)(?=[\s<>`%]|$)")
_OPTION = re.compile(r"--(?P<name>\w[\w-]*)(?:=(?P<value>\S+))?")
_DIFFERS = re.compile(r"//\s*linux:\s*differs because\s+(?P<reason>.*)", re.IGNORECASE)


def _micros(text):
    return round(float(text) * 1_000_000)


def parse_time(text, line):
    """The Moment at the start of `text`, and what follows it; None where no time stands."""
    match = _TIME.match(text)
    if not match:
        return None, text
    rest = text[match.end():].strip()
    if match["any"]:
        return Moment(None), rest
    moment = Moment(_micros(match["start"]), bool(match["plus"]))
    if match["range"]:
        moment.range_end_us = _micros(match["range"])
        moment.range_relative = bool(match["range_plus"] or match["plus"])
    if match["end"]:
        moment.call_end_us = _micros(match["end"])
        # After a relative start, the end counts from the last event too; `+` counts from the start.
        moment.call_end_relative = bool(match["plus"])
        if match["end_plus"]:
            moment.call_end_us += moment.start_us
    if not rest:
        raise ScriptError(line, "a time, and nothing that happens then")
    return moment, rest


def _blank_comments(text):
    """`text` without its comments, every line break and every column kept."""
    hiding = re.compile(
        r'"(?:\\.|[^"\\\n])*"|`[^`]*`|%\{.*?\}%|/\*.*?\*/|//[^\n]*|#[^\n]*', re.DOTALL)

    def blank(match):
        found = match.group(0)
        return found if found[0] in '"`%' else re.sub(r"[^\n]", " ", found)

    return hiding.sub(blank, text)


def _starts_statement(line):
    stripped = line.strip()
    return bool(stripped.startswith(("`", "%{", "--")) or _TIME.match(stripped))


def _closing(opening):
    return {"`": "`", "%{": "}%"}[opening]


def _statements(text):
    """Yields (line number, text) of each statement."""
    lines = _blank_comments(text).split("\n")
    number = 0
    while number < len(lines):
        first, statement = number + 1, lines[number].strip()
        number += 1
        if not statement:
            continue
        for opening in ("`", "%{"):
            # A quoted block runs to its closing mark, whatever its lines look like.
            at = statement.find(opening)
            if at < 0 or not (at == 0 or parse_time(statement, first)[1].startswith(opening)):
                continue
            while _closing(opening) not in statement[at + len(opening):]:
                if number == len(lines):
                    raise ScriptError(first, f"{opening} is never closed by {_closing(opening)}")
                statement += "\n" + lines[number]
                number += 1
            break
        else:
            while number < len(lines) and not _starts_statement(lines[number]):
                if lines[number].strip():
                    statement += " " + lines[number].strip()
                number += 1
        yield first, statement.strip()


def _read_options(statement, line, options):
    for word in statement.split():
        match = _OPTION.fullmatch(word)
        if not match:
            raise ScriptError(line, f"'{word}' is no option; options look like --name=value")
        options[match["name"].replace("-", "_")] = match["value"] or "true"


def _quoted_event(statement, line, when):
    if statement.startswith("`"):
        return ShellEvent(line, statement, when, command=statement[1:statement.rindex("`")].strip())
    return CodeEvent(line, statement, when, code=statement[2:statement.rindex("}%")])


def _event(statement, line):
    when, rest = parse_time(statement, line)
    if statement.startswith(("`", "%{")):
        return _quoted_event(statement, line, Moment(0, relative=True))
    if when is None:
        raise ScriptError(line, f"expected a time, such as +0.1, before '{statement[:40]}'")
    if rest.startswith(("`", "%{")):
        return _quoted_event(rest, line, when)
    try:
        if rest[0] in "<>":
            return PacketEvent(line, statement, when, inbound=rest[0] == "<",
                               **packet_text.parse_packet(rest[1:].strip()))
        return CallEvent(line, statement, when, **call_text.parse_call(rest))
    except ValueError as error:
        raise ScriptError(line, str(error)) from None


def read_script(path, text):
    """The Script that `text` says; raises ScriptError with the line of the first mistake."""
    differs = _DIFFERS.search(text)
    script = Script(str(path), {}, [], differs["reason"].strip() if differs else None)
    for line, statement in _statements(text):
        if statement.startswith("--"):
            _read_options(statement, line, script.options)
        else:
            script.events.append(_event(statement, line))
    return script
