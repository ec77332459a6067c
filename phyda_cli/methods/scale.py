"""How large the background error is, judged by the innovations themselves.

Consistent statistics have d = y − H(x_b) ~ N(0, s² σ_b² + σ_o²). The scale s is the one that gives the normalised
squares their expected median,

    median_k [ d_k² / (s² σ_b,k² + σ_o,k²) ] = χ²_1 median = 0.4549,

which gross errors in fewer than half of the observations cannot carry away (a mean would follow one of them). It falls
as s grows, so bisection finds it. Dynamics and humidity have scales of their own, drawn towards that of both together
while their innovations are few:

    ln s_part ← (n ln s_part + n_0 ln s_both) / (n + n_0),      n innovations of the part

The largest scales keep the variance of the background error within about twice that of the weather's own variations,
which a short forecast's errors are a sixth (wind, mass) or a third (humidity) of, as standard deviations of the
simulated atmosphere. Source: the innovation consistency test (Dee 1995), with a robust statistic.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from phyda_cli.errors_b.error_scale import ErrorScale, is_humidity

CHI_SQUARE_MEDIAN: Final = 0.454936423119573
"""Median of χ² with one degree of freedom."""
SMALLEST_SAMPLE: Final = 50
"""Fewer innovations than this say too little: the scale is 1, or that of the cycle before."""
SCALE_RANGE: Final = (0.1, 20.0)
"""Where the scale is looked for."""
LARGEST: Final = {"dynamics": 9.0, "humidity": 3.0}
"""The largest scale of each kind."""
PRIOR: Final = 200
"""n_0: innovations that the scale of both is worth."""

Array = NDArray[np.float64]


class Innovations(NamedTuple):
    """variable, departure, σ_b and σ_o at the observations in the same units: (n,) each."""

    variable: NDArray[np.object_]
    departure: Array
    background_error: Array
    observation_error: Array

    def take(self, mask: NDArray[np.bool_]) -> Innovations:
        """Return the rows of a mask."""
        return Innovations(
            self.variable[mask], self.departure[mask], self.background_error[mask], self.observation_error[mask]
        )


def estimated_scale(innovations: Innovations, *, otherwise: float = 1.0, uniform: bool = False) -> ErrorScale:
    """Return the background-error scale of innovations, `otherwise` where they are too few for any estimate.

    uniform: one factor for all, as an ensemble's inflation is.
    """
    both = _scale_of(innovations, otherwise)
    if uniform:
        return ErrorScale.uniform(both)
    if innovations.departure.size < SMALLEST_SAMPLE:
        return ErrorScale(both, min(both, LARGEST["humidity"]))
    humid = is_humidity(innovations.variable)
    return ErrorScale(
        min(_drawn(innovations.take(~humid), both), LARGEST["dynamics"]),
        min(_drawn(innovations.take(humid), min(both, LARGEST["humidity"])), LARGEST["humidity"]),
    )


def consistent_scale(
    departure: Array, background_error: Array, observation_error: Array, *, otherwise: float = 1.0
) -> float:
    """Return the background-error scale s of innovations (n,), with σ_b and σ_o at the observations (n,) in the same
    units.

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


def _scale_of(innovations: Innovations, otherwise: float) -> float:
    return consistent_scale(
        innovations.departure, innovations.background_error, innovations.observation_error, otherwise=otherwise
    )


def _drawn(innovations: Innovations, towards: float) -> float:
    """Return the scale of a part, drawn towards that of the whole."""
    count = innovations.departure.size
    own = _scale_of(innovations, towards)
    return float(np.exp((count * np.log(own) + PRIOR * np.log(towards)) / (count + PRIOR)))
