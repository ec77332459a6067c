"""The background: a State of the variables that phyda knows, and the file's own dataset to put the analysis back into.

On the way in, every field becomes SI on the canonical grid, and three quantities become what is analysed:

    z = g·gh        q = q(RH, T, p)        q = q(T_d, p)        (`fields.thermodynamics`)

On the way back (`restore`) only values that the analysis changed are written, in the file's own orientation and unit;
relative humidity and dew point are computed anew from the analysed q and T. Everything else stays bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError, UsageError
from phyda_cli.fields.constants import GRAVITY
from phyda_cli.fields.grid import Orientation
from phyda_cli.fields.state import Channel, State
from phyda_cli.fields.thermodynamics import (
    dewpoint_from_specific_humidity,
    relative_humidity_from_specific_humidity,
    specific_humidity_from_dewpoint,
    specific_humidity_from_relative_humidity,
)
from phyda_cli.fields.variables import VARIABLES
from phyda_cli.formats.contents import PASSIVE, Contents, FoundField, format_time, global_orientation
from phyda_cli.formats.members import MemberChoice, choose_members, stack_members
from phyda_cli.formats.merge import merge_contents
from phyda_cli.formats.sniff import FileFormat, sniff
from phyda_cli.formats.units import candidates

Array = NDArray[np.float64]


class Conversion(Enum):
    """How a field of the file relates to the state's channel."""

    IDENTITY = "identity"
    HEIGHT = "height"
    RELATIVE_HUMIDITY = "relative humidity"
    DEWPOINT = "dew point"


_CONVERSIONS = {
    "gh": ("z", Conversion.HEIGHT),
    "r": ("q", Conversion.RELATIVE_HUMIDITY),
    "td": ("q", Conversion.DEWPOINT),
}

_MODEL_TOP = 100.0
"""Above this pressure [Pa] the table's bounds, made for the troposphere and stratosphere, are not checked."""


@dataclass(frozen=True)
class FieldLayout:
    """Where a channel lies in the file's dataset.

    name: variable in the dataset. level_dim, level_index: its place on the level axis (None when there is none).
    conversion: from the channel to the file's quantity [SI]. scale, offset: file = SI·scale + offset.
    """

    name: str
    level_dim: str | None
    level_index: int | None
    conversion: Conversion
    scale: float
    offset: float


@dataclass(frozen=True)
class Background:
    """A background at one valid time.

    state: (channel, lat, lon) or (member, channel, lat, lon) float64, SI, canonical grid; z and q, never gh, r or td.
    dataset: every field of the file, decoded, with its own axes, orientation, units and attributes.
    orientation: from the dataset's axes to the canonical grid.
    layout: for every channel its field. companions: further fields of the same quantity (r beside q), kept consistent.
    latitude, longitude, member: names of dimensions. sources: the files. notes: what the log should say.
    """

    state: State
    dataset: xr.Dataset
    orientation: Orientation
    layout: Mapping[Channel, FieldLayout]
    companions: tuple[tuple[Channel, FieldLayout], ...]
    latitude: str
    longitude: str
    member: str | None
    sources: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def member_numbers(self) -> tuple[int, ...]:
        """The file's number of every member; empty when there is no member axis."""
        return () if self.member is None else tuple(int(n) for n in self.dataset[self.member].values)

    def first_members(self, count: int) -> Background:
        """The background with its first members only. Raises BadDataError when it has not so many."""
        held = len(self.member_numbers)
        if count > held:
            raise BadDataError(f"{self.sources[0]}: holds {held or 1} members, not {count}")
        state = replace(self.state, values=self.state.values[:count])
        return replace(self, state=state, dataset=self.dataset.isel({self.member: slice(count)}))

    def one_member(self, index: int) -> Background:
        """The background of one member, by its place on the member axis, without that axis."""
        state = replace(self.state, values=self.state.values[index])
        return replace(self, state=state, dataset=self.dataset.isel({self.member: index}), member=None)

    def ensemble_mean(self) -> Background:
        """The background without its member axis: mean of the state and of every field. Itself when there is none."""
        if self.member is None:
            return self
        mean = self.dataset.mean(self.member, keep_attrs=True)
        dataset = mean.assign({name: mean[name].astype(self.dataset[name].dtype) for name in mean.data_vars})
        state = replace(self.state, values=self.state.values.mean(dim=0))
        return replace(self, state=state, dataset=dataset, member=None)


def read_background(
    paths: Sequence[Path],
    *,
    time: np.datetime64 | None = None,
    member: MemberChoice = None,
    select: Mapping[str, str] | None = None,
    as_members: bool = False,
) -> Background:
    """Read a background from GRIB, NetCDF or Zarr files.

    Several files are merged (one per variable, say), or with as_members, when all of them hold the same fields, are
    the members of an ensemble (`members`).

    time: valid time (UTC) to read; sets the valid time of files that tell none, and of NetCDF files whose time axis
    `select` indexes. member: one ensemble member, or several; None keeps them all. select: further choices, NetCDF
    dimension or GRIB key → value. Raises InputMissingError, BadDataError or UsageError with one line.
    """
    if not paths:
        raise UsageError("no background file was given; name one with --background")
    choice = dict(select or {})
    formats = [(path, sniff(path)) for path in paths]
    if as_members and len(paths) > 1 and _are_members(formats, time, choice):
        each = [_read([path], kind, time=time, member=None, select=choice) for path, kind in formats]
        contents = [choose_members(stack_members(each), member)]
    else:
        contents = _parts(formats, time=time, member=member, select=choice)
    unknown = sorted(set(choice) - frozenset().union(*(item.selected for item in contents)))
    if unknown:
        raise UsageError(f"--select {unknown[0]}={choice[unknown[0]]}: no background file has a {unknown[0]!r}")
    return assemble(merge_contents(contents), time=time, sources=tuple(str(path) for path in paths))


def _are_members(
    formats: Sequence[tuple[Path, FileFormat]], time: np.datetime64 | None, select: Mapping[str, str]
) -> bool:
    """Whether all files hold the same fields, GRIB files also of the same member numbers."""
    held: list[frozenset[object]] = []
    for path, kind in formats:
        if kind is FileFormat.GRIB:
            from phyda_cli.formats.grib import grib_fields

            held.append(grib_fields(path, time=time, select=select))
        else:
            from phyda_cli.formats.netcdf import netcdf_fields

            held.append(netcdf_fields(path, kind))
        if held[-1] != held[0]:
            return False
    return bool(held[0])


def _read(
    paths: Sequence[Path],
    kind: FileFormat,
    *,
    time: np.datetime64 | None,
    member: MemberChoice,
    select: Mapping[str, str],
) -> Contents:
    """GRIB files taken together, or one file of another kind."""
    if kind is FileFormat.GRIB:
        from phyda_cli.formats.grib import read_grib  # loads the GRIB library only where there is GRIB

        return read_grib(paths, time=time, member=member, select=select)
    from phyda_cli.formats.netcdf import read_netcdf

    return read_netcdf(paths[0], kind, time=time, member=member, select=select)


def _parts(
    formats: Sequence[tuple[Path, FileFormat]],
    *,
    time: np.datetime64 | None,
    member: MemberChoice,
    select: Mapping[str, str],
) -> list[Contents]:
    grib = [path for path, kind in formats if kind is FileFormat.GRIB]
    files = [([path], kind) for path, kind in formats if kind is not FileFormat.GRIB]
    groups = [(grib, FileFormat.GRIB)] * bool(grib) + files
    return [_read(paths, kind, time=time, member=member, select=select) for paths, kind in groups]


def assemble(contents: Contents, *, time: np.datetime64 | None, sources: tuple[str, ...]) -> Background:
    """Turn what a reader found into a Background. Raises BadDataError for missing or incredible values."""
    valid = contents.time if contents.time is not None else time
    if valid is None:
        raise BadDataError(f"{contents.source}: tells no valid time; give it with --time")
    orientation = global_orientation(
        np.asarray(contents.dataset[contents.latitude], np.float64),
        np.asarray(contents.dataset[contents.longitude], np.float64),
        contents.source,
    )
    notes = list(contents.notes)
    planes: dict[Channel, Array] = {}
    layout: dict[Channel, FieldLayout] = {}
    companions: list[tuple[Channel, FieldLayout]] = []
    # Humidity fields come last: their conversion needs the temperature of the same level.
    for field in sorted(contents.fields, key=lambda f: f.variable in ("r", "td")):
        variable, conversion = _CONVERSIONS.get(field.variable, (field.variable, Conversion.IDENTITY))
        values = _canonical(contents, field, orientation)
        for index, level in enumerate(field.levels or (None,)):
            plane = values[..., index, :, :]
            channel, own = Channel(variable, level), Channel(field.variable, level)
            problem = _problem(own, plane, field)
            if problem and field.variable in PASSIVE:
                notes.append(f"{own} is passed through unread: {problem}")
                continue
            if problem:
                raise BadDataError(f"{contents.source}: variable {field.name!r}: {problem}")
            if conversion is Conversion.RELATIVE_HUMIDITY and Channel("t", level) not in planes:
                notes.append(f"{own} is passed through unread: no temperature at that level to convert it with")
                continue
            place = FieldLayout(
                field.name,
                field.level_dim,
                index if field.level_dim else None,
                conversion,
                1.0 / field.unit.scale,
                -field.unit.offset / field.unit.scale,
            )
            if channel in layout:
                if conversion is layout[channel].conversion:
                    raise BadDataError(
                        f"{contents.source}: both {layout[channel].name!r} and {field.name!r} are {channel}; remove one"
                    )
                companions.append((channel, place))
                continue
            planes[channel] = _to_channel(conversion, plane, level, planes)
            layout[channel] = place
    if not layout:
        raise BadDataError(f"{contents.source}: holds no field that phyda knows; see docs/formats.md")
    state = State(
        torch.from_numpy(np.stack(list(planes.values()), axis=-3)),
        tuple(planes),
        orientation.grid,
        valid.astype("datetime64[ns]"),
    )
    dataset = contents.dataset.drop_encoding()
    return Background(
        state,
        dataset,
        orientation,
        layout,
        tuple(companions),
        contents.latitude,
        contents.longitude,
        contents.member,
        sources,
        tuple(notes),
    )


def restore(background: Background, state: State) -> xr.Dataset:
    """A copy of the background's dataset with the state's values in the file's own orientation, units and quantities.

    state: the same grid and member axis as `background.state`, any of its channels; fields of other channels, and
    values that did not change, stay bit for bit. Raises BadDataError when grid, members or channels disagree.
    """
    old = background.state
    if state.grid.shape != old.grid.shape or state.values.shape[:-3] != old.values.shape[:-3]:
        raise BadDataError(
            f"a state of shape {tuple(state.values.shape)} cannot go back into one of {tuple(old.values.shape)}"
        )
    new = {channel: _plane(state, channel) for channel in state.channels}
    # Compare in the precision of the new state: a detour through single precision is no change.
    before = {channel: _plane(old, channel, state.values.dtype) for channel in old.channels}
    unknown = [channel for channel in new if channel not in background.layout]
    if unknown:
        raise BadDataError(f"the background holds no {unknown[0]}")
    rows, columns = file_index(background)
    arrays: dict[str, NDArray[np.generic]] = {}
    for channel, place in (*background.layout.items(), *background.companions):
        inputs = [channel, Channel("t", channel.level)][: 2 if place.conversion is Conversion.RELATIVE_HUMIDITY else 1]
        touched = [item for item in inputs if item in new and not np.array_equal(new[item], before[item])]
        if not touched:
            continue
        changed = np.logical_or.reduce([new[item] != before[item] for item in touched])
        values = _from_channel(place.conversion, channel.level, *(new.get(item, before[item]) for item in inputs))
        values = values * place.scale + place.offset
        variable = background.dataset[place.name]
        array = arrays.setdefault(place.name, variable.values.copy())
        target = horizontal_view(array, variable.dims, background, place)
        mask = changed[..., rows[:, None], columns]
        target[mask] = values[..., rows[:, None], columns][mask].astype(array.dtype)
    dataset = background.dataset.copy()
    return dataset.assign({name: dataset[name].copy(data=array) for name, array in arrays.items()})


def _canonical(contents: Contents, field: FoundField, orientation: Orientation) -> Array:
    """(…, level, lat, lon) SI values of a field on the canonical grid; the leading axis is the member."""
    variable = contents.dataset[field.name]
    order = [contents.member, field.level_dim, contents.latitude, contents.longitude]
    values = variable.transpose(*(name for name in order if name is not None)).values
    if field.level_dim is None:
        values = np.expand_dims(values, -3)
    values = values[..., orientation.rows[:, None], orientation.columns].astype(np.float64)
    if field.unit.scale != 1.0:
        values *= field.unit.scale
    if field.unit.offset != 0.0:
        values += field.unit.offset
    return np.asarray(values)


def _problem(channel: Channel, plane: Array, field: FoundField) -> str | None:
    """What is wrong with a field (SI), or None; names the unit that would fit where just one does."""
    missing = int(np.count_nonzero(~np.isfinite(plane)))
    if missing:
        return f"{channel} has {missing} missing or infinite values of {plane.size}; fill them first"
    variable = VARIABLES[channel.variable]
    low, high = variable.bounds
    least, most = float(np.min(plane)), float(np.max(plane))
    if (low <= least and most <= high) or (channel.level is not None and channel.level < _MODEL_TOP):
        return None
    says = f"{channel} lies between {least:g} and {most:g} {variable.units}, outside the credible {low:g} to {high:g}"
    if not field.correctable:
        return f"{says}: the field is damaged or no {variable.long_name.lower()}"
    stored = [(value - field.unit.offset) / field.unit.scale for value in (least, most)]
    fitting = [
        u
        for u in candidates(variable.units, gridded=True)
        if all(low <= u.scale * x + u.offset <= high for x in stored)
    ]
    hint = f"its numbers fit {fitting[0].label}, so" if len(fitting) == 1 else f"if its unit is not {field.unit.label},"
    return f"{says}; {hint} correct the attribute, for example with ncatted -a units,{field.name},o,c,UNIT"


def _to_channel(conversion: Conversion, plane: Array, level: float | None, planes: Mapping[Channel, Array]) -> Array:
    if conversion is Conversion.HEIGHT:
        return plane * GRAVITY
    if conversion is Conversion.RELATIVE_HUMIDITY:
        return np.asarray(specific_humidity_from_relative_humidity(plane, planes[Channel("t", level)], level))
    if conversion is Conversion.DEWPOINT:
        return np.asarray(specific_humidity_from_dewpoint(plane, level))
    return plane


def _from_channel(conversion: Conversion, level: float | None, value: Array, *temperature: Array) -> Array:
    if conversion is Conversion.HEIGHT:
        return value / GRAVITY
    if conversion is Conversion.RELATIVE_HUMIDITY:
        return np.asarray(relative_humidity_from_specific_humidity(value, temperature[0], level))
    if conversion is Conversion.DEWPOINT:
        return np.asarray(dewpoint_from_specific_humidity(value, level))
    return value


def _plane(state: State, channel: Channel, dtype: torch.dtype | None = None) -> Array:
    plane = state.values[..., state.index(channel), :, :].detach().cpu()
    return np.asarray(plane.to(dtype or plane.dtype).to(torch.float64).numpy())


def file_index(background: Background) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Canonical row and column of every row and column of the file; a duplicate meridian maps to its twin."""
    grid = background.orientation.grid
    rows = np.empty(background.dataset.sizes[background.latitude], np.int64)
    rows[background.orientation.rows] = np.arange(grid.shape[0])
    longitudes = np.asarray(background.dataset[background.longitude], np.float64)
    apart = np.abs(np.mod(longitudes[:, None] - np.asarray(grid.longitudes) + 180.0, 360.0) - 180.0)
    return rows, np.argmin(apart, axis=1)


def horizontal_view(
    array: NDArray[np.generic], dims: tuple[object, ...], background: Background, place: FieldLayout
) -> NDArray[np.generic]:
    """A view (…, lat, lon) of one level of a variable, whatever the order of its axes."""
    order = [background.member, place.level_dim, background.latitude, background.longitude]
    view = np.transpose(array, [dims.index(name) for name in order if name is not None])
    return view if place.level_index is None else view[..., place.level_index, :, :]


def describe(background: Background) -> str:
    """One line for the log: grid, time, members, variables with their number of levels."""
    state = background.state
    held = ", ".join(f"{v} ×{len(state.levels(v))}" if state.levels(v) else v for v in state.variables)
    members = f", {state.values.shape[0]} members" if background.member else ""
    return f"{state.grid}, valid {format_time(state.time)}{members}: {held}"
