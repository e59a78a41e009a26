# SPDX-License-Identifier: Apache-2.0
"""Tests of tools/lab_lib that need no QEMU and no network. Run by ctest."""

import contextlib
import io
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest
import unittest.mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "lab_lib"))

import build  # noqa: E402
import command_line  # noqa: E402
import common  # noqa: E402
import cpio  # noqa: E402
import initrd  # noqa: E402
import kernel_log  # noqa: E402
import lockfile  # noqa: E402
import network  # noqa: E402
import pattern  # noqa: E402
import scene  # noqa: E402
import scenes  # noqa: E402, F401
import sources  # noqa: E402


class MirrorTest(unittest.TestCase):
    def find(self, **files):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            (folder / "sources.list.d").mkdir()
            for file, text in files.items():
                path = "sources.list" if file == "list" else f"sources.list.d/{file}"
                (folder / path.replace("_", ".")).write_text(text, encoding="utf-8")
            return sources.find_mirror(folder=folder)

    def test_a_one_line_entry_is_found_with_its_keyring(self):
        mirror = self.find(list="# deb http://no/debian bookworm main\n"
                                "deb [arch=amd64 signed-by=/k.gpg] http://m/debian bookworm main\n")
        self.assertEqual(("http://m/debian", "/k.gpg"), (mirror.address, mirror.keyring))

    def test_a_deb822_stanza_is_found_with_its_keyring(self):
        mirror = self.find(d_sources="Types: deb deb-src\n# said\nURIs: http://m/debian\n"
                                     "Suites: trixie\n trixie-updates\nComponents: main\n"
                                     "Signed-By: /k.gpg\n")
        self.assertEqual(("http://m/debian", "/k.gpg"), (mirror.address, mirror.keyring))

    def test_security_disabled_and_foreign_entries_are_passed_over(self):
        mirror = self.find(
            a_sources="Types: deb\nURIs: http://s/debian-security\nSuites: bookworm-security\n"
                      "Components: main\n\nEnabled: no\nTypes: deb\nURIs: http://off/debian\n"
                      "Suites: bookworm\nComponents: main\n",
            b_list="deb http://other/apt nodistro main\ndeb http://m/debian bookworm main\n")
        self.assertEqual("http://m/debian", mirror.address)

    def test_a_machine_without_a_debian_mirror_is_told_how_to_give_one(self):
        with self.assertRaisesRegex(common.CannotRun, "--mirror"):
            self.find(list="deb http://m/ubuntu noble main universe\n")

    def test_what_was_asked_for_wins(self):
        self.assertEqual(sources.Mirror("http://x/debian", "/y"),
                         sources.find_mirror("http://x/debian", "/y"))


class LockTest(unittest.TestCase):
    def test_what_is_written_is_read_back(self):
        package = lockfile.Package("busybox-static", "1:1.37.0-6", "ab" * 32, 955316)
        lock = lockfile.Lock("trixie", "7.2.12", {package.name: package})
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "lock"
            lock.write(path)
            again = lockfile.read_lock(path)
        self.assertEqual((lock.suite, lock.kernel, lock.packages, lock.id),
                         (again.suite, again.kernel, again.packages, again.id))

    def test_a_line_of_no_known_kind_is_refused_with_its_place(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "lock"
            path.write_text("suite trixie\nkernle 7.2\n", encoding="utf-8")
            with self.assertRaisesRegex(common.LabError, ":2: 'kernle 7.2'"):
                lockfile.read_lock(path)

    def test_the_pinned_set_holds_a_kernel_and_every_tool(self):
        lock = lockfile.read_lock()
        self.assertIn("qemu-system-x86", lock.packages)
        self.assertTrue(any(lock.kernel in name for name in lock.packages))
        for package in lock.packages.values():
            self.assertRegex(package.sha256, "^[0-9a-f]{64}$")


class ArchiveTest(unittest.TestCase):
    def entries(self, data):
        """[(name, mode, content)] by the format's own rules, up to the trailer."""
        found, offset = [], 0
        while True:
            self.assertEqual(b"070701", data[offset:offset + 6])
            fields = [int(data[offset + 6 + 8 * i:offset + 14 + 8 * i], 16) for i in range(13)]
            name_start = offset + 110
            name = data[name_start:name_start + fields[11] - 1].decode()
            body = (name_start + fields[11] + 3) & ~3
            offset = (body + fields[6] + 3) & ~3
            if name == "TRAILER!!!":
                return found
            found.append((name, fields[1], data[body:body + fields[6]]))

    def test_files_links_and_their_folders_are_there_once(self):
        archive = cpio.Archive()
        archive.file("/a/b/odd", b"xyz", program=True)
        archive.file("/a/b/odd", b"again")
        archive.link("/a/sh", "b/odd")
        data = archive.finished()
        self.assertEqual(0, len(data) % 512)
        self.assertEqual([("a", cpio.MODE_FOLDER, b""), ("a/b", cpio.MODE_FOLDER, b""),
                          ("a/b/odd", cpio.MODE_PROGRAM, b"xyz"),
                          ("a/sh", cpio.MODE_LINK, b"b/odd")], self.entries(data))

    def test_a_program_is_copied_as_a_program(self):
        archive = cpio.Archive()
        archive.copy("/x", pathlib.Path(sys.executable))
        name, mode, content = self.entries(archive.finished())[0]
        self.assertEqual(("x", cpio.MODE_PROGRAM), (name, mode))
        self.assertEqual(struct.pack("4s", b"\x7fELF"), content[:4])


class KernelLogTest(unittest.TestCase):
    def test_warnings_bugs_and_stalls_are_counted(self):
        log = ("[ 1.0] x: fine\n[ 2.0] WARNING: CPU: 0 PID: 1 at net/core/sock.c:1 f+0x1\n"
               "[ 3.0] BUG: kernel NULL pointer dereference\n[ 4.0] rcu: INFO: rcu_preempt\n")
        self.assertEqual(3, len(kernel_log.warnings(log)))
        self.assertEqual(3, len(kernel_log.undocumented(kernel_log.warnings(log))))

    def test_a_program_killed_for_memory_is_told(self):
        self.assertEqual(["Out of memory: Killed process 9 (ncdevmem) total-vm:1kB"],
                         kernel_log.warnings("[1.2] Out of memory: Killed process 9 (ncdevmem) "
                                             "total-vm:1kB\n"))


class NetworkTest(unittest.TestCase):
    def test_the_second_interface_lives_in_a_namespace_of_its_own(self):
        script = network.Layout(2, 4200).script()
        self.assertIn("ip link set eth1 netns peer", script)
        self.assertIn("ip -n peer link set eth1 mtu 4200", script)
        self.assertNotIn("eth1", network.Layout(1, 1500).script())


class PatternTest(unittest.TestCase):
    def test_the_stream_is_the_one_that_dmsend_sends(self):
        # `dmsend --bytes 67108864 --sha256 yes` says so.
        self.assertEqual("ca12be651242ee9736228224805fddcfa1b0606795723b62c26349906d9630eb",
                         pattern.sha256_of_stream(1, 64 << 20))

    def test_a_stream_may_end_within_a_block(self):
        self.assertNotEqual(pattern.sha256_of_stream(1, 4097), pattern.sha256_of_stream(1, 4096))


class SceneTest(unittest.TestCase):
    def test_every_scene_has_a_name_of_its_own(self):
        names = [one.name for one in scene.SCENES]
        self.assertEqual(len(names), len(set(names)))

    def test_the_matrix_has_every_cell_on_both_backends(self):
        names = {one.name for one in scene.SCENES}
        for backend in ("kernel", "zcrx"):
            for mtu in (1500, 4200, 9000):
                for gro in ("on", "off"):
                    self.assertIn(f"{backend} receives at MTU {mtu} with HW-GRO {gro}", names)

    def test_quick_scenes_share_one_boot(self):
        self.assertEqual({scene.PLAIN}, {one.boot for one in scene.SCENES if one.quick})


class BuildTest(unittest.TestCase):
    """What `tools/lab test` builds; Built stands for the end of a build that is not made here."""

    class Built(Exception):
        pass

    def built_for(self, *filters):
        with unittest.mock.patch("build._step", side_effect=[None, None, self.Built]) as step:
            with self.assertRaises(self.Built):
                command_line.main(["test", "--quiet", "--json",
                                   *(word for text in filters for word in ("--filter", text))])
        steps = [call.args[2:] for call in step.call_args_list]
        self.assertEqual(("cmake", "--preset", "release"), steps[1])
        self.assertEqual(("cmake", "--build", "--preset", "release", "--target"), steps[2][:5])
        return set(steps[2][5:])

    def test_without_a_folder_of_programs_all_that_any_scene_needs_is_built(self):
        needs = {name for one in scene.SCENES for name in one.needs}
        self.assertLess({"devmem_conformance", "container_receiver"}, needs)
        self.assertEqual(needs | {*initrd.PROGRAMS, "gvnicd"}, self.built_for())

    def test_what_the_chosen_scenes_do_not_need_is_not_built(self):
        self.assertEqual({*initrd.PROGRAMS, "gvnicd"}, self.built_for("*queue 0 is refused*"))

    def test_with_a_folder_of_programs_nothing_is_built(self):
        with tempfile.TemporaryDirectory() as folder:
            with unittest.mock.patch("build._step", side_effect=self.Built):
                self.assertEqual(common.EXIT_CANNOT_RUN,
                                 command_line.main(["test", "--quiet", "--bin", folder]))

    def test_a_step_that_fails_shows_what_it_said(self):
        shown = io.StringIO()
        with contextlib.redirect_stderr(shown), self.assertRaises(common.LabError):
            build._step(common.Progress(quiet=True), "x", "sh", "-c", "echo the cause; exit 3")
        self.assertIn("the cause", shown.getvalue())


class CommandLineTest(unittest.TestCase):
    def lab(self, *argv):
        return subprocess.run([sys.executable, str(ROOT / "tools" / "lab"), *argv],
                              capture_output=True, text=True, check=False)

    def test_every_command_explains_itself(self):
        self.assertEqual(0, self.lab("--help").returncode)
        for command in ("fetch", "run", "shell", "demo", "test"):
            shown = self.lab(command, "--help")
            self.assertEqual(0, shown.returncode, shown.stderr)
            self.assertIn("usage: tools/lab " + command, shown.stdout)

    def test_an_unknown_option_is_a_usage_error(self):
        self.assertEqual(2, self.lab("run", "--no-such-option", "--", "true").returncode)

    def test_without_cache_and_network_the_lab_is_skipped_with_the_reason(self):
        with tempfile.TemporaryDirectory() as folder:
            run = subprocess.run(
                [sys.executable, str(ROOT / "tools" / "lab"), "fetch", "--offline"],
                capture_output=True, text=True, check=False,
                env={"PATH": "/usr/bin:/bin", "DEVMEM_LAB_CACHE": folder})
        self.assertEqual(common.EXIT_CANNOT_RUN, run.returncode)
        self.assertIn("--offline", run.stderr)


if __name__ == "__main__":
    unittest.main()
