"""What a reader found in one file (or one set of GRIB files): the seam between the readers and the background.

The readers open, choose one valid time, and say which variables phyda knows and where; `formats.background` turns that
into a state. The dataset holds everything else of the file too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import xarray as xr

from phyda_cli.errors import BadDataError
from phyda_cli.formats.gridded.folding import Folding
from phyda_cli.formats.gridded.model_levels import ModelLevels
from phyda_cli.formats.units import UnitConversion
from phyda_cli.grids.orientation import Orientation

Made = TypeVar("Made")

PASSIVE = frozenset({"w", "vo", "d"})
"""Variables that no method analyses: what would refuse another variable lets these pass through unread."""

MEMBER_NAMES = ("number", "member", "members", "ensemble", "realization", "ens", "sample")
"""Names of ensemble dimensions."""
MEMBER = MEMBER_NAMES[0]
"""The one that GRIB fields, members that are joined and outputs get."""
OF_MEMBERS = {"standard_name": "realization", "long_name": "member", "units": "1"}
"""Attributes of an axis of members."""


@dataclass(frozen=True)
class FoundField:
    """A variable of the dataset that phyda knows.

    name: in the dataset. variable: key of `VARIABLES` for the quantity as the file holds it (`gh`, `r` and `td` too).
    unit: the file's unit. level_dim: its level dimension, None for single-level fields and scalar levels.
    levels: [Pa] along `level_dim`, one entry for a scalar level, empty for a single-level field.
    correctable: whether the unit is an attribute that may be wrong; in GRIB the parameter fixes it.
    along_grid: a wind component in the grid's own directions, not along latitude and longitude.
    """

    name: str
    variable: str
    unit: UnitConversion
    level_dim: str | None
    levels: tuple[float, ...]
    correctable: bool = True
    along_grid: bool = False


@dataclass(frozen=True)
class GribField:
    """Where a plane of the dataset comes from: the message by whose example it is written back.

    path, index: the file and the number of the field in it, from 0. name: the variable of the dataset. member, level:
    places along its axes of members and levels, 0 where there is none.
    """

    path: Path
    index: int
    name: str
    member: int
    level: int


def of_members(messages: Iterable[GribField], chosen: Sequence[int]) -> tuple[GribField, ...]:
    """The messages of the members at the chosen places, which become places among these."""
    return tuple(replace(one, member=chosen.index(one.member)) for one in messages if one.member in chosen)


@dataclass(frozen=True)
class Contents:
    """One file at one valid time.

    dataset: every variable, in the file's own axes and units, decoded, in memory. latitude, longitude: names of the
    dimensions of rows and columns. orientation: of these. member: name of the dimension of members.
    time: valid time, None when the file does not tell. selected: the keys of `select` that the file knew.
    notes: what was inferred or left out, one sentence each, for the log. folding: how the file folds its fields.
    model: the way back to the model's own levels, where the file's fields were on these.
    messages: where the planes come from, if from GRIB.
    """

    dataset: xr.Dataset
    latitude: str
    longitude: str
    orientation: Orientation
    member: str | None
    time: np.datetime64 | None
    fields: tuple[FoundField, ...]
    source: str
    selected: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    folding: Folding | None = None
    model: ModelLevels | None = None
    messages: tuple[GribField, ...] = ()


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


def on_grid(source: str, of: Callable[..., Made], *described: object) -> Made:
    """Return `of(*described)`, something of the grid of a file. Raises BadDataError naming the file."""
    try:
        return of(*described)
    except BadDataError as error:
        raise BadDataError(f"{source}: {error}") from None
