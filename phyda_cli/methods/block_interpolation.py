"""Optimal interpolation in blocks: points that lie together share the observations around them, and one matrix.

    δ(x) = b(x)ᵀ S⁻¹ d,     σ_a²(x) / σ_b² = 1 − b(x)ᵀ S⁻¹ b(x),     S = C + diag(ε),     ε_i = σ_o,i² / σ_b²

All in units of σ_b: C and b hold the correlations of the background's errors among observations and with the point, d
the departures. A block takes the observations within the reach of the correlation, the nearest ones if these are too
many. Where the nearest ones do not surround a block widely its points are divided among smaller blocks. Sources: Gandin
(1963); Lorenc (1981) for blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from phyda_cli.constants import EARTH_RADIUS
from phyda_cli.errors_b.surface_structure import GroundPlaces, Separation, Structure
from phyda_cli.grids.places import cells, unit_vectors
from phyda_cli.methods.threads import for_each

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

BLOCK_SIZES: Final = (400e3, 200e3, 100e3, 50e3)
"""Sizes of blocks [m], from the largest."""
MOST: Final = 80
"""Most observations of a block."""
_WIDE: Final = 1.8
"""How far, in sizes of a block, the farthest of these must be from its middle for them to surround it widely."""
SMALLEST_RATIO: Final = 1e-4
"""Least ε: coincident observations would make the matrix singular."""
_CELLS: Final = 10_000
"""Blocks whose observations are looked for together."""
_ROWS: Final = 2000
"""Points of a block that are worked on together."""


@dataclass(frozen=True)
class GroundData:
    """Observations in units of σ_b, n of them. departure: d (n,), or (n, k) of k fields. ratio: ε (n,)."""

    places: GroundPlaces
    departure: torch.Tensor
    ratio: torch.Tensor

    def __len__(self) -> int:
        return len(self.places)

    def take(self, index: torch.Tensor) -> GroundData:
        """Return the observations of an index of any shape."""
        return GroundData(self.places.take(index), self.departure[index], self.ratio[index])

    def matrix(self, structure: Structure, apart: Separation | None = None) -> torch.Tensor:
        """S (…, n, n). apart: of the places from each other, where it is known."""
        result = structure.correlation(self.places, self.places) if apart is None else structure.at(apart)
        result.diagonal(dim1=-2, dim2=-1).copy_(1.0 + self.ratio.clamp_min(SMALLEST_RATIO))
        return result


class Interpolated(NamedTuple):
    """increment: δ (points,) or (points, k), variance: σ_a²/σ_b² (points,), in units of σ_b."""

    increment: Floats
    variance: Floats


def interpolate(
    latitude: Floats,
    longitude: Floats,
    points: GroundPlaces,
    data: GroundData,
    structure: Structure,
    *,
    most: int = MOST,
) -> Interpolated:
    """Return the analysis at points, whose coordinates [degree] are those of `points`."""
    increment = torch.zeros(len(points), *data.departure.shape[1:], dtype=torch.float64)
    variance = torch.ones(len(points), dtype=torch.float64)

    def solve(block: _Block) -> None:
        near = data.take(torch.from_numpy(block.observations))
        factor = torch.linalg.cholesky(near.matrix(structure))
        weights = torch.cholesky_solve(near.departure.reshape(len(near), -1), factor)
        for first in range(0, block.points.size, _ROWS):
            own = torch.from_numpy(block.points[first : first + _ROWS])
            b = structure.correlation(near.places, points.take(own))
            increment[own] = (b.T @ weights).reshape(len(own), *data.departure.shape[1:])
            white = torch.linalg.solve_triangular(factor, b, upper=False)
            variance[own] = (1.0 - white.square_().sum(0)).clamp_min(0.0)

    for_each(solve, _blocks(latitude, longitude, data, structure, most))  # they have no point in common
    return Interpolated(increment.numpy(), variance.numpy())


class _Block(NamedTuple):
    """points: of a block. observations: ascending indices, at least one."""

    points: Integers
    observations: Integers


def _blocks(latitude: Floats, longitude: Floats, data: GroundData, structure: Structure, most: int) -> Iterator[_Block]:
    """Yield the blocks of points that observations reach; what none reaches is in no block."""
    tree, left = cKDTree(data.places.position.numpy()), np.arange(latitude.size)
    for size in BLOCK_SIZES:
        if not (left.size and len(data)):
            return
        crowded = []
        # to the farthest point of the block
        reach = structure.reach + 0.75 * size
        for points, near, distance in _nearest(latitude, longitude, left, size, tree, most, reach):
            if near.size == most and distance < _WIDE * size and size > BLOCK_SIZES[-1] and points.size > 1:
                crowded.append(points)
            elif near.size:
                yield _Block(points, np.sort(near))
        left = np.concatenate(crowded) if crowded else np.empty(0, dtype=np.int64)


def _nearest(
    latitude: Floats, longitude: Floats, points: Integers, size: float, tree: cKDTree, most: int, reach: float
) -> Iterator[tuple[Integers, Integers, float]]:
    """Yield the points of each cell of a size [m], the observations that are nearest to its middle within reach, and
    the distance [m] of the farthest of these.
    """
    cell = cells(latitude[points], longitude[points], size)
    order = np.argsort(cell.number, kind="stable")
    first = np.flatnonzero(np.append(True, np.diff(cell.number[order]) != 0))
    middle = EARTH_RADIUS * unit_vectors(cell.latitude[order[first]], cell.longitude[order[first]])
    own = np.split(points[order], first[1:])
    for start in range(0, len(own), _CELLS):
        distance, found = tree.query(middle[start : start + _CELLS], np.arange(1, most + 1), distance_upper_bound=reach)
        held = np.isfinite(distance).sum(1)
        for number, count in enumerate(held):
            yield own[start + number], found[number, :count], float(distance[number, count - 1])
