# SPDX-License-Identifier: Apache-2.0
"""The guest and programs of this machine, through a TAP in a network namespace of gvnicd's own: a
real nginx serves the guest, and what the guest sends arrives. Needs root."""

import contextlib
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import network
from scene import Boot, Skip, scene

NGINX_PORT, UPLOAD_PORT = 8080, 8081
FILE_BYTES = 16 << 20
HOST = Boot("host", nics=1, tap=f"gv0,address={network.PEER4}/24")

# What takes an upload: prints the hash of all that one connection brings.
TAKE_UPLOAD = f"""
import hashlib, socket
server = socket.create_server(("", {UPLOAD_PORT}))
print("ready", flush=True)
connection, _ = server.accept()
digest = hashlib.sha256()
while part := connection.recv(1 << 16):
    digest.update(part)
print(digest.hexdigest())
"""


@contextlib.contextmanager
def _in_network_of(lab, *argv, **options):
    """A program of this machine beside the TAP, until the end of the block."""
    if not shutil.which(argv[0]):
        raise Skip(f"{argv[0]} is not installed; tools/setup test")
    with subprocess.Popen(["nsenter", "-t", str(lab.nics.pid), "-n", *map(str, argv)],
                          **options) as process:
        try:
            yield process
        finally:
            process.terminate()


@contextlib.contextmanager
def _nginx(lab, folder):
    """nginx, which serves the folder `www` in `folder`."""
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in
                        ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    configuration = folder / "nginx.conf"
    configuration.write_text(f"""
        user root; daemon off; master_process off; pid {folder}/nginx.pid;
        events {{}}
        http {{ access_log off; sendfile on; {temporary}
                server {{ listen {NGINX_PORT}; root {folder}/www; }} }}
        """, encoding="utf-8")
    with _in_network_of(lab, "nginx", "-e", folder / "error.log", "-c", configuration):
        yield


def _fetch(lab):
    """The hash of the file as the guest gets it from nginx."""
    url = f"http://{network.PEER4}:{NGINX_PORT}/file"
    script = ("for turn in 1 2 3 4 5; do wget -q -O /tmp/file " + url + " && break; usleep 300000; "
              "done\nsha256sum /tmp/file | cut -d' ' -f1; rm -f /tmp/file")
    return lab.check(script, 120).strip()


def _counter(lab, name):
    return int(lab.check(f"ethtool -S eth0 | grep -E '^ *{name}:' | grep -oE '[0-9]+$'"))


@scene("a real nginx of this machine serves the guest over a TAP", boot=HOST, needs=())
def _(lab):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "www").mkdir()
        content = os.urandom(FILE_BYTES)
        (folder / "www/file").write_bytes(content)
        expected = hashlib.sha256(content).hexdigest()
        with _nginx(lab, folder):
            lab.expect(_fetch(lab) == expected, "the file arrives unchanged")
            lab.check("ethtool -K eth0 rx-gro-hw off")
            lab.expect(_fetch(lab) == expected, "it does without hardware GRO")
            lab.check("ethtool -G eth0 tcp-data-split on")
            lab.expect(_fetch(lab) == expected, "it does with headers apart")
    split = _counter(lab, "rx_hsplit_pkt")
    lab.notes["split_packets"] = split
    lab.expect(split > 1000, f"headers came apart, {split} times")
    errors = lab.check("grep -E '^Tcp:' /proc/net/snmp | tail -1 | cut -d' ' -f16").strip()
    lab.expect(errors == "0", f"no checksum is wrong, {errors} are")


@scene("what the guest sends over a TAP reaches this machine", boot=HOST, needs=())
def _(lab):
    with _in_network_of(lab, sys.executable, "-c", TAKE_UPLOAD, stdout=subprocess.PIPE,
                        text=True) as server:
        lab.expect(server.stdout.readline() == "ready\n", "the server listens")
        sent = lab.check("head -c 8388608 /dev/urandom > /tmp/up; "
                         f"nc {network.PEER4} {UPLOAD_PORT} < /tmp/up; "
                         "sha256sum /tmp/up | cut -d' ' -f1; rm /tmp/up", 120).strip()
        lab.expect(server.stdout.readline().strip() == sent, "the bytes arrive unchanged")
