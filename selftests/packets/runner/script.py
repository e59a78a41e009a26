# SPDX-License-Identifier: Apache-2.0
"""What a packet script says, as data: its options, its times and its events. The reader makes it,
the player plays it. Numbers of sequence and time are the script's own; times are microseconds."""

import dataclasses


class ScriptError(Exception):
    """What is wrong with a script or with what the TCP under test did, and in which line."""

    def __init__(self, line, message):
        super().__init__(message)
        self.line = line
        self.message = message


@dataclasses.dataclass
class Moment:
    """When an event is due. `start_us` is None for `*`: any time."""
    start_us: int | None
    relative: bool = False
    range_end_us: int | None = None  # `+0~+0.2`: up to here.
    range_relative: bool = False
    call_end_us: int | None = None  # `0.1...0.2`: a call that blocks until then.
    call_end_relative: bool = False


@dataclasses.dataclass
class TcpText:
    """A TCP segment in the script's numbers. None means that an outbound packet may have any."""
    flags: str = ""
    seq: int | None = 0
    payload_bytes: int = 0
    ack: int | None = None
    window: int | None = None
    urgent: int = 0
    options: list | None = None  # None: `<...>`, whatever they are.


@dataclasses.dataclass
class IcmpText:
    """An ICMP error about a segment of ours: its type and code by name, and what it quotes."""
    kind: str
    code: str
    mtu: int | None = None
    seq: int | None = None
    payload_bytes: int = 0


@dataclasses.dataclass
class Event:
    line: int
    text: str
    when: Moment


@dataclasses.dataclass
class PacketEvent(Event):
    inbound: bool = True
    ecn: int | None = None  # The two bits of the IP header; None: unsaid.
    port: int | None = None  # The far port, where a script has several connections.
    ttl: int | None = None
    tcp: TcpText | None = None
    icmp: IcmpText | None = None


@dataclasses.dataclass
class CallEvent(Event):
    name: str = ""
    arguments: list = dataclasses.field(default_factory=list)
    result: object = None  # An integer, or None for `?`.
    error: str | None = None  # The errno's name.

    @property
    def blocks(self):
        return self.when.call_end_us is not None


@dataclasses.dataclass
class CodeEvent(Event):
    code: str = ""


@dataclasses.dataclass
class ShellEvent(Event):
    command: str = ""


@dataclasses.dataclass
class Script:
    path: str
    options: dict
    events: list
    differs_from_linux: str | None = None  # The reason of a `// linux: differs because` line.
