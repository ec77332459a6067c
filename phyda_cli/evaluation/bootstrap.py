"""Is one method better than another? The paired bootstrap over dates.

Scores a_d and b_d of two methods on the same dates d = 1 … D give the difference Δ = mean(a − b). Dates are drawn
again with replacement R times; the percentiles of the R differences bound Δ. Pairing takes out what makes a date easy
or hard for both. Dates must lie far enough apart to be nearly independent.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phyda_cli.errors import BadDataError

_BLOCK = 200
"""Resamples drawn at once, so that memory stays at _BLOCK × dates numbers."""


class Interval(NamedTuple):
    """difference: mean(a − b). low, high: bounds of the interval. significant: True where 0 lies outside it."""

    difference: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    significant: NDArray[np.bool_]


def paired_bootstrap(
    a: ArrayLike, b: ArrayLike, *, seed: int, resamples: int = 2000, confidence: float = 0.95
) -> Interval:
    """Percentile interval of mean(a − b) over dates; a, b: (date, …), one score per date (an MSE rather than an RMSE).

    Raises BadDataError when the two are not paired or hold fewer than 2 dates.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape or first.ndim == 0 or first.shape[0] < 2:
        raise BadDataError(
            f"a paired bootstrap needs the same 2 or more dates twice, got {first.shape} and {second.shape}"
        )
    difference = first - second
    dates = difference.shape[0]
    generator = np.random.default_rng(seed)
    means: list[NDArray[Any]] = []
    for start in range(0, resamples, _BLOCK):
        drawn = generator.integers(0, dates, size=(min(_BLOCK, resamples - start), dates))
        counts = np.stack([np.bincount(row, minlength=dates) for row in drawn])
        means.append(np.tensordot(counts / dates, difference, axes=1))
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(np.concatenate(means), [tail, 100.0 - tail], axis=0)
    return Interval(difference.mean(0), np.asarray(low), np.asarray(high), np.asarray((low > 0) | (high < 0)))
