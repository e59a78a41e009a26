# SPDX-License-Identifier: Apache-2.0
"""Peers of programs that are written on the public interface: two regions at once, a web server
under load, and the example of the tutorial."""

import re
import unittest

from peers_case import BIN, KERNEL_ADDRESS, LOOPBACK, OURS, PEERS, PORT, PeerCase, in_url


class TwoRegionsTest(PeerCase):
    PROGRAMS = ("nc",)

    def test_each_steered_stream_lands_in_its_own_region(self):
        contents = [self.content(16 << 20, seed) for seed in (1, 2, 3)]
        receiver = self.start_program(PEERS / "two_regions", OURS, KERNEL_ADDRESS)
        senders = [self.shell(f"exec nc -N {OURS} {PORT + index} <{path}")
                   for index, (path, _) in enumerate(contents)]
        self.assert_ends_well(*senders)
        result = self.result_of(receiver)
        streams = result["streams"]
        self.assertEqual([one["sha256"] for one in streams], [sha256 for _, sha256 in contents])
        self.assertEqual([one["queue"] for one in streams[:2]], [1, 2])
        self.assertEqual([one["foreign_frags"] for one in streams], [0, 0, 0])
        self.assertTrue(all(one["idle"] for one in streams) and result["host_idle"], result)
        self.assertEqual(result["missteered_bytes"], 0)
        self.assert_nothing_left()


class WebLoadTest(PeerCase):
    PROGRAMS = ("ab",)
    REQUESTS = 500

    def test_every_connection_of_a_load_tool_is_answered_and_closed(self):
        server = self.start_program(PEERS / "http_reply", self.REQUESTS, OURS, KERNEL_ADDRESS)
        load = self.namespace.run("ab", "-n", self.REQUESTS, "-c", 50,
                                  f"http://{in_url(OURS)}:8080/").stdout
        self.assertRegex(load, rf"Complete requests:\s+{self.REQUESTS}\n")
        self.assertRegex(load, r"Failed requests:\s+0\n")
        self.assertIsNone(re.search(r"Non-2xx", load), load)
        result = self.result_of(server)
        # ab opens a few connections more than it sends requests on, and closes them unused.
        self.assertEqual(result["answered"], self.REQUESTS)
        self.assertGreaterEqual(result["ended"], self.REQUESTS)
        self.assertTrue(result["idle"] and result["used"] == 0, result)
        self.assert_nothing_left()


class ExampleTest(PeerCase):
    PROGRAMS = ("nc",)
    SIZE = 4 << 20

    def landed_bytes(self, address, kernel_address):
        """Runs the example against netcat; returns the lengths of the frags that it prints."""
        path, _ = self.content(self.SIZE)
        example = self.start_program(BIN / "receive", address, PORT, kernel_address,
                                     greeting=f"listening on port {PORT}")
        self.assert_ends_well(self.shell(f"exec nc -N {address} {PORT} <{path}"), example)
        lines = example.output.splitlines()
        found = [re.fullmatch(r"region \d+ offset \d+ length (\d+) token \d+", line)
                 for line in lines]
        self.assertTrue(all(found), lines[:5])
        self.assert_nothing_left()
        return [int(match.group(1)) for match in found]

    def test_the_example_says_where_each_piece_landed(self):
        self.assertEqual(sum(self.landed_bytes(OURS, KERNEL_ADDRESS)), self.SIZE)

    def test_the_example_also_runs_over_the_copy_backend(self):
        self.assertEqual(sum(self.landed_bytes(LOOPBACK, "copy")), self.SIZE)


if __name__ == "__main__":
    unittest.main()
