"""The standard deviation of an analysis in the variables of its file: `NAME_spread` beside NAME.

Of a field that is a linear function f of a channel x it is |f'| σ_x, and of one in the grid's own directions
√((σ_u cos α)² + (σ_v sin α)²), as if the errors of u and v were independent. Relative humidity and dew point are no
linear functions of a channel: theirs is the standard deviation over members, each taken to the file's variable first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from phyda_cli.constants import GRAVITY
from phyda_cli.fields.bit_rounding import bit_rounded
from phyda_cli.fields.moments import Moments
from phyda_cli.fields.state import Channel, Planes, State
from phyda_cli.formats.gridded.analysis_attributes import known_names, names_of, places, temperature_kind, units_of
from phyda_cli.formats.gridded.layout import (
    LINEAR,
    WINDS,
    Background,
    Conversion,
    FieldLayout,
    from_channel,
    horizontal_view,
    inputs_of,
    missing,
    other_component,
)
from phyda_cli.formats.gridded.made_fields import placeholder

_SPREAD_BITS: Final = 10
"""A spread is known to a tenth of itself; it is written to a two thousandth, in half the bytes."""
_HUMIDITY: Final = (Conversion.RELATIVE_HUMIDITY, Conversion.DEWPOINT, Conversion.SCREEN_HUMIDITY)
HumiditySpread = Mapping[tuple[Channel, Conversion], torch.Tensor]
"""Standard deviation [SI] of fields that are no linear function of the channel behind them."""


def spread_fields(
    background: Background, spread: Planes, of_humidity: HumiditySpread | None = None
) -> dict[str, xr.Variable]:
    """`NAME_spread` for every field that is a linear function of a channel, and those of humidity that are given; zero
    at levels without one.

    The errors of u and v count as independent where winds are in the grid's own directions.
    """
    made = spreads_to_make(background, spread, of_humidity)
    outline = spread_outline(background, made)
    return {name: outline[name].copy(data=make()) for name, make in made.items()}


def spreads_to_make(
    background: Background, spread: Planes, of_humidity: HumiditySpread | None
) -> dict[str, Callable[[], NDArray[Any]]]:
    """Return what makes `NAME_spread` of every field of which the method reaches a level."""
    result: dict[str, Callable[[], NDArray[Any]]] = {}
    for name in known_names(background):
        planes = partial(_spread_planes, background, spread, of_humidity or {}, name)
        if any(bool((plane > 0).any()) for _, plane in planes()):
            result[f"{name}_spread"] = partial(_spread_field, background, name, planes)
    return result


def spread_outline(background: Background, names: Iterable[str]) -> dict[str, xr.Variable]:
    """Return placeholders of spreads with their attributes."""
    known, result = places(background), {}
    for name in names:
        variable, place = known[name.removesuffix("_spread")]
        original, units = background.dataset[place.name], units_of(variable, place)
        named = names_of(variable, place, original.attrs)
        field = placeholder(original, np.dtype(np.float32))
        field.attrs = {
            "standard_name": f"{named['standard_name']} standard_error",
            "long_name": f"analysis standard deviation of {named['long_name']}",
            "units": units,
            "coverage_content_type": "qualityInformation",
            **temperature_kind(units, "difference"),
        }
        result[name] = field
    return result


def _spread_planes(
    background: Background, spread: Planes, others: HumiditySpread, name: str
) -> Iterator[tuple[FieldLayout, torch.Tensor]]:
    """Return for each level of a field that has a spread its place and the standard deviation (lat, lon) [SI]."""
    for channel, place in (*background.layout.items(), *background.companions):
        key = channel, place.conversion
        if (
            place.name != name
            or channel not in spread.channels
            or (place.conversion not in LINEAR and key not in others)
        ):
            continue
        plane = others[key] if key in others else spread.plane(channel)
        if place.conversion in WINDS and spread.grid.turn is not None:
            angle = torch.from_numpy(spread.grid.turn)
            across = spread.plane(other_component(channel)).double()
            plane = ((plane.double() * angle.cos()).square() + (across * angle.sin()).square()).sqrt()
        yield place, plane.detach().cpu()


def _spread_field(
    background: Background, name: str, planes: Callable[[], Iterator[tuple[FieldLayout, torch.Tensor]]]
) -> NDArray[Any]:
    """Return the spread of a field in its axes and unit, missing where the field is."""
    original = background.dataset[name]
    result = np.zeros(original.shape, np.float32)
    for place, plane in planes():
        scale = place.scale / (GRAVITY if place.conversion is Conversion.HEIGHT else 1.0)
        target = horizontal_view(result, original.dims, background, place)
        in_unit = np.asarray(plane.numpy() * abs(scale), np.float32)
        target[...] = background.orientation.turned_back(bit_rounded(in_unit, _SPREAD_BITS))
        if bool((plane > 0).any()):
            target[missing(horizontal_view(original.values, original.dims, background, place))] = np.nan
    return result


def humidity_channels(background: Background) -> tuple[Channel, ...]:
    """Return the channels of which a file's relative humidity and dew point are made, with the temperatures that limit
    them; empty where it has none.
    """
    needed = [
        channel
        for humidity, conversion in _humidities(background)
        for channel in (*inputs_of(humidity, conversion), Channel("t", humidity.level))
    ]
    return tuple(channel for channel in dict.fromkeys(needed) if channel in background.state.channels)


def humidity_spread(background: Background, members: Iterable[State]) -> HumiditySpread:
    """Return the standard deviation of a file's relative humidity and dew point over members, at least two.

    members: with the `humidity_channels` of the background.
    """
    moments = {key: Moments() for key in _humidities(background)}
    for member in members:
        for (channel, conversion), moment in moments.items():
            planes = [member.values[member.index(c)].double().numpy() for c in inputs_of(channel, conversion)]
            moment.add(torch.from_numpy(from_channel(conversion, channel.level, member.grid, *planes)))
    return {key: moment.spread() for key, moment in moments.items()}


def _humidities(background: Background) -> list[tuple[Channel, Conversion]]:
    pairs = (*background.layout.items(), *background.companions)
    return [(channel, place.conversion) for channel, place in pairs if place.conversion in _HUMIDITY]
