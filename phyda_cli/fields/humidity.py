"""Specific humidity within its limits: positive where the background is, and below saturation where the background is.

An increment moves q freely up to half way between the background and a limit; beyond that it is bent, with slope 1
where that begins, so that no increment reaches zero or saturation and fields stay smooth:

    q ← h / (1 + (h − y) / h)                      y = q_b + δ < h = q_b / 2
    q ← c − r / (1 + (y − c + r) / r)              y > c − r,   r = (c − q_b) / 2,   c = q_s(T, p)

T is the analysed temperature, q_s the saturation over water and ice of `thermodynamics`. Where cooling brings c below
q_b, q is at most c. A negative background goes no lower. A supersaturated one, q_b > q_s(T_b, p), goes no higher than
it is, or than c where that is more, and where it cools its relative humidity grows no more: just 100 % would otherwise
become twice what the air can hold. No q is above what a background may hold (`variables`), however hot the air. What
equals the background (q and T alike) is never touched.
The dew point at 2 metres stays below the temperature there: the increments of the two move their difference freely down
to half of the background's, and are bent beyond that in the same way.
A field of total column water vapour moves by the column of what q has moved by in the end.
A Gaussian in q knows no limits. Hólm (2002) changes the variable before the analysis, this bends what comes after.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import torch

from phyda_cli.fields.column import column_weights
from phyda_cli.fields.standard_atmosphere import SEA_LEVEL_PRESSURE
from phyda_cli.fields.state import Channel, State
from phyda_cli.fields.thermodynamics import (
    relative_humidity_from_specific_humidity,
    saturation_specific_humidity,
    specific_humidity_from_relative_humidity,
)
from phyda_cli.fields.variables import VARIABLES

_MOST: Final = VARIABLES["q"].bounds[1]


class Limited(NamedTuple):
    """values: (…, channel, lat, lon). negative, supersaturated: how many values of q were beyond which limit."""

    values: torch.Tensor
    negative: int
    supersaturated: int


def limit_humidity(background: State, values: torch.Tensor) -> Limited:
    """Bring q [kg kg-1] of values (channel, lat, lon) [SI] on the background's grid and channels within its limits.

    The values are changed in place, one level at a time and in double precision. Levels of q without a temperature know
    no saturation.
    """
    negative = supersaturated = 0
    for index, channel in enumerate(background.channels):
        if channel.variable != "q":
            continue
        before, humidity = background.values[index].double(), values[index].double()
        negative += int((humidity < before.clamp_max(0.0)).sum())
        limited = _above_zero(before, humidity)
        temperature = Channel("t", channel.level)
        if channel.level is None or temperature not in background.channels:
            values[index] = torch.minimum(limited, before.clamp_min(_MOST))
            continue
        place = background.index(temperature)
        own, analysed = background.values[place].double(), values[place].double()
        relative = relative_humidity_from_specific_humidity(before, own, channel.level).clamp_min(1.0)
        kept = torch.minimum(before, specific_humidity_from_relative_humidity(relative, analysed, channel.level))
        cap = torch.maximum(saturation_specific_humidity(analysed, channel.level), kept).clamp_max(_MOST)
        # What rounding makes of an untouched background is no change.
        cap = torch.where(analysed == own, torch.maximum(cap, before), cap)
        supersaturated += int((humidity > cap).sum())
        values[index] = _below(cap, before, limited)
    supersaturated += _limit_dew_point(background, values)
    _move_column(background, values)
    return Limited(values, negative, supersaturated)


def _limit_dew_point(background: State, values: torch.Tensor) -> int:
    """Bring d2m below t2m where a state has both; how many values were above."""
    warm, dew = Channel("t2m"), Channel("d2m")
    if warm not in background.channels or dew not in background.channels:
        return 0
    warm_place, dew_place = background.index(warm), background.index(dew)
    before = background.values[warm_place] - background.values[dew_place]
    after = values[warm_place] - values[dew_place]
    limited = _above_zero(before, after)
    values[dew_place] = torch.where(limited > after, values[warm_place] - limited, values[dew_place])
    return int((after < before.clamp_max(0.0)).sum())


def _move_column(background: State, values: torch.Tensor) -> None:
    """Total column water vapour moves by the column of what humidity moves by, where the state holds both."""
    column, levels = Channel("tcwv"), background.levels("q")
    if column not in background.channels or not levels:
        return
    humidity = [background.index(Channel("q", level)) for level in levels]
    ground = torch.full((1, 1), SEA_LEVEL_PRESSURE, dtype=torch.float64)
    if Channel("sp") in background.channels:
        ground = background.values[background.index(Channel("sp"))].double()
    change = torch.zeros(background.grid.shape, dtype=torch.float64)
    for index, weight in zip(humidity, column_weights(levels, ground).to(change), strict=True):
        change += (values[index].double() - background.values[index].double()) * weight
    place = background.index(column)
    values[place] = torch.maximum(background.values[place] + change, background.values[place].clamp_max(0.0))


def _above_zero(before: torch.Tensor, humidity: torch.Tensor) -> torch.Tensor:
    """Return the lower limit: never below zero, nor below a negative background."""
    half = 0.5 * before
    near = (humidity < half) & (before > 0)
    soft = half / (1.0 + (half - humidity).clamp_min(0.0) / torch.where(near, half, 1.0))
    return torch.where(near, soft, torch.maximum(humidity, before.clamp_max(0.0)))


def _below(cap: torch.Tensor, before: torch.Tensor, humidity: torch.Tensor) -> torch.Tensor:
    """Return the upper limit: never above the cap, approached from a background below it."""
    room = 0.5 * (cap - before)
    near = (humidity > cap - room) & (room > 0)
    soft = cap - room / (1.0 + (humidity - cap + room).clamp_min(0.0) / torch.where(near, room, 1.0))
    return torch.where(near, soft, torch.minimum(humidity, cap))
