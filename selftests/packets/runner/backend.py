# SPDX-License-Identifier: Apache-2.0
"""What a back end is: a TCP to test, with a clock, a way for packets in and out, and system calls.
kernel.py and plugin.py are the two that exist; the player knows only this."""

import dataclasses
import socket


class Unavailable(Exception):
    """Why a back end cannot be had on this machine."""


@dataclasses.dataclass
class Addresses:
    """Where the two ends are; ports are those of the first connection."""
    local: tuple
    remote: tuple

    @property
    def family(self):
        return socket.AF_INET6 if ":" in self.local[0] else socket.AF_INET


# The addresses that scripts of this language are used to.
DEFAULT_ADDRESSES = {
    "ipv4": Addresses(("192.168.0.1", 8080), ("192.0.2.1", 8080)),
    "ipv6": Addresses(("fd3d:a0b:17d6::1", 8080), ("2001:db8::1", 8080)),
}
FIRST_FAR_PORT = 40001  # Of connections that the script's far side opens.


class Backend:
    name = "?"
    is_virtual = False  # Whether its time stands still between two calls.
    early_us = 0  # How much too early, and too late, a packet may be seen.
    late_us = 0

    def now_us(self):
        """The script's clock."""
        raise NotImplementedError

    def wait_until(self, time_us):
        """Lets time pass; what the TCP sends meanwhile is kept for receive()."""
        raise NotImplementedError

    def inject(self, packet):
        """Gives the TCP one raw IP packet."""
        raise NotImplementedError

    def receive(self, deadline_us):
        """(packet, time) of the next one that it sent; None if there is none by `deadline_us`."""
        raise NotImplementedError

    def invoke(self, name, *arguments):
        """One system call; returns its result, and leaves errno in ctypes."""
        raise NotImplementedError

    def set_knob(self, name, value):
        """Sets a sysctl by its name below net.; returns whether the back end knows it."""
        raise NotImplementedError

    def close(self):
        """Ends every connection and gives everything back."""
