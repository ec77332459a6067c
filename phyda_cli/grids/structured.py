"""Grids whose rows and columns are neighbours on the sphere: a place has a row and a column, with fractions.

Between the points fields are bilinear in row and column. An axis of a single point holds for half a step to both sides.

    area      |∂n/∂row × ∂n/∂column|, n the unit vector of a point
    rim       the shortest way along a row or column to its end
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from phyda_cli.grids.base import Corners
from phyda_cli.grids.places import chord_distance, unit_vectors

Array = NDArray[np.float64]

_TOLERANCE: Final = 1e-3
"""How far, in steps of the grid, a place may lie beyond the rim by the rounding of coordinates."""


class Structured(ABC):
    """What the grids of this kind have in common; each says where a place is among its rows and columns."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""

    @property
    @abstractmethod
    def coordinates(self) -> tuple[Array, Array]:
        """Latitude and longitude [degree] of the points, (rows · columns,) each."""

    @property
    @abstractmethod
    def turn(self) -> Array | None:
        """(rows, columns) angle [radian] of the grid's rows, counted from east to north; None where they run east."""

    @property
    def periodic(self) -> bool:
        """Whether the last column is beside the first."""
        return False

    @abstractmethod
    def position(self, latitude: Array, longitude: Array) -> tuple[Array, Array]:
        """Row and column of places (n,), with fractions, going on beyond the rim; NaN for what has none."""

    def corners(self, latitude: Array, longitude: Array) -> Corners:
        """Return the four points around each place, outside of the grid those around the nearest row and column."""
        rows, columns = self.shape
        row, column = self.position(latitude, longitude)
        down, across = _between(row, rows, periodic=False), _between(column, columns, periodic=self.periodic)
        index, weight = [], []
        for first, share in ((down.low, 1.0 - down.share), (down.high, down.share)):
            for second, part in ((across.low, 1.0 - across.share), (across.high, across.share)):
                index.append(first * columns + second)
                weight.append(share * part)
        indices, weights = np.stack(index, axis=1), np.stack(weight, axis=1)
        beyond = np.zeros(row.shape)
        out = np.flatnonzero(down.outside | across.outside)
        nearest = (self._vectors.reshape(-1, 3)[indices[out]] * weights[out, :, None]).sum(1)
        nearest /= np.linalg.norm(nearest, axis=-1, keepdims=True)
        beyond[out] = np.maximum(chord_distance(unit_vectors(latitude[out], longitude[out]), nearest), 1.0)
        beyond[~np.isfinite(row) | ~np.isfinite(column)] = np.inf
        return Corners(indices, weights, np.ones_like(weights), beyond)

    @property
    def area(self) -> Array:
        """(rows, columns) area that a point stands for, scaled to Σ = 1."""
        own = np.linalg.norm(np.cross(self._along(0), self._along(1)), axis=-1)
        return np.asarray(own / own.sum())

    @property
    def spacing(self) -> float:
        """Typical distance [m] between neighbouring points, the larger of its two directions."""
        steps = [float(np.median(self._steps(axis))) for axis in (0, 1) if self.shape[axis] > 1]
        return max(steps, default=0.0)

    @property
    def rim(self) -> Array | None:
        """(rows, columns) distance [m] of every point from the rim along the grid's rows and columns."""
        result = np.full(self.shape, np.inf)
        for axis, size in enumerate(self.shape):
            if size == 1 or (axis == 1 and self.periodic):
                continue
            way = np.cumsum(self._steps(axis), axis=axis)
            way = np.concatenate([np.zeros_like(way.take([0], axis)), way], axis=axis)
            result = np.minimum(result, np.minimum(way, way.take([-1], axis) - way))
        return result

    @cached_property
    def _vectors(self) -> Array:
        """n (rows, columns, 3)."""
        return unit_vectors(*self.coordinates).reshape(*self.shape, 3)

    def _steps(self, axis: int) -> Array:
        """Distances [m] between neighbours along an axis of more than one point."""
        points = np.moveaxis(self._vectors, axis, 0)
        return np.moveaxis(chord_distance(points[1:], points[:-1]), 0, axis)

    def _along(self, axis: int) -> Array:
        """∂n (rows, columns, 3) for a step along an axis; across the other one where it has a single point."""
        if self.shape[axis] > 1:
            return np.asarray(np.gradient(self._vectors, axis=axis))
        if self.shape[1 - axis] > 1:
            return np.asarray(np.cross(self._vectors, self._along(1 - axis)))
        return np.asarray(np.cross(self._vectors, np.eye(3)[np.abs(self._vectors[0, 0]).argmin() - axis]))


class _Between(NamedTuple):
    """The two entries of an axis around each place, the share of the second, whether the place is outside."""

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    share: Array
    outside: NDArray[np.bool_]


def _between(position: Array, count: int, *, periodic: bool) -> _Between:
    known = np.nan_to_num(position, nan=-1e9, posinf=1e9, neginf=-1e9)
    if periodic:
        wrapped = np.mod(known, count)
        low = np.floor(wrapped).astype(np.int64) % count
        return _Between(low, (low + 1) % count, wrapped - np.floor(wrapped), ~np.isfinite(position))
    if count == 1:
        low = np.zeros(known.shape, dtype=np.int64)
        return _Between(low, low, np.zeros(known.shape), np.abs(known) > 0.5 + _TOLERANCE)
    clipped = np.clip(known, 0.0, count - 1.0)
    low = np.minimum(np.floor(clipped).astype(np.int64), count - 2)
    return _Between(low, low + 1, clipped - low, np.abs(known - clipped) > _TOLERANCE)


def bearing(step: Array, latitude: Array, longitude: Array) -> Array:
    """Angle [radian] from east to north of steps (n, 3) at places (n,) [degree]."""
    phi, lam = np.radians(latitude), np.radians(longitude)
    east = -np.sin(lam) * step[:, 0] + np.cos(lam) * step[:, 1]
    outward = np.cos(lam) * step[:, 0] + np.sin(lam) * step[:, 1]
    return np.asarray(np.arctan2(np.cos(phi) * step[:, 2] - np.sin(phi) * outward, east))
