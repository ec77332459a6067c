"""Grids of which only the places of the points are known: two-dimensional latitudes and longitudes.

The position (r, c) of a place n solves, with the cell's four points n_k and their bilinear weights w_k(r, c),

    P(r, c) = Σ_k w_k n_k  ∥  n

by Newton's method in the tangent plane at n, from the nearest of some points of the grid on, cell by cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.grids.places import unit_vectors
from phyda_cli.grids.structured import Structured, bearing

Array = NDArray[np.float64]

_STARTS: Final = 24
"""Points along each axis from which the search may start."""
_ITERATIONS: Final = 60
_SETTLED: Final = 1e-9
_LOST: Final = 1e-3
"""A step of so many cells or more at the end: the place is not on the grid."""
_BLOCK: Final = 4096


@dataclass(frozen=True, eq=False)
class CurvilinearGrid(Structured):
    """Points at any places that are neighbours in rows and columns, two of each at least.

    latitudes, longitudes: (rows, columns) [degree]. Raises BadDataError for others, and for places that are none.
    """

    latitudes: Array
    longitudes: Array

    def __post_init__(self) -> None:
        if self.latitudes.shape != self.longitudes.shape or min(self.latitudes.shape) < 2:
            raise BadDataError("the grid's latitudes and longitudes must be alike, of 2 × 2 points at least")
        if not (np.isfinite(self.latitudes).all() and np.isfinite(self.longitudes).all()):
            raise BadDataError("the grid's coordinates hold NaN or infinite values")
        if np.abs(self.latitudes).max() > 90.0:
            raise BadDataError("the grid's latitudes must lie within ±90 degrees")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CurvilinearGrid) and self._digest == other._digest

    def __hash__(self) -> int:
        return hash(self._digest)

    @cached_property
    def _digest(self) -> bytes:
        return sha256(self.latitudes.tobytes() + self.longitudes.tobytes()).digest()

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.latitudes.shape[0], self.latitudes.shape[1]

    @property
    def coordinates(self) -> tuple[Array, Array]:
        """Latitude and longitude [degree] of the points, (rows · columns,) each."""
        return self.latitudes.ravel(), self.longitudes.ravel()

    @cached_property
    def turn(self) -> Array:
        """(rows, columns) angle [radian] of the rows, from the points beside."""
        return bearing(self._along(1).reshape(-1, 3), *self.coordinates).reshape(self.shape)

    def position(self, latitude: Array, longitude: Array) -> tuple[Array, Array]:
        """Row and column of places (n,), at most a step beyond the rim; NaN where there is no cell for them."""
        places = unit_vectors(latitude, longitude)
        parts = [self._position(places[i : i + _BLOCK]) for i in range(0, len(places), _BLOCK)]
        found = np.concatenate(parts) if parts else np.empty((0, 2))
        return found[:, 0], found[:, 1]

    def _position(self, places: Array) -> Array:
        """(n, 2) positions of unit vectors (n, 3)."""
        size = np.array(self.shape)
        starts = [np.unique(np.linspace(0, n - 1, min(n, _STARTS)).round().astype(np.int64)) for n in self.shape]
        nodes = self._vectors[starts[0][:, None], starts[1]].reshape(-1, 3)
        nearest = (places @ nodes.T).argmax(1)
        at = np.stack([starts[0][nearest // starts[1].size], starts[1][nearest % starts[1].size]], axis=1) + 0.5
        first, second = _tangents(places)
        step, lost = np.full_like(at, np.inf), np.zeros(len(at), dtype=bool)
        for _ in range(_ITERATIONS):
            step = self._step(at, places, first, second)
            lost |= ~np.isfinite(step).all(1)
            step[lost] = 0.0
            moved = np.clip(at + np.clip(step, -size / 4 - 1, size / 4 + 1), -1.0, size)
            step, at = moved - at, moved
            if np.abs(step).max(initial=0.0) < _SETTLED:
                break
        at[lost | (np.abs(step).max(1) > _LOST)] = np.nan
        return at

    def _step(self, at: Array, places: Array, first: Array, second: Array) -> Array:
        """Newton's step (n, 2) from positions (n, 2); NaN where the cell is on the other half of the sphere."""
        low = np.clip(np.floor(at), 0, np.array(self.shape) - 2).astype(np.int64)
        down, across = (at - low).T[:, :, None]
        (a, b), (c, d) = ([self._vectors[low[:, 0] + i, low[:, 1] + j] for j in (0, 1)] for i in (0, 1))
        point = (1 - down) * ((1 - across) * a + across * b) + down * ((1 - across) * c + across * d)
        by_row = (1 - across) * (c - a) + across * (d - b)
        by_column = (1 - down) * (b - a) + down * (d - c)
        ahead = (point * places).sum(-1)
        ahead[ahead <= 0] = np.nan
        plane = np.stack([(point * axis).sum(-1) / ahead for axis in (first, second)], axis=1)
        slopes = np.empty((len(at), 2, 2))
        for column, side in enumerate((by_row, by_column)):
            forward = (side * places).sum(-1)
            for row, axis in enumerate((first, second)):
                slopes[:, row, column] = ((side * axis).sum(-1) - plane[:, row] * forward) / ahead
        determinant = slopes[:, 0, 0] * slopes[:, 1, 1] - slopes[:, 0, 1] * slopes[:, 1, 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            step = (
                np.stack(
                    [
                        slopes[:, 0, 1] * plane[:, 1] - slopes[:, 1, 1] * plane[:, 0],
                        slopes[:, 1, 0] * plane[:, 0] - slopes[:, 0, 0] * plane[:, 1],
                    ],
                    axis=1,
                )
                / determinant[:, None]
            )
        return step

    def __str__(self) -> str:
        (rows, columns), lat = self.shape, self.latitudes
        return f"{rows}×{columns} on two-dimensional coordinates (latitude {lat.min():g}…{lat.max():g})"


def _tangents(places: Array) -> tuple[Array, Array]:
    """Two unit vectors (n, 3) that are orthogonal to places (n, 3) and to each other."""
    beside = np.eye(3)[np.abs(places).argmin(1)]
    first = np.cross(places, beside)
    first /= np.linalg.norm(first, axis=-1, keepdims=True)
    return first, np.cross(places, first)
