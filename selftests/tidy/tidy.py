#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks one house rule over the whole project: prints each violation as file:line and exits 1 if
there is one. ctest runs it once per rule.

usage: tidy.py RULE --root FOLDER [--build FOLDER] [--compiler CXX]
"""

import argparse
import sys

import function_rules
import header_rules
import include_rules
import source_tree
import text_rules

RULES = {
    "include-direction": include_rules.check_include_direction,
    "dma-mapping": include_rules.check_dma_mapping,
    "forbidden-includes": include_rules.check_forbidden_includes,
    "self-contained": header_rules.check_self_contained,
    "pragma-once": header_rules.check_pragma_once,
    "spdx": text_rules.check_spdx,
    "file-length": text_rules.check_file_length,
    "line-length": text_rules.check_line_length,
    "function-length": function_rules.check_function_length,
    "marks": text_rules.check_marks,
    "sleeps": text_rules.check_sleeps,
    "documented-limits": text_rules.check_documented_limits,
}


def main():
    parser = argparse.ArgumentParser(description="Checks one house rule over the whole project.")
    parser.add_argument("rule", choices=RULES)
    parser.add_argument("--root", required=True, help="the repository's root")
    parser.add_argument("--build", help="a build folder: compile_commands.json and a cache")
    parser.add_argument("--compiler", default="c++", help="compiles headers alone")
    arguments = parser.parse_args()

    tree = source_tree.SourceTree(arguments.root)
    if not tree.cpp:
        print(f"{arguments.root}: no C++ files, so nothing was checked")
        return 1
    if arguments.rule == "self-contained":
        problems = header_rules.check_self_contained(tree, arguments.build, arguments.compiler)
    else:
        problems = RULES[arguments.rule](tree)
    for problem in problems:
        print(problem)
    print(f"{arguments.rule}: {len(tree.files)} files, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
