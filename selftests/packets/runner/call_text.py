# SPDX-License-Identifier: Apache-2.0
"""The text of a system call: `setsockopt(3, SOL_TCP, TCP_NODELAY, [1], 4) = 0`, with packetdrill's
expressions: numbers, names joined by `|`, strings, `...`, [lists], {structs} and calls such as
htons(80). A recursive descent parser; an argument becomes an int, a list, a dict, ELLIPSIS, NULL
or a Text (what stood in quotes)."""

import re

from . import constants


class _Ellipsis:
    def __repr__(self):
        return "..."


ELLIPSIS = _Ellipsis()


class _Null:
    def __repr__(self):
        return "NULL"


NULL = _Null()


class Text(str):
    """What stood in quotes, as opposed to a name."""


_TOKEN = re.compile(r"""
      (?P<space>\s+)
    | (?P<dots>\.\.\.)
    | (?P<number>-?0[xX][0-9a-fA-F]+|-?\d+(?:\.\d+)?)
    | (?P<text>"(?:\\.|[^"\\])*")
    | (?P<name>[A-Za-z_]\w*)
    | (?P<mark><<|[()\[\]{},|=:?&~*+-])
    """, re.VERBOSE)
_RESULT = re.compile(
    r"=\s*(?P<value>\?|\*|-?0[xX][0-9a-fA-F]+|-?\d+)(?:\s+(?P<error>E[A-Z0-9]+))?"
    r"(?:\s*\((?P<note>.*)\))?\s*;?\s*", re.DOTALL)


def _tokens(text):
    at, tokens = 0, []
    while at < len(text):
        match = _TOKEN.match(text, at)
        if not match:
            raise ValueError(f"unexpected '{text[at]}' in '{text}'")
        at = match.end()
        if match.lastgroup != "space":
            tokens.append((match.lastgroup, match.group(0)))
    return tokens


class _Parser:
    def __init__(self, text):
        self._text = text
        self._tokens = _tokens(text)
        self._at = 0

    def peek(self):
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def next(self):
        if self._at == len(self._tokens):
            raise ValueError(f"'{self._text}' breaks off")
        self._at += 1
        return self._tokens[self._at - 1]

    def expect(self, mark):
        if self.peek() != mark:
            raise ValueError(f"expected '{mark}' and found '{self.peek() or 'the end'}' in "
                             f"'{self._text}'")
        self.next()

    def expressions(self, closing):
        """A list up to `closing`, which is taken too."""
        values = []
        while self.peek() != closing:
            values.append(self.expression())
            if self.peek() != closing:
                self.expect(",")
        self.next()
        return values

    def expression(self):
        value = self.term()
        while self.peek() == "|":
            self.next()
            value |= self.term()
        return value

    def term(self):
        kind, token = self.next()
        if kind == "dots":
            return ELLIPSIS
        if kind == "number":
            return float(token) if "." in token else int(token, 0)
        if kind == "text":
            return Text(token[1:-1].encode().decode("unicode_escape"))
        if token == "[":
            return self.expressions("]")
        if token == "{":
            return self.struct()
        if token == "~":
            return ~self.term()
        if token == "NULL":
            return NULL
        if kind == "name":
            return self.name(token)
        raise ValueError(f"unexpected '{token}' in '{self._text}'")

    def name(self, name):
        if self.peek() != "(":
            return constants.value_of(name)
        self.next()
        arguments = self.expressions(")")
        # msg_iov(1)=..., msg_name(...)=...: a member with its length; the struct takes it.
        if self.peek() == "=" and name.startswith("msg_"):
            return name
        if name in ("htons", "htonl", "ntohs", "ntohl") and len(arguments) == 1:
            return arguments[0]
        if name in ("inet_addr", "inet_pton") and arguments:
            return Text(arguments[-1])
        raise ValueError(f"unknown function {name}() in '{self._text}'")

    def struct(self):
        """{a=1, b=2} is a dict; {..., 1000} is an iovec, {base: ..., length: ...}."""
        members, plain = {}, []
        while self.peek() != "}":
            kind, token = self._tokens[self._at]
            if kind == "name" and self._is_member():
                self.next()
                if self.peek() == "(":
                    self.next()
                    self.expressions(")")
                self.next()  # = or :
                members[token] = self.expression()
            else:
                plain.append(self.expression())
            if self.peek() != "}":
                self.expect(",")
        self.next()
        return members if members else plain

    def _is_member(self):
        depth = 0
        for _, token in self._tokens[self._at + 1:]:
            depth += {"(": 1, ")": -1}.get(token, 0)
            if depth == 0 and token != ")":
                return token in "=:"
        return False


def _split_at_result(text):
    """The call up to its last closing parenthesis, and what follows."""
    depth, in_text = 0, False
    for at, character in enumerate(text):
        if character == '"' and text[at - 1] != "\\":
            in_text = not in_text
        if in_text:
            continue
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == ")" and depth == 0:
            return text[:at + 1], text[at + 1:].strip()
    raise ValueError(f"'{text}' is neither a packet nor a call with its closing parenthesis")


def parse_call(text):
    """The fields of a CallEvent for `name(arguments) = result ERRNO (note)`."""
    if not re.match(r"[a-z_]\w*\s*\(", text):
        raise ValueError(f"'{text}' is neither a packet (< or >) nor a call")
    call, rest = _split_at_result(text)
    parser = _Parser(call[call.index("(") + 1:])
    arguments = parser.expressions(")")
    match = _RESULT.fullmatch(rest)
    if not match:
        raise ValueError(f"the result of a call looks like '= 0' or '= -1 EAGAIN (Resource "
                         f"temporarily unavailable)', not '{rest}'")
    value = None if match["value"] in "?*" else int(match["value"], 0)
    return {"name": call[:call.index("(")].strip(), "arguments": arguments, "result": value,
            "error": match["error"]}
