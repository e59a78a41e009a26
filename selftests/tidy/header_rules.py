# SPDX-License-Identifier: Apache-2.0
"""Rules about headers: guarded, and self-contained. Called by tidy.py.

A header that some compiled .cc includes before anything else is proven self-contained by the build.
The others are compiled alone, and what passed is remembered in the build folder under a hash of the
header and of every project header that it reaches, so a second run compiles only what changed."""

import concurrent.futures
import hashlib
import json
import pathlib
import subprocess

FLAGS = ["-std=c++20", "-fsyntax-only", "-x", "c++"]
PARALLEL = 2


def check_pragma_once(tree):
    return [f"{file.path}: has no #pragma once" for file in tree.headers
            if not any(line.strip() == "#pragma once" for line in file.lines)]


def _compiled_sources(build):
    """Paths of the sources that the build compiles, or None when the build does not say."""
    commands = pathlib.Path(build) / "compile_commands.json" if build else None
    if commands is None or not commands.exists():
        return None
    entries = json.loads(commands.read_text())
    return {str(pathlib.Path(entry["file"]).resolve()) for entry in entries}


def _proven_by_build(tree, build):
    """Headers that are the first include of a compiled source. Tests do not count: a precompiled
    header stands before their first line."""
    compiled = _compiled_sources(build)
    proven = set()
    for file in tree.cpp:
        if file.is_header or file.is_test or not file.includes or compiled is None:
            continue
        if str((tree.root / file.path).resolve()) in compiled:
            proven.add(file.includes[0][1])
    return proven


def _closure_hash(tree, by_path, header, compiler):
    digest = hashlib.sha256(f"{compiler} {FLAGS}".encode())
    waiting, seen = [header.path], set()
    while waiting:
        path = waiting.pop()
        if path in seen or path not in by_path:
            continue
        seen.add(path)
        waiting += [included for _, included, quoted in by_path[path].includes if quoted]
    for path in sorted(seen):
        digest.update(path.encode() + b"\0" + by_path[path].text.encode() + b"\0")
    return digest.hexdigest()


def _compile(tree, header, compiler):
    """Returns the compiler's complaint, or an empty string."""
    run = subprocess.run([compiler, *FLAGS, f"-I{tree.root}", str(tree.root / header.path)],
                         capture_output=True, text=True, check=False)
    return "" if run.returncode == 0 else run.stderr.strip()


def check_self_contained(tree, build=None, compiler="c++"):
    cache = pathlib.Path(build) / "tidy-headers.txt" if build else None
    passed_before = set(cache.read_text().split()) if cache and cache.exists() else set()
    by_path = {file.path: file for file in tree.cpp}
    proven = _proven_by_build(tree, build)
    hashes = {header.path: _closure_hash(tree, by_path, header, compiler)
              for header in tree.headers if header.path not in proven}
    waiting = [path for path, digest in hashes.items() if digest not in passed_before]
    with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
        complaints = dict(zip(waiting, pool.map(
            lambda path: _compile(tree, by_path[path], compiler), waiting)))
    if cache:
        good = [digest for path, digest in hashes.items() if not complaints.get(path)]
        cache.write_text("".join(f"{digest}\n" for digest in sorted(good)))
    return [f"{path}: does not compile alone:\n{text}" for path, text in complaints.items() if text]
