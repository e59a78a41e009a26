# SPDX-License-Identifier: Apache-2.0
"""The project's files as the rules see them: which are code, which are tests, what folder they
belong to, and C++ text with comments and literals blanked out. Every rule uses it."""

import functools
import os
import pathlib
import re

CPP_SUFFIXES = (".h", ".cc", ".c")
TEST_STEMS = re.compile(r"_(test|fuzz|benchmark)\.(cc|c|h)$")
SKIPPED_FOLDERS = {".git", "build", "corpora", "__pycache__"}

# One C++ token that may hide braces, quotes or comment marks: raw string, string, character,
# comment.
HIDING = re.compile(
    r'R"(?P<delimiter>[^()\\\s]{0,16})\(.*?\)(?P=delimiter)"'
    r'|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'"
    r"|//(?:\\\n|[^\n])*"
    r"|/\*.*?\*/",
    re.DOTALL)


def _blank(match):
    """Keeps the quotes and the line breaks, so that lines and columns stay where they were."""
    text = match.group(0)
    blanked = re.sub(r"[^\n]", " ", text)
    return '"' + blanked[1:-1] + '"' if text[0] in "\"R" else blanked


class SourceFile:
    """One text file: `path` is relative to the root, with forward slashes."""

    def __init__(self, root, path):
        self.path = path
        self.folder = os.path.dirname(path)
        self.name = os.path.basename(path)
        self._absolute = root / path

    @functools.cached_property
    def text(self):
        return self._absolute.read_text(encoding="utf-8", errors="replace")

    @functools.cached_property
    def lines(self):
        return self.text.splitlines()

    @functools.cached_property
    def code(self):
        """C++ text without comments and literals, the same number of lines long."""
        return HIDING.sub(_blank, self.text)

    @functools.cached_property
    def includes(self):
        """[(line number, path, quoted)] of each #include."""
        found = []
        for number, line in enumerate(self.lines, 1):
            match = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
            if match:
                found.append((number, match.group(2), match.group(1) == '"'))
        return found

    @property
    def is_cpp(self):
        return self.path.endswith(CPP_SUFFIXES)

    @property
    def is_header(self):
        return self.path.endswith(".h")

    @property
    def is_test(self):
        return bool(TEST_STEMS.search(self.name)) or self.path.startswith("selftests/")

    @property
    def is_script(self):
        # A script of tools/ has no suffix; it is known by its first line.
        return (self.path.endswith((".py", ".sh", ".bash")) or
                ("." not in self.name and self.text.startswith("#!")))

    @property
    def is_cmake(self):
        return self.name == "CMakeLists.txt" or self.path.endswith(".cmake")


class SourceTree:
    """Every file of the project that a person wrote."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.files = []
        for folder, subfolders, names in os.walk(self.root):
            subfolders[:] = sorted(set(subfolders) - SKIPPED_FOLDERS)
            for name in sorted(names):
                path = (pathlib.Path(folder) / name).relative_to(self.root).as_posix()
                self.files.append(SourceFile(self.root, path))

    @property
    def cpp(self):
        return [file for file in self.files if file.is_cpp]

    @property
    def headers(self):
        return [file for file in self.files if file.is_header]

    @property
    def code(self):
        """C++, scripts and build files."""
        return [file for file in self.files if file.is_cpp or file.is_cmake or file.is_script]

    def find(self, path):
        for file in self.files:
            if file.path == path:
                return file
        return None
