# SPDX-License-Identifier: Apache-2.0
"""The rule about function length, by counting braces in C++ without comments and literals. It is a
heuristic that errs towards silence: what it cannot tell from a class or an initialiser it skips.
Called by tidy.py."""

import re

FUNCTION_LINES_MAX = 70

NOT_A_FUNCTION = re.compile(r"^\s*(?:\[\[.*?\]\]\s*)?(?:template\s*<.*>\s*)?"
                            r"(?:inline\s+)?(namespace|class|struct|union|enum|extern)\b",
                            re.DOTALL)
# `Name(...) : member_` or `..., member_` right before a brace: a member's initialiser, not a body.
MEMBER_INITIALISER = re.compile(r"\)\s*(?:noexcept\s*)?:[^:].*[\w>]\s*$", re.DOTALL)
# Preprocessor lines and access labels, which belong to no function's header.
NOT_CODE = re.compile(r"^[ \t]*#(?:\\\n|[^\n])*|\b(?:public|private|protected)\s*:(?!:)",
                      re.MULTILINE)


class _Scope:
    def __init__(self, kind, header, start):
        self.kind = kind
        self.header = header
        self.start = start
        self.exempt_lines = 0  # Lines inside flat switches, which may be as long as they need.
        self.depth_below = 0  # How many levels of braces stand inside.


def _kind(header, scopes):
    """What the brace after `header` opens: outer (namespace, class), function, initialiser, switch
    or block. Inside a function everything but a switch is a block."""
    if any(scope.kind == "function" for scope in scopes):
        return "switch" if re.search(r"\bswitch\s*\(", header) else "block"
    if NOT_A_FUNCTION.search(header):
        return "outer"
    initialises = "(" not in header or header.rstrip().endswith("=")
    return "initialiser" if initialises or MEMBER_INITIALISER.search(header) else "function"


def _name(header):
    names = re.findall(r"([\w:~]+)\s*\(([^()]*)", " ".join(header.split()))
    if not names:
        return "function"
    name, arguments = names[0]
    return f"{name}({arguments.strip()})" if name.startswith("TEST") else name


def functions(code):
    """Yields (name, first line, counted lines) for each function in blanked C++ text."""
    code = NOT_CODE.sub(lambda match: re.sub(r"[^\n]", " ", match.group(0)), code)
    scopes, header, line, header_line = [], "", 1, None
    for character in code:
        if character == "\n":
            line += 1
        if character == "{":
            scopes.append(_Scope(_kind(header, scopes), header, header_line or line))
            header, header_line = "", None
        elif character == "}" and scopes:
            scope = scopes.pop()
            if scopes:
                scopes[-1].depth_below = max(scopes[-1].depth_below, scope.depth_below + 1)
                flat_switch = scope.kind == "switch" and scope.depth_below <= 1
                scopes[-1].exempt_lines += (line - scope.start if flat_switch
                                            else scope.exempt_lines)
            if scope.kind == "function":
                yield _name(scope.header), scope.start, line - scope.start + 1 - scope.exempt_lines
            # A member's initialiser belongs to the header of the body that follows.
            header = scope.header + "{}" if scope.kind == "initialiser" else ""
            header_line = scope.start if scope.kind == "initialiser" else None
        elif character == ";":
            header, header_line = "", None
        else:
            header += character
            if header_line is None and not character.isspace():
                header_line = line


def check_function_length(tree):
    problems = []
    for file in tree.cpp:
        for name, start, count in functions(file.code):
            if count > FUNCTION_LINES_MAX:
                problems.append(f"{file.path}:{start}: {name} has {count} lines, at most "
                                f"{FUNCTION_LINES_MAX}")
    return problems
