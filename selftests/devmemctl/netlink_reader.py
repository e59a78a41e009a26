#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads the kernel's netdev family with nothing but a socket: the judge of what devmemctl shows.

It shares no code with devmem, on purpose. Attribute numbers and names are those of the kernel's
Documentation/netlink/specs/netdev.yaml. Prints a dump as JSON, objects and keys in a fixed order.

usage: netlink_reader.py dev|queue|napi|page-pool [DEVICE]"""

import json
import socket
import struct
import sys

GENERIC, CONTROL_FAMILY, GET_FAMILY = 16, 16, 3
REQUEST, DUMP, ERROR, DONE = 0x1, 0x300, 2, 3
FAMILY_ID, FAMILY_NAME = 1, 2

UINT, PROVIDER, LEASE, EMPTY = "uint", "provider", "lease", "empty"
TYPE, THREADED = "type", "threaded"
# A set of bits is told by the names of those that are set.
XDP = ["basic", "redirect", "ndo-xmit", "xsk-zerocopy", "hw-offload", "rx-sg", "ndo-xmit-sg"]
METADATA = ["timestamp", "hash", "vlan-tag"]
XSK = ["tx-timestamp", "tx-checksum", "tx-launch-time-fifo"]

# Command of the dump, and what each attribute is.
DUMPS = {
    "dev": (1, {1: ("ifindex", UINT), 3: ("xdp-features", XDP), 4: ("xdp-zc-max-segs", UINT),
                5: ("xdp-rx-metadata-features", METADATA), 6: ("xsk-features", XSK)}),
    "page-pool": (5, {1: ("id", UINT), 2: ("ifindex", UINT), 3: ("napi-id", UINT),
                      4: ("inflight", UINT), 5: ("inflight-mem", UINT), 6: ("detach-time", UINT),
                      7: ("dmabuf", UINT), 8: ("io-uring", PROVIDER)}),
    "queue": (10, {1: ("id", UINT), 2: ("ifindex", UINT), 3: ("type", TYPE),
                   4: ("napi-id", UINT), 5: ("dmabuf", UINT), 6: ("io-uring", PROVIDER),
                   7: ("xsk", EMPTY), 8: ("lease", LEASE)}),
    "napi": (11, {1: ("ifindex", UINT), 2: ("id", UINT), 3: ("irq", UINT), 4: ("pid", UINT),
                  5: ("defer-hard-irqs", UINT), 6: ("gro-flush-timeout", UINT),
                  7: ("irq-suspend-timeout", UINT), 8: ("threaded", THREADED)}),
}


def attributes(data):
    """Yields (type, payload), the flags of nests and byte order taken off."""
    while len(data) >= 4:
        length, kind = struct.unpack_from("HH", data)
        if length < 4:
            return
        yield kind & 0x3FFF, data[4:length]
        data = data[(length + 3) & ~3:]


def number(payload):
    return int.from_bytes(payload, sys.byteorder)


def decode(kind, payload):
    if kind == TYPE:
        return ["rx", "tx"][number(payload)]
    if kind == THREADED:
        return ["disabled", "enabled", "busy-poll"][number(payload)]
    if isinstance(kind, list):
        return [kind[bit] for bit in range(64) if number(payload) >> bit & 1]
    if kind == PROVIDER:
        return {"rx-buf-len": number(value) for key, value in attributes(payload) if key == 1}
    if kind == EMPTY:
        return {}
    if kind == LEASE:
        lease = {}
        for key, value in attributes(payload):
            if key == 2:
                queue = dict(attributes(value))
                lease["queue"] = {"id": number(queue[1]), "type": decode(TYPE, queue[3])}
            else:
                lease[{1: "ifindex", 3: "netns-id"}[key]] = number(value)
        return lease
    return number(payload)


class Netlink:
    def __init__(self):
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, GENERIC)
        self.socket.bind((0, 0))
        self.sequence = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def ask(self, family, command, payload=b"", dump=False):
        """The payloads of all answers, behind their generic headers."""
        self.sequence += 1
        body = struct.pack("BBH", command, 1, 0) + payload
        flags = REQUEST | (DUMP if dump else 0)
        self.socket.send(struct.pack("IHHII", 16 + len(body), family, flags, self.sequence, 0) +
                         body)
        answers = []
        while True:
            data = self.socket.recv(1 << 20)
            while data:
                length, kind, _, _, _ = struct.unpack_from("IHHII", data)
                if kind == ERROR:
                    code = -struct.unpack_from("i", data, 16)[0]
                    raise OSError(code, f"the kernel refused command {command}")
                if kind == DONE:
                    return answers
                answers.append(data[20:length])
                data = data[(length + 3) & ~3:]
            if not dump:
                return answers

    def family(self, name):
        text = name.encode() + b"\0"
        request = struct.pack("HH", 4 + len(text), FAMILY_NAME) + text + b"\0" * (-len(text) % 4)
        answer = self.ask(CONTROL_FAMILY, GET_FAMILY, request)[0]
        return number(dict(attributes(answer))[FAMILY_ID])


def dump(what):
    with Netlink() as netlink:
        return netlink.ask(netlink.family("netdev"), DUMPS[what][0], dump=True)


def read(what, device=None, answers=None):
    """A dump as objects; of `answers` in place of this machine's kernel."""
    names = DUMPS[what][1]
    objects = []
    for answer in dump(what) if answers is None else answers:
        found = {}
        for key, payload in attributes(answer):
            if key in names:
                name, kind = names[key]
                found[name] = decode(kind, payload)
        if device is None or found.get("ifindex") == socket.if_nametoindex(device):
            objects.append(found)
    return objects


if __name__ == "__main__":
    json.dump(read(*sys.argv[1:]), sys.stdout, indent=4)
    print()
