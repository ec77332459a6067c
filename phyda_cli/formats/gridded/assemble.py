"""What a reader found, as a Background: every field in SI on the canonical grid, some of them as what is analysed

    z = g·gh     q = q(RH, T, p)     q = q(T_d, p)     d2m = T_d(RH at 2 m, t2m)     (`fields.thermodynamics`)

and winds in the grid's own directions, whose rows run at an angle α from east, as u and v:

    u = u_x cos α − u_y sin α        v = u_x sin α + u_y cos α

Slightly negative humidity, as spectral models have it, counts as zero, and what is missing below the ground is extended
from above (`fields.below_ground`): both are counted and said. Other values that are missing or incredible are refused;
what a model of phyda wrote itself is SI whatever its weather, and only missing values are refused there.

Whether values and units are what they should be is asked of `labels.py`.

Fields are taken level by level. Where the caller allows it, a state of single-precision fields is one too, and fields
that are channels as they stand share its memory.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from phyda_cli.constants import GRAVITY
from phyda_cli.errors import BadDataError
from phyda_cli.fields.below_ground import below_ground, extend_downwards
from phyda_cli.fields.state import Channel, State
from phyda_cli.fields.thermodynamics import (
    dewpoint_from_relative_humidity,
    specific_humidity_from_dewpoint,
    specific_humidity_from_relative_humidity,
)
from phyda_cli.formats.gridded.contents import PASSIVE, Contents, FoundField
from phyda_cli.formats.gridded.labels import check_labels, value_problem
from phyda_cli.formats.gridded.layout import WINDS, Background, Conversion, FieldLayout, other_component
from phyda_cli.grids.orientation import Orientation

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

NEGATIVE_HUMIDITY: Final = "negative_humidity"
MISSING_BELOW_GROUND: Final = "missing_below_ground"
"""Keys of `Background.counts`."""

CONVERSIONS: Final = {
    "gh": ("z", Conversion.HEIGHT),
    "r": ("q", Conversion.RELATIVE_HUMIDITY),
    "td": ("q", Conversion.DEWPOINT),
    "r2m": ("d2m", Conversion.SCREEN_HUMIDITY),
}
"""What a quantity of a file becomes in a state, and how."""
_BESIDE: Final = {"q": "t", "d2m": "t2m"}
"""What a variable may be computed with."""


@dataclass(frozen=True)
class Wanted:
    """The variables of a state that are asked for; the rest of a file is not read."""

    variables: tuple[str, ...]

    def keeps(self, quantity: str) -> bool:
        """Return whether a quantity of a file gives one of the variables, or may be needed to compute one."""
        made = CONVERSIONS.get(quantity, (quantity, None))[0]
        return made in self.variables or any(quantity == _BESIDE.get(variable) for variable in self.variables)


_NAMED: Final = 8


def assemble(
    contents: Contents,
    *,
    time: np.datetime64 | None,
    sources: tuple[str, ...],
    own: bool = False,
    as_stored: bool = False,
) -> Background:
    """Turn what a reader found into a Background. Raises BadDataError for missing or incredible values.

    own: a model of phyda wrote the file. as_stored: single-precision fields of one member stay so; else the state is in
    double precision.
    """
    valid = contents.time if contents.time is not None else time
    if valid is None:
        raise BadDataError(f"{contents.source}: tells no valid time; give it with --time")
    orientation = contents.orientation
    planes = _Planes(contents, orientation, own=own, dtype=_precision(contents) if as_stored else np.dtype(np.float64))
    # Humidity fields come last: their conversion needs the temperature of the same level.
    for field in sorted(contents.fields, key=lambda f: f.variable in ("r", "td", "r2m")):
        planes.add(field)
    planes.turn_winds()
    if not planes.layout:
        raise BadDataError(f"{contents.source}: holds no field that phyda knows; see docs/formats.md")
    planes.fill()
    state = State(planes.stacked(), tuple(planes.values), orientation.grid, valid.astype("datetime64[ns]"))
    notes = (*contents.notes, *planes.notes, *planes.counted(), *_unread(contents, planes))
    counts = {key: planes.counts[key] for key in (NEGATIVE_HUMIDITY, MISSING_BELOW_GROUND)}
    return Background(
        state, planes.shared(state).drop_encoding(), orientation, planes.layout, tuple(planes.companions),
        contents.latitude, contents.longitude, contents.member, sources, notes, counts, contents.folding,
        messages=contents.messages, model=contents.model,
    )  # fmt: skip


def _unread(contents: Contents, planes: _Planes) -> tuple[str, ...]:
    """Return a sentence that names the gridded fields that were not read, a few of them."""
    read = {place.name for place in (*planes.layout.values(), *(place for _, place in planes.companions))}
    horizontal = {contents.latitude, contents.longitude}
    others = [str(n) for n, v in contents.dataset.data_vars.items() if n not in read and horizontal <= set(v.dims)]
    if not others:
        return ()
    listed = ", ".join(others[:_NAMED]) + (f" and {len(others) - _NAMED} more" if len(others) > _NAMED else "")
    return (f"{contents.source}: not read, only passed through: {listed}",)


def _precision(contents: Contents) -> np.dtype[Any]:
    """Return float32 where all fields have that and there is one member, float64 else."""
    stored = {contents.dataset[field.name].dtype for field in contents.fields}
    single = stored == {np.dtype(np.float32)} and contents.member is None
    return np.dtype(np.float32 if single else np.float64)


class _Planes:
    """The planes of a state, gathered level by level; missing values below the ground are NaN in them until `fill`.

    values: views of one array, in the order of the channels. changed: names of the fields whose values are not those of
    the file.
    """

    def __init__(self, contents: Contents, orientation: Orientation, *, own: bool, dtype: np.dtype[Any]) -> None:
        self.contents, self.own = contents, own
        self.verdicts = {} if own else check_labels(contents)
        self.orientation = orientation
        most = sum(max(1, len(field.levels)) for field in contents.fields)
        lead = () if contents.member is None else (contents.dataset.sizes[contents.member],)
        self._whole = np.empty((*lead, most, *orientation.grid.shape), dtype)
        self._taken = 0
        self.changed: set[str] = set()
        self.values: dict[Channel, NDArray[Any]] = {}
        self.layout: dict[Channel, FieldLayout] = {}
        self.companions: list[tuple[Channel, FieldLayout]] = []
        self.notes: list[str] = []
        self.counts: Counter[str] = Counter()

    def add(self, field: FoundField) -> None:
        """Take every level of a field. Raises BadDataError for values that are missing or incredible."""
        source = self.contents.source
        variable, conversion = CONVERSIONS.get(field.variable, (field.variable, Conversion.IDENTITY))
        if field.along_grid and self.orientation.grid.turn is not None:
            conversion = next(own for own, components in WINDS.items() if variable in components)
        stored = _stored(self.contents, field)
        under = _under_ground(field, stored)
        verdict = self.verdicts.get(field.name)
        credible = verdict is not None and verdict.credible is True
        for index, level in enumerate(field.levels or (None,)):
            plane = _canonical(stored[..., index, :, :], field, self.orientation)
            holes = self.orientation.turned(under[index])
            channel, named = Channel(variable, level), Channel(field.variable, level)
            problem = _missing(named, plane, holes) or (
                None if self.own else value_problem(named, plane, field, credible=credible)
            )
            if problem and field.variable in PASSIVE:
                self.notes.append(f"{named} is passed through unread: {problem}")
                continue
            if problem:
                raise BadDataError(f"{source}: variable {field.name!r}: {problem}")
            needed = conversion.temperature(level)
            if needed is not None and needed not in self.values:
                self.notes.append(f"{named} is passed through unread: no temperature at that level to convert it with")
                continue
            on_axis, unit = index if field.level_dim else None, field.unit
            place = FieldLayout(
                field.name, field.level_dim, on_axis, conversion, 1.0 / unit.scale, -unit.offset / unit.scale
            )
            if channel in self.layout:
                if conversion is self.layout[channel].conversion:
                    raise BadDataError(
                        f"{source}: both {self.layout[channel].name!r} and {field.name!r} are {channel}; remove one"
                    )
                self.companions.append((channel, place))
                continue
            self._keep(channel, self._to_channel(field.name, variable, conversion, plane, level))
            self.layout[channel] = place

    def _keep(self, channel: Channel, plane: Array) -> None:
        own = self._whole[..., self._taken, :, :]
        own[...] = plane
        self.values[channel] = own
        self._taken += 1

    def fill(self) -> None:
        """Extend from above what is missing below the ground, and count it."""
        holed = {c.variable for c, plane in self.values.items() if np.isnan(plane.min())}
        if not holed:
            return
        needed = {c: p.astype(np.float64) for c, p in self.values.items() if c.variable in holed | {"t"}}
        for channel, plane in extend_downwards(needed).items():
            own = self.values[channel]
            missing = int(np.isnan(own).sum())
            if missing:
                own[...] = plane
                self.changed.add(self.layout[channel].name)
                self.counts[MISSING_BELOW_GROUND] += missing

    def stacked(self) -> torch.Tensor:
        """Return the planes as one tensor (…, channel, lat, lon)."""
        if self._taken == len(self.values):
            return torch.from_numpy(self._whole[..., : self._taken, :, :])
        return torch.from_numpy(np.stack(list(self.values.values()), axis=-3))

    def shared(self, state: State) -> xr.Dataset:
        """Return the file's dataset, in which fields that are channels of the state as they stand are views of it."""
        dataset, turn = self.contents.dataset, self.orientation.slices
        if self.contents.member is not None or turn is None or self._taken != len(self.values):
            return dataset
        whole, views = state.values.numpy(), {}
        for field in self.contents.fields:
            stored = dataset[field.name]
            first = Channel(field.variable, field.levels[0] if field.levels else None)
            place = self.layout.get(first)
            order = tuple(dim for dim in (field.level_dim, self.contents.latitude, self.contents.longitude) if dim)
            as_it_stands = place is not None and place.conversion is Conversion.IDENTITY and field.unit.is_trivial
            known = all(Channel(field.variable, level) in self.values for level in field.levels or (None,))
            if not (as_it_stands and known and place is not None and place.name == field.name):
                continue
            if stored.dtype != whole.dtype or stored.dims != order or field.name in self.changed:
                continue
            start = state.index(first)
            view = whole[start : start + max(1, len(field.levels)), turn[0], turn[1]]
            views[field.name] = stored.copy(data=view if field.level_dim else view[0])
        return dataset.assign(views)

    def turn_winds(self) -> None:
        """Turn winds in the grid's own directions to east and north; a component without the other is not read."""
        along = [channel for channel, place in self.layout.items() if place.conversion in WINDS]
        for channel in along:
            if self.layout.get(other_component(channel), self.layout[channel]).conversion not in WINDS:
                raise BadDataError(
                    f"{self.contents.source}: {channel} is along the grid's own directions, "
                    f"{other_component(channel)} is not; give both in the same directions"
                )
            if other_component(channel) not in self.layout:
                self.notes.append(f"{channel} is passed through unread: its other component, to turn it, is missing")
                del self.values[channel], self.layout[channel]
        angle = self.orientation.grid.turn
        if angle is None or not along:
            return
        self.notes.append("winds were turned from the grid's own directions, and are turned back in the outputs")
        for channel in along:
            if self.layout.get(channel, None) is None or channel.variable not in WINDS[Conversion.ALONG_X]:
                continue
            other = other_component(channel)
            u, v = (self.values[c].astype(np.float64) for c in (channel, other))
            self.values[channel][...] = u * np.cos(angle) - v * np.sin(angle)
            self.values[other][...] = u * np.sin(angle) + v * np.cos(angle)

    def _to_channel(self, name: str, variable: str, conversion: Conversion, plane: Array, level: float | None) -> Array:
        if conversion in (Conversion.RELATIVE_HUMIDITY, Conversion.SCREEN_HUMIDITY) or variable == "q":
            plane = plane if conversion is Conversion.DEWPOINT else self._not_negative(plane, name)
        needed = conversion.temperature(level)
        return converted(conversion, plane, None if needed is None else self._temperature(needed), level)

    def _temperature(self, channel: Channel) -> Array:
        own = self.values[channel].astype(np.float64)
        if channel.level is None or not np.isnan(own.min()):
            return own
        held = {c: plane.astype(np.float64) for c, plane in self.values.items() if c.variable == channel.variable}
        return extend_downwards(held)[channel]

    def _not_negative(self, plane: Array, name: str) -> Array:
        negative = plane < 0.0
        count = int(np.count_nonzero(negative))
        if not count:
            return plane
        self.counts[NEGATIVE_HUMIDITY] += count
        self.changed.add(name)
        return np.where(negative, 0.0, plane)

    def counted(self) -> tuple[str, ...]:
        """Return a sentence for everything that was changed on the way in."""
        again = ", and missing in the outputs" if self.contents.model is None else ""
        said = {
            NEGATIVE_HUMIDITY: "slightly negative values of humidity count as 0",
            MISSING_BELOW_GROUND: f"values missing below the ground are extended from above{again}",
        }
        return tuple(
            f"{self.contents.source}: {self.counts[key]} {text}" for key, text in said.items() if self.counts[key]
        )


def converted(conversion: Conversion, plane: Array, temperature: Array | None, level: float | None) -> Array:
    """Return the state's quantity of a plane as the file holds it, by the temperature beside it where that is needed.

    Humidity that is negative, as spectral models have it, counts as zero.
    """
    if conversion is Conversion.HEIGHT:
        return plane * GRAVITY
    if conversion is Conversion.DEWPOINT:
        return np.asarray(specific_humidity_from_dewpoint(plane, level))
    if conversion is Conversion.RELATIVE_HUMIDITY:
        return np.asarray(specific_humidity_from_relative_humidity(np.maximum(plane, 0.0), temperature, level))
    if conversion is Conversion.SCREEN_HUMIDITY:
        return np.asarray(dewpoint_from_relative_humidity(np.maximum(plane, 0.0), temperature))
    return plane


def _stored(contents: Contents, field: FoundField) -> NDArray[Any]:
    """(…, level, row, column) values of a field as the file has them; the leading axis is the member."""
    variable = contents.dataset[field.name]
    order = [contents.member, field.level_dim, contents.latitude, contents.longitude]
    values = variable.transpose(*(name for name in order if name is not None)).values
    return values if field.level_dim is not None else np.expand_dims(values, -3)


def _canonical(stored: NDArray[Any], field: FoundField, orientation: Orientation) -> Array:
    """(…, lat, lon) SI values of one level of a field on the canonical grid."""
    values = orientation.turned(stored).astype(np.float64)
    if field.unit.scale != 1.0:
        values *= field.unit.scale
    if field.unit.offset != 0.0:
        values += field.unit.offset
    return np.asarray(values)


def _under_ground(field: FoundField, stored: NDArray[Any]) -> list[Mask]:
    """For each level of a field (…, level, row, column), which values are missing because they are below the ground."""
    levels = range(stored.shape[-3])
    nothing = np.broadcast_to(np.False_, (*stored.shape[:-3], *stored.shape[-2:]))
    whole = not any(np.isnan(stored[..., index, :, :].min()) for index in levels)
    if whole or not field.levels or field.variable in PASSIVE:
        return [nothing for _ in levels]
    return below_ground([np.isnan(stored[..., index, :, :]) for index in levels], field.levels)


def _missing(channel: Channel, plane: Array, holes: Mask) -> str | None:
    """Return what is missing of a field, or None. holes: where it is missing for being below the ground."""
    if np.isfinite(plane.min()) and np.isfinite(plane.max()):
        return None
    missing = int(np.count_nonzero(~np.isfinite(plane) & ~holes))
    if missing:
        return f"{channel} has {missing} missing or infinite values of {plane.size}; fill them first"
    if holes.all():
        return f"{channel} is missing everywhere; leave that level out"
    return None
