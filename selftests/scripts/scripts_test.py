# SPDX-License-Identifier: Apache-2.0
"""Tests of tools/setup, tools/test_summary and tools/format. The programs that they call
(dpkg-query, apt-get, id, clang-format) are replaced by small scripts in a folder at the front of
PATH."""

import os
import pathlib
import stat
import subprocess
import tempfile
import unittest

TOOLS = pathlib.Path(__file__).resolve().parents[2] / "tools"


class ScriptCase(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)

    def replace(self, program, body):
        path = self.folder / program
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def run_tool(self, name, *arguments, **variables):
        environment = dict(os.environ, **variables)
        environment["PATH"] = f"{self.folder}:{environment['PATH']}"
        return subprocess.run([str(TOOLS / name), *arguments], env=environment, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, check=False)

    def only_installed(self, *packages):
        """Makes dpkg know these packages and no others, in dpkg-query's own way: it fails."""
        lines = "\n".join(f"echo 'installed {package}'" for package in packages)
        self.replace("dpkg-query", f"{lines}\nexit 1")


class SetupTest(ScriptCase):
    def setUp(self):
        super().setUp()
        self.replace("id", "echo 1000")
        self.replace("apt-get", "echo must not run >&2; exit 99")

    def test_what_is_missing_stands_in_one_line(self):
        self.only_installed("clang", "curl", "socat", "openssl", "procps", "iproute2",
                            "ocl-icd-libopencl1", "pocl-opencl-icd")
        run = self.run_tool("setup", "test")
        self.assertEqual(run.returncode, 1)
        self.assertEqual(run.stdout, "apt-get install -y --no-install-recommends apache2-utils "
                                     "iputils-ping netcat-openbsd nginx-light\n")
        self.assertIn("as root run", run.stderr)

    def test_nothing_is_said_when_nothing_is_missing(self):
        self.only_installed("clang-format-14")
        run = self.run_tool("setup", "format")
        self.assertEqual((run.returncode, run.stdout, run.stderr), (0, "", ""))

    def test_a_removed_package_whose_settings_remain_is_missing(self):
        self.replace("dpkg-query", "echo 'config-files clang-format-14'")
        self.assertEqual(self.run_tool("setup", "format").returncode, 1)

    def test_an_unknown_group_is_refused_by_name(self):
        run = self.run_tool("setup", "everything")
        self.assertEqual(run.returncode, 2)
        self.assertIn("unknown group 'everything'", run.stderr)


class SetupAsRootTest(ScriptCase):
    def setUp(self):
        super().setUp()
        self.replace("id", "echo 0")
        self.log = self.folder / "log"
        self.policy = self.folder / "policy-rc.d"

    def install(self, apt_get):
        self.only_installed("curl", "socat", "openssl", "procps", "iproute2", "apache2-utils",
                            "iputils-ping", "netcat-openbsd", "ocl-icd-libopencl1",
                            "pocl-opencl-icd")
        self.replace("apt-get", f'echo "$*" >>{self.log}\n{apt_get}')
        return self.run_tool("setup", "test", DEVMEM_POLICY_FILE=str(self.policy))

    def test_services_are_held_during_the_installation_only(self):
        run = self.install(f"{self.policy}; echo policy says $? >>{self.log}")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(self.log.read_text(), "install -y -q --no-install-recommends nginx-light\n"
                                               "policy says 101\n")
        self.assertFalse(self.policy.exists())

    def test_the_policy_that_was_there_comes_back(self):
        self.policy.write_text("the owner's\n")
        self.install("true")
        self.assertEqual(self.policy.read_text(), "the owner's\n")
        self.install("false")
        self.assertEqual(self.policy.read_text(), "the owner's\n")

    def test_a_stale_package_index_is_fetched_once(self):
        run = self.install(f"[ $1 = update ] || [ $(wc -l <{self.log}) -gt 1 ]")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual([line.split()[0] for line in self.log.read_text().splitlines()],
                         ["install", "update", "install"])


class SummaryTest(ScriptCase):
    def summary(self, *cases):
        (self.folder / "junit.xml").write_text(f"<testsuite>{''.join(cases)}</testsuite>")
        run = self.run_tool("test_summary", str(self.folder))
        return run.returncode, run.stdout.strip().splitlines()

    PASSED = '<testcase name="A.Passes" status="run"><system-out>ok</system-out></testcase>'
    FAILED = '<testcase name="A.Fails" status="fail"><failure message=""/></testcase>'
    SKIPPED = ('<testcase name="A.IsSkipped" status="notrun">'
               '<skipped message="SKIP_REGULAR_EXPRESSION_MATCHED"/>'
               "<system-out>[ RUN      ] A.IsSkipped\n/a/b.cc:5: Skipped\nneeds a GPU\n"
               "[  SKIPPED ] A.IsSkipped (0 ms)</system-out></testcase>")
    NOT_STARTED = ('<testcase name="A.CannotStart" status="notrun">'
                   '<skipped message="Unable to find executable"/></testcase>')

    def test_a_skip_is_listed_with_its_reason(self):
        self.assertEqual(self.summary(self.PASSED, self.SKIPPED),
                         (0, ["skipped: A.IsSkipped: needs a GPU",
                              "1 passed, 0 failed, 1 skipped"]))

    def test_a_test_that_could_not_start_has_failed(self):
        self.assertEqual(self.summary(self.PASSED, self.NOT_STARTED, self.FAILED),
                         (1, ["failed: A.CannotStart", "failed: A.Fails",
                              "1 passed, 2 failed, 0 skipped"]))

    def test_nothing_run_is_a_failure(self):
        self.assertEqual(self.summary(), (1, ["0 passed, 0 failed, 0 skipped"]))

    def test_fuzz_targets_count_like_tests(self):
        (self.folder / "frame_fuzz.passed").touch()
        (self.folder / "options_fuzz.failed").touch()
        self.assertEqual(self.summary(self.PASSED),
                         (1, ["failed: fuzz options_fuzz", "2 passed, 1 failed, 0 skipped"]))


class FormatTest(ScriptCase):
    def test_the_version_that_was_found_is_named(self):
        for name in ("clang-format-14", "clang-format"):
            self.replace(name, "echo 'clang-format version 18.1.3'")
        run = self.run_tool("format")
        self.assertEqual(run.returncode, 1)
        self.assertIn("needs clang-format 14, found: clang-format version 18.1.3", run.stderr)

    def test_an_ill_formatted_file_is_refused_and_mended(self):
        ill = self.folder / "ill.cc"
        ill.write_text("int  f( );\n")
        refused = self.run_tool("format", str(ill))
        if "needs clang-format 14" in refused.stderr:
            self.skipTest("clang-format 14 is not installed")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("run tools/format --fix", refused.stderr)
        self.assertEqual(self.run_tool("format", "--fix", str(ill)).returncode, 0)
        self.assertEqual(self.run_tool("format", str(ill)).returncode, 0)


if __name__ == "__main__":
    unittest.main()
