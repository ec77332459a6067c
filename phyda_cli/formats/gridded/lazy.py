"""States of a Zarr store that are read when they are asked for, a variable and some dates at a time.

What the store holds is found out once, from its first state, by the code that reads a background (`netcdf_fields`,
`netcdf_grid`, `valid_time`, and `assemble` for what numbers say of units). A state is a place along the axes of its
times; a plane is a place along the axis of levels, or along the axis of names where one array holds all variables:

    temperature(time, prediction_timedelta, level, latitude, longitude)    WeatherBench 2, ARCO-ERA5
    data(time, variable, ensemble, values)                                 anemoi-datasets

Values come as float32 in SI on the canonical grid. How arrays are read is told in `lazy_arrays.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.fields.below_ground import below_ground, extend_downwards
from phyda_cli.fields.state import Channel
from phyda_cli.fields.variables import VARIABLES
from phyda_cli.formats.gridded.anemoi import MISSING
from phyda_cli.formats.gridded.assemble import CONVERSIONS, Wanted, converted
from phyda_cli.formats.gridded.contents import Contents, FoundField, format_time
from phyda_cli.formats.gridded.folding import Folding, Points, levels_in_names, look_up, unfold
from phyda_cli.formats.gridded.labels import check_labels, value_problem
from phyda_cli.formats.gridded.layout import Conversion
from phyda_cli.formats.gridded.lazy_arrays import LazyArray
from phyda_cli.formats.gridded.location import Location, open_zarr
from phyda_cli.formats.gridded.netcdf import choose_member
from phyda_cli.formats.gridded.netcdf_fields import find_fields
from phyda_cli.formats.gridded.netcdf_grid import Horizontal, horizontal
from phyda_cli.formats.gridded.valid_time import lead_last, start_times, valid_times
from phyda_cli.grids.base import Grid

Fields = NDArray[np.float32]
Integers = NDArray[np.int64]
Times = NDArray[np.datetime64]


@dataclass(frozen=True)
class Plane:
    """One field at one level. array, place: where it is. field: what it is."""

    array: str
    place: int
    field: FoundField


@dataclass(frozen=True)
class LazyStates:
    """The states of a store.

    valid, start: (state,) UTC, NaT where the store tells no start. places: (state, axis) along the axes of times.
    order: (row, column) index of the canonical grid's points in those of the file, flattened. arrays: what holds the
    planes, by name. planes: what there is, by the quantity as the store holds it. notes: sentences for the log.
    """

    location: Location
    grid: Grid
    valid: Times
    start: Times
    places: Integers
    order: Integers
    arrays: Mapping[str, LazyArray]
    planes: Mapping[Channel, Plane]
    notes: tuple[str, ...]

    def held(self, variable: str) -> tuple[Channel, ...]:
        """Return the planes that give a variable, itself or what it is computed from; empty where there are none."""
        own = tuple(channel for channel in self.planes if channel.variable == variable)
        for source, (made, conversion) in CONVERSIONS.items():
            if not own and made == variable:
                own = tuple(
                    channel
                    for channel in self.planes
                    if channel.variable == source
                    and ((needed := conversion.temperature(channel.level)) is None or needed in self.planes)
                )
        return own

    def narrowed(self, channels: Sequence[Channel]) -> LazyStates:
        """Return the same states with no more planes than these and those that their conversions need."""
        wanted = set(channels)
        for channel in channels:
            needed = CONVERSIONS.get(channel.variable, ("", Conversion.IDENTITY))[1].temperature(channel.level)
            wanted |= {needed} if needed is not None else set()
        planes = {channel: plane for channel, plane in self.planes.items() if channel in wanted}
        return replace(self, planes=planes, arrays=_arrays_of(planes, self.arrays))

    @property
    def cost(self) -> int:
        """Bytes of one state's planes in the array that has the most."""
        return 4 * self.order.size * max((len(array.places) for array in self.arrays.values()), default=1)

    @cached_property
    def north_first(self) -> bool:
        """Whether rows lie from the north on and columns as in the canonical grid."""
        return np.array_equal(self.order, np.arange(self.order.size).reshape(self.order.shape)[::-1])

    def read(self, states: Integers, channels: Sequence[Channel], *, as_stored: bool = False) -> Fields:
        """Return planes (state, plane, lat, lon) of one variable [SI] of some states, in increasing order.

        channels: as `held` names them. as_stored: leave rows that lie from the north on as they are, which saves a
        copy. Raises BadDataError for values that are missing or cannot be.
        """
        order = None if as_stored and self.north_first else self.order
        variable, conversion = CONVERSIONS.get(channels[0].variable, (channels[0].variable, Conversion.IDENTITY))
        values = self._si(states, channels, order)
        if conversion is Conversion.IDENTITY:
            return np.maximum(values, 0.0) if variable == "q" else values
        needed = [channel for c in channels if (channel := conversion.temperature(c.level)) is not None]
        temperature = self._si(states, needed, order) if needed else None
        result = np.empty_like(values)
        for place, channel in enumerate(channels):
            warmth = None if temperature is None else temperature[:, place].astype(np.float64)
            result[:, place] = converted(conversion, values[:, place].astype(np.float64), warmth, channel.level)
        return result

    def _si(self, states: Integers, channels: Sequence[Channel], order: Integers | None) -> Fields:
        planes = [self.planes[channel] for channel in channels]
        parts = []
        for array in dict.fromkeys(plane.array for plane in planes):
            own = [place for place, plane in enumerate(planes) if plane.array == array]
            parts.append((own, self.arrays[array].read(self.places[states], [planes[place].place for place in own])))
        raw = parts[0][1]
        if len(parts) > 1:
            raw = np.empty((states.size, len(planes), self.order.size), np.float32)
            for own, part in parts:
                raw[:, own] = part
        values = raw.reshape(*raw.shape[:2], *self.order.shape) if order is None else _ordered(raw, order)
        for place, plane in enumerate(planes):
            unit = plane.field.unit
            if (unit.scale, unit.offset) != (1.0, 0.0):
                values[:, place] = unit.scale * values[:, place].astype(np.float64) + unit.offset
        least, most = values.min(axis=(0, 2, 3)), values.max(axis=(0, 2, 3))
        for place, (channel, plane) in enumerate(zip(channels, planes, strict=True)):
            low, high = VARIABLES[channel.variable].bounds
            if not (low <= least[place] and most[place] <= high):
                self._check(channel, plane, states, values[:, place])
        return self._filled(states, channels, values) if np.isnan(least).any() else values

    def _check(self, channel: Channel, plane: Plane, states: Integers, values: Fields) -> None:
        if not np.isnan(values).all() and (problem := value_problem(channel, values, plane.field, credible=True)):
            raise BadDataError(f"{self.location}: {plane.array!r} at {self._dates(states)}: {problem}")

    def _filled(self, states: Integers, channels: Sequence[Channel], values: Fields) -> Fields:
        """Return values with what is missing below the ground extended from above."""
        levels = [channel.level for channel in channels if channel.level is not None]
        missing = [np.isnan(values[:, place]) for place in range(len(channels))]
        under = below_ground(missing, levels) if levels else [np.zeros_like(mask) for mask in missing]
        for channel, gone, below in zip(channels, missing, under, strict=True):
            if (gone & ~below).any():
                first = states[np.flatnonzero((gone & ~below).any(axis=(1, 2)))[0]]
                raise BadDataError(
                    f"{self.location}: {channel} valid {format_time(self.valid[first])} has missing values; leave that "
                    "date out by --from and --to, or fill it"
                )
        planes = {channel: values[:, place].astype(np.float64) for place, channel in enumerate(channels)}
        return np.stack([plane.astype(np.float32) for plane in extend_downwards(planes).values()], axis=1)

    def _dates(self, states: Integers) -> str:
        first, last = (format_time(self.valid[state]) for state in states[[0, -1]])
        return first if first == last else f"{first} to {last}"


def lazy_states(place: Location, variables: Sequence[str]) -> LazyStates:
    """Return the states of a Zarr store, of the variables that are asked for.

    Raises InputMissingError, MissingExtraError, and BadDataError for a store that tells no valid times, a grid or
    units that phyda does not know, model levels, or none of the variables.
    """
    dataset, source, wanted = open_zarr(place), str(place), Wanted(tuple(variables))
    valid = valid_times(dataset, source)
    if valid is None:
        raise BadDataError(f"{source}: tells no valid time; a training store needs the date of every state")
    valid = lead_last(dataset, valid)
    begun = start_times(dataset)
    start = np.full(valid.size, np.datetime64("NaT", "s"))
    if begun is not None:
        start = begun.broadcast_like(valid).transpose(*valid.dims).values.astype("datetime64[s]").ravel()
    times = valid.values.astype("datetime64[s]").ravel()
    chosen = np.flatnonzero(~np.isnat(times) & _has_values(dataset, times))
    if not chosen.size:
        raise BadDataError(f"{source}: holds no dates")
    index = np.stack(np.unravel_index(chosen, valid.shape), axis=1) if valid.ndim else np.zeros((1, 0), np.int64)
    notes: list[str] = []
    axes = tuple(map(str, valid.dims))
    first = dataset.isel(dict(zip(axes, index[0].tolist(), strict=True)))
    first, folding = _plain(_known(first, wanted), source)
    grid = horizontal(first, source, notes)
    first, member = choose_member(first, None, source)
    if member is not None:
        first = first.isel({member: 0})
    fields, found = find_fields(first, (grid.rows, grid.columns), None, source)
    fields = tuple(field for field in fields if wanted.keeps(field.variable) and not field.along_grid)
    if not fields:
        raise BadDataError(f"{source}: has none of {', '.join(variables)}")
    check_labels(Contents(first, grid.rows, grid.columns, grid.orientation, None, None, fields, source))
    planes = {channel: plane for field in fields for channel, plane in _planes(field, folding)}
    points = (
        ()
        if folding is None or folding.points is None
        else (folding.points.dim if isinstance(folding.points, Points) else grid.columns,)
    )
    order = _order(folding, grid)
    arrays = {
        name: LazyArray(place, name, axes, axis, points or (grid.rows, grid.columns), member, order.size, ())
        for name, axis in _axes(fields, folding).items()
    }
    return LazyStates(
        location=place,
        grid=grid.orientation.grid,
        valid=times[chosen],
        start=start[chosen],
        places=index.astype(np.int64),
        order=order,
        arrays=_arrays_of(planes, arrays),
        planes=planes,
        notes=(*notes, *found),
    )  # fmt: skip


def _has_values(dataset: xr.Dataset, times: Times) -> NDArray[np.bool_]:
    """Return which times have values: none that anemoi calls missing, none outside the days that ARCO-ERA5 names."""
    about = dataset.attrs
    result = ~np.isin(times, np.array([str(date) for date in about.get(MISSING, [])], dtype="datetime64[s]"))
    if "valid_time_start" in about:
        result &= times >= np.datetime64(str(about["valid_time_start"]), "D")
    if "valid_time_stop" in about:
        result &= times < np.datetime64(str(about["valid_time_stop"]), "D") + np.timedelta64(1, "D")
    return np.asarray(result)


def _known(dataset: xr.Dataset, wanted: Wanted) -> xr.Dataset:
    """Return the dataset without the fields that are none of the variables by their names."""
    by_level = levels_in_names(map(str, dataset.data_vars))

    def is_known(name: str, variable: xr.DataArray) -> bool:
        if name in by_level:
            return wanted.keeps(by_level[name][0].name)
        looks = [look_up(name, variable.attrs, on_levels=on_levels)[0] for on_levels in (True, False)]
        return any(found is not None and wanted.keeps(found.name) for found in looks)

    names_along = [str(n) for n, v in dataset.data_vars.items() if "variable" in v.dims or "channel" in v.dims]
    kept = [str(name) for name, variable in dataset.data_vars.items() if is_known(str(name), variable)]
    return dataset[[*dict.fromkeys((*kept, *names_along))]]


def _plain(dataset: xr.Dataset, source: str) -> tuple[xr.Dataset, Folding | None]:
    """Return the first state as plain fields; one array of all variables is read at once, being one chunk."""
    folded = any(dim in dataset.dims and dataset[dim].dtype.kind in "US" for dim in ("variable", "channel"))
    try:
        return unfold(dataset.load() if folded else dataset)
    except (OSError, ValueError, RuntimeError) as error:
        raise BadDataError(f"{source}: its first state cannot be read ({error}); fetch the store again") from None


def _axes(fields: Sequence[FoundField], folding: Folding | None) -> dict[str, str | None]:
    """Return the arrays that hold the fields, and the axis of planes of each."""
    names = None if folding is None else folding.names
    found: dict[str, str | None] = {}
    for field in fields:
        named = names is not None and field.name in names.names
        found[names.array if named else field.name] = names.dim if named else field.level_dim  # type: ignore[union-attr]
    return found


def _planes(field: FoundField, folding: Folding | None) -> Iterator[tuple[Channel, Plane]]:
    names = None if folding is None else folding.names
    if names is not None and field.name in names.names:
        level = field.levels[0] if field.levels else None
        yield Channel(field.variable, level), Plane(names.array, names.names.index(field.name), field)
        return
    for place, level in enumerate(field.levels or (None,)):
        yield Channel(field.variable, level), Plane(field.name, place, field)


def _arrays_of(planes: Mapping[Channel, Plane], arrays: Mapping[str, LazyArray]) -> dict[str, LazyArray]:
    """Return the arrays that hold some planes, each with the places of these."""
    places = {name: sorted({p.place for p in planes.values() if p.array == name}) for name in arrays}
    return {name: replace(arrays[name], places=tuple(held)) for name, held in places.items() if held}


def _order(folding: Folding | None, grid: Horizontal) -> Integers:
    """Return the place of every canonical point (row, column) among the file's, flattened."""
    own = grid.orientation
    points = None if folding is None else folding.points
    size = own.file_rows.size, own.file_columns.size
    index = np.arange(size[0] * size[1]).reshape(size)
    if isinstance(points, Points):
        index = np.empty(size, np.int64)
        index[points.rows, points.columns] = np.arange(points.rows.size)
    return index[own.rows[:, None], own.columns]


def _ordered(raw: Fields, order: Integers) -> Fields:
    """Return values (…, point) in the file's order on the canonical grid (…, lat, lon)."""
    planes = raw.reshape(*raw.shape[:-1], -1)
    in_place = np.arange(order.size).reshape(order.shape)
    if raw.shape[-1] == order.size and np.array_equal(order, in_place):
        return planes.reshape(*raw.shape[:-1], *order.shape)
    if raw.shape[-1] == order.size and np.array_equal(order, in_place[::-1]):
        return np.ascontiguousarray(planes.reshape(*raw.shape[:-1], *order.shape)[..., ::-1, :])
    return np.ascontiguousarray(planes[..., order])
