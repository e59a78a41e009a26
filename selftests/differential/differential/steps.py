# SPDX-License-Identifier: Apache-2.0
"""A seeded stream of things that happen to a connection: segments, valid and odd, and calls of the
user. A step names stream positions, not sequence numbers, and does not depend on what was answered,
so any subset of a seed's steps can be played: that is what shrinking needs."""

import dataclasses
import random

STREAM_BYTES_MAX = 45_000  # Below the first window of both sides, so that no step meets its edge.
STEPS_MAX = 48
FAR_BYTES = 50_000_000  # Beyond any window.
CALLS = ("read", "write", "shutdown")  # Steps of the user; all others are segments.


@dataclasses.dataclass(frozen=True)
class Step:
    """`kind` says what it is for, and the table of accepted differences goes by it. Positions count
    stream bytes from 0; `ack` is relative to all that the side under test has sent."""
    kind: str
    flags: str = "."
    position: int = 0
    length: int = 0
    ack: int = 0
    window: int = 500
    urgent: int = 0
    stamp: int | None = None  # Against the connection's clock of timestamps; None: no option.
    sack: tuple = ()
    junk_options: tuple = ()
    count: int = 0  # Bytes to read or to write.
    at_edge: bool = False  # The position counts from the right edge that the side has announced.

    def text(self):
        if self.kind in CALLS:
            return f"{self.kind}({self.count or ''})"
        words = [f"{self.kind:22} < {self.flags} {'edge+' * self.at_edge}"
                 f"{self.position}:{self.position + self.length}({self.length})"]
        words += [f"ack snd_nxt{self.ack:+d}"] if self.ack else []
        words += [f"urg {self.urgent}"] if self.urgent else []
        words += ["no TS"] if self.stamp is None else [f"TS {self.stamp:+d}"] if self.stamp else []
        words += [f"sack {self.sack}"] if self.sack else []
        return " ".join(words + [str(option) for option in self.junk_options])


@dataclasses.dataclass(frozen=True)
class Setup:
    """What the two SYNs agree on, and where the numbers begin."""
    seed: int
    version: str
    sack: bool
    stamps: bool
    scale: int | None
    mss: int
    isn: int

    def text(self):
        options = [f"mss {self.mss}"] + ["sackOK"] * self.sack + ["TS"] * self.stamps + \
            [f"wscale {self.scale}"] * (self.scale is not None)
        return f"{self.version}, {', '.join(options)}, isn {self.isn}"


class _Maker:
    """Makes the steps of one seed. Follows a model of what a receiver has, only to choose positions
    that are interesting: near what is next, within holes, around what was queued."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.steps = []
        self._have = []  # Ranges that were sent, sorted and disjoint.
        self._is_shut = False
        chance = self.random.random
        self.setup = Setup(seed, "ipv6" if chance() < 0.25 else "ipv4", chance() < 0.75,
                           chance() < 0.5, 7 if chance() < 0.6 else None,
                           self.random.choice((536, 1000, 1400)),
                           self.random.choice((0, 1, 2**31 - 10_000, 2**32 - 10_000,
                                               self.random.getrandbits(32))))

    def next(self):
        """Where the receiver must be."""
        return self._have[0][1] if self._have and self._have[0][0] == 0 else 0

    def _note(self, start, end):
        merged = []
        for left, right in self._have:
            if right < start or end < left:
                merged.append((left, right))
            else:
                start, end = min(start, left), max(end, right)
        self._have = sorted(merged + [(start, end)])

    def _length(self):
        kind = self.random.random()
        if kind < 0.15:
            return 1
        if kind < 0.4:
            return self.random.randint(2, 100)
        if kind < 0.8:
            return self.random.randint(100, 1000)
        return self.random.choice((536, 1000, 1400))

    def _add(self, kind, **fields):
        stamp = (0 if self.setup.stamps else None) if "stamp" not in fields else fields.pop("stamp")
        self.steps.append(Step(kind, stamp=stamp, **fields))

    def _data(self, kind, position, length, flags="P.", **fields):
        position = max(0, min(position, STREAM_BYTES_MAX - length))
        self._note(position, position + length)
        self._add(kind, flags=flags, position=position, length=length, **fields)

    def in_order(self):
        self._data("in order", self.next(), self._length())

    def ahead(self):
        self._data("ahead", self.next() + self.random.randint(1, 8000), self._length())

    def duplicate(self):
        if not self._have:
            return self.in_order()
        left, right = self.random.choice(self._have)
        start = self.random.randint(left, right - 1)
        return self._data("duplicate", start, min(self._length(), right - start))

    def overlap(self):
        if not self._have:
            return self.ahead()
        edge = self.random.choice(self.random.choice(self._have))
        return self._data("overlap", edge - self.random.randint(1, 700), self._length())

    def around(self):
        """A segment that begins before a queued range and ends behind it."""
        left, right = self.random.choice(self._have or [(0, 1)])
        if right - left > 1200:
            return self.overlap()
        start = left - self.random.randint(0, 100)
        return self._data("overlap", start,
                          min(right - start + self.random.randint(0, 100), 1400))

    def fill(self):
        """Exactly the first hole, or as much of it as a segment holds."""
        if len(self._have) < 2:
            return self.ahead()
        return self._data("fill", self.next(), min(self._have[1][0] - self.next(), 1400)
                          if self._have[0][0] == 0 else min(self._have[0][0], 1400))

    def beyond_window(self):
        self._add("beyond window", flags="P.", position=self.next() + FAR_BYTES,
                  length=self._length())

    def probe(self):
        self._add("probe", position=self.next() - self.random.choice((1, 1, 2, 500)))

    def bare_ack(self):
        self._add("bare ack", position=self.next(), window=self.random.choice((500, 400, 65535)))

    def old_ack(self):
        self._add("old ack", position=self.next(), ack=-self.random.randint(1, 50), stamp=None)

    def future_ack(self):
        self._add("future ack", flags="P.", position=self.next(), length=self._length(),
                  ack=self.random.choice((1, 1000, 2**30)))

    def ancient_ack(self):
        # Another window than the last one: where it is the same, Linux's header prediction takes
        # data before it looks at the ACK.
        self._add("ancient ack", flags="P.", position=self.next(), length=self._length(),
                  ack=-self.random.choice((10_000_000, 2**30)), window=77)

    def no_ack_bit(self):
        self._add("no ack bit", flags="P", position=self.next(), length=self._length())

    def stale_stamp(self):
        if not self.setup.stamps:
            return self.bare_ack()
        return self._add("stale stamp", flags="P.", position=self.next(), length=self._length(),
                         stamp=-self.random.choice((1, 500, 2**30)))

    def no_stamp(self):
        self._data("no stamp", self.next(), self._length(), stamp=None)

    def sack_nonsense(self):
        number = self.random.getrandbits
        blocks = tuple((number(32), number(32)) for _ in range(self.random.randint(1, 2)))
        self._add("sack nonsense", position=self.next(), sack=blocks)

    def junk_options(self):
        junk = self.random.choice(((("raw", b"\xfd\x04\xab\xcd"),), (("nop",),) * 4,
                                   (("raw", b"\x02\x04\x00\x01"),), (("raw", b"\x13\x00\x00\x00"),),
                                   (("raw", b"\x1e\xff"), ("nop",), ("nop",))))
        self._data("junk options", self.next(), self._length(), junk_options=junk)

    def urgent(self):
        self._data("urgent", self.next(), self._length(), flags="PU.",
                   urgent=self.random.choice((0, 1, 100, 65535)))

    def syn_inside(self):
        self._add("syn inside", flags=self.random.choice(("S", "S.", "SF")),
                  position=self.next() + self.random.choice((-500, -1, 0, 1, 30_000)))

    def blind_reset(self):
        self._add("blind reset", flags=self.random.choice(("R", "R.")),
                  position=self.next() + self.random.choice((-500, -1, 1, 2, 1000)))

    def far_reset(self):
        self._add("far reset", flags="R", position=self.next() + FAR_BYTES)

    def edge_reset(self):
        self._add("edge reset", flags=self.random.choice(("R", "R.")), at_edge=True,
                  position=self.random.choice((-1, 0, 1)))

    def edge_ack(self):
        self._add("edge ack", at_edge=True, position=self.random.choice((-1, 0, 1)))

    def edge_data(self):
        if self.setup.scale is None:
            # Linux takes more than the 65,535 bytes that it can announce without scaling.
            return self.beyond_window()
        return self._add("edge data", flags="P.", at_edge=True, position=self.random.choice((0, 1)),
                  length=self.random.choice((1, 100, 1400)))

    def shutdown(self):
        """The side ends its stream, and may hear that its FIN arrived."""
        if self._is_shut:
            return self.bare_ack()
        self._is_shut = True
        self._add("shutdown")
        return self.bare_ack() if self.random.random() < 0.7 else None

    def write(self):
        """The side sends, and hears that it arrived."""
        if self._is_shut:
            return self.bare_ack()
        count = self.random.randint(1, 500)
        self._add("write", count=count)
        return self._add("bare ack", position=self.next())

    def read(self):
        self._add("read", count=self.random.choice((1, 100, 5000, 100_000)))

    def fin(self):
        """A FIN at what is next: nothing that was queued may lie beyond it."""
        while len(self._have) > 1 and len(self.steps) < STEPS_MAX:
            self.fill()
        kind = "fin" if len(self._have) < 2 else "fin inside"
        self._data(kind, self.next(), self.random.choice((0, self._length())) if kind == "fin"
                   else 0, flags="F.")

    def ending(self):
        """How a connection ends: in order, ahead of a hole, or by a reset that counts."""
        chance = self.random.random()
        if chance < 0.5:
            self.fin()
        elif chance < 0.7:
            last = self._have[-1][1] if self._have else 0
            position = last + self.random.randint(1, 3000)
            self._data("fin ahead", position, self._length(), flags="FP.")
            while len(self._have) > 1 and len(self.steps) < STEPS_MAX:
                self.fill()
        elif chance < 0.85:
            self._add("exact reset", flags=self.random.choice(("R", "R.")), position=self.next())

    def make(self):
        kinds = ((self.in_order, 24), (self.ahead, 18), (self.duplicate, 8), (self.overlap, 10),
                 (self.around, 6), (self.fill, 10), (self.read, 6), (self.write, 4),
                 (self.beyond_window, 2), (self.probe, 2), (self.bare_ack, 2), (self.old_ack, 2),
                 (self.future_ack, 2), (self.ancient_ack, 2), (self.no_ack_bit, 2),
                 (self.stale_stamp, 2), (self.no_stamp, 2), (self.sack_nonsense, 2),
                 (self.junk_options, 2), (self.urgent, 2), (self.syn_inside, 2),
                 (self.blind_reset, 2), (self.far_reset, 1),
                 (self.edge_reset, 1), (self.edge_ack, 1), (self.edge_data, 1),
                 (self.shutdown, 1))
        makers, weights = zip(*kinds)
        wanted = self.random.randint(5, STEPS_MAX - 6)
        while len(self.steps) < wanted and self.next() < STREAM_BYTES_MAX - 20_000:
            self.random.choices(makers, weights)[0]()
        self.ending()
        return self.setup, self.steps


def make(seed):
    """(Setup, [Step, ...]) of a seed: always the same."""
    return _Maker(seed).make()
