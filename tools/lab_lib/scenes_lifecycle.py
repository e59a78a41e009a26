# SPDX-License-Identifier: Apache-2.0
"""What happens to a binding when the world changes under it: the interface goes down, the device is
reset, the driver is unloaded, the owner is killed. Afterwards the queue is an ordinary one and the
kernel's own dump of page pools shows nothing left behind."""

import network
from common import LabError
from observe import nothing_is_left, queues_with_provider
from scene import PLAIN, ROUGH, Skip, scene
from transfer import Stream

BACKENDS = ("kernel", "zcrx")
CTL = ("ncdevmem", "dmsend", "devmemctl")
BIND_CYCLES = 100


def start_endless(lab, backend, provider="udmabuf"):
    """A receiver with a stream that flows until somebody ends it."""
    stream = Stream(backend, provider=provider, stream_bytes=1 << 40, port=5202)
    started = lab.run(f"{stream.start()}"
                      f"[ $ready = 0 ] || {{ cat /run/{stream.tag}.err; exit 1; }}\n"
                      f"({stream.sender()} >/run/{stream.tag}.sent 2>&1 &)\n", 60)
    if started.status:
        raise LabError(f"the receiver did not start: {started.out}{started.err}")
    lab.check(f"for turn in 1 2 3 4 5 6 7 8 9 10; do kill -0 $(cat /run/{stream.tag}.pid) && "
              "usleep 100000; done")
    return stream


def end_endless(lab, stream, signal="TERM"):
    """Ends the receiver and its sender; returns what the receiver said last."""
    lab.run(f"kill -{signal} $(cat /run/{stream.tag}.pid); usleep 300000; killall -q dmsend")
    lab.run(f"for turn in $(seq 100); do kill -0 $(cat /run/{stream.tag}.pid) 2>/dev/null || "
            "break; usleep 100000; done")
    return lab.run(f"cat /run/{stream.tag}.json /run/{stream.tag}.err").out


def _register(backend):
    @scene(f"{backend}: an owner that is killed leaves an ordinary queue and nothing behind",
           needs=CTL, quick=True)
    def _(lab):
        stream = start_endless(lab, backend)
        lab.expect(queues_with_provider(lab), "the queue is bound while the owner lives")
        end_endless(lab, stream, "KILL")
        lab.check("devmemctl restore eth0")
        nothing_is_left(lab)
        lab.receives_again(backend)

    @scene(f"{backend}: an interface that goes down and up while bound receives again", needs=CTL)
    def _(lab):
        stream = start_endless(lab, backend)
        lab.check("ip link set eth0 down && usleep 300000 && ip link set eth0 up")
        lab.check(network.wait_for_carriers(2))
        lab.expect(queues_with_provider(lab), "the binding outlives the interface's rest")
        lab.notes["end"] = end_endless(lab, stream)[-200:].strip()[:60]
        nothing_is_left(lab)
        lab.receives_again(backend)

    @scene(f"{backend}: a device that is reset while bound receives again", needs=CTL)
    def _(lab):
        stream = start_endless(lab, backend)
        lab.run("ethtool --reset eth0 all")
        lab.check(network.wait_for_carriers(2))
        end_endless(lab, stream)
        nothing_is_left(lab)
        lab.receives_again(backend)

    @scene(f"{backend}: {BIND_CYCLES} bindings one after another leave nothing behind", needs=CTL)
    def _(lab):
        for cycle in range(BIND_CYCLES):
            stream = Stream(backend, port=5203)
            result = lab.run(f"{stream.start()}kill $receiver; wait $receiver; [ $ready = 0 ] || "
                             f"{{ cat /run/{stream.tag}.err >&2; exit 9; }}", 60)
            lab.expect(result.status in (0, 130, 143),
                       f"cycle {cycle} binds: {result.status} {result.err[-400:]}")
        nothing_is_left(lab)
        lab.receives_again(backend)

    @scene(f"{backend}: queue 0 is refused with the reason", needs=CTL)
    def _(lab):
        stream = Stream(backend, queue=0)
        result = lab.run(stream.script())
        lab.expect(result.status == 1, f"status 1, not {result.status}")
        lab.expect("queue 0" in result.err, f"it names queue 0: {result.err}")
        nothing_is_left(lab)

    @scene(f"{backend}: a driver that is unloaded while bound comes back as new", boot=ROUGH,
           needs=CTL)
    def _(lab):
        stream = start_endless(lab, backend)
        lab.check("rmmod gve", 120)
        last = end_endless(lab, stream)
        lab.notes["owner"] = last.strip()[-80:].replace("\n", " ")
        lab.check("devmemctl restore eth0")
        lab.check("modprobe gve")
        lab.check(network.Layout(2, 1500).script())
        nothing_is_left(lab)
        lab.receives_again(backend)


for _backend in BACKENDS:
    _register(_backend)


@scene("what another program has set is as it was after a session", needs=CTL)
def _(lab):
    lab.check("ethtool -K eth0 ntuple on && ethtool -X eth0 weight 1 1 0 1 && "
              "ethtool -N eth0 flow-type tcp4 dst-port 9999 action 2")
    shows = "ethtool -x eth0; ethtool -n eth0; ethtool -g eth0; ethtool -k eth0 | grep ntuple"
    before = lab.check(shows)
    lab.lands(Stream("kernel"))
    lab.expect(lab.check(shows) == before, "rings, rules, RSS and features are as before")
    lab.check("ethtool -N eth0 delete $(ethtool -n eth0 | sed -n 's/^Filter: //p') && "
              "ethtool -X eth0 default && ethtool -K eth0 ntuple off")


@scene("devmemctl doctor says what this guest can do", needs=("devmemctl",), boot=PLAIN)
def _(lab):
    result = lab.run("devmemctl doctor")
    if "unknown" in result.err:
        raise Skip("this devmemctl has no doctor")
    lab.expect(result.out, f"it says something: {result.err}")
