# SPDX-License-Identifier: Apache-2.0
"""What dmsend sends as demo-block:SEED (tools/pattern.h), computed here a second time and hashed by
the host, so that the guest hashes only what landed. Called by demo.py."""

import hashlib
import struct

BLOCK_BYTES = 256 << 10
STAMP_EVERY_BYTES = 4096
MASK = (1 << 64) - 1


def _noise(seed):
    """SplitMix64 (Steele, Lea, Flood 2014)."""
    state = seed
    for _ in range(BLOCK_BYTES // 8):
        state = (state + 0x9e3779b97f4a7c15) & MASK
        mixed = state
        mixed = ((mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9) & MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94d049bb133111eb) & MASK
        yield mixed ^ (mixed >> 31)


def sha256_of_stream(seed, stream_bytes):
    """The digest of the first `stream_bytes` of demo-block:SEED, in hexadecimal."""
    block = bytearray(struct.pack(f"<{BLOCK_BYTES // 8}Q", *_noise(seed)))
    digest = hashlib.sha256()
    for start in range(0, stream_bytes, BLOCK_BYTES):
        first = start // STAMP_EVERY_BYTES
        for number in range(BLOCK_BYTES // STAMP_EVERY_BYTES):
            struct.pack_into("<Q", block, number * STAMP_EVERY_BYTES, first + number)
        digest.update(memoryview(block)[:min(BLOCK_BYTES, stream_bytes - start)])
    return digest.hexdigest()
