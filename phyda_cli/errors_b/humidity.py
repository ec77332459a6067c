"""The humidity control variable: what one unit of the statistics' relative humidity is in specific humidity.

    δq = S δx,      S = q_s(T_b, p) f(r),      f² = 6 r (1 − r), no less than 0.15,      r = RH of the background

q_s makes the errors of warm and cold air alike; f makes them small where the air is dry or saturated, as differences of
two states have it when they are sorted by the mean of their humidities: neither zero nor saturation lies within a few
standard deviations. r may be the mean of the background's and a first analysis's humidity, which makes that
symmetric. f² has the mean 1 over all humidities, so the statistics keep their size. Source: Hólm et al. (2002).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.fields.standard_atmosphere import standard_height, standard_temperature
from phyda_cli.fields.state import Channel, State
from phyda_cli.fields.thermodynamics import relative_humidity_from_specific_humidity, saturation_specific_humidity
from phyda_cli.fields.vertical import vertical_weights
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.grids.regrid import regrid

_LEAST: Final = 0.15
"""Of f²."""
_MADE: Final = WeakKeyDictionary[State, dict[tuple[LatLonGrid, tuple[Channel, ...]], torch.Tensor]]()
"""What was made of a background that is still there: a scale is found by asking for it again and again."""
_UNKNOWN: Final = 0.5
"""Relative humidity where the background has none."""


def humidity_size(background: State, grid: LatLonGrid, channels: Sequence[Channel]) -> torch.Tensor:
    """S (channel, lat, lon) [kg kg-1] of the channels of q on a grid; 1 for all other channels.

    background: (channel, lat, lon) [SI] on its own grid. Where it has no temperature that of the standard atmosphere
    stands for it.
    """
    made = _MADE.setdefault(background, {})
    key = grid, tuple(channels)
    if key not in made:
        made[key] = _size(background, grid, channels)
    return made[key]


def _size(background: State, grid: LatLonGrid, channels: Sequence[Channel]) -> torch.Tensor:
    result = torch.ones(len(channels), *grid.shape, dtype=torch.float64)
    humid = [place for place, channel in enumerate(channels) if channel.variable == "q"]
    if not humid:
        return result
    levels = np.array([channels[place].level for place in humid], dtype=np.float64)
    standard = torch.from_numpy(standard_temperature(standard_height(levels)))[:, None, None]
    temperature = _held(background, "t", levels, grid, standard.expand(-1, *grid.shape))
    pressure = torch.from_numpy(levels)[:, None, None]
    saturated = saturation_specific_humidity(temperature, pressure)
    humidity = _held(background, "q", levels, grid, _UNKNOWN * saturated)
    relative = relative_humidity_from_specific_humidity(humidity, temperature, pressure).clamp(0.0, 1.0)
    result[humid] = saturated * (6.0 * relative * (1.0 - relative)).clamp_min(_LEAST).sqrt()
    return result


def _held(
    background: State, variable: str, levels: NDArray[np.float64], grid: LatLonGrid, otherwise: torch.Tensor
) -> torch.Tensor:
    """A variable (level, lat, lon) of the background, `otherwise` where it has none."""
    held = background.levels(variable)
    if not held:
        return otherwise
    weights = torch.from_numpy(vertical_weights(held, levels, above="constant"))
    fields = torch.zeros(levels.size, *grid.shape, dtype=torch.float64)
    for level, weight in zip(held, weights.T, strict=True):
        if weight.any():  # one level of a fine background at a time
            field = background.values[background.index(Channel(variable, level))].double()
            fields += weight[:, None, None] * regrid(field, background.grid, grid)
    inside = regrid(torch.ones(background.grid.shape, dtype=torch.float64), background.grid, grid)
    return torch.where(inside > 0.999, fields, otherwise)
