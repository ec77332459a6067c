"""Duplicates among many rows of one place, without comparing each with each.

Rows go from the best on; one is kept unless a row kept before is its duplicate (`duplicates.py` says what that is).
Kept rows stand in tables whose keys are cells as wide as the tolerances, so that a row looks only into its own cell and
those around it: for its station, for rows without a name, and for equal values. Rows kept in one cell are no duplicates
of each other, so a cell stays small, and n rows take time in proportion to n. Rows that are the same in all that the
comparison asks for share one fate, and only the best of them goes through the tables.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_AROUND: Final = (0, -1, 1)
"""A cell and its neighbours: the own one first, which mostly decides."""


class Rows(NamedTuple):
    """What the comparison asks for, (n,) each.

    variable, station: codes. named: whether there is a station. latitude, longitude [degree, 0 to 360], pressure [Pa,
    −1 without one], time [ns], value, error [SI]. rank: smaller is better.
    """

    variable: Integers
    station: Integers
    named: NDArray[np.bool_]
    latitude: Floats
    longitude: Floats
    pressure: Floats
    time: Integers
    value: Floats
    error: Floats
    rank: Integers


class Tolerances(NamedTuple):
    """How much duplicates may differ by.

    degrees: in latitude and longitude. pressure [Pa], pressure_part: of the pressure [1]. time [ns], unnamed_time: the
    same between rows one of which has no station. value_part: of σ_o [1]. rounding: added to all [degree, Pa].
    """

    degrees: float
    pressure: float
    pressure_part: float
    time: int
    unnamed_time: int
    value_part: float
    rounding: float


def greedy(rows: Rows, tolerances: Tolerances) -> Integers:
    """(n,) for each row a kept row that it repeats, or −1 where it is kept itself."""
    order = np.argsort(rows.rank)
    columns = {name: column[order] for name, column in rows._asdict().items()}
    alike = pd.DataFrame({name: column for name, column in columns.items() if name != "rank"})
    group = alike.groupby(list(alike.columns), sort=False).ngroup().to_numpy()
    _, first = np.unique(group, return_index=True)
    table = _Table(Rows(**columns), tolerances)
    kept = np.full(first.size, -1, dtype=np.int64)
    for place in np.sort(first).tolist():
        kept[group[place]] = table.repeated(place)
    # all others of a group repeat what its best row repeats, or that row itself
    place = np.where(kept[group] >= 0, kept[group], first[group])
    place[first] = kept[group[first]]
    better = np.full(order.size, -1, dtype=np.int64)
    better[order] = np.where(place >= 0, order[place], -1)
    return better


@dataclass
class _Cell:
    """The rows kept in one cell of variable, place and pressure, in order of rank; keys are whole spans of time."""

    stations: dict[tuple[int, int], list[int]] = field(default_factory=lambda: defaultdict(list))
    values: dict[int, list[tuple[float, int]]] = field(default_factory=lambda: defaultdict(list))
    every: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    unnamed: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))


class _Table:
    """The rows kept so far, by cells. rows: in order of rank."""

    def __init__(self, rows: Rows, tolerances: Tolerances) -> None:
        t = self._tolerances = tolerances
        self._rows: dict[str, list[Any]] = {name: column.tolist() for name, column in rows._asdict().items()}
        # a whole number of columns goes round the globe
        self._around = int(360.0 / (t.degrees + t.rounding))
        self._places = list(
            zip(
                self._rows["variable"],
                np.floor((rows.latitude + 90.0) / (t.degrees + t.rounding)).astype(int).tolist(),
                np.floor(rows.longitude * self._around / 360.0).astype(int).tolist(),
                np.floor(rows.pressure / (t.pressure + t.rounding)).astype(int).tolist(),
                strict=True,
            )
        )
        self._spans: list[int] = (rows.time // t.time).tolist()
        self._minutes: list[int] = (rows.time // t.unnamed_time).tolist()
        self._cells: dict[tuple[int, int, int, int], _Cell] = {}

    def repeated(self, row: int) -> int:
        """Return a row kept before that this one repeats, or −1: then it is kept."""
        for cell in self._cells_around(row):
            for other in self._duplicates(row, cell):
                return other
        self._keep(row)
        return -1

    def _cells_around(self, row: int) -> Iterator[_Cell]:
        variable, south, west, layer = self._places[row]
        for i, j, k in product(_AROUND, repeat=3):
            cell = self._cells.get((variable, south + i, (west + j) % self._around, layer + k))
            if cell is not None:
                yield cell

    def _duplicates(self, row: int, cell: _Cell) -> Iterator[int]:
        """Yield rows of a cell with the row's station, near in time where one has no name, or with the row's value."""
        r, t = self._rows, self._tolerances
        time, station = r["time"][row], r["station"][row]
        near_in_time = cell.unnamed if r["named"][row] else cell.every
        for step in _AROUND:
            span = self._spans[row] + step
            for other in cell.stations.get((span, station), ()):
                if self._same_place_and_time(row, other):
                    yield other
            for other in self._equal(row, cell.values.get(span, [])):
                if self._same_place_and_time(row, other):
                    yield other
            for other in near_in_time.get(self._minutes[row] + step, ()):
                if abs(r["time"][other] - time) <= t.unnamed_time and self._same_place_and_time(row, other):
                    yield other

    def _equal(self, row: int, held: list[tuple[float, int]]) -> Iterator[int]:
        """Of sorted values and their rows those that differ from the row's by no more than rounding."""
        value, error = self._rows["value"][row], self._rows["error"]
        part = self._tolerances.value_part
        at = bisect_left(held, (value - part * error[row], -1))
        while at < len(held) and held[at][0] <= value + part * error[row]:
            other = held[at][1]
            if abs(held[at][0] - value) <= part * min(error[row], error[other]):
                yield other
            at += 1

    def _keep(self, row: int) -> None:
        cell = self._cells.setdefault(self._places[row], _Cell())
        span, minute = self._spans[row], self._minutes[row]
        cell.stations[span, self._rows["station"][row]].append(row)
        insort(cell.values[span], (self._rows["value"][row], row))
        cell.every[minute].append(row)
        if not self._rows["named"][row]:
            cell.unnamed[minute].append(row)

    def _same_place_and_time(self, one: int, other: int) -> bool:
        r, t = self._rows, self._tolerances
        gap = abs(r["longitude"][one] - r["longitude"][other])
        pressures = r["pressure"][one], r["pressure"][other]
        deeper = abs(pressures[0] - pressures[1])
        return bool(
            abs(r["latitude"][one] - r["latitude"][other]) <= t.degrees + t.rounding
            and min(gap, 360.0 - gap) <= t.degrees + t.rounding
            and abs(r["time"][one] - r["time"][other]) <= t.time
            and deeper <= t.pressure + t.rounding
            and deeper <= t.pressure_part * min(abs(pressures[0]), abs(pressures[1])) + t.rounding
        )
