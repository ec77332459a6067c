"""Linear interpolation in ln p between pressure levels, as a matrix of weights.

    y(p) = Σ_k W_k(p) x_k,   W_k piecewise linear in ln p, W_k(p_j) = δ_kj

Below the lowest level the value is constant. Above the top level p_top it is either constant, or, for increments, taken
linearly in ln p to zero at p_top/2: levels that the method does not know shall not get a full increment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError

Array = NDArray[np.float64]


def vertical_weights(
    source: Sequence[float], targets: Sequence[float] | Array, *, above: Literal["zero", "constant"] = "zero"
) -> Array:
    """Return weights (n_target, n_source) of the values at source levels for the values at target levels, all [Pa].

    source: distinct levels in any order. above: what happens above the top source level.
    Raises BadDataError when there is no source level, one comes twice, or a pressure is not positive.
    """
    levels, wanted = np.asarray(source, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    if levels.size == 0 or np.unique(levels).size != levels.size:
        raise BadDataError(f"vertical interpolation needs distinct levels, found {levels.tolist()} Pa")
    for pressure in (*levels, *wanted):
        if not 0 < pressure < np.inf:
            raise BadDataError(f"vertical interpolation needs positive pressures, found {pressure:g} Pa")
    order = np.argsort(levels)
    height, at = np.log(levels[order]), np.log(wanted)
    weights = np.zeros((wanted.size, levels.size))
    for column, unit in zip(order, np.eye(levels.size), strict=True):
        weights[:, column] = np.interp(at, height, unit)
    if above == "zero":
        weights *= np.clip(1.0 - np.log2(levels.min() / wanted), 0.0, 1.0)[:, None]
    return weights
