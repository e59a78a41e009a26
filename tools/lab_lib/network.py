# SPDX-License-Identifier: Apache-2.0
"""The guest's network: which interface has which addresses and where it lives. The second NIC lives
in a network namespace of its own, so that traffic between the two crosses the wire between the
devices and not the loopback. Called by session.py."""

import dataclasses

SERVER4, SERVER6 = "192.0.2.2", "2001:db8::2"
PEER4, PEER6 = "192.0.2.1", "2001:db8::1"
PEER = "peer"


@dataclasses.dataclass(frozen=True)
class Layout:
    """`nics` devices; the first is the server's, the second the peer's. With `tap`, the first one's
    other end is a TAP interface of the host in place of the second device."""
    nics: int
    mtu: int
    tap: str = ""

    def __str__(self):
        if not self.nics:
            return "no NIC"
        other = f"host interface {self.tap}" if self.tap else "each other" if self.nics > 1 else ""
        return f"{self.nics} gVNIC" + (f" wired to {other}" if other else "")

    def script(self):
        """Shell commands that the guest's init runs once the driver is loaded, and scenes when it
        was loaded again."""
        lines = []
        if self.nics > 0:
            lines += _interface("eth0", SERVER4, SERVER6, self.mtu, "")
        if self.nics > 1:
            lines += [f"[ -e /run/netns/{PEER} ] || ip netns add {PEER}",
                      f"ip -n {PEER} link set lo up",
                      f"ip link set eth1 netns {PEER}"]
            lines += _interface("eth1", PEER4, PEER6, self.mtu, f"-n {PEER} ")
        return "\n".join(lines) + "\n" + wait_for_carriers(self.nics)


def wait_for_carriers(nics):
    """Shell: waits until the links carry. The driver learns that from a work item, a moment after
    the interface was set up."""
    shows = ["ip link show eth0", f"ip -n {PEER} link show eth1"][:nics]
    return "".join(f"for turn in 1 2 3 4 5 6 7 8 9 10; do {show} | grep -q LOWER_UP && break; "
                   "usleep 200000; done\n" for show in shows)


def _interface(name, address4, address6, mtu, where):
    return [f"ip {where}link set {name} mtu {mtu}",
            f"ip {where}address add {address4}/24 dev {name}",
            f"ip {where}address add {address6}/64 dev {name} nodad",
            f"ip {where}link set {name} up"]
