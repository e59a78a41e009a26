#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs devmemctl in the lab, on a stock kernel with virtual gVNICs: set up, bind, look, unbind, put
back. What it shows of queues and pools is held against a raw dump of the same guest, read here.

usage: lab_test.py SOURCES PROGRAMS [unittest arguments]      exit 77: there is no lab here"""

import json
import os
import re
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import netlink_reader  # pylint: disable=wrong-import-position

SKIPPED = 77
OBJECTS = {"netdev": "dev", "queue": "queue", "napi": "napi", "page-pool": "page-pool"}
sections = {}


def run_lab(sources, programs):
    return subprocess.run(
        [f"{sources}/tools/lab", "run", "--bin", programs, "--program", "devmemctl", "--program",
         "netlink_dump", "--timeout", "600", "--file", f"script={HERE}/lab_script", "--",
         "bash", "/lab/files/script"], capture_output=True, text=True, check=False)


def split(text):
    """Section to (what was printed, exit status)."""
    found = re.findall(r"^== (.*)\n((?:(?!== ).*\n)*?)status (\d+)$", text.replace("\r", ""), re.M)
    return {name: (printed, int(status)) for name, printed, status in found}


def order(objects):
    return sorted(objects, key=lambda one: json.dumps(one, sort_keys=True))


class LabTest(unittest.TestCase):
    def text(self, name, status=0):
        printed, got = sections[name]
        self.assertEqual(got, status, f"{name}: {printed}")
        return printed

    def json(self, name, status=0):
        return json.loads(self.text(name, status))

    def binding(self):
        return int(re.match("binding ([0-9]+): eth0 rx queues 2,3, ", self.text("bind"))[1])

    def compare(self, when):
        for what, judge in OBJECTS.items():
            shown = self.json(f"{when} {what} json")
            for one in shown:
                one.pop("ifname", None)
            raw = [bytes.fromhex(line) for line in self.text(f"{when} {what} raw").splitlines()]
            with self.subTest(what):
                self.assertEqual(order(shown), order(netlink_reader.read(judge, None, raw)))
                self.assertNotEqual(shown, [])

    def test_what_is_shown_is_what_an_independent_reader_sees(self):
        for when in ("plain", "bound", "unbound"):
            with self.subTest(when):
                self.compare(when)

    def test_the_doctor_finds_every_backend_usable(self):
        backends = self.json("doctor kernel")["backends"]
        self.assertEqual([one["name"] for one in backends if one["usable"]],
                         ["stack", "copy", "kernel", "zcrx"])
        self.assertIn(f"rx queue 2-3 bound: devmem {self.binding()}", self.text("doctor bound"))

    def test_a_dry_run_changes_nothing_and_restore_undoes_a_real_one(self):
        before = self.text("settings before")
        self.assertEqual(self.text("settings after dry"), before)
        self.assertIn("ethtool -G eth0 tcp-data-split on", self.text("setup dry"))
        self.assertTrue(self.json("setup")["applied"])
        self.assertNotEqual(self.text("settings set up"), before)
        self.assertIn("undone", self.text("restore"))
        self.assertEqual(self.text("settings restored"), before)
        self.assertEqual(self.json("restore again"), {"undone": [], "left": []})

    def test_queues_are_bound_until_their_holder_ends(self):
        binding = self.binding()
        bound = {one["id"]: one.get("dmabuf") for one in self.json("bound queue json")
                 if one["ifname"] == "eth0" and one["type"] == "rx"}
        self.assertEqual(bound, {0: None, 1: None, 2: binding, 3: binding})
        self.assertEqual(self.json("unbind")["queues"], [2, 3])
        self.assertEqual([one for one in self.json("unbound queue json") if "dmabuf" in one], [])
        pools = [one for one in self.json("stats")["pools"] if one.get("dmabuf") == binding]
        self.assertEqual([one["zombie"] for one in pools], [False, False])

    def test_refusals_tell_cause_and_fix(self):
        for name, cause in (("bind without setup", "ethtool -G eth0 tcp-data-split on"),
                            ("bind again", "bound"), ("bind queue 0", "queue 0"),
                            ("unbind again", f"binding {self.binding()}")):
            with self.subTest(name):
                error = self.json(name, 2)["error"]
                self.assertEqual(error["kind"], "refused")
                self.assertIn(cause, error["message"])

    def test_a_rule_is_added_listed_and_taken_away(self):
        added = self.json("rule add")
        self.assertEqual(self.json("rule list"), [added])
        self.assertEqual((added["queue"], added["rule"]),
                         (3, "tcp4 dst-ip 192.0.2.2 dst-port 5201 action 3"))
        self.assertEqual(self.text("rule del"), "")

    def test_the_monitor_saw_it_all(self):
        events = [json.loads(line) for line in self.text("events").splitlines()]
        kinds = {event["event"] for event in events}
        self.assertLessEqual({"rings-ntf", "features-ntf", "page-pool-add-ntf",
                              "page-pool-del-ntf"}, kinds)
        self.assertEqual({event["ifname"] for event in events}, {"eth0"})
        self.assertIn(self.binding(), {event["attributes"].get("dmabuf") for event in events})


def main():
    result = run_lab(sys.argv[1], sys.argv[2])
    if result.returncode == SKIPPED:
        print(result.stderr)
        return SKIPPED
    if os.environ.get("DEVMEMCTL_LAB_OUTPUT"):
        with open(os.environ["DEVMEMCTL_LAB_OUTPUT"], "w", encoding="utf-8") as kept:
            kept.write(result.stdout)
    sections.update(split(result.stdout))
    if "events" not in sections:
        print(result.stdout, result.stderr)
        return 1
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
    return 0


if __name__ == "__main__":
    sys.exit(main())
