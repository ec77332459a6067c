"""Where the states of a user come from, and how they come to the channels and the grid of a store.

A source is the states of one Zarr store (`formats/gridded/lazy.py`), or of all the GRIB and NetCDF files together,
which are read state by state as backgrounds are. Either way

    x(p) = Σ_k W_k(p) R x_k        R: `grids.regrid`, conservative; W: linear in ln p, never beyond the source's levels

with R first, for the store's grid is the smaller one. A variable that a source lacks may come from another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.fields.state import Channel, State
from phyda_cli.fields.variables import VARIABLES
from phyda_cli.fields.vertical import vertical_weights
from phyda_cli.formats.gridded.assemble import Wanted
from phyda_cli.formats.gridded.background import read_background
from phyda_cli.formats.gridded.lazy import LazyStates
from phyda_cli.grids.base import Grid
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.grids.regrid import regrid
from phyda_cli.preparation.catalogue import Entry

Fields = NDArray[np.float32]
Hours = NDArray[np.int64]
Times = NDArray[np.datetime64]

_AT_ONCE: Final = 96 * 2**20
"""Bytes of a source's fields that are read at once."""


class Source(Protocol):
    """Some states; other processes get copies of it.

    name: for messages. valid, start: (state,) UTC, NaT where nothing tells the start. grid: of its fields.
    """

    @property
    def name(self) -> str: ...

    @property
    def valid(self) -> Times: ...

    @property
    def start(self) -> Times: ...

    @property
    def grid(self) -> Grid: ...

    def held(self, variable: str) -> tuple[float | None, ...] | None:
        """Return the levels [Pa] that give a variable, (None,) of one without levels; None: it has not got it."""
        ...

    def read(self, states: Hours, channels: Sequence[Channel], grid: LatLonGrid) -> Fields:
        """Return fields (state, channel, lat, lon) [SI] of some states, increasing.

        channels: of variables that it holds. Raises BadDataError for what is missing or cannot be.
        """
        ...


@dataclass(frozen=True)
class StoreSource:
    """The states of a Zarr store."""

    states: LazyStates

    @property
    def name(self) -> str:
        """The store's place."""
        return str(self.states.location)

    @property
    def valid(self) -> Times:
        """(state,) UTC."""
        return self.states.valid

    @property
    def start(self) -> Times:
        """(state,) UTC, NaT where the store tells none."""
        return self.states.start

    @property
    def grid(self) -> Grid:
        """The grid of its fields."""
        return self.states.grid

    def held(self, variable: str) -> tuple[float | None, ...] | None:
        """Return the levels that give a variable."""
        found = self.states.held(variable)
        return tuple(channel.level for channel in found) if found else None

    def read(self, states: Hours, channels: Sequence[Channel], grid: LatLonGrid) -> Fields:
        """Read some states at a time, variable by variable, as many as the memory is meant for."""
        columns = list(self._columns(channels))
        lazy = self.states.narrowed([channel for _, needed, _ in columns for channel in needed])
        result = np.empty((states.size, len(channels), *grid.shape), np.float32)
        mirrored = lazy.north_first and _is_even(lazy.grid) and _is_even(grid)
        together = max(1, _AT_ONCE // lazy.cost)
        for first in range(0, states.size, together):
            chosen = slice(first, first + together)
            place = 0
            for variable, needed, weights in columns:
                values = torch.from_numpy(lazy.read(states[chosen], needed, as_stored=mirrored))
                vector = VARIABLES[variable].is_wind_component
                values = regrid(values, lazy.grid, grid, vector=vector)
                values = values.flip(-2) if mirrored else values
                if weights is not None and weights.ndim == 1:
                    values = values[:, torch.from_numpy(weights)]
                elif weights is not None:
                    values = torch.einsum("kl,slyx->skyx", torch.from_numpy(weights), values.double())
                result[chosen, place : place + values.shape[1]] = values.numpy()
                place += values.shape[1]
        return result

    def _columns(self, channels: Sequence[Channel]) -> Iterator[tuple[str, tuple[Channel, ...], NDArray[Any] | None]]:
        """Yield each variable with the planes that it needs, and what becomes of them: weights (level, plane), or their
        order (level,) where the levels are those of the source; None of a single plane.
        """
        for variable in dict.fromkeys(channel.variable for channel in channels):
            held = self.states.held(variable)
            wanted = [channel.level for channel in channels if channel.variable == variable]
            if not held:
                raise BadDataError(f"{self.name}: holds no {variable}, other states of the store do; add it")
            if wanted == [None]:
                yield variable, held[:1], None
                continue
            weights = level_weights([c.level or 0.0 for c in held], [p or 0.0 for p in wanted], variable, self.name)
            needed = np.flatnonzero((weights != 0.0).any(axis=0))
            planes, weights = tuple(held[place] for place in needed), weights[:, needed]
            if weights.shape[0] == weights.shape[1] and set(np.unique(weights)) <= {0.0, 1.0}:
                yield variable, planes, weights.argmax(axis=1)
            else:
                yield variable, planes, weights


def _is_even(grid: Grid) -> bool:
    """Return whether a grid is its own mirror image at the equator: then rows may be turned after regridding."""
    return isinstance(grid, LatLonGrid) and grid.latitudes == tuple(-latitude for latitude in reversed(grid.latitudes))


@dataclass(frozen=True)
class FilesSource:
    """The states of GRIB and NetCDF files, put together where several files hold a state."""

    entries: tuple[Entry, ...]

    @property
    def name(self) -> str:
        """The first file."""
        return str(self.entries[0].paths[0])

    @cached_property
    def valid(self) -> Times:
        """(state,) UTC."""
        return np.array([entry.valid for entry in self.entries], dtype="datetime64[s]")

    @cached_property
    def start(self) -> Times:
        """(state,) UTC, NaT where the files tell none."""
        nothing = np.datetime64("NaT")
        return np.array([nothing if e.start is None else e.start for e in self.entries], dtype="datetime64[s]")

    @property
    def grid(self) -> Grid:
        """The grid of the first state."""
        return self._first.grid

    def held(self, variable: str) -> tuple[float | None, ...] | None:
        """Return the levels of a variable in the first state."""
        found = tuple(channel.level for channel in self._first.channels if channel.variable == variable)
        return found or None

    def read(self, states: Hours, channels: Sequence[Channel], grid: LatLonGrid) -> Fields:
        """Read state by state, of large ones a variable at a time."""
        variables = tuple(dict.fromkeys(channel.variable for channel in channels))
        size = 4 * self._first.values.shape[-3] * self.grid.shape[0] * self.grid.shape[1]
        groups = [variables] if size <= _AT_ONCE else [(variable,) for variable in variables]
        result = np.empty((states.size, len(channels), *grid.shape), np.float32)
        for row, number in enumerate(states.tolist()):
            entry = self.entries[number]
            for group in groups:
                wanted = [place for place, channel in enumerate(channels) if channel.variable in group]
                state = _read(entry, Wanted(group))
                own = [channels[place] for place in wanted]
                result[row, wanted] = to_store(state, own, grid, str(entry.paths[0])).numpy()
        return result

    @cached_property
    def _first(self) -> State:
        return _read(self.entries[0], None)


def _read(entry: Entry, wanted: Wanted | None) -> State:
    time = entry.valid.astype("datetime64[ns]")
    return read_background(entry.paths, time=time, select=dict(entry.select), wanted=wanted).ensemble_mean().state


def to_store(state: State, channels: Sequence[Channel], grid: LatLonGrid, source: str) -> torch.Tensor:
    """Return a state's values (channel, lat, lon) on other channels and another grid: linear in ln p, then `regrid`.

    Raises BadDataError, naming `source`, when a variable is missing or a level lies outside those of the state.
    """
    planes = []
    for name in dict.fromkeys(channel.variable for channel in channels):
        wanted = [channel.level for channel in channels if channel.variable == name]
        own = [channel for channel in state.channels if channel.variable == name]
        if not own:
            raise BadDataError(f"{source}: holds no {name}, other states of the store do; add it")
        values = regrid(
            state.select(tuple(own)).values.double(), state.grid, grid, vector=VARIABLES[name].is_wind_component
        )
        if own[0].level is not None:
            weights = level_weights([c.level or 0.0 for c in own], [p or 0.0 for p in wanted], name, source)
            values = torch.einsum("kl,lyx->kyx", torch.from_numpy(weights), values)
        planes.append(values)
    return torch.cat(planes)


def level_weights(held: Sequence[float], wanted: Sequence[float], variable: str, source: str) -> NDArray[np.float64]:
    """Return weights (wanted, held) of pressure levels [Pa]. Raises BadDataError for a level outside those held."""
    outside = [p for p in wanted if not covers(held, p)]
    if outside:
        raise BadDataError(
            f"{source}: {variable} reaches from {max(held) / 100:g} to {min(held) / 100:g} hPa, the store needs"
            f" {outside[0] / 100:g} hPa; add that level, or choose others with --levels"
        )
    return vertical_weights(held, wanted, above="constant")


def covers(held: Sequence[float], level: float) -> bool:
    """Return whether a level [Pa] lies within some, to rounding."""
    return min(held) * 0.999 <= level <= max(held) * 1.001


@dataclass(frozen=True)
class Joined:
    """The rows of a store from several sources (`material.Rows`).

    table: (row, source) number of the state in each source, -1 where it has none.
    """

    sources: tuple[Source, ...]
    table: Hours
    channels: tuple[Channel, ...]
    grid: LatLonGrid

    def read(self, rows: Hours) -> NDArray[np.floating[Any]]:
        """Take each variable from the first source that has the state and the variable."""
        table = self.table[rows]
        result = np.empty((rows.size, len(self.channels), *self.grid.shape), np.float32)
        patterns, which = np.unique(table >= 0, axis=0, return_inverse=True)
        for number, pattern in enumerate(patterns):
            own = np.flatnonzero(which.ravel() == number)
            left = dict.fromkeys(channel.variable for channel in self.channels)
            for place in np.flatnonzero(pattern):
                source = self.sources[place]
                given = [variable for variable in left if source.held(variable) is not None]
                places = [i for i, channel in enumerate(self.channels) if channel.variable in given]
                if places:
                    values = source.read(table[own, place], [self.channels[i] for i in places], self.grid)
                    result[own[:, None], np.asarray(places)] = values
                left = dict.fromkeys(variable for variable in left if variable not in given)
            if left:
                first = self.sources[int(np.flatnonzero(pattern)[0])]
                raise BadDataError(f"{first.name}: holds no {next(iter(left))}, other states of the store do; add it")
        return result


def source_paths(sources: Sequence[Source]) -> list[Path]:
    """Return the local files and stores behind some sources."""
    found: list[Path] = []
    for source in sources:
        if isinstance(source, FilesSource):
            found += [path for entry in source.entries for path in entry.paths]
        elif isinstance(source, StoreSource) and isinstance(source.states.location, Path):
            found.append(source.states.location)
    return list(dict.fromkeys(found))
