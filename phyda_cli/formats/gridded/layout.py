"""The background as an object: a State of the variables that phyda knows, and where they lie in the file.

`assemble` makes it of what a reader found; `restore` puts a state back into the file's own layout. Only values that the
analysis changed are written, in the file's own orientation and unit; relative humidity and dew point are computed anew
from the analysed q and T. What the file leaves out below the ground stays missing. Everything else stays bit for bit.
Winds in the grid's own directions, whose rows run at an angle α from east,

    u_x = u cos α + v sin α,    u_y = v cos α − u sin α

are turned on the way in and back on the way out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phyda_cli.constants import GRAVITY
from phyda_cli.errors import BadDataError
from phyda_cli.fields.state import Channel, State
from phyda_cli.fields.thermodynamics import (
    dewpoint_from_specific_humidity,
    relative_humidity_from_dewpoint,
    relative_humidity_from_specific_humidity,
)
from phyda_cli.fields.variables import EASTWARD, NORTHWARD, VARIABLES
from phyda_cli.formats.gridded.contents import GribField, format_time, of_members
from phyda_cli.formats.gridded.folding import Folding
from phyda_cli.formats.gridded.member_mean import mean_over
from phyda_cli.formats.gridded.model_levels import ModelLevels
from phyda_cli.grids.base import Grid
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.grids.orientation import Orientation
from phyda_cli.grids.plane import Geographic, PlaneGrid


class Conversion(Enum):
    """How a field of the file relates to the state's channel."""

    IDENTITY = "identity"
    HEIGHT = "height"
    RELATIVE_HUMIDITY = "relative humidity"
    DEWPOINT = "dew point"
    SCREEN_HUMIDITY = "relative humidity at 2 metres"
    ALONG_X = "wind along the grid's rows"
    ALONG_Y = "wind across the grid's rows"

    def temperature(self, level: float | None) -> Channel | None:
        """Return the temperature that the conversion needs beside the channel, or None."""
        if self is Conversion.RELATIVE_HUMIDITY:
            return Channel("t", level)
        return Channel("t2m") if self is Conversion.SCREEN_HUMIDITY else None


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

    state: (channel, lat, lon) or (member, channel, lat, lon), SI, canonical grid; z and q, never gh, r or td. It is in
        float64, or as the file has it (`assemble`).
    dataset: every field of the file, decoded, with its own axes, orientation, units and attributes; some may be views
        of the state.
    orientation: from the dataset's axes to the canonical grid.
    layout: for every channel its field. companions: further fields of the same quantity (r beside q), kept consistent.
    latitude, longitude, member: names of the dimensions of rows, columns and members. sources: the files. notes: what
        the log should say.
    folding: how the file folds plain fields into its own layout; None when it does not. model: the way back to the
        model's own levels, None when the file's are pressure levels.
    counts: how many values were changed on the way in, by kind. Where the dataset has NaN, below the ground, the state
        is extended from above (`fields.below_ground`).
    messages: where the planes of the dataset come from, if from GRIB.
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
    counts: Mapping[str, int] = field(default_factory=dict)
    folding: Folding | None = None
    model: ModelLevels | None = None
    messages: tuple[GribField, ...] = ()

    @property
    def of_all_fields(self) -> bool:
        """Whether the file's own layout is made of all fields together, so that none can be written alone."""
        return self.folding is not None or self.model is not None

    @property
    def member_numbers(self) -> tuple[int, ...]:
        """The file's number of every member; empty when there is no member axis."""
        return () if self.member is None else tuple(int(n) for n in self.dataset[self.member].values)

    def first_members(self, count: int) -> Background:
        """Return the background with its first members only. Raises BadDataError when it has not so many."""
        held = len(self.member_numbers)
        if count > held:
            raise BadDataError(f"{self.sources[0]}: holds {held or 1} members, not {count}")
        state = replace(self.state, values=self.state.values[:count])
        return replace(
            self,
            state=state,
            dataset=self.dataset.isel({self.member: slice(count)}),
            messages=of_members(self.messages, range(count)),
            model=None if self.model is None else self.model.of_members(slice(count)),
        )

    def one_member(self, index: int) -> Background:
        """Return the background of one member, by its place on the member axis, without that axis."""
        state = replace(self.state, values=self.state.values[index])
        return replace(
            self,
            state=state,
            dataset=self.dataset.isel({self.member: index}),
            member=None,
            messages=of_members(self.messages, [index]),
            model=None if self.model is None else self.model.of_members(index),
        )

    def ensemble_mean(self) -> Background:
        """Return the background without its member axis: mean of the state and of every field. Itself when there is
        none.

        Its messages are those of the first member.
        """
        if self.member is None:
            return self
        return replace(
            self,
            state=replace(self.state, values=self.state.values.mean(dim=0)),
            dataset=mean_over(self.dataset, self.member),
            member=None,
            messages=of_members(self.messages, [0]),
            model=None if self.model is None else self.model.mean(),
        )


def has_axes(background: Background) -> bool:
    """Return whether the dimensions of rows and columns have coordinates that are latitude and longitude."""
    grid, dataset = background.orientation.grid, background.dataset
    if not (isinstance(grid, LatLonGrid) or (isinstance(grid, PlaneGrid) and isinstance(grid.projection, Geographic))):
        return False
    if background.latitude not in dataset.variables or background.longitude not in dataset.variables:
        return False
    own = np.asarray(dataset[background.latitude], np.float64)[background.orientation.rows]
    return bool(np.allclose(own, grid.coordinates[0][:: grid.shape[1]], atol=1e-3))


def horizontal_view(
    array: NDArray[np.generic], dims: tuple[object, ...], background: Background, place: FieldLayout
) -> NDArray[np.generic]:
    """Return a view (…, lat, lon) of one level of a variable, whatever the order of its axes."""
    order = [background.member, place.level_dim, background.latitude, background.longitude]
    view = np.transpose(array, [dims.index(name) for name in order if name is not None])
    return view if place.level_index is None else view[..., place.level_index, :, :]


def describe(background: Background) -> str:
    """Return one line for the log: grid, time, members, variables with their number of levels."""
    state = background.state
    held = ", ".join(f"{v} ×{len(state.levels(v))}" if state.levels(v) else v for v in state.variables)
    members = f", {state.values.shape[0]} members" if background.member else ""
    return f"{state.grid}, valid {format_time(state.time)}{members}: {held}"


Array = NDArray[np.float64]


def restore(background: Background, state: State) -> xr.Dataset:
    """Return a copy of the background's dataset with the state's values in the file's own orientation, units and
    quantities.

    state: the same grid and member axis as `background.state`, any of its channels; fields of other channels, and
    values that did not change, stay bit for bit. Raises BadDataError when grid, members or channels disagree.
    """
    check_fits(background, state)
    names = dict.fromkeys(place.name for place in (*background.layout.values(), *(p for _, p in background.companions)))
    fields = {name: restored_field(background, state, name) for name in names}
    dataset = background.dataset.copy()
    return dataset.assign(
        {n: dataset[n].copy(data=a) for n, a in fields.items() if a is not background.dataset[n].values}
    )


def check_fits(background: Background, state: State) -> None:
    """Raise BadDataError for a state of another grid, other members or unknown channels."""
    old = background.state
    if state.grid.shape != old.grid.shape or state.values.shape[:-3] != old.values.shape[:-3]:
        raise BadDataError(
            f"a state of shape {tuple(state.values.shape)} cannot go back into one of {tuple(old.values.shape)}"
        )
    unknown = [channel for channel in state.channels if channel not in background.layout]
    if unknown:
        raise BadDataError(f"the background holds no {unknown[0]}")


def restored_field(background: Background, state: State, name: str) -> NDArray[Any]:
    """Return one field of `restore`, in the axes of the file; what it holds already where nothing of it changed."""
    old, original = background.state, background.dataset[name]
    result: NDArray[Any] | None = None
    for channel, place in (*background.layout.items(), *background.companions):
        if place.name != name:
            continue
        inputs = inputs_of(channel, place.conversion)
        changed = [_changed(old, state, item) for item in inputs if item in state.channels]
        if not any(one.any() for one in changed):
            continue
        held = [_plane(state if item in state.channels else old, item) for item in inputs]
        values = from_channel(place.conversion, channel.level, old.grid, *held)
        values = values * place.scale + place.offset
        result = original.values.copy() if result is None else result
        target = horizontal_view(result, original.dims, background, place)
        turn = background.orientation.turned_back
        mask = turn(np.logical_or.reduce(changed)) & ~missing(target)
        np.copyto(target, turn(values).astype(result.dtype), where=mask)
    return original.values if result is None else result


def _changed(old: State, new: State, channel: Channel) -> NDArray[np.bool_]:
    """Where a plane differs in the precision of the new state: a detour through single precision is no change."""
    plane = new.plane(channel).detach().cpu()
    return np.asarray((plane != old.plane(channel).to(plane)).numpy())


def missing(values: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Return where a file's array holds no value."""
    return np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, np.bool_)


_ACROSS: Final = dict(zip(EASTWARD + NORTHWARD, NORTHWARD + EASTWARD, strict=True))
WINDS: Final = {Conversion.ALONG_X: EASTWARD, Conversion.ALONG_Y: NORTHWARD}
"""The components that a field in the grid's own directions becomes."""
LINEAR: Final = (Conversion.IDENTITY, Conversion.HEIGHT, *WINDS)
"""What makes a field that is a linear function of its channel, so that it has a spread where the channel has."""


def other_component(channel: Channel) -> Channel:
    """Return the other component of a wind."""
    return Channel(_ACROSS[channel.variable], channel.level)


def inputs_of(channel: Channel, conversion: Conversion) -> list[Channel]:
    """Return the channels that a field of the file is made of, its own first."""
    temperature = conversion.temperature(channel.level)
    if temperature is not None:
        return [channel, temperature]
    return [channel, other_component(channel)] if conversion in WINDS else [channel]


def from_channel(conversion: Conversion, level: float | None, grid: Grid, value: Array, *others: Array) -> Array:
    """Return the file's quantity [SI]; relative humidity and dew point stay within the bounds of what the readers take.

    others: the temperature for relative humidity, the other component for a wind in the grid's own directions.
    """
    if conversion in WINDS and grid.turn is not None:
        sine = np.sin(grid.turn) * (1.0 if conversion is Conversion.ALONG_X else -1.0)
        return np.asarray(value * np.cos(grid.turn) + others[0] * sine)
    if conversion is Conversion.HEIGHT:
        return value / GRAVITY
    if conversion is Conversion.RELATIVE_HUMIDITY:
        humidity = relative_humidity_from_specific_humidity(value, others[0], level)
        return np.asarray(np.clip(humidity, *VARIABLES["r"].bounds))
    if conversion is Conversion.DEWPOINT:
        return np.asarray(np.clip(dewpoint_from_specific_humidity(value, level), *VARIABLES["td"].bounds))
    if conversion is Conversion.SCREEN_HUMIDITY:
        return np.asarray(np.clip(relative_humidity_from_dewpoint(value, others[0]), *VARIABLES["r2m"].bounds))
    return value


def _plane(state: State, channel: Channel) -> Array:
    return np.asarray(state.plane(channel).detach().cpu().double().numpy())
