# SPDX-License-Identifier: Apache-2.0
"""A path with a hop that is narrower than both ends: the router's ICMP says so (RFC 1191, RFC
8201), and what devmem sends gets through in smaller packets.

      far                        the namespace of every test
      (veth0, MTU 1500)  ---  (hop, MTU 1400 or 1300)  routes  (dm0, MTU 1500)  ---  ncdevmem

The far end's own MTU is 1500, so its MSS says nothing of the hop."""

import subprocess
import unittest

from peers_case import KERNELS, OURS, PORT, V6, WATCHDOG_S, PeerCase, netns

FAR, HOP, PREFIX_BITS = ("2001:db8:5::2", "2001:db8:5::1", 64) if V6 else (
    "198.18.5.2", "198.18.5.1", 24)
HOP_MTU = 1300 if V6 else 1400
REPLY_BYTES = 1 << 20
NODAD = ("nodad",) if V6 else ()


class PathMtuTest(PeerCase):
    PROGRAMS = ("nc",)

    def setUp(self):
        super().setUp()
        self.far = netns.Namespace()
        self.addCleanup(self.far.close)
        self.namespace.run("ip", "link", "add", "hop", "type", "veth", "peer", "name", "veth0",
                           "netns", str(self.far.pid))
        self.namespace.sysctl("net.ipv6.conf.all.forwarding" if V6 else "net.ipv4.ip_forward", 1)
        for namespace, device, address, mtu in ((self.far, "veth0", FAR, 1500),
                                                (self.namespace, "hop", HOP, HOP_MTU)):
            namespace.run("ip", "link", "set", device, "mtu", mtu, "up")
            namespace.run("ip", "address", "add", f"{address}/{PREFIX_BITS}", "dev", device, *NODAD)
        self.far.run("ip", "route", "add", "default", "via", HOP)

    def test_a_reply_through_a_narrow_hop_arrives_whole(self):
        reply, _ = self.content(REPLY_BYTES)
        receiver = self.start_receiver("--reply", reply, "--gateway", KERNELS)
        client = self.far.start("sh", "-c", f"printf x | nc -N {OURS} {PORT}",
                                stdout=subprocess.PIPE)
        got = self.read_all(client)
        self.assertEqual(len(got), REPLY_BYTES)
        self.assertEqual(got, reply.read_bytes())
        result = self.result_of(receiver)
        self.assertEqual(result["bytes"], 1)
        self.assertGreaterEqual(result["statistics"]["icmp_too_big"], 1)
        self.assertGreaterEqual(result["statistics"]["tcp.icmp_mtu_lowered"], 1)
        self.assert_account_is_settled(result)
        self.namespace.run("ip", "link", "del", "hop")
        self.assert_nothing_left()

    def read_all(self, process):
        output, _ = process.popen.communicate(timeout=WATCHDOG_S)
        self.assertEqual(process.popen.returncode, 0)
        return output


if __name__ == "__main__":
    unittest.main()
