"""The arrays of a Zarr store, read some states and planes at a time.

A state is a place along the axes of times, a plane a place along one further axis, of levels or of the names of
variables. What lies in one piece is read in one. Where a chunk holds more than is asked for at once, several dates or
several variables, what was decoded last is kept: neighbours are asked for next. Members are read one after the other
for their mean.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phyda_cli.formats.gridded.location import Location, open_zarr

Fields = NDArray[np.float32]
Integers = NDArray[np.int64]

_KEPT: Final = 96 * 2**20
"""What was decoded last is kept up to this size [byte], of each array."""

_opened: Final[dict[Location, xr.Dataset]] = {}
"""Stores that this process has open."""
_decoded: Final[dict[tuple[Location, str], tuple[Hashable, Fields]]] = {}
"""What was decoded last of each array, and which states and planes these are."""


@dataclass(frozen=True)
class LazyArray:
    """An array of a store. axes: of times. axis: of planes, None without one. horizontal: of rows and columns, or of
    points. member: of members, None without one. points: how many a plane has. places: the planes that are in use.
    """

    location: Location
    name: str
    axes: tuple[str, ...]
    axis: str | None
    horizontal: tuple[str, ...]
    member: str | None
    points: int
    places: tuple[int, ...]

    @property
    def chunk(self) -> tuple[int, ...]:
        """The lengths of a chunk along the axes of times."""
        variable = self._variable
        chunks = variable.encoding.get("preferred_chunks", {})
        return tuple(int(chunks.get(axis, 1)) if axis in variable.dims else 1 for axis in self.axes)

    def read(self, index: Integers, places: Sequence[int]) -> Fields:
        """Return planes (state, plane, point) at places (state, axis) along the axes of times and along `axis`."""
        chunk = self.chunk
        own = [self.places.index(place) for place in places]
        several = math.prod(chunk) > 1
        size = 4 * (math.prod(chunk) if several else len(index)) * len(self.places) * self.points
        if size > _KEPT or not (several or len(own) < len(self.places)):
            return self._read(index, places)
        if not several:
            return self._kept(index)[:, own]
        lengths = [self._variable.sizes[axis] for axis in self.axes]
        result = np.empty((len(index), len(own), self.points), np.float32)
        numbers = index // np.asarray(chunk)
        for number in np.unique(numbers, axis=0):
            rows = np.flatnonzero((numbers == number).all(axis=1))
            spans = [
                np.arange(n * c, min((n + 1) * c, size)) for n, c, size in zip(number, chunk, lengths, strict=True)
            ]
            whole = np.stack([axis.ravel() for axis in np.meshgrid(*spans, indexing="ij")], axis=1)
            at = np.ravel_multi_index(tuple((index[rows] - number * np.asarray(chunk)).T), tuple(map(len, spans)))
            result[rows] = self._kept(whole)[at][:, own]
        return result

    def _kept(self, index: Integers) -> Fields:
        """Return all planes in use of some states, those read last without reading them again."""
        key = (index.tobytes(), self.places)
        held = _decoded.get((self.location, self.name))
        if held is None or held[0] != key:
            held = _decoded[self.location, self.name] = (key, self._read(index, self.places))
        return held[1]

    def _read(self, index: Integers, places: Sequence[int]) -> Fields:
        variable = self._variable
        if self.axis is not None:
            variable = variable.isel({self.axis: _span(np.asarray(places))})
        axes = [(dim, index[:, number]) for number, dim in enumerate(self.axes) if dim in variable.dims]
        order = [*(dim for dim, _ in axes), *([] if self.axis is None else [self.axis]), *self.horizontal]
        pieces = list(_together(axes, len(index)))
        result = np.empty((len(index) if len(pieces) > 1 else 0, len(places), self.points), np.float32)
        for rows, chosen in pieces:
            part = variable.isel(chosen)
            members = range(part.sizes[self.member]) if self.member in part.dims else range(1)
            total: NDArray[Any] = np.zeros(())
            for member in members:
                one = part if self.member not in part.dims else part.isel({self.member: member})
                one = one.isel(dict.fromkeys([dim for dim in one.dims if dim not in order], 0))
                values = one.transpose(*order).values.reshape(rows.size, len(places), -1)
                total = values if len(members) == 1 else total + values
            total = total / len(members) if len(members) > 1 else total
            if len(pieces) == 1:
                return np.asarray(total, np.float32)
            result[rows] = total
        return result

    @property
    def _variable(self) -> xr.Variable:
        if self.location not in _opened:
            _opened[self.location] = open_zarr(self.location)
        return _opened[self.location][self.name].variable


def _together(axes: Sequence[tuple[str, Integers]], count: int) -> Iterator[tuple[Integers, dict[str, Any]]]:
    """Yield rows and the index along the axes that reads them in one piece: those whose places make a rectangle."""
    if len(axes) < 2:
        yield np.arange(count), {dim: _span(places) for dim, places in axes}
        return
    (outer, starts), (inner, leads) = axes
    firsts, counts = np.unique(starts, return_counts=True)
    if (
        np.all(counts == counts[0])
        and np.array_equal(starts, np.repeat(firsts, counts[0]))
        and np.array_equal(leads, np.tile(leads[: counts[0]], firsts.size))
    ):
        yield np.arange(count), {outer: _span(firsts), inner: _span(leads[: counts[0]])}
        return
    for first in firsts:
        rows = np.flatnonzero(starts == first)
        yield rows, {outer: _span(starts[rows[:1]]), inner: _span(leads[rows])}


def _span(places: Integers) -> slice | Integers:
    """Return places as a slice where they follow one another."""
    if places.size and np.array_equal(places, np.arange(places[0], places[0] + places.size)):
        return slice(int(places[0]), int(places[0]) + places.size)
    return places
