"""Optimal interpolation in blocks: points that lie together share the observations around them, and one matrix.

    δ(x) = b(x)ᵀ S⁻¹ d,     σ_a²(x) / σ_b² = 1 − b(x)ᵀ S⁻¹ b(x),     S = C + diag(ε),     ε_i = σ_o,i² / σ_b²

All in units of σ_b: C and b hold the correlations of the background's errors among observations and with the point, d
the departures. A block takes all observations within the reach of the correlation. Where these are too many its points
are divided among smaller blocks, down to the smallest, which take the nearest ones. Sources: Gandin (1963); Lorenc
(1981) for blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.constants import EARTH_RADIUS
from phyda_cli.errors_b.surface_structure import GroundPlaces, Structure
from phyda_cli.grids.places import cells, unit_vectors

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

BLOCK_SIZES: Final = (400e3, 200e3, 100e3, 50e3)
"""Sizes of blocks [m], from the largest."""
MOST: Final = 120
"""Most observations of a block."""
SMALLEST_RATIO: Final = 1e-4
"""Least ε: coincident observations would make the matrix singular."""
_CHUNK: Final = 4_000_000
"""Distances between blocks and observations that are looked at together."""
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

    def matrix(self, structure: Structure) -> torch.Tensor:
        """S (…, n, n)."""
        result = structure.correlation(self.places, self.places)
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

    # blocks have no point in common
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for _ in pool.map(solve, _blocks(latitude, longitude, data, structure, most)):
            pass
    return Interpolated(increment.numpy(), variance.numpy())


class _Block(NamedTuple):
    """points: of a block. observations: ascending indices, at least one."""

    points: Integers
    observations: Integers


def _blocks(latitude: Floats, longitude: Floats, data: GroundData, structure: Structure, most: int) -> Iterator[_Block]:
    """Yield the blocks of points that observations reach; what none reaches is in no block."""
    positions = data.places.position.numpy() / EARTH_RADIUS
    left = np.arange(latitude.size)
    for size in BLOCK_SIZES:
        if not (left.size and len(data)):
            return
        crowded = []
        # to the farthest point of the block
        least = 1.0 - 0.5 * ((structure.reach + 0.75 * size) / EARTH_RADIUS) ** 2
        for points, cosine in _cosines(latitude, longitude, left, size, positions):
            near = np.flatnonzero(cosine >= least)
            if not near.size:
                continue
            if near.size > most and size > BLOCK_SIZES[-1] and points.size > 1:
                crowded.append(points)
                continue
            if near.size > most:
                near = np.sort(near[np.argpartition(-cosine[near], most)[:most]])
            yield _Block(points, near)
        left = np.concatenate(crowded) if crowded else np.empty(0, dtype=np.int64)


def _cosines(
    latitude: Floats, longitude: Floats, points: Integers, size: float, positions: Floats
) -> Iterator[tuple[Integers, Floats]]:
    """Yield the points of each cell of a size [m] and cos of the angle of every observation with the cell's middle."""
    cell = cells(latitude[points], longitude[points], size)
    order = np.argsort(cell.number, kind="stable")
    first = np.flatnonzero(np.append(True, np.diff(cell.number[order]) != 0))
    middle = unit_vectors(cell.latitude[order[first]], cell.longitude[order[first]])
    own = np.split(points[order], first[1:])
    step = max(1, _CHUNK // max(len(positions), 1))
    for start in range(0, len(own), step):
        yield from zip(own[start : start + step], middle[start : start + step] @ positions.T, strict=True)
