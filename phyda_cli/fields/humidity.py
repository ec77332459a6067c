"""Specific humidity within its limits: never negative, and not above saturation where the background is not.

    q ← max( min(q, c), min(q_b, 0) ),    c = q_s(T, p)               where q_b ≤ q_s(T_b, p)
                                          c = max(q_s(T, p), q_b)     where the background is supersaturated

T is the analysed temperature, q_s the saturation over water and ice of `thermodynamics`. A negative background stays as
it is, a supersaturated one may stay so; what equals the background (q and T alike) is never touched.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from phyda_cli.fields.state import Channel, State
from phyda_cli.fields.thermodynamics import saturation_specific_humidity


class Limited(NamedTuple):
    """values: (…, channel, lat, lon). negative, supersaturated: how many values of q were moved to which limit."""

    values: torch.Tensor
    negative: int
    supersaturated: int


def limit_humidity(background: State, values: torch.Tensor) -> Limited:
    """Values (channel, lat, lon) [SI] on the background's grid and channels, with q [kg kg-1] within its limits.

    Levels of q without a temperature have the lower limit alone.
    """
    result = values.clone()
    negative = supersaturated = 0
    for index, channel in enumerate(background.channels):
        if channel.variable != "q":
            continue
        before, humidity = background.values[index], values[index]
        floor = before.clamp_max(0.0)
        low = humidity < floor
        result[index] = torch.where(low, floor, humidity)
        negative += int(low.sum())
        temperature = Channel("t", channel.level)
        if channel.level is None or temperature not in background.channels:
            continue
        place = background.index(temperature)
        cap = saturation_specific_humidity(values[place], channel.level)
        wet = before > saturation_specific_humidity(background.values[place], channel.level)
        cap = torch.where(wet, torch.maximum(cap, before), cap)
        high = humidity > cap
        result[index] = torch.where(high, cap, result[index])
        supersaturated += int(high.sum())
    return Limited(result, negative, supersaturated)
