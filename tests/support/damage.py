"""Files damaged at random, the same ones every time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def flipped_bits(content: bytes, count: int) -> Iterator[bytes]:
    """`count` copies of a content, one bit of each flipped."""
    random = np.random.default_rng(0)
    for _ in range(count):
        damaged = bytearray(content)
        damaged[random.integers(len(content))] ^= 1 << random.integers(8)
        yield bytes(damaged)
