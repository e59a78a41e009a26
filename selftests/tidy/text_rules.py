# SPDX-License-Identifier: Apache-2.0
"""Rules about a file's text: licence line, length, marks of unfinished work, sleeps in tests, and
limits that no document mentions. Called by tidy.py."""

import re

FILE_LINES_MAX = 400
TEST_FILE_LINES_MAX = 500
LINE_COLUMNS_MAX = 100

SPDX = "SPDX-License-Identifier: Apache-2.0"

# Written in pieces, so that these rules do not catch themselves.
MARKS = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" * 3, "HA" + "CK"]) + r")\b|"
                   + "|".join(["not " + "implemented", "place" + "holder", "for " + "now\\b"]))
SLEEPS = re.compile(r"sleep_for|sleep_until|\busleep\s*\(|\bnanosleep\s*\(|SleepFor|time\.sleep"
                    r"|(?<![\w-])sleep\s+[0-9$]|(?<![\w.>:])sleep\s*\(")

LIMIT = re.compile(r"\bconstexpr\b[^;=(]*?\b(k[A-Z]\w*)\s*(?:=|\{)")

OWN_FOLDER = "selftests/tidy/"


def check_spdx(tree):
    return [f"{file.path}: the first line (or the second, after #!) must say {SPDX}"
            for file in tree.code if not any(SPDX in line for line in file.lines[:2])]


def check_file_length(tree):
    problems = []
    for file in tree.code:
        limit = TEST_FILE_LINES_MAX if file.is_test else FILE_LINES_MAX
        if len(file.lines) > limit:
            problems.append(f"{file.path}: {len(file.lines)} lines, at most {limit}; find the seam")
    return problems


def check_line_length(tree):
    problems = []
    for file in tree.code:
        for number, line in enumerate(file.lines, 1):
            if len(line) > LINE_COLUMNS_MAX and "://" not in line:
                problems.append(f"{file.path}:{number}: {len(line)} columns, at most "
                                f"{LINE_COLUMNS_MAX}")
    return problems


def _matching_lines(files, pattern, complaint):
    return [f"{file.path}:{number}: {complaint}: {line.strip()}"
            for file in files if not file.path.startswith(OWN_FOLDER)
            for number, line in enumerate(file.lines, 1) if pattern.search(line)]


def check_marks(tree):
    documents = [file for file in tree.files if file.path.endswith(".md")]
    return _matching_lines(tree.code + documents, MARKS, "mark of unfinished work")


def check_sleeps(tree):
    return _matching_lines([file for file in tree.code if file.is_test], SLEEPS,
                           "a test waits for an event, it does not sleep")


def check_documented_limits(tree):
    documents = "\n".join(file.text for file in tree.files
                          if file.path.startswith("Documentation/") and file.path.endswith(".md"))
    problems = []
    for file in tree.cpp:
        if file.name != "limits.h":
            continue
        for match in LIMIT.finditer(file.code):
            if not re.search(rf"\b{match.group(1)}\b", documents):
                number = file.code.count("\n", 0, match.start(1)) + 1
                problems.append(f"{file.path}:{number}: {match.group(1)} is mentioned in no "
                                "Documentation/*.md")
    return problems
