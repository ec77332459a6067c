"""What a reader found in one file (or one set of GRIB files): the seam between the readers and the background.

The readers open, choose one valid time, and say which variables phyda knows and where; `formats.background` turns that
into a state. The dataset holds everything else of the file too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.formats.gridded.folding import Folding
from phyda_cli.formats.units import UnitConversion
from phyda_cli.grids.latlon import Orientation, orient

Array = NDArray[np.float64]

PASSIVE = frozenset({"w", "vo", "d"})
"""Variables that no method analyses: what would refuse another variable lets these pass through unread."""

_FEWEST = (5, 6)
"""Fewer rows and columns hold nothing of the weather."""

MEMBER_NAMES = ("number", "member", "members", "ensemble", "realization", "ens", "sample")
OF_MEMBERS = {"standard_name": "realization", "long_name": "member", "units": "1"}
"""Attributes of an axis of members."""
"""Names of ensemble dimensions; the first is the one that GRIB fields get."""


@dataclass(frozen=True)
class FoundField:
    """A variable of the dataset that phyda knows.

    name: in the dataset. variable: key of `VARIABLES` for the quantity as the file holds it (`gh`, `r` and `td` too).
    unit: the file's unit. level_dim: its level dimension, None for single-level fields and scalar levels.
    levels: [Pa] along `level_dim`, one entry for a scalar level, empty for a single-level field.
    correctable: whether the unit is an attribute that may be wrong; in GRIB the parameter fixes it.
    """

    name: str
    variable: str
    unit: UnitConversion
    level_dim: str | None
    levels: tuple[float, ...]
    correctable: bool = True


@dataclass(frozen=True)
class Contents:
    """One file at one valid time.

    dataset: every variable, in the file's own axes and units, decoded, in memory.
    time: valid time, None when the file does not tell. selected: the keys of `select` that the file knew.
    notes: what was inferred or left out, one sentence each, for the log. folding: how the file folds its fields.
    """

    dataset: xr.Dataset
    latitude: str
    longitude: str
    member: str | None
    time: np.datetime64 | None
    fields: tuple[FoundField, ...]
    source: str
    selected: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    folding: Folding | None = None


def format_time(time: np.datetime64) -> str:
    """ISO 8601 to the minute, UTC: 2008-12-08T12:00Z."""
    return f"{np.datetime_as_string(time, unit='m')}Z"


def choose_time(times: Sequence[np.datetime64], wanted: np.datetime64 | None, source: str) -> np.datetime64:
    """Return the valid time to read. Raises BadDataError, listing the times there are, unless exactly one fits."""
    there = sorted(set(times))
    fitting = [t for t in there if wanted is None or t.astype("datetime64[s]") == wanted.astype("datetime64[s]")]
    if len(fitting) == 1:
        return fitting[0]
    listed = ", ".join(format_time(t) for t in there[:8]) + (f" … {format_time(there[-1])}" if len(there) > 8 else "")
    if wanted is not None:
        raise BadDataError(f"{source}: holds no fields valid at {format_time(wanted)}; there are: {listed}")
    raise BadDataError(f"{source}: holds {len(there)} valid times; choose one with --time: {listed}")


def global_orientation(latitudes: Array, longitudes: Array, source: str) -> Orientation:
    """`orient` for a file: says which part of the globe a regional file covers. Raises BadDataError naming the file."""
    if latitudes.size < 2 or longitudes.size < 4:
        where = f"{latitudes.size} × {longitudes.size} points at {_span(latitudes, longitudes)}"
        raise BadDataError(f"{source}: not global: {where}; a background must cover the whole globe")
    rows = np.sort(latitudes)
    columns = np.unique(np.round(np.mod(longitudes, 360.0), 4))
    gaps = np.diff(np.append(columns, columns[0] + 360.0))
    step = float(np.max(np.diff(rows)))
    if rows[0] + 90 > 1.5 * step or 90 - rows[-1] > 1.5 * step or np.max(gaps) > 1.5 * np.median(gaps):
        raise BadDataError(
            f"{source}: not global: {_span(latitudes, longitudes)}; a background must cover the whole globe"
        )
    if latitudes.size < _FEWEST[0] or longitudes.size < _FEWEST[1]:
        raise BadDataError(
            f"{source}: a grid of {latitudes.size} × {longitudes.size} points is too coarse to be a background: it "
            f"needs {_FEWEST[0]} × {_FEWEST[1]} at least"
        )
    try:
        return orient(latitudes, longitudes)
    except BadDataError as error:
        raise BadDataError(f"{source}: {error}") from None


def _span(latitudes: Array, longitudes: Array) -> str:
    return (
        f"latitude {np.min(latitudes):g} to {np.max(latitudes):g}, "
        f"longitude {np.min(longitudes):g} to {np.max(longitudes):g}"
    )
