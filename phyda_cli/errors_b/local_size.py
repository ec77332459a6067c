"""How large errors near the ground are here and there, beside their size everywhere.

    s²(x) = (n₀ + Σ_j w_j z_j²) / (n₀ + Σ_j w_j),     w_j = exp(−½ (r_j/R)²)

z_j is the error with which others predict an observation over what was expected of it, so that s is 1 on average; n₀
observations' worth says that it is 1 here too. s is a factor on all variances, those of the observations too: the
analysis stays, its spread is that of the place. It is computed at nodes a degree apart and is linear between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from phyda_cli.constants import EARTH_RADIUS
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.grids.places import unit_vectors

Floats = NDArray[np.float64]

LENGTH: Final = 200e3
"""R [m]. Of 100, 200 and 300 km, and n₀ from 3 to 20, these served withheld stations best (docs/surface.md)."""
PRIOR: Final = 5.0
"""n₀."""
LARGEST: Final = 4.0
"""Largest |z| that counts: the test of consistency rejects more, and a bad station must not widen its own limits."""
_REACH: Final = 3.0
"""Distance in R beyond which w, 1 %, is taken for none."""
_NODES: Final = LatLonGrid.with_poles(181, 360)
_TOGETHER: Final = 50_000
"""Places that are looked up together: of a fine grid all would take more memory than its fields."""


@dataclass(frozen=True)
class LocalSize:
    """position: (m, 3) [m] from the earth's centre, of observations. square: z² (m,)."""

    position: Floats
    square: Floats

    def at(self, latitude: Floats, longitude: Floats) -> Floats:
        """Return s (n,) at places [degree]."""
        result = np.empty(latitude.size)
        for first in range(0, latitude.size, _TOGETHER):
            part = slice(first, first + _TOGETHER)
            corners = _NODES.corners(latitude[part], longitude[part])
            index, place = np.unique(corners.index, return_inverse=True)
            at_nodes = self._at_nodes(index)[place.reshape(corners.index.shape)]
            result[part] = np.sqrt((at_nodes * corners.weight).sum(1))
        return result

    def _at_nodes(self, index: NDArray[np.int64]) -> Floats:
        """Return s² at nodes of these numbers."""
        counts = self.square <= LARGEST**2
        there = EARTH_RADIUS * unit_vectors(*(x[index] for x in _NODES.coordinates))
        pairs = cKDTree(there).sparse_distance_matrix(
            cKDTree(self.position[counts]), _REACH * LENGTH, output_type="ndarray"
        )  # fmt: skip
        weight = np.exp(-0.5 * (pairs["v"] / LENGTH) ** 2)
        weighed = weight * self.square[counts][pairs["j"]]
        summed, count = (np.bincount(pairs["i"], w, minlength=index.size) for w in (weighed, weight))
        return np.asarray((PRIOR + summed) / (PRIOR + count))
