# SPDX-License-Identifier: Apache-2.0
"""Streams over the virtual wire: the plain kernel first, then devmem TCP and zcrx over every MTU,
with and without HW-GRO, over both families and both kinds of region."""

import network
from scene import scene
from transfer import Stream

BACKENDS = ("kernel", "zcrx")
PROVIDERS = ("udmabuf", "dma-heap")
MTUS = (1500, 4200, 9000)


def _on_both(lab, for_eth0, for_eth1):
    lab.check(f"{for_eth0} && ip netns exec {network.PEER} {for_eth1}")


def _set(lab, mtu, gro):
    """The wire of one cell of the matrix; both ends alike."""
    _on_both(lab, f"ip link set eth0 mtu {mtu}", f"ip link set eth1 mtu {mtu}")
    _on_both(lab, f"ethtool -K eth0 rx-gro-hw {gro}", f"ethtool -K eth1 rx-gro-hw {gro}")
    lab.check(network.wait_for_carriers(2))


@scene("both NICs are driven by gve with the capabilities that devmem needs", quick=True,
       needs=())
def _(lab):
    for show in ("ethtool -i eth0", f"ip netns exec {network.PEER} ethtool -i eth1"):
        lab.expect("driver: gve" in lab.check(show), f"{show} names gve")
    lab.expect("TCP data split:\t\toff" in lab.check("ethtool -g eth0"), "header split is offered")
    lab.expect("ntuple-filters: off\n" in lab.check("ethtool -k eth0"), "rules are offered")


@scene("packets of every size cross the wire over both families", quick=True, needs=())
def _(lab):
    for address in (network.PEER4, network.PEER6):
        for size in (0, 1, 56, 1400, 8000, 20000):
            lab.check(f"ping -c 2 -i 0.1 -s {size} -W 10 {address}", 60)


@scene("a stream over the kernel's own sockets arrives whole", quick=True)
def _(lab):
    for family in (4, 6):
        lab.lands(Stream("copy", provider="memfd", family=family, stream_bytes=4 << 20))


def _register_receives(backend):
    for provider in PROVIDERS:
        @scene(f"{backend} receives 8 MiB into a {provider} region", quick=True)
        def _(lab, provider=provider):
            landed = lab.lands(Stream(backend, provider=provider))
            lab.notes["MB_per_s"] = round(landed.received_bytes / 1e6 / landed.seconds, 1)

    @scene(f"{backend} receives 8 MiB over IPv6", quick=True)
    def _(lab):
        lab.lands(Stream(backend, family=6))


def _merges(lab):
    """(packets, frames) that eth0's device has merged so far."""
    counters = lab.nics.command("stats")["statistics"]["devices"][0]["counters"]
    return counters["rx_rsc_packets"], counters["rx_rsc_frames"]


@scene("frames that arrive one by one are merged by HW-GRO, and by nothing without it")
def _(lab):
    on_peer = f"ip netns exec {network.PEER} ethtool -K eth1"
    lab.check(f"{on_peer} tso off gso off")
    try:
        for backend in BACKENDS:
            packets, frames = _merges(lab)
            lab.lands(Stream(backend))
            more_packets, more_frames = (after - before for after, before in
                                         zip(_merges(lab), (packets, frames)))
            lab.expect(more_packets > 0, f"{backend}: frames are merged")
            lab.notes[f"{backend}_frames_per_packet"] = round(more_frames / more_packets, 1)
        before = _merges(lab)
        lab.check("ethtool -K eth0 rx-gro-hw off")
        lab.lands(Stream("kernel"))
        lab.expect(_merges(lab) == before, "without HW-GRO nothing is merged")
    finally:
        lab.check(f"{on_peer} tso on gso on; ethtool -K eth0 rx-gro-hw on")


def _register_matrix(backend, mtu, gro):
    @scene(f"{backend} receives at MTU {mtu} with HW-GRO {gro}")
    def _(lab):
        _set(lab, mtu, gro)
        try:
            for family in (4, 6):
                lab.lands(Stream(backend, family=family))
        finally:
            _set(lab, 1500, "on")


for _backend in BACKENDS:
    _register_receives(_backend)
for _backend in BACKENDS:
    for _mtu in MTUS:
        for _gro in ("on", "off"):
            _register_matrix(_backend, _mtu, _gro)
