# SPDX-License-Identifier: Apache-2.0
"""The stream content of every script: byte n of a stream is always the same, so that whatever is
read or sent can be checked, and no two neighbouring places look alike."""

import random

_PERIOD_BYTES = 65521  # A prime, so that no segment size or window repeats with it.
_TABLE = random.Random(20).randbytes(_PERIOD_BYTES)


def pattern(offset, count):
    """`count` bytes of the stream from byte `offset` on."""
    start = offset % _PERIOD_BYTES
    piece = _TABLE[start:start + count]
    while len(piece) < count:
        piece += _TABLE[:count - len(piece)]
    return piece
