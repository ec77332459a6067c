"""Rounding of numbers to as many binary digits as mean something, so that files of them compress.

x → the nearest number with b bits behind the leading one, to even at half way: |δx| ≤ 2⁻ᵇ⁻¹ |x|

The rest are zeros, which any compressor takes out. Source: Kouznetsov (2021), A note on precision-preserving
compression of scientific data.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_STORED = 23
"""Bits of a float32 behind the leading one."""


def bit_rounded(values: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    """Return finite values of any shape with so many bits, 1 to 22, behind the leading one."""
    dropped = _STORED - bits
    number = np.ascontiguousarray(values).view(np.uint32)
    half = np.uint32((1 << (dropped - 1)) - 1)
    upwards = number + half + ((number >> np.uint32(dropped)) & np.uint32(1))
    return (upwards & ~np.uint32((1 << dropped) - 1)).view(np.float32)
