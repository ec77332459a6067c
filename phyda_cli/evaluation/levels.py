"""The standard pressure levels by which observations are grouped: each belongs to the nearest in ln p."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

STANDARD_LEVELS: Final = tuple(
    100.0 * level for level in (1000, 925, 850, 700, 500, 400, 300, 250, 200, 150, 100, 70, 50, 30, 20, 10)
)
"""The standard pressure levels [Pa] around which observations are binned."""


def nearest_standard_level(pressure: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the standard level [Pa] nearest in ln p to each pressure [Pa]; 0 where there is none."""
    levels = np.asarray(STANDARD_LEVELS)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.abs(np.log(pressure)[:, None] - np.log(levels))
    known = np.isfinite(distance).all(axis=1)
    return np.where(known, levels[np.argmin(np.where(known[:, None], distance, 0.0), axis=1)], 0.0)
