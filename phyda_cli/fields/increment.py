"""An increment and its spread from the method's grid and levels to the background's: δ' = R_horizontal R_vertical δ."""

from __future__ import annotations

import torch

from phyda_cli.fields.state import Channel, State
from phyda_cli.fields.variables import VARIABLES
from phyda_cli.fields.vertical import vertical_weights
from phyda_cli.grids.grid import Grid
from phyda_cli.grids.regrid import regrid


def interpolate_increment(increment: State, channels: tuple[Channel, ...], grid: Grid) -> State:
    """The increment on other channels and another grid.

    Levels are interpolated linearly in ln p (`vertical_weights`: constant below the lowest level of the variable, zero
    from half the pressure of its top level upward), then the fields are regridded (`regrid`, winds as vectors).
    Channels of a variable that the increment does not hold get zeros.
    """
    return _interpolate(increment, channels, grid, spread=False)


def interpolate_spread(spread: State, channels: tuple[Channel, ...], grid: Grid) -> State:
    """A standard deviation on other channels and another grid.

    It is a magnitude: winds are regridded as scalars, and above the top level of a variable the value there goes on.
    Channels of a variable that the spread does not hold get zeros.
    """
    return _interpolate(spread, channels, grid, spread=True)


def _interpolate(state: State, channels: tuple[Channel, ...], grid: Grid, *, spread: bool) -> State:
    out = state.values.new_zeros(*state.values.shape[:-3], len(channels), *grid.shape)
    for variable, single in dict.fromkeys((channel.variable, channel.level is None) for channel in channels):
        source = _positions(state.channels, variable, single=single)
        target = _positions(channels, variable, single=single)
        if not source:
            continue
        part = state.values[..., source, :, :]
        if not single:
            weights = vertical_weights(
                _levels(state.channels, source), _levels(channels, target), above="constant" if spread else "zero"
            )
            part = torch.einsum("ts,...sij->...tij", torch.as_tensor(weights, device=part.device).to(part.dtype), part)
        vector = not spread and VARIABLES[variable].is_wind_component
        out[..., target, :, :] = regrid(part, state.grid, grid, vector=vector)
    return State(out, channels, grid, state.time)


def _positions(channels: tuple[Channel, ...], variable: str, *, single: bool) -> list[int]:
    return [i for i, c in enumerate(channels) if c.variable == variable and (c.level is None) == single]


def _levels(channels: tuple[Channel, ...], positions: list[int]) -> list[float]:
    return [level for i in positions if (level := channels[i].level) is not None]
