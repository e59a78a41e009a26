# SPDX-License-Identifier: Apache-2.0
"""Each fault that gvnicd can inject, and what comes of it. The tables are the list of outcomes that
Documentation/lab.md prints: the text beside a fault is what the scene proves."""

import dataclasses
import json

import network
from common import LabError
from observe import nothing_is_left
from scene import ROUGH, Boot, scene
from scenes_lifecycle import BACKENDS, CTL, end_endless
from transfer import Landed, Stream

CRASH = Boot("crash")
# Long enough for a fault to strike while it flows, on a machine that has nothing else to do.
STREAM_BYTES = 64 << 20
AGAIN = "TCP sends them again; the stream is right and none of it is linear"


@dataclasses.dataclass(frozen=True)
class Fault:
    """`before` is told to eth0's device before the stream or, for one that strikes midway, while
    it flows; `after` some time later, to the device or (starting with a $) to the guest."""
    title: str
    before: str
    after: tuple = ()
    # Bytes may come by other queues, right and counted, until the driver has its rules again.
    may_be_linear: bool = False
    # The interface stands still afterwards, and what is told says so, until `after` is done.
    loses_link: bool = False


MIDWAY = (
    Fault(f"frames that cannot be split are dropped, {AGAIN}", "unsplittable count=10"),
    Fault(f"frames with the error bit are dropped, {AGAIN}", "rx-error count=10"),
    Fault("interrupts that come late make the stream slow and leave it right",
          "delay-interrupts count=30 ms=20"),
    Fault("a device out of buffers drops, and goes on when it has some",
          "withhold-buffers state=on", ("withhold-buffers state=off",)),
    Fault("a link that flaps pauses the stream", "link state=down", ("link state=up",)),
    Fault("a lost interrupt stalls its queue until the interface was down and up",
          "drop-interrupts count=2", ("clear", "$ip link set eth0 down; ip link set eth0 up")),
    Fault("a device that asks for a reset gets it, and the binding outlives it", "reset",
          may_be_linear=True),
)

# Where gve of Linux 7.2 looks for a header that is not there.
PANICS = ("eth_get_headlen", "dev_gro_receive")

# Commands of the admin queue that fail once while a session begins.
REFUSALS = (
    Fault("a queue that cannot be made anew refuses the binding and stays as it was",
          "fail-command opcode=create_rx_queue status=internal"),
    # gve_rx_queue_stop() of Linux 7.2 has turned every queue down before it asks the device, and
    # when that fails it returns without turning them up, for a reset that nobody begins.
    Fault("a queue that cannot be stopped refuses the binding, and the reason tells of the link "
          "that gve loses", "fail-command opcode=destroy_rx_queue status=internal",
          ("$ip link set dev eth0 down; ip link set dev eth0 up",), loses_link=True),
    Fault("a device without room for a rule refuses it",
          "fail-command opcode=configure_flow_rule status=exhausted"),
)


def _tell(lab, line):
    """Tells eth0's device; the word goes behind the verb."""
    verb, *rest = line.split(" ", 1)
    answer = lab.nics.command(" ".join([verb, "device=0", *rest]))
    lab.expect(answer.get("ok"), f"gvnicd takes '{line}': {answer.get('error')}")


def _start(lab, stream):
    """Starts the whole transfer in the background of the guest, and waits until data flows."""
    lab.check(f"cat >/run/{stream.tag}.sh <<'END'\n{stream.script()}\nEND\n"
              f"rm -f /run/{stream.tag}.status\n"
              "counter=/sys/class/net/eth0/statistics/rx_bytes\nstart=$(cat $counter)\n"
              f"(bash /run/{stream.tag}.sh >/run/{stream.tag}.out 2>&1; "
              f"echo $? >/run/{stream.tag}.status) >/dev/null 2>&1 &\n"
              "for turn in $(seq 300); do [ $(($(cat $counter) - start)) -gt 1000000 ] && exit 0\n"
              f"usleep 100000; done; cat /run/{stream.tag}.out; exit 1")


def _finish(lab, stream, seconds):
    """Waits for the end of what _start() began; returns (exit status, output)."""
    result = lab.run(f"for turn in $(seq {10 * seconds}); do [ -e /run/{stream.tag}.status ] && "
                     f"break; usleep 100000; done\ncat /run/{stream.tag}.status "
                     f"/run/{stream.tag}.out", seconds + 30)
    status, _, out = result.out.partition("\n")
    if not status.isdigit():
        end_endless(lab, stream, "KILL")
        raise LabError(f"the stream did not end within {seconds} s: {result.out[-400:]}"
                       f"{result.err[-400:]}")
    return int(status), out


def _carries(lab):
    return lab.check("cat /sys/class/net/eth0/carrier").strip() == "1"


def _calm(lab):
    """Takes every fault away and leaves a NIC that works."""
    for line in ("clear", "link state=up"):
        _tell(lab, line)
    lab.check(network.wait_for_carriers(2))
    nothing_is_left(lab)


def _midway(lab, backend, fault):
    """The stream is right although the fault strikes while it flows."""
    stream = Stream(backend, stream_bytes=STREAM_BYTES)
    _start(lab, stream)
    _tell(lab, fault.before)
    for step in fault.after:
        lab.run("usleep 1500000")
        if step.startswith("$"):
            lab.check(step[1:])
        else:
            _tell(lab, step)
    status, out = _finish(lab, stream, 120)
    lab.expect(status == 0 and "{" in out, f"the receiver ends well: {out[-300:]}")
    report = json.loads(out[out.index("{"):out.rindex("}") + 1])
    lab.expect(report["ok"], f"the stream is right: {report.get('error')}")
    linear_bytes = Landed(report, 1).linear_bytes
    lab.expect(fault.may_be_linear or linear_bytes == 0, f"none of it is linear: {linear_bytes}")


def _register_midway(backend, fault):
    @scene(f"{backend}: {fault.title}", needs=CTL, boot=ROUGH)
    def _(lab):
        try:
            _midway(lab, backend, fault)
        except LabError:
            for line in ("clear", "link state=up"):
                _tell(lab, line)
            raise
        _calm(lab)
        lab.receives_again(backend)


def _register_refusal(backend, fault):
    @scene(f"{backend}: {fault.title}", needs=CTL, boot=ROUGH)
    def _(lab):
        # With header split on already, the command that fails is one of the binding; gve that
        # fails while rings change takes the interface down.
        lab.check("ethtool -G eth0 tcp-data-split on")
        settings = "ethtool -g eth0; ethtool -x eth0; ethtool -k eth0 | grep ntuple"
        before = lab.check(settings)
        _tell(lab, fault.before)
        result = lab.run(Stream(backend).script())
        lab.expect(result.status == 1, f"the session is refused: {result.status} {result.out}"
                   f"{result.err[-600:]}")
        lab.expect(result.err.strip(), "the reason is told")
        lab.notes["said"] = result.err.strip().splitlines()[0][:100]
        told = "eth0 has had no link since" in result.err
        lab.expect(told == fault.loses_link, f"it tells what became of the link: {result.err}")
        lab.expect(_carries(lab) != fault.loses_link, "the link is as told")
        for step in fault.after:
            lab.check(step[1:])
        _calm(lab)
        lab.expect(_carries(lab), "the interface works again")
        now = lab.check(settings)
        changed = set(now.splitlines()) ^ set(before.splitlines())
        lab.expect(now == before, f"the NIC's settings are as before: {sorted(changed)}")
        lab.check("ethtool -G eth0 tcp-data-split off")
        lab.receives_again(backend)


for _backend in BACKENDS:
    for _fault in MIDWAY:
        _register_midway(_backend, _fault)
    for _fault in REFUSALS:
        _register_refusal(_backend, _fault)


@scene("kernel: a rule that times out makes the driver reset, and the NIC receives again",
       needs=CTL, boot=ROUGH)
def _(lab):
    _tell(lab, "fail-command opcode=configure_flow_rule status=deadline")
    result = lab.run(Stream("kernel").script())
    lab.notes["status"] = result.status
    _calm(lab)
    lab.receives_again("kernel")


@scene("kernel: a header that overflows panics gve of Linux 7.2, and gvnicd outlives the guest",
       needs=CTL, boot=CRASH)
def _(lab):
    # gve finds neither a header nor a readable payload in such a frame of a bound queue, and hands
    # no packet at all to GRO. Where a kernel has learned to drop it, the stream is right.
    try:
        _midway(lab, "kernel", Fault("", "header-overflow count=10"))
        lab.notes["outcome"] = "dropped"
    except LabError as error:
        places = [place for place in PANICS if place in str(error)]
        lab.expect(places, f"it is the panic that is known: {error}")
        lab.notes["outcome"] = f"panic in {places[0]}"
    lab.expect(lab.nics.command("stats")["ok"], "gvnicd answers")
