"""How large the background error is, judged by the innovations themselves.

Consistent statistics have d = y − H(x_b) ~ N(0, s² σ_b² + σ_o²). The scale s is the one that gives the normalised
squares their expected median,

    median_k [ d_k² / (s² σ_b,k² + σ_o,k²) ] = χ²_1 median = 0.4549,

which gross errors in fewer than half of the observations cannot carry away (a mean would follow one of them). It falls
as s grows, so bisection finds it. Dynamics and humidity have scales of their own, drawn towards that of both together
while their innovations are few:

    ln s_part ← (n ln s_part + n_0 ln s_both) / (n + n_0),      n innovations of the part

σ_b at scale s need not be s times that at 1: statistics that grow into the climate's (`errors_b/blend.py`) say what it
is, and bound it themselves. Other statistics have a largest scale, which keeps the variance of the background error
within about twice that of the weather's own variations: a short forecast's errors are a sixth (wind, mass) or a third
(humidity) of these, as standard deviations of the simulated atmosphere. Source: the innovation consistency test (Dee
1995), with a robust statistic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.errors_b.error_scale import LARGEST, ErrorScale, is_humidity

CHI_SQUARE_MEDIAN: Final = 0.454936423119573
"""Median of χ² with one degree of freedom."""
SMALLEST_SAMPLE: Final = 50
"""Fewer innovations than this say too little: the scale is 1, or that of the cycle before."""
SCALE_RANGE: Final = (0.1, 20.0)
"""Where the scale is looked for."""
_ENOUGH: Final = 1e-6
"""Relative accuracy of the scale."""
PRIOR: Final = 200
"""n_0: innovations that the scale of both is worth."""

Array = NDArray[np.float64]
SigmaOf = Callable[[float], Array]
"""σ_b (n,) at the observations when the background error has a scale."""


@dataclass(frozen=True)
class Innovations:
    """variable, departure and σ_o at the observations: (n,) each. sigma_of: σ_b there of a scale, in the same units."""

    variable: NDArray[np.object_]
    departure: Array
    observation_error: Array
    sigma_of: SigmaOf

    def take(self, mask: NDArray[np.bool_]) -> Innovations:
        """Return the rows of a mask."""
        return Innovations(
            self.variable[mask],
            self.departure[mask],
            self.observation_error[mask],
            lambda scale: self.sigma_of(scale)[mask],
        )


def estimated_scale(
    innovations: Innovations, *, otherwise: float = 1.0, uniform: bool = False, largest: ErrorScale = LARGEST
) -> ErrorScale:
    """Return the background-error scale of innovations, `otherwise` where they are too few for any estimate.

    uniform: one factor for all, as an ensemble's inflation is. largest: what it may be at most.
    """
    held = replace(innovations, sigma_of=lru_cache(maxsize=128)(innovations.sigma_of))
    both = consistent_scale(held, otherwise=otherwise)
    if uniform:
        return ErrorScale.uniform(both)
    if held.departure.size < SMALLEST_SAMPLE:
        return ErrorScale(both, min(both, largest.humidity))
    humid = is_humidity(held.variable)
    return ErrorScale(
        min(_drawn(held.take(~humid), both), largest.dynamics),
        min(_drawn(held.take(humid), min(both, largest.humidity)), largest.humidity),
    )


def consistent_scale(innovations: Innovations, *, otherwise: float = 1.0) -> float:
    """Return the background-error scale s of innovations.

    Returns `otherwise` for fewer than `SMALLEST_SAMPLE` innovations; an end of `SCALE_RANGE` where the solution lies
    beyond it.
    """
    departure, error = innovations.departure, innovations.observation_error
    if departure.size < SMALLEST_SAMPLE:
        return otherwise

    def excess(scale: float) -> float:
        ratio = departure**2 / (innovations.sigma_of(scale) ** 2 + error**2)
        return float(np.median(ratio)) - CHI_SQUARE_MEDIAN

    low, high = SCALE_RANGE
    if excess(low) <= 0:
        return low
    if excess(high) >= 0:
        return high
    while high / low > 1 + _ENOUGH:
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return float(np.sqrt(low * high))


def _drawn(innovations: Innovations, towards: float) -> float:
    """Return the scale of a part, drawn towards that of the whole."""
    count = innovations.departure.size
    own = consistent_scale(innovations, otherwise=towards)
    return float(np.exp((count * np.log(own) + PRIOR * np.log(towards)) / (count + PRIOR)))
