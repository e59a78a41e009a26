# SPDX-License-Identifier: Apache-2.0
"""What ncdevmem refuses, and how: with an exit status, a message that names the value and what to
do, and nothing left behind."""

import pathlib
import shutil
import subprocess
import unittest

from peers_case import (BIN, KERNEL_ADDRESS, KERNELS, LOOPBACK, OURS, PORT, V6, WATCHDOG_S,
                        PeerCase, in_url)

NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
EXIT_FAILED, EXIT_USAGE = 1, 2


def without(*capabilities):
    """A command prefix that takes capabilities away for good."""
    taken = ",".join("-" + name for name in capabilities)
    return ("setpriv", "--bounding-set", taken, "--inh-caps", taken)


class RefusalCase(PeerCase):
    LISTEN = ("-l", "-s", OURS, "-p", PORT, "--kernel-address", KERNEL_ADDRESS, "--quiet",
              "--backend", "stack")

    def refused(self, status, *options, prefix=(), program=BIN / "ncdevmem"):
        """Runs ncdevmem, which must refuse; returns what it said."""
        run = self.namespace.run(*prefix, program, *options, check=False, timeout_s=WATCHDOG_S)
        self.assertEqual((run.returncode, run.stdout), (status, ""), run.stderr)
        self.assertTrue(run.stderr.startswith("ncdevmem: "), run.stderr)
        return run.stderr

    def assert_says(self, message, *words):
        for word in words:
            self.assertIn(str(word), message)
        self.assert_nothing_left()


class CommandLineTest(RefusalCase):
    def test_a_queue_out_of_range_is_named_with_its_bounds(self):
        self.assert_says(self.refused(EXIT_USAGE, *self.LISTEN, "-t", 63), "63", "0 to 62")

    def test_a_region_too_small_for_one_frame_is_named_with_its_bounds(self):
        self.assert_says(self.refused(EXIT_USAGE, *self.LISTEN, "--region-size", "64K"), "64K",
                         "131072")

    def test_a_region_larger_than_the_machine_is_refused(self):
        self.assert_says(self.refused(EXIT_FAILED, *self.LISTEN, "--region-size", "1T"),
                         1 << 40, "ask for less")

    def test_what_is_no_address_is_refused(self):
        wrong = "2001:db8::g" if V6 else "192.0.2.300"
        self.assert_says(self.refused(EXIT_USAGE, "-l", "-s", wrong), wrong, "is no IP address")

    def test_an_unknown_provider_is_answered_with_those_that_exist(self):
        self.assert_says(self.refused(EXIT_FAILED, *self.LISTEN, "--provider", "vram"), "vram",
                         "memfd")


class AddressTest(RefusalCase):
    def test_two_listeners_on_one_port_collide(self):
        said = self.refused(EXIT_FAILED, *self.LISTEN, "--unsteered-port", PORT)
        self.assert_says(said, PORT, "in use")

    def test_a_port_that_the_kernel_uses_already_is_refused(self):
        listen = ("-l", "-s", LOOPBACK, "-p", PORT, "--backend", "copy", "--quiet")
        holder = self.namespace.start_when_ready(BIN / "ncdevmem", *listen)
        self.assertIn("in use", self.refused(EXIT_FAILED, *listen))
        holder.stop()
        self.assert_nothing_left()

    def test_a_device_name_in_use_is_refused_and_its_owner_is_not_disturbed(self):
        holder = self.start_receiver()
        said = self.refused(EXIT_FAILED, *self.LISTEN)
        for word in ("dm0", "exists already"):
            self.assertIn(word, said)
        self.assert_ends_well(self.shell(f"printf hello | nc -N {OURS} {PORT}"))
        self.assertEqual(self.result_of(holder)["bytes"], 5)
        self.assert_nothing_left()

    def test_a_server_that_refuses_the_connection_is_named(self):
        said = self.refused(EXIT_FAILED, "-s", KERNELS, "-c", OURS, "--kernel-address",
                            KERNEL_ADDRESS, "-p", PORT, "--backend", "stack", "--quiet")
        self.assert_says(said, f"{in_url(KERNELS)}:{PORT}", "refused")


class RightsTest(RefusalCase):
    PROGRAMS = ("setpriv",)

    def test_a_machine_without_the_tap_driver_is_told_how_to_get_it(self):
        hide = ("unshare", "--mount", "--", "sh", "-c",
                'mount -t tmpfs none /dev/net && exec "$@"', "sh")
        self.assert_says(self.refused(EXIT_FAILED, *self.LISTEN, prefix=hide), "/dev/net/tun",
                         "modprobe tun")

    def test_a_user_who_may_not_open_the_tap_driver_is_told_what_to_do(self):
        # Where nobody may walk to the build folder, a copy can still be run.
        program = self.folder / "ncdevmem"
        shutil.copy(BIN / "ncdevmem", program)
        for path in (self.folder, program):
            path.chmod(0o755)
        said = self.refused(EXIT_FAILED, *self.LISTEN, prefix=NOBODY, program=program)
        self.assertTrue("/dev/net/tun" in said or "CAP_NET_ADMIN" in said, said)
        self.assert_says(said, "run as root")

    def test_without_the_right_to_load_programs_the_bpf_tier_is_refused(self):
        self.skip_if_anyone_may_load_programs()
        said = self.refused(EXIT_FAILED, *self.LISTEN, "--steering", "bpf",
                            prefix=without("bpf", "sys_admin"))
        self.assert_says(said, "CAP_BPF", "--steering auto")

    def test_without_the_right_to_load_programs_the_best_tier_is_auto_and_it_says_so(self):
        self.skip_if_anyone_may_load_programs()
        receiver = self.namespace.start_when_ready(
            *without("bpf", "sys_admin"), BIN / "ncdevmem", *self.LISTEN, "--json",
            "--steering", "best", stdout=subprocess.PIPE)
        self.assert_ends_well(self.shell(f"printf hello | nc -N {OURS} {PORT}"))
        result = self.result_of(receiver)
        self.assertEqual((result["steering"], result["bytes"]), ("auto", 5))
        self.assertIn("CAP_BPF", result["steering_note"])
        self.assert_account_is_settled(result)
        self.assert_nothing_left()

    def skip_if_anyone_may_load_programs(self):
        if pathlib.Path("/proc/sys/kernel/unprivileged_bpf_disabled").read_text().strip() == "0":
            self.skipTest("this kernel lets everyone load BPF programs "
                          "(kernel.unprivileged_bpf_disabled is 0)")


if __name__ == "__main__":
    unittest.main()
