"""How the points of a file and those of its grid belong together: every grid has one canonical order.

Latitudes run northward, longitudes eastward, from 0° where they go round the globe and from the western end of a
cut-out; y and x of a plane increase; the points of reduced grids run eastward in rows from the southernmost on. A
meridian that a file holds twice is held once. Readers turn files that way and writers turn results back.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.grids.base import Grid
from phyda_cli.grids.curvilinear import CurvilinearGrid
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.grids.plane import Geographic, PlaneGrid, Projection, Rotated
from phyda_cli.grids.reduced import ReducedGrid

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
T = TypeVar("T", bound=np.generic)

_TOLERANCE: Final = 1e-3
"""How far [degree] coordinates stored in single precision may lie from their exact place."""
_FEWEST: Final = (5, 6)
"""A global grid of fewer rows and columns holds nothing of the weather."""


@dataclass(frozen=True)
class Orientation:
    """How a file's axes map to the canonical grid.

    grid: the canonical grid.
    rows, columns: index into the file's axis of rows or columns for each canonical one.
    file_rows, file_columns: the canonical row or column for each of the file's.
    """

    grid: Grid
    rows: Integers
    columns: Integers
    file_rows: Integers
    file_columns: Integers

    def turned(self, values: NDArray[T]) -> NDArray[T]:
        """Return fields (…, row, column) of the file on the canonical grid; a view where the axes are whole."""
        return self._picked(values, self.rows, self.columns)

    def turned_back(self, values: NDArray[T]) -> NDArray[T]:
        """Return fields (…, lat, lon) of the canonical grid in the order of the file; a view where `turned` is."""
        return self._picked(values, self.file_rows, self.file_columns)

    @cached_property
    def slices(self) -> tuple[slice, slice] | None:
        """How the canonical axes run through the file's, where that is all of them, forward or backward; else None.

        Such slices are their own inverse.
        """
        rows, columns = _as_slice(self.rows, self.file_rows.size), _as_slice(self.columns, self.file_columns.size)
        return None if rows is None or columns is None else (rows, columns)

    def _picked(self, values: NDArray[T], rows: Integers, columns: Integers) -> NDArray[T]:
        if self.slices is not None:
            return values[..., self.slices[0], self.slices[1]]
        return values[..., rows[:, None], columns]

    @classmethod
    def of(cls, grid: Grid, rows: Integers, columns: Integers) -> Orientation:
        """Return that of axes of which every entry is on the grid."""
        return cls(grid, rows, columns, _inverse(rows), _inverse(columns))


def _as_slice(index: Integers, length: int) -> slice | None:
    if np.array_equal(index, np.arange(length)):
        return slice(None)
    return slice(None, None, -1) if np.array_equal(index, np.arange(length)[::-1]) else None


def along_axes(latitudes: Array, longitudes: Array) -> Orientation:
    """Return that of latitude and longitude axes [degree], in any order and convention of longitude.

    Raises BadDataError when they make no grid, or a global one that is too coarse or uneven.
    """
    lat = np.asarray(latitudes, dtype=np.float64).ravel()
    lon = np.mod(np.asarray(longitudes, dtype=np.float64).ravel(), 360.0)
    if not (lat.size and np.isfinite(lat).all() and np.isfinite(lon).all()):
        raise BadDataError("the grid's coordinates hold NaN or infinite values")
    if np.abs(lat).max() > 90.0 + _TOLERANCE:
        raise BadDataError(f"latitudes must lie within ±90 degrees, found {lat.min():g} to {lat.max():g}")
    lon = np.where(360.0 - lon < _TOLERANCE / 10, 0.0, lon)
    rows, columns = np.argsort(lat, kind="stable"), np.argsort(lon, kind="stable")
    distinct = np.concatenate([[True], np.diff(lon[columns]) > _TOLERANCE])
    number = np.empty(lon.size, np.int64)
    number[columns] = np.cumsum(distinct) - 1
    columns, clipped = columns[distinct], np.clip(lat[rows], -90.0, 90.0)
    held = lon[columns]
    if np.any(np.diff(clipped) <= 0):
        raise BadDataError("a latitude is there twice")
    if _is_global(clipped, held):
        if clipped.size < _FEWEST[0] or held.size < _FEWEST[1]:
            raise BadDataError(
                f"a grid of {clipped.size} × {held.size} points is too coarse to be a background: it needs "
                f"{_FEWEST[0]} × {_FEWEST[1]} at least"
            )
        grid: Grid = LatLonGrid(tuple(clipped.tolist()), tuple(held.tolist()))
    else:
        gaps = np.diff(np.append(held, held[0] + 360.0))
        first = (int(np.argmax(gaps)) + 1) % held.size
        around = gaps.max() < 1.5 * np.median(gaps) and held.size > 1
        first = 0 if around else first
        columns, number = np.roll(columns, -first), (number - first) % held.size
        x = np.roll(held, -first)
        x = x + 360.0 * (x < x[0])
        grid = PlaneGrid(Geographic(float(0.5 * (x[0] + x[-1]))), tuple(clipped.tolist()), tuple(x.tolist()))
    return Orientation(grid, rows, columns, _inverse(rows), number)


def in_plane(projection: Projection, y: Array, x: Array) -> Orientation:
    """Return that of axes in a projection, in its units and any order. Raises BadDataError when they make no grid."""
    rows, columns = np.argsort(y, kind="stable"), np.argsort(x, kind="stable")
    return Orientation.of(PlaneGrid(projection, tuple(y[rows].tolist()), tuple(x[columns].tolist())), rows, columns)


def rotated(latitude: float, longitude: float, origin: float, y: Array, x: Array) -> Orientation:
    """Return that of the axes of a rotated grid, whose north pole is at a place; `plane.Rotated` has the angles."""
    x = x[0] + np.unwrap(x - x[0], period=360.0)
    return in_plane(Rotated(latitude, longitude, origin, float(0.5 * (x.min() + x.max()))), y, x)


def at_points(latitudes: Array, longitudes: Array) -> Orientation:
    """Return that of two-dimensional coordinates [degree]. Raises BadDataError when they make no grid.

    They are axes where rows and columns are those of latitude and longitude; the points of a single row that is none
    are those of a reduced grid.
    """
    if np.isfinite(latitudes).all() and np.isfinite(longitudes).all():
        even = np.ptp(latitudes, axis=1).max() < _TOLERANCE
        if even and np.ptp(np.unwrap(longitudes, axis=0, period=360.0), axis=0).max() < _TOLERANCE:
            return along_axes(latitudes[:, 0], longitudes[0])
    if latitudes.shape[0] == 1:
        return along_rows(latitudes[0], longitudes[0])
    grid = CurvilinearGrid(np.ascontiguousarray(latitudes), np.ascontiguousarray(np.mod(longitudes, 360.0)))
    return Orientation.of(grid, *map(np.arange, grid.shape))


def along_rows(latitudes: Array, longitudes: Array) -> Orientation:
    """Return that of the points (n,) [degree] of a reduced grid, in any order. Raises BadDataError for other points."""
    lat, lon = np.asarray(latitudes, np.float64), np.mod(np.asarray(longitudes, np.float64), 360.0)
    lon = np.where(360.0 - lon < _TOLERANCE / 10, 0.0, lon)
    if not (np.isfinite(lat).all() and np.isfinite(lon).all()):
        raise BadDataError("the grid's coordinates hold NaN or infinite values")
    row = np.unique(np.round(lat, 5), return_inverse=True)[1]
    order = np.lexsort((lon, row))
    counts = np.bincount(row)
    pieces = np.split(order, np.cumsum(counts)[:-1])
    if counts.max() == counts.size == 1 or np.median(counts) < 2:
        raise BadDataError("the points make no rows of equal latitude")
    gaps = [np.diff(np.append(lon[own], lon[own][0] + 360.0)) for own in pieces]
    whole = all(np.ptp(gap) < max(0.02 * gap.mean(), 2 * _TOLERANCE) for gap in gaps)
    if not whole:
        pieces = [np.roll(own, -(int(np.argmax(gap)) + 1)) for own, gap in zip(pieces, gaps, strict=True)]
    first, step = [], []
    for own in pieces:
        held = lon[own]
        along = np.mod(held - held[0], 360.0)
        steps = np.diff(along)
        if not whole and (steps.size == 0 or np.ptp(steps) > max(0.02 * steps.mean(), 2 * _TOLERANCE)):
            raise BadDataError(f"the points at latitude {lat[own[0]]:g} are not evenly spaced")
        first.append(float(held[0]))
        step.append(360.0 / own.size if whole else float(along[-1] / (own.size - 1)))
    widest = max(step)
    ends = np.array([(west, (n - 1) * s) for west, n, s in zip(first, counts, step, strict=True)])
    west = np.mod(ends[:, 0] - ends[0, 0] + 180.0, 360.0) - 180.0
    if not whole and max(np.ptp(west), np.ptp(west + ends[:, 1])) > widest:
        raise BadDataError("the rows of points neither go round the globe nor end at the same meridians")
    own_latitudes = tuple(float(lat[own[0]]) for own in pieces)
    grid = ReducedGrid(own_latitudes, tuple(counts.tolist()), tuple(first), tuple(step), whole)
    columns = np.concatenate(pieces)
    return Orientation.of(grid, np.zeros(1, np.int64), columns)


def _is_global(latitudes: Array, longitudes: Array) -> bool:
    """Return whether axes, in order, reach round the globe and from pole to pole."""
    if latitudes.size < 2 or longitudes.size < 4:
        return False
    step = float(np.max(np.diff(latitudes)))
    gaps = np.diff(np.append(longitudes, longitudes[0] + 360.0))
    at_poles = latitudes[0] + 90.0 <= 1.5 * step and 90.0 - latitudes[-1] <= 1.5 * step
    return bool(at_poles and np.max(gaps) <= 1.5 * np.median(gaps))


def _inverse(index: Integers) -> Integers:
    result = np.empty_like(index)
    result[index] = np.arange(index.size)
    return result
