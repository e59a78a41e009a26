# SPDX-License-Identifier: Apache-2.0
"""The guest talks to programs of this machine through a TAP: a real nginx serves it, and takes what
it sends. One boot for all tests. Run by ctest; needs root for a network namespace of its own,
nginx, and the lab's packages in the cache."""

import base64
import ctypes
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = os.environ.get("DEVMEM_BIN", str(ROOT / "build/debug/bin"))
CLONE_NEWNET = 0x40000000
LAB_SKIPS = 77
BOOT_SECONDS_MAX = 560

HOST = "192.0.2.1"
NGINX_PORT, UPLOAD_PORT = 8080, 8081
FILE_BYTES = 16 << 20
UPLOAD_BYTES = 6 << 20

# Prints one line per step: a name and what came of it.
GUEST_SCRIPT = f"""
fetch() {{ wget -q -O - http://{HOST}:{NGINX_PORT}/file | sha256sum | cut -d' ' -f1; }}
count() {{ ethtool -S eth0 | grep -E "^ *$1:" | grep -oE '[0-9]+$'; }}
echo "download $(fetch)"
ethtool -K eth0 rx-gro-hw off
echo "download-without-gro $(fetch)"
ethtool -G eth0 tcp-data-split on
echo "download-split $(fetch)"
echo "split-packets $(count rx_hsplit_pkt)"
wget -q -O - --post-file=/lab/files/upload http://{HOST}:{UPLOAD_PORT}/ > /dev/null
echo "checksum-errors $(grep -E '^Tcp:' /proc/net/snmp | tail -1 | cut -d' ' -f16)"
"""


class Uploads(BaseHTTPRequestHandler):
    """Hashes what is posted."""
    hashes = []

    def do_POST(self):
        digest = hashlib.sha256()
        left = int(self.headers["Content-Length"])
        while left:
            part = self.rfile.read(min(left, 1 << 16))
            if not part:
                break
            digest.update(part)
            left -= len(part)
        Uploads.hashes.append(digest.hexdigest())
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Says nothing."""


def enter_new_network():
    """This process and its children get a network of their own. The reason why not, or None."""
    if not shutil.which("nginx"):
        return "nginx is not installed; tools/setup test"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "needs /dev/net/tun, readable and writable"
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        return "needs root to make a network namespace"
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    return None


class GuestToHostTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        reason = enter_new_network()
        if reason:
            raise unittest.SkipTest(reason)
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        os.chmod(cls.folder, 0o755)
        content = os.urandom(FILE_BYTES)
        # Busybox posts a file as text: no byte of it may be zero.
        upload = base64.b64encode(content[:UPLOAD_BYTES])
        cls.hash = hashlib.sha256(content).hexdigest()
        cls.upload_hash = hashlib.sha256(upload).hexdigest()
        (cls.folder / "www").mkdir()
        (cls.folder / "www/file").write_bytes(content)
        (cls.folder / "upload").write_bytes(upload)
        cls.start_nginx()
        cls.start_upload_server()
        cls.results = cls.run_lab()
        cls.statistics = json.loads((cls.folder / "stats.json").read_text(encoding="utf-8"))

    @classmethod
    def start_nginx(cls):
        configuration = cls.folder / "nginx.conf"
        paths = "".join(f"{kind}_temp_path {cls.folder}/{kind};\n" for kind in
                        ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        configuration.write_text(f"""
            daemon off; master_process off; pid {cls.folder}/nginx.pid;
            events {{}}
            http {{ access_log off; sendfile on; {paths}
                    server {{ listen {NGINX_PORT}; root {cls.folder}/www; }} }}
            """, encoding="utf-8")
        server = subprocess.Popen(["nginx", "-e", cls.folder / "error.log", "-c", configuration])

        def end():
            server.terminate()
            server.wait(10)
        cls.addClassCleanup(end)

    @classmethod
    def start_upload_server(cls):
        server = ThreadingHTTPServer(("0.0.0.0", UPLOAD_PORT), Uploads)
        cls.addClassCleanup(server.server_close)
        cls.addClassCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever, daemon=True).start()

    @classmethod
    def run_lab(cls):
        """Boots a guest with one NIC on a TAP; what each step of its script printed."""
        command = [str(ROOT / "tools/lab"), "run", "--offline", "--quiet", "--bin", BIN,
                   "--nics", "1", "--tap", f"gv0,address={HOST}/24",
                   "--file", f"upload={cls.folder}/upload",
                   f"--gvnicd-option=--stats-json={cls.folder}/stats.json",
                   "--", "sh", "-c", GUEST_SCRIPT]
        done = subprocess.run(command, capture_output=True, text=True, timeout=BOOT_SECONDS_MAX,
                              check=False)
        if done.returncode == LAB_SKIPS:
            raise unittest.SkipTest(done.stderr.strip())
        if done.returncode:
            raise AssertionError(f"the lab ended with {done.returncode}:\n"
                                 f"{done.stdout}{done.stderr}")
        return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)

    def test_what_nginx_serves_arrives_unchanged(self):
        self.assertEqual(self.hash, self.results["download"])

    def test_it_arrives_unchanged_without_hardware_gro_too(self):
        self.assertEqual(self.hash, self.results["download-without-gro"])

    def test_it_arrives_unchanged_with_headers_apart(self):
        self.assertEqual(self.hash, self.results["download-split"])
        self.assertGreater(int(self.results["split-packets"]), 1000)

    def test_what_the_guest_sends_arrives_unchanged(self):
        self.assertEqual([self.upload_hash], Uploads.hashes)

    def test_super_frames_cross_the_tap_whole_in_both_directions(self):
        [link] = [link for link in self.statistics["links"] if link["kind"] == "tap"]
        self.assertGreater(link["from_host_super_frames"], 100)
        self.assertGreater(link["to_host_super_frames"], 100)
        self.assertEqual(0, link["drop_unreadable"])

    def test_no_checksum_was_wrong(self):
        [device] = self.statistics["devices"]
        self.assertEqual(0, device["counters"]["rx_checksum_errors"])
        self.assertEqual("0", self.results["checksum-errors"])


if __name__ == "__main__":
    unittest.main()
