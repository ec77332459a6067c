"""Reduced grids: rows of constant latitude, each with as many points as it needs.

Reduced Gaussian grids go round the globe; thinned ones may have rows that do not. A field is one row of all points,
from the southernmost row of the grid on, eastward in each.

Between the points fields are linear along the two rows around a place and linear in latitude between them. Poleward of
the last row of a global grid a field goes on across the pole, as in `latlon.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.constants import EARTH_RADIUS
from phyda_cli.errors import BadDataError
from phyda_cli.grids.base import Corners
from phyda_cli.grids.places import chord_distance, unit_vectors

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

_TOLERANCE: Final = 1e-3
"""How far, in steps of a row, a place may lie beyond the rim by the rounding of coordinates."""


@dataclass(frozen=True)
class ReducedGrid:
    """A reduced grid.

    latitudes: (rows,) degrees north, strictly increasing. counts: (rows,) points of each row. first, step: (rows,)
    longitude of the first point and distance to the next [degree]. whole: whether rows go round the globe; else there
    are two points in each at least. Raises BadDataError for rows that make no grid.
    """

    latitudes: tuple[float, ...]
    counts: tuple[int, ...]
    first: tuple[float, ...]
    step: tuple[float, ...]
    whole: bool

    def __post_init__(self) -> None:
        lat = np.asarray(self.latitudes)
        if lat.size < 2 or not np.all(np.diff(lat) > 0) or np.abs(lat).max() > 90.0:
            raise BadDataError("a reduced grid needs two rows at least, and latitudes that increase within ±90 degrees")
        if min(self.counts) < (1 if self.whole else 2) or min(self.step) <= 0:
            raise BadDataError("a row of a reduced grid has no points, or none that go eastward")

    @classmethod
    def even(cls, spacing: float) -> ReducedGrid:
        """Return a global grid whose points are `spacing` [m] apart or less, in rows from pole to pole."""
        rows = int(np.ceil(np.pi * EARTH_RADIUS / spacing))
        latitudes = -90.0 + (np.arange(rows) + 0.5) * 180.0 / rows
        around = 2.0 * np.pi * EARTH_RADIUS * np.cos(np.radians(latitudes))
        counts = 2 * np.maximum(2, np.ceil(0.5 * around / spacing)).astype(np.int64)
        return cls(
            tuple(latitudes.tolist()), tuple(counts.tolist()), (0.0,) * rows, tuple((360.0 / counts).tolist()), True
        )

    @property
    def shape(self) -> tuple[int, int]:
        """(1, points)."""
        return 1, sum(self.counts)

    @cached_property
    def coordinates(self) -> tuple[Array, Array]:
        """Latitude and longitude [degree] of the points, (points,) each."""
        counts = np.asarray(self.counts)
        number = np.arange(counts.sum()) - np.repeat(self._starts, counts)
        longitude = np.repeat(self.first, counts) + number * np.repeat(self.step, counts)
        return np.repeat(self.latitudes, counts), np.mod(longitude, 360.0)

    @cached_property
    def area(self) -> Array:
        """(1, points) area that a point stands for, scaled to Σ = 1."""
        lat = np.asarray(self.latitudes)
        ends = [max(lat[0] - 0.5 * (lat[1] - lat[0]), -90.0), min(lat[-1] + 0.5 * (lat[-1] - lat[-2]), 90.0)]
        ends = [-90.0, 90.0] if self._global else ends
        band = np.diff(np.sin(np.radians(np.concatenate([ends[:1], 0.5 * (lat[1:] + lat[:-1]), ends[1:]]))))
        own = np.repeat(band * np.asarray(self.step), self.counts)[None]
        return np.asarray(own / own.sum())

    @property
    def spacing(self) -> float:
        """Typical distance [m] between rows."""
        return float(np.radians(np.median(np.diff(self.latitudes)))) * EARTH_RADIUS

    @property
    def rim(self) -> Array | None:
        """(1, points) distance [m] of every point from the rim, along its row or meridian; None of a global grid."""
        if self._global:
            return None
        latitude, _ = self.coordinates
        south, north = (np.radians(np.abs(latitude - self.latitudes[end])) for end in (0, -1))
        result = np.minimum(south, north)
        if not self.whole:
            counts = np.asarray(self.counts)
            number = np.arange(counts.sum()) - np.repeat(self._starts, counts)
            steps = np.minimum(number, np.repeat(counts, counts) - 1 - number)
            along = np.radians(np.repeat(self.step, counts)) * np.cos(np.radians(latitude))
            result = np.minimum(result, steps * along)
        return EARTH_RADIUS * result[None]

    @property
    def turn(self) -> None:
        """Rows run east."""
        return

    def corners(self, latitude: Array, longitude: Array) -> Corners:
        """Return the two points of each of the two rows around each place; across a pole those of the last row."""
        lat = np.asarray(self.latitudes)
        low = np.clip(np.searchsorted(lat, latitude, side="right") - 1, 0, lat.size - 2)
        first, second = low, low + 1
        share = (latitude - lat[low]) / (lat[second] - lat[low])
        across = np.zeros(latitude.shape, dtype=bool)
        if self._global:
            for last, pole in ((lat.size - 1, 90.0), (0, -90.0)):
                poleward = np.abs(latitude) > abs(lat[last])
                poleward &= np.sign(latitude) == np.sign(pole)
                over = (latitude[poleward] - lat[last]) / (2.0 * (pole - lat[last]))
                first, second = np.where(poleward, last, first), np.where(poleward, last, second)
                share[poleward], across = over, across | poleward
        outside = (share < -_TOLERANCE) | (share > 1.0 + _TOLERANCE)
        share = np.clip(share, 0.0, 1.0)
        near = self._along(first, longitude)
        far = self._along(second, np.where(across, longitude + 180.0, longitude))
        index = np.stack([near[0], near[1], far[0], far[1]], axis=1)
        rest = 1.0 - share
        weight = np.stack([rest * (1 - near[2]), rest * near[2], share * (1 - far[2]), share * far[2]], axis=1)
        turned = np.where(across, -1.0, 1.0)
        sign = np.stack([np.ones_like(turned), np.ones_like(turned), turned, turned], axis=1)
        beyond = np.zeros(latitude.shape)
        out = np.flatnonzero(outside | near[3] | far[3])
        nearest = (self._vectors[index[out]] * weight[out, :, None]).sum(1)
        nearest /= np.linalg.norm(nearest, axis=-1, keepdims=True)
        beyond[out] = np.maximum(chord_distance(unit_vectors(latitude[out], longitude[out]), nearest), 1.0)
        return Corners(index, weight, sign, beyond)

    def _along(self, row: Integers, longitude: Array) -> tuple[Integers, Integers, Array, NDArray[np.bool_]]:
        """Return the points (n,) west and east in rows (n,), the share of the eastern one, whether it is outside."""
        count, first, step = (np.asarray(x)[row] for x in (self.counts, self.first, self.step))
        start = self._starts[row]
        if self.whole:
            place = np.mod(longitude - first, 360.0) / step
            west = np.floor(place).astype(np.int64) % count
            return start + west, start + (west + 1) % count, place - np.floor(place), np.zeros(row.shape, dtype=bool)
        middle = 0.5 * (count - 1) * step
        place = (np.mod(longitude - first - middle + 180.0, 360.0) - 180.0 + middle) / step
        held = np.clip(place, 0.0, count - 1.0)
        west = np.minimum(np.floor(held).astype(np.int64), count - 2)
        return start + west, start + west + 1, held - west, np.abs(held - place) > _TOLERANCE

    @property
    def _global(self) -> bool:
        """Whether the rows go round the globe and from pole to pole."""
        lat = np.asarray(self.latitudes)
        widest = 1.5 * float(np.diff(lat).max())
        return self.whole and bool(90.0 - lat[-1] <= widest and lat[0] + 90.0 <= widest)

    @cached_property
    def _starts(self) -> Integers:
        """(rows,) index of the first point of each row."""
        counts = np.asarray(self.counts)
        return np.asarray(np.cumsum(counts) - counts)

    @cached_property
    def _vectors(self) -> Array:
        return unit_vectors(*self.coordinates)

    def __str__(self) -> str:
        return (
            f"{self.shape[1]} points in {len(self.latitudes)} rows "
            f"(latitude {self.latitudes[0]:g}…{self.latitudes[-1]:g})"
        )
