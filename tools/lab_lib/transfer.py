# SPDX-License-Identifier: Apache-2.0
"""One stream through the guest: ncdevmem on eth0 receives, dmsend in the peer's namespace sends
what both can check. Called by the demo and by the scenes of the tests."""

import dataclasses
import json
import re

import network
from common import LabError

READY_SECONDS = 30


@dataclasses.dataclass(frozen=True)
class Stream:
    """What to receive and how. `extra` are more words for ncdevmem; with `sha256` the stream is
    hashed where it landed, without it each byte is compared with what must stand there."""
    backend: str
    provider: str = "udmabuf"
    stream_bytes: int = 8 << 20
    family: int = 4
    port: int = 5201
    queue: int = 1
    region_bytes: int = 16 << 20
    sha256: bool = False
    seed: int = 1
    seconds_max: int = 120
    extra: str = ""

    @property
    def address(self):
        return network.SERVER4 if self.family == 4 else network.SERVER6

    @property
    def tag(self):
        return f"{self.backend}-{self.port}"

    def receiver(self):
        """The command line of the receiver."""
        device = "" if self.backend == "copy" else f"-f eth0 -t {self.queue} -q 1"
        check = "--sha256" if self.sha256 else f"--validate demo-block:{self.seed}"
        return (f"ncdevmem -l -s {self.address} -p {self.port} --backend {self.backend} {device} "
                f"--provider {self.provider} --region-size {self.region_bytes} {check} --json "
                f"--quiet --ready-fd 5 {self.extra}")

    def sender(self):
        return (f"ip netns exec {network.PEER} dmsend --to {self.address} --port {self.port} "
                f"--bytes {self.stream_bytes} --send-pattern demo-block:{self.seed}")

    def start(self):
        """Shell: starts the receiver in the background and returns when it listens; leaves its
        process id in $receiver and in a file."""
        tag = self.tag
        return (f"rm -f /run/{tag}.ready; mkfifo /run/{tag}.ready\n"
                f"{self.receiver()} 5>/run/{tag}.ready >/run/{tag}.json 2>/run/{tag}.err &\n"
                f"receiver=$!; echo $receiver >/run/{tag}.pid\n"
                f"read -r -N 1 -t {READY_SECONDS} word </run/{tag}.ready; ready=$?\n")

    def script(self):
        """Shell: the whole transfer; its output is the receiver's JSON object. Nothing is sent to
        a receiver that was refused: to connect to a NIC that a fault has silenced takes longer
        than anybody waits."""
        tag = self.tag
        return (f"{self.start()}sent=0\n"
                f"[ $ready != 0 ] || {{ {self.sender()} >/run/{tag}.sent 2>&1; sent=$?; }}\n"
                f"wait $receiver; status=$?\n"
                f"cat /run/{tag}.json; cat /run/{tag}.err >&2\n"
                f"[ $sent = 0 ] || cat /run/{tag}.sent >&2\n"
                "exit $status\n")


@dataclasses.dataclass(frozen=True)
class Landed:
    """What the receiver said about a stream."""
    report: dict
    seconds: float

    @property
    def received_bytes(self):
        return self.report.get("bytes", 0)

    @property
    def linear_bytes(self):
        """Payload that came through host memory although a region was bound."""
        return max(self.report.get("payload_bytes_bounced", 0),
                   self.report.get("statistics", {}).get("linear_bytes", 0))

    @property
    def dma_share(self):
        """Of the payload, how much the device itself wrote into the region; 0 to 1."""
        if not self.received_bytes:
            return 0.0
        return 1 - self.linear_bytes / self.received_bytes

    @property
    def tokens_out(self):
        return self.report.get("tokens_issued", 0) - self.report.get("tokens_returned", 0)


def transfer(guest, stream):
    """Carries a stream and returns what Landed. Raises LabError with the receiver's words."""
    result = guest.run(stream.script(), stream.seconds_max)
    match = re.search(r"^\{.*", result.out, re.MULTILINE | re.DOTALL)
    if result.status or not match:
        raise LabError(f"receiving by {stream.backend} ended with {result.status}:\n"
                       f"{result.err[-1500:] or result.out[-500:]}")
    landed = Landed(json.loads(match.group(0)), result.seconds)
    if landed.received_bytes != stream.stream_bytes:
        raise LabError(f"{landed.received_bytes} of {stream.stream_bytes} bytes arrived by "
                       f"{stream.backend}")
    return landed
