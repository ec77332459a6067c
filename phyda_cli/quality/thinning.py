"""Thinning: of the observations of one variable in a cell only the one nearest to its centre is kept.

    D² = (d / ½h)² + ((v − v_c) / ½Δv)² + ((t − t_c) / ½Δt)²

d is the distance from the centre of the cell, h, Δv and Δt its size on the sphere, in pressure or ln p, and in time.
The cells are those of `places.py`; depth is counted from 0 hPa (or 1 Pa in ln p), time from the start of the window.
Without a depth only equal pressures share a cell. Equal D are decided by σ_o and then by the rows' own content, so the
order of rows does not matter. Source: UFO's Gaussian_Thinning, whose outcomes this shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from phyda_cli.grids.places import cells, distance
from phyda_cli.observations.settings import Mesh
from phyda_cli.observations.table import Flag, Observations
from phyda_cli.quality.groups import codes, content_rank, group
from phyda_cli.quality.selection import claimed

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_ROUNDING: Final = 1e-9
"""Relative: distances that differ by less are equal, so that symmetric places are decided by content."""


class Bins(NamedTuple):
    """number (n,) of the bin of each value; offset (n,) from its middle, in half bins."""

    number: Integers
    offset: Floats


def bins(values: Floats, size: float, *, lowest: float, highest: float | None = None) -> Bins:
    """Bins of `size` from `lowest` on; values beyond the limits belong to the outermost bins."""
    number = np.floor((values - lowest) / size)
    last = np.inf if highest is None else max(round((highest - lowest) / size), 1) - 1
    number = np.clip(number, 0, last)
    return Bins(number.astype(np.int64), (values - lowest - (number + 0.5) * size) / (0.5 * size))


class Placed(NamedTuple):
    """cell (n,): its number; squared (n,): D²."""

    cell: Integers
    squared: Floats


def place(table: Observations, mesh: Mesh, time: np.datetime64, window: np.timedelta64) -> Placed:
    """Return the cell of each row, of its own variable, and D². time, window: the centre and half the length of the
    window.
    """
    horizontal = cells(table.latitude, table.longitude, 1000.0 * mesh.horizontal_km)
    away = distance(table.latitude, table.longitude, horizontal.latitude, horizontal.longitude)
    keys = [table.variable, horizontal.number]
    squared = (away / (500.0 * mesh.horizontal_km)) ** 2
    for part in (_vertical(table, mesh), _temporal(table, mesh, time, window)):
        if part is not None:
            keys.append(part.number)
            squared = squared + part.offset**2
    return Placed(group(keys), squared)


def _vertical(table: Observations, mesh: Mesh) -> Bins:
    pressure = table.pressure
    known = np.isfinite(pressure)
    if mesh.vertical_hpa is not None:
        found = bins(np.where(known, pressure, 0.0), 100.0 * mesh.vertical_hpa, lowest=0.0)
    elif mesh.vertical_ln is not None:
        found = bins(np.log(np.where(known, pressure, 1.0)), mesh.vertical_ln, lowest=0.0)
    else:
        found = Bins(codes(np.where(known, pressure, -1.0)), np.zeros(pressure.shape))
    return Bins(np.where(known, found.number, -1), np.where(known, found.offset, 0.0))


def _temporal(table: Observations, mesh: Mesh, time: np.datetime64, window: np.timedelta64) -> Bins | None:
    if mesh.hours is None:
        return None
    start = time.astype("datetime64[ns]") - window.astype("timedelta64[ns]")
    hours = (table.time - start) / np.timedelta64(3_600_000_000_000, "ns")
    return bins(hours, mesh.hours, lowest=0.0, highest=2.0 * float(window / np.timedelta64(1, "h")))


def nearest(placed: Placed, table: Observations) -> Integers:
    """(n,) for each row the row of its cell that is nearest to the centre."""
    error = np.nan_to_num(table.error, nan=np.inf)
    order = np.lexsort((content_rank(table), error, _rounded(placed.squared), placed.cell))
    cell = placed.cell[order]
    first = np.flatnonzero(np.append(True, np.diff(cell) != 0))
    winner = np.empty(int(placed.cell.max(initial=-1)) + 1, dtype=np.int64)
    winner[cell[first]] = order[first]
    return winner[placed.cell]


def _rounded(squared: Floats) -> Floats:
    return np.round(squared / _ROUNDING) * _ROUNDING


def thin(
    observations: Observations, meshes: Sequence[Mesh], *, time: np.datetime64, window: np.timedelta64
) -> Observations:
    """THINNED: all but one row of each variable in each cell; a row belongs to the first mesh whose selection it fits.

    Only rows that are assimilated take part. time: of the analysis. window: half the length of the window.
    """
    result = observations
    for mesh, rows in claimed(observations, meshes):
        table = observations.take(rows)
        kept = np.arange(len(observations), dtype=np.int64)
        kept[rows] = rows[nearest(place(table, mesh, time, window), table)]

        def describe(i: int, kept: Integers = kept) -> str:
            return f"row {observations.row[kept[i]]} is nearer to the centre of its cell"

        result = result.reject(kept != np.arange(len(observations)), Flag.THINNED, describe)
    return result
