# SPDX-License-Identifier: Apache-2.0
"""What the Python tests of devmemctl share: running it, and a network namespace of their own."""

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import sys
import unittest

INSIDE = "DEVMEMCTL_TEST_INSIDE"
SIOCETHTOOL, ETHTOOL_SGRO = 0x8946, 0x2C
SKIPPED = 77

DEVMEMCTL = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else None


def switch_gro(device, on):
    """By ioctl, so that no ethtool is needed; the kernel announces the change."""
    value = ctypes.create_string_buffer(struct.pack("II", ETHTOOL_SGRO, int(on)))
    request = struct.pack("16sP16x", device.encode(), ctypes.addressof(value))
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCETHTOOL, request)


def ip(command):
    subprocess.run(["ip", *command.split()], check=True)


def run(*arguments, **options):
    return subprocess.run([DEVMEMCTL, *arguments], capture_output=True, text=True, check=False,
                          **options)


def main():
    """Runs the tests of the calling module inside a network namespace that dies with them."""
    if INSIDE not in os.environ:
        isolate = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-Urn"]
        if subprocess.run([*isolate, "true"], capture_output=True, check=False).returncode != 0:
            print("skipped: network namespaces are not allowed here")
            return SKIPPED
        os.environ[INSIDE] = "1"
        os.execvp(isolate[0], [*isolate, sys.executable, *sys.argv])
    unittest.main(module="__main__", argv=[sys.argv[0], *sys.argv[2:]])
    return 0
