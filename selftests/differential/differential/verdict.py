# SPDX-License-Identifier: Apache-2.0
"""Compares what two sides said, and knows the differences that are accepted, each with its reason.
The same table is in Documentation/tcp.md; what is not in it is a failure."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Accepted:
    """A difference that may be: which field, for which kinds of steps (empty: all), and why.
    `holds(engine, kernel)` narrows it to what the reason covers."""
    field: str
    kinds: tuple
    holds: object
    reason: str


def _covers(ours, theirs):
    """One block of ours stands for one of Linux's: the same, or the whole range of a part."""
    return ours[0] <= theirs[0] and theirs[1] <= ours[1]


def _same_ranges(ours, theirs):
    """The first block, which says what has just arrived, covers Linux's first; the others cover
    Linux's too, as far as there was room for them in a full option."""
    if not ours or not theirs or not _covers(ours[0], theirs[0]):
        return False
    unknown = [block for block in theirs if not any(_covers(other, block) for other in ours)]
    return not unknown or len(ours) >= 3


BLOCKS = "sack blocks"
BLOCKS_ONCE_FULL = "sack blocks, once an option was full"
_FULL = 3  # So many blocks leave no room beside timestamps.


@dataclasses.dataclass
class History:
    """What earlier steps did that matters for the judgement of later ones."""
    was_full: bool = False  # Whether Linux has filled an option with blocks.

    def note_blocks(self, blocks):
        self.was_full = self.was_full or len(blocks) >= _FULL


def _duplicate_told(ours, theirs):
    """We report a duplicate part of a block first, and then what Linux reports."""
    return len(ours) > 1 and _covers(ours[1], ours[0]) and _same_ranges(ours[1:], theirs)


def _one_more(ours, theirs):
    """Linux has a block before ours, and has lost the last one where there was no room."""
    return theirs[1:] == ours[:len(theirs) - 1]


def _old_fin_told(ours, theirs):
    """A block of one number, and behind it what we say."""
    return bool(theirs) and theirs[0][1] - theirs[0][0] == 1 and theirs[1:] == ours


ACCEPTED = (
    Accepted(BLOCKS, ("write",), lambda ours, theirs: not ours,
             "data that we send carries no SACK blocks, so that it is as long as it can be; every "
             "segment that needs an answer gets them in an ACK of its own"),
    Accepted(BLOCKS_ONCE_FULL, (), _same_ranges,
             "Linux forgets a fifth block, and then reports a part of a range where we report all "
             "of it (RFC 2018 section 4)"),
    Accepted(BLOCKS, (), _duplicate_told,
             "Linux forgets to report a duplicate part of a segment that it can append to what it "
             "queued before (RFC 2883 section 4 asks for it)"),
    Accepted("timestamp echo", (), lambda ours, theirs: ours < theirs,
             "Linux counts a duplicate that ends exactly at rcv_nxt as acceptable and takes its "
             "timestamp; RFC 9293 section 3.10.7.4 does not. What moves rcv_nxt is echoed alike"),
    Accepted(BLOCKS, ("stale stamp",), _one_more,
             "Linux reports a segment that PAWS refused as a duplicate where its bytes were here "
             "already; an old segment is not one of this stream's, and we report nothing"),
    Accepted("answered", ("no ack bit",), lambda ours, theirs: ours and not theirs,
             "Linux drops a segment without ACK before it looks at the sequence number; RFC 9293 "
             "section 3.10.7.4 looks at that first, and answers what lies outside the window"),
    Accepted("answered", ("old ack",), lambda ours, theirs: theirs and not ours,
             "RFC 5961 section 5.2 believes an ACK as old as the largest window; Linux believes "
             "none older than all that was ever acknowledged"),
    Accepted("answered", ("edge reset",), lambda ours, theirs: theirs and not ours,
             "Linux counts the number right behind the window as inside and challenges a reset "
             "there; RFC 5961 section 3.2 drops what is outside without a word"),
    Accepted("answered", ("edge ack",), lambda ours, theirs: ours and not theirs,
             "for the same reason Linux says nothing to an empty segment right behind the window, "
             "which RFC 9293 section 3.10.7.4 answers"),
    Accepted(BLOCKS, ("fin",), _old_fin_told,
             "Linux reports the number of a FIN that lies before rcv_nxt as a duplicate; a stream "
             "does not end twice, and we report data that came again"),
    Accepted(BLOCKS, ("fin", "fill"), lambda ours, theirs: not ours and len(theirs) == 1,
             "Linux acknowledges a FIN in FIN-WAIT-2 before it forgets the blocks below it"),
    Accepted(BLOCKS, ("fin", "fin inside"), lambda ours, theirs: not theirs,
             "data queued beyond a FIN is nonsense; Linux forgets it with the FIN, we when the "
             "connection ends"),
)


def differences(step, engine, kernel, history):
    """[(field, engine's, kernel's)] of one step, accepted ones left out. The step becomes part of
    the history."""
    found = []

    def check(field, ours, theirs):
        if ours != theirs and not is_accepted(step, field, ours, theirs):
            found.append((field, ours, theirs))

    check("told ack", engine.ack, kernel.ack)
    check("resets", engine.resets, kernel.resets)
    check("answered", bool(engine.acks), bool(kernel.acks))
    if engine.acks and kernel.acks:
        history.note_blocks(kernel.acks[-1][1])
        check(BLOCKS_ONCE_FULL if history.was_full else BLOCKS, engine.acks[-1][1],
              kernel.acks[-1][1])
        is_new = engine.advanced and step.stamp is not None
        check("new timestamp echo" if is_new else "timestamp echo",
              engine.acks[-1][2], kernel.acks[-1][2])
    check("bytes to read", engine.readable, kernel.readable)
    check("call", engine.call, kernel.call)
    check("sent", engine.sent, kernel.sent)
    return found


def is_accepted(step, field, ours, theirs):
    return any(field.startswith(entry.field) and (not entry.kinds or step.kind in entry.kinds) and
               entry.holds(ours, theirs) for entry in ACCEPTED)
