"""Is one method better than another? Ratios of pooled scores with intervals from a paired moving-block bootstrap.

    ratio = g(Σ_d w_d a_d / Σ_d w_d) / g(Σ_d w_d b_d / Σ_d w_d),    g the root for RMSE, else the identity

Dates a few hours apart are not independent: dates in order of time are drawn again in blocks of neighbours, each about
`BLOCK_DAYS` days long, from all starts alike, until there are as many dates as before. Both methods have the same
draws. The percentiles of the ratios bound it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BLOCK_DAYS: Final = 4.0
"""Longer than a synoptic disturbance lasts at one place."""
RESAMPLES: Final = 1000
CONFIDENCE: Final = 0.95


@dataclass(frozen=True)
class Ratio:
    """value, low, high: (…) each. NaN where the second method's score is zero, or nothing was counted."""

    value: Array
    low: Array
    high: Array


class Bootstrap:
    """Resampled dates. valid_time: (date,) hours, increasing."""

    def __init__(self, valid_time: NDArray[np.int64], *, seed: int = 0, resamples: int = RESAMPLES) -> None:
        dates = valid_time.size
        self.block = block_length(valid_time)
        """Dates of a block."""
        generator = np.random.default_rng([seed, dates])
        number = math.ceil(dates / self.block)
        starts = generator.integers(0, dates - self.block + 1, size=(resamples, number))
        drawn = (starts[:, :, None] + np.arange(self.block)).reshape(resamples, -1)[:, :dates]
        self.counts = np.stack([np.bincount(row, minlength=dates) for row in drawn]).astype(np.float64)
        """(resample, date): how often each date was drawn."""

    def ratio(self, first: Array, second: Array, weight: Array, *, root: bool) -> Ratio:
        """Of scores (date, …) with weights of that shape, such as counts."""
        value = _quotient(_pooled(first, weight, None, root), _pooled(second, weight, None, root))
        drawn = _quotient(_pooled(first, weight, self.counts, root), _pooled(second, weight, self.counts, root))
        return Ratio(value, *self._bounds(drawn))

    def interval(self, values: Array) -> tuple[Array, Array]:
        """Bounds of the mean over dates of values (date, …)."""
        means = np.tensordot(self.counts, values, axes=1) / values.shape[0]
        return self._bounds(means)

    @staticmethod
    def _bounds(drawn: Array) -> tuple[Array, Array]:
        tail = 50.0 * (1.0 - CONFIDENCE)
        low, high = np.percentile(drawn, [tail, 100.0 - tail], axis=0)
        return low, high


def block_length(valid_time: NDArray[np.int64]) -> int:
    """Dates that span `BLOCK_DAYS` at the mean spacing; at most half of all, so that draws differ."""
    if valid_time.size < 4:
        return 1
    spacing = (int(valid_time[-1]) - int(valid_time[0])) / 24.0 / (valid_time.size - 1)
    return int(min(max(1, math.ceil(BLOCK_DAYS / max(spacing, 1e-9))), valid_time.size // 2))


def _pooled(values: Array, weight: Array, counts: Array | None, root: bool) -> Array:
    """g(Σ w x / Σ w) over dates, for all dates or for each resample."""
    times = np.ones((1, values.shape[0])) if counts is None else counts
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.tensordot(times, values * weight, axes=1) / np.tensordot(times, weight, axes=1)
    result = np.sqrt(mean) if root else mean
    return np.asarray(result[0] if counts is None else result)


def _quotient(first: Array, second: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(second != 0, first / second, np.nan)
