"""Levels of reports with numbers → observations: one entry for each quantity that a level holds, as in a wide table.

A level without any quantity is one entry without a value, so that every level of the file is found again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phyda_cli.formats.reports.build import Reports
from phyda_cli.formats.reports.cells import Floats, Texts
from phyda_cli.observations.table import Flag, Observations


@dataclass(frozen=True)
class Quantity:
    """What the levels hold of one quantity.

    name: a short name, `wind_speed` or `wind_direction`. value, error (n,): SI, NaN where there is none.
    flag, reason (n,): a verdict that came with the value.
    """

    name: str
    value: Floats
    error: Floats
    flag: NDArray[np.int16]
    reason: Texts


@dataclass(frozen=True)
class Levels:
    """Levels in the order of the file; the columns are (n,), units as in `Observations`.

    lost: why a level, by its index, could not be read; it holds no quantity.
    """

    latitude: Floats
    longitude: Floats
    pressure: Floats
    elevation: Floats
    time: NDArray[np.datetime64]
    station: Texts
    report: Texts
    height: Floats | None = None
    lost: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.latitude.size)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the columns that there are, by their names in `Observations`."""
        held = {column.name: getattr(self, column.name) for column in fields(self) if column.name != "lost"}
        return {name: values for name, values in held.items() if values is not None}


def quantity(name: str, value: Floats, error: Floats | None = None) -> Quantity:
    """Return a quantity without verdicts."""
    n = value.size
    missing = np.full(n, np.nan)
    return Quantity(name, value, missing if error is None else error, np.zeros(n, np.int16), np.full(n, "", object))


def first_values(row: NDArray[np.int64], column: NDArray[np.int64], value: Floats, shape: tuple[int, int]) -> Floats:
    """A table of `shape` with, at each row and column, the first of the values that are for it; NaN without one."""
    table = np.full(shape, np.nan)
    places, first = np.unique(row * shape[1] + column, return_index=True)
    table.ravel()[places] = value[first]
    return table


def observations_from_levels(levels: Levels, quantities: list[Quantity], label: str) -> Reports:
    """Return the rows of levels, a report each; `row` is the number of the level in the file, from 1."""
    held = np.stack([np.isfinite(entry.value) for entry in quantities]) if quantities else np.zeros((0, len(levels)))
    empty = np.flatnonzero(~held.any(axis=0))
    rows = [np.flatnonzero(mask) for mask in held]
    which = np.concatenate([*rows, empty]).astype(np.int64)
    order = np.argsort(which, kind="stable")
    at = which[order]

    def joined(parts: list[NDArray[Any]], rest: NDArray[Any]) -> NDArray[Any]:
        pieces = [part[index] for part, index in zip(parts, rows, strict=True)]
        return np.concatenate([*pieces, rest])[order]

    nothing = np.full(empty.size, np.nan)
    lost = np.array([levels.lost.get(int(level), "") for level in empty], dtype=object)
    observations = Observations.build(
        label,
        variable=joined([np.full(len(levels), q.name, object) for q in quantities], np.full(empty.size, "", object)),
        value=joined([q.value for q in quantities], nothing),
        error=joined([q.error for q in quantities], nothing),
        row=at + 1,
        flag=joined([q.flag for q in quantities], np.where(lost == "", Flag.PASS, Flag.PRE_QC)),
        reason=joined([q.reason for q in quantities], lost),
        **{name: column[at] for name, column in levels.columns().items()},
    )
    nothing_read = observations.variable == ""
    return Reports(observations, at).reject(nothing_read, Flag.MISSING, "the report holds no quantity that is read")
