"""An increment from the method's grid and levels to the background's: δ' = R_horizontal R_vertical δ."""

from __future__ import annotations

import torch

from phyda_cli.fields.grid import Grid
from phyda_cli.fields.regrid import regrid
from phyda_cli.fields.state import Channel, State
from phyda_cli.fields.variables import VARIABLES
from phyda_cli.fields.vertical import vertical_weights

_WIND = ("eastward_wind", "northward_wind")


def interpolate_increment(increment: State, channels: tuple[Channel, ...], grid: Grid) -> State:
    """The increment on other channels and another grid.

    Levels are interpolated linearly in ln p (`vertical_weights`: constant below the lowest level of the variable, zero
    from half the pressure of its top level upward), then the fields are regridded (`regrid`, winds as vectors).
    Channels of a variable that the increment does not hold get zeros.
    """
    values = increment.values
    out = values.new_zeros(*values.shape[:-3], len(channels), *grid.shape)
    for variable in dict.fromkeys(channel.variable for channel in channels):
        vector = VARIABLES[variable].standard_name in _WIND
        for single in (True, False):
            source = [
                i for i, c in enumerate(increment.channels) if c.variable == variable and (c.level is None) == single
            ]
            target = [i for i, c in enumerate(channels) if c.variable == variable and (c.level is None) == single]
            if not source or not target:
                continue
            part = values[..., source, :, :]
            if not single:
                levels = [level for i in source if (level := increment.channels[i].level) is not None]
                wanted = [level for i in target if (level := channels[i].level) is not None]
                weights = torch.as_tensor(vertical_weights(levels, wanted), device=values.device).to(values.dtype)
                part = torch.einsum("ts,...sij->...tij", weights, part)
            out[..., target, :, :] = regrid(part, increment.grid, grid, vector=vector)
    return State(values=out, channels=channels, grid=grid, time=increment.time)
