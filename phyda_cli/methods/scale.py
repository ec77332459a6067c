"""How large the background error is, judged by the innovations themselves.

Consistent statistics have d = y − H(x_b) ~ N(0, s² σ_b² + σ_o²). The scale s is the one that gives the normalised
squares their expected median,

    median_k [ d_k² / (s² σ_b,k² + σ_o,k²) ] = χ²_1 median = 0.4549,

which gross errors in fewer than half of the observations cannot carry away (a mean would follow one of them). It falls
as s grows, so bisection finds it. Source: the innovation consistency test (Dee 1995), with a robust statistic.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

CHI_SQUARE_MEDIAN: Final = 0.454936423119573
"""Median of χ² with one degree of freedom."""
SMALLEST_SAMPLE: Final = 50
"""Fewer innovations than this say too little: the scale is 1, or that of the cycle before."""
SCALE_RANGE: Final = (0.1, 20.0)
"""Where the scale is looked for."""

Array = NDArray[np.float64]


def consistent_scale(
    departure: Array, background_error: Array, observation_error: Array, *, otherwise: float = 1.0
) -> float:
    """The background-error scale s of innovations (n,), with σ_b and σ_o at the observations (n,) in the same units.

    Returns `otherwise` for fewer than `SMALLEST_SAMPLE` innovations; an end of `SCALE_RANGE` where the solution lies
    beyond it.
    """
    if departure.size < SMALLEST_SAMPLE:
        return otherwise

    def excess(scale: float) -> float:
        ratio = departure**2 / (scale**2 * background_error**2 + observation_error**2)
        return float(np.median(ratio)) - CHI_SQUARE_MEDIAN

    low, high = SCALE_RANGE
    if excess(low) <= 0:
        return low
    if excess(high) >= 0:
        return high
    while high / low > 1 + 1e-6:
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return float(np.sqrt(low * high))
