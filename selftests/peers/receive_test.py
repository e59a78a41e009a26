# SPDX-License-Identifier: Apache-2.0
"""Ordinary programs send to ncdevmem, or serve what it fetches: the bytes that landed have the
hash of what was sent, the connection closes cleanly, and nothing stays behind."""

import hashlib
import re
import subprocess
import unittest

from peers_case import (BIN, IP_HEADER_BYTES, KERNELS, OURS, PORT, V6, WATCHDOG_S, PeerCase,
                        in_url)

SIZE = 32 << 20
ICMP_HEADER_BYTES = 8


class NetcatTest(PeerCase):
    PROGRAMS = ("nc",)

    def test_what_netcat_sends_lands_unchanged(self):
        path, sha256 = self.content(SIZE)
        receiver = self.start_receiver()
        sender = self.shell(f"exec nc -N {OURS} {PORT} <{path}")
        self.assert_ends_well(sender)
        self.assert_landed(self.result_of(receiver), SIZE, sha256)

    def test_the_auto_tier_receives_without_a_steering_program(self):
        path, sha256 = self.content(SIZE)
        receiver = self.start_receiver("--steering", "auto")
        sender = self.shell(f"exec nc -N {OURS} {PORT} <{path}")
        self.assert_ends_well(sender)
        result = self.result_of(receiver)
        self.assertEqual(result["steering"], "auto")
        self.assertIn("presteer_bytes", result)
        self.assert_landed(result, SIZE, sha256)

    def test_an_unsteered_connection_is_served_beside_a_steered_one(self):
        path, sha256 = self.content(SIZE)
        other, other_sha256 = self.content(1 << 20, seed=2)
        receiver = self.start_receiver("--unsteered-port", PORT + 1)
        unsteered = self.shell(f"exec nc -N {OURS} {PORT + 1} <{other}")
        self.assert_ends_well(unsteered)
        steered = self.shell(f"exec nc -N {OURS} {PORT} <{path}")
        self.assert_ends_well(steered)
        result = self.result_of(receiver)
        streams = {stream["bound"]: stream for stream in result["streams"]}
        self.assertEqual(streams[True]["sha256"], sha256)
        self.assertEqual(streams[False]["sha256"], other_sha256)
        self.assert_account_is_settled(result)


class SocatTest(PeerCase):
    PROGRAMS = ("socat",)

    def test_what_socat_sends_lands_unchanged(self):
        path, sha256 = self.content(SIZE)
        receiver = self.start_receiver()
        sender = self.namespace.start("socat", "-u", f"FILE:{path}", f"TCP:{in_url(OURS)}:{PORT}")
        self.assert_ends_well(sender)
        self.assert_landed(self.result_of(receiver), SIZE, sha256)


class CurlTest(PeerCase):
    PROGRAMS = ("curl",)
    REPLY = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

    def test_an_upload_by_curl_lands_behind_its_request(self):
        path, _ = self.content(SIZE)
        reply = self.folder / "reply"
        reply.write_bytes(self.REPLY)
        landed = self.folder / "landed"
        receiver = self.start_receiver("--reply", reply, "--reply-after", SIZE, "-o", landed)
        upload = self.namespace.start("curl", "-sS", "--fail", "-H", "Expect:", "-T", path,
                                      f"http://{in_url(OURS)}:{PORT}/upload", "-w", "%{http_code}",
                                      stdout=subprocess.PIPE)
        self.assert_ends_well(upload)
        self.assertEqual(upload.output, "201")
        result = self.result_of(receiver)
        request, body = landed.read_bytes().split(b"\r\n\r\n", 1)
        self.assertRegex(request, rb"^PUT /upload HTTP/1\.1\r\n")
        self.assertEqual(body, path.read_bytes())
        self.assert_landed(result, len(request) + 4 + SIZE,
                           hashlib.sha256(landed.read_bytes()).hexdigest())


class NginxTest(PeerCase):
    PROGRAMS = ("nginx",)
    SIZE = 100 * 1000 * 1000

    def start_nginx(self):
        configuration = self.folder / "nginx.conf"
        configuration.write_text(f"""
            daemon off;
            master_process off;
            user root;
            pid {self.folder}/nginx.pid;
            error_log {self.folder}/error.log;
            events {{}}
            http {{
              access_log off;
              client_body_temp_path {self.folder}/body;
              proxy_temp_path {self.folder}/proxy;
              fastcgi_temp_path {self.folder}/fastcgi;
              uwsgi_temp_path {self.folder}/uwsgi;
              scgi_temp_path {self.folder}/scgi;
              server {{ listen {in_url(KERNELS)}:80; root {self.folder}; sendfile on; }}
            }}""")
        # The address belongs to the TAP that ncdevmem has yet to make.
        self.namespace.sysctl(f"net.ipv{6 if V6 else 4}.ip_nonlocal_bind", 1)
        server = self.namespace.start("nginx", "-e", self.folder / "error.log", "-c", configuration,
                                      stderr=subprocess.PIPE)
        self.wait_until_listening(80)
        return server

    def test_a_hundred_megabytes_fetched_from_nginx_land_unchanged(self):
        path, sha256 = self.content(self.SIZE)
        server = self.start_nginx()
        request = self.folder / "request"
        request.write_text(f"GET /{path.name} HTTP/1.1\r\nHost: {in_url(KERNELS)}\r\n"
                           "Connection: close\r\n\r\n")
        landed = self.folder / "landed"
        client = self.start_client("--send", request, "-p", 80, "-o", landed)
        result = self.result_of(client)
        with open(landed, "rb") as stream:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                byte = stream.read(1)
                self.assertTrue(byte, "the reply has no end of header")
                head += byte
            self.assertRegex(head, rb"^HTTP/1\.1 200 OK\r\n")
            self.assertEqual(hashlib.file_digest(stream, "sha256").hexdigest(), sha256)
        self.assertEqual(result["bytes"], len(head) + self.SIZE)
        self.assert_account_is_settled(result)
        server.stop()
        self.assert_nothing_left()


class PingTest(PeerCase):
    PROGRAMS = ("ping", "nc")

    def test_pings_of_every_size_that_fits_a_frame_are_answered(self):
        receiver = self.start_receiver()
        for size in (0, 1, 56, 1000, 1500 - IP_HEADER_BYTES - ICMP_HEADER_BYTES):
            said = self.namespace.run("ping", "-q", "-c", 5, "-i", "0.01", "-W", 5, "-s", size,
                                      OURS).stdout
            self.assertIsNotNone(re.search(r"5 packets transmitted, 5 received", said), said)
        self.assert_ends_well(self.shell(f"echo end | nc -N {OURS} {PORT}"))
        self.assert_landed(self.result_of(receiver), 4, hashlib.sha256(b"end\n").hexdigest())

    def test_fragments_of_the_kernels_are_dropped_and_counted(self):
        receiver = self.start_receiver()
        self.assert_ends_well(self.namespace.start("ping", "-q", "-c", 1, "-W", 5, OURS,
                                                   stdout=subprocess.DEVNULL))
        said = self.namespace.run("ping", "-q", "-c", 3, "-i", "0.01", "-W", 1, "-s", 3000, OURS,
                                  check=False).stdout
        self.assertIsNotNone(re.search(r"3 packets transmitted, 0 received", said), said)
        self.assert_ends_well(self.shell(f"echo end | nc -N {OURS} {PORT}"))
        result = self.result_of(receiver)
        # Each ping is three packets, and none of them is a whole one.
        self.assertEqual(result["statistics"]["drop.fragment"], 9)
        self.assertEqual(result["statistics"]["echo_replies"], 1)
        self.assert_landed(result, 4, hashlib.sha256(b"end\n").hexdigest())


class BothFamiliesTest(PeerCase):
    PROGRAMS = ("nc",)
    ADDRESSES = ("192.0.2.2", "2001:db8::2")
    KERNEL = "192.0.2.1/24,2001:db8::1/64"

    def test_one_receiver_serves_both_families_at_once(self):
        contents = [self.content(8 << 20, seed) for seed in (1, 2)]
        receiver = self.namespace.start_when_ready(
            BIN / "ncdevmem", "-l", "-s", ",".join(self.ADDRESSES), "-p", PORT, "--kernel-address",
            self.KERNEL, "--sha256", "--json", "--quiet", "--count", 2, timeout_s=WATCHDOG_S,
            stdout=subprocess.PIPE)
        senders = [self.shell(f"exec nc -N {address} {PORT} <{path}")
                   for address, (path, _) in zip(self.ADDRESSES, contents)]
        self.assert_ends_well(*senders)
        result = self.result_of(receiver)
        landed = {stream["local"]: stream["sha256"] for stream in result["streams"]}
        self.assertEqual(landed, {f"{in_url(address)}:{PORT}": sha256
                                  for address, (_, sha256) in zip(self.ADDRESSES, contents)})
        self.assertEqual((result["net_iovs_leaked"], result["missteered_bytes"]), (0, 0))
        # Headers of two lengths: where the guess was too long, some payload took the other way.
        self.assertLessEqual(result["payload_bytes_bounced"], result["bytes"] // 1000)
        self.assert_nothing_left()


class ExtensionHeadersTest(PeerCase):
    # An ordinary TCP client whose kernel puts destination options in front of every segment.
    CLIENT = """
import socket, sys
pad = bytes([0, 1, 1, 12]) + bytes(12)  # 16 bytes: PadN.
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as to, open(sys.argv[3], "rb") as f:
    to.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS, pad)
    to.sendfile(f)
"""

    def test_segments_behind_extension_headers_are_steered_and_land(self):
        path, sha256 = self.content(SIZE)
        receiver = self.start_receiver()
        sender = self.namespace.start("python3", "-c", self.CLIENT, OURS, PORT, path)
        self.assert_ends_well(sender)
        result = self.result_of(receiver)
        self.assertGreater(result["statistics"]["steered_bytes"], SIZE * 99 // 100)
        self.assertEqual((result["bytes"], result["streams"][0]["sha256"]), (SIZE, sha256))
        self.assertEqual((result["net_iovs_leaked"], result["missteered_bytes"]), (0, 0))
        self.assert_nothing_left()


class StarvationTest(PeerCase):
    PROGRAMS = ("nc",)
    REGION = 128 << 10  # Two super-frames.

    def test_a_region_of_two_super_frames_and_a_slow_owner_still_get_every_byte(self):
        size = 8 << 20
        path, sha256 = self.content(size)
        receiver = self.start_receiver("--region-size", self.REGION, "--hold", self.REGION // 2)
        sender = self.shell(f"exec nc -N {OURS} {PORT} <{path}")
        self.assertEqual(sender.wait(WATCHDOG_S), 0)
        self.assert_landed(self.result_of(receiver), size, sha256)


if __name__ == "__main__":
    unittest.main()
