"""An increment and its spread from the method's grid and levels to the background's: δ' = R_horizontal R_vertical δ."""

from __future__ import annotations

import torch

from phyda_cli.fields.column import column_weights
from phyda_cli.fields.standard_atmosphere import SEA_LEVEL_PRESSURE
from phyda_cli.fields.state import Channel, State
from phyda_cli.fields.variables import VARIABLES
from phyda_cli.fields.vertical import vertical_weights
from phyda_cli.grids.base import Grid
from phyda_cli.grids.regrid import regrid

_COLUMN = Channel("tcwv")


def interpolate_increment(
    increment: State, channels: tuple[Channel, ...], grid: Grid, surface_pressure: torch.Tensor | None = None
) -> State:
    """Return the increment on other channels and another grid.

    Levels are interpolated linearly in ln p (`vertical_weights`: constant below the lowest level of the variable, zero
    from half the pressure of its top level upward), then the fields are regridded (`regrid`, winds as vectors).
    Channels of a variable that the increment does not hold get zeros, but that of total column water vapour gets the
    column of the increment of humidity (`column.py`), down to a surface pressure (lat, lon) [Pa] or a mean one, and sp
    as much of ln p as msl.
    """
    return _interpolate(increment, channels, grid, surface_pressure, spread=False)


def interpolate_spread(
    spread: State, channels: tuple[Channel, ...], grid: Grid, surface_pressure: torch.Tensor | None = None
) -> State:
    """Return a standard deviation on other channels and another grid.

    It is a magnitude: winds are regridded as scalars, and above the top level of a variable the value there goes on.
    Channels of a variable that the spread does not hold get zeros; a column of humidity is as uncertain as if the
    errors of its levels were one, and pressure at the ground as that at sea level.
    """
    return _interpolate(spread, channels, grid, surface_pressure, spread=True)


def _interpolate(
    state: State, channels: tuple[Channel, ...], grid: Grid, surface_pressure: torch.Tensor | None, *, spread: bool
) -> State:
    out = state.values.new_zeros(*state.values.shape[:-3], len(channels), *grid.shape)
    for variable, single in dict.fromkeys((channel.variable, channel.level is None) for channel in channels):
        source = _positions(state.channels, variable, single=single)
        target = _positions(channels, variable, single=single)
        if not source and variable == "sp" and (held := _positions(state.channels, "msl", single=True)):
            part = _pressure(surface_pressure) / SEA_LEVEL_PRESSURE
            out[..., target, :, :] = regrid(state.values[..., held, :, :], state.grid, grid) * part.to(state.values)
            continue
        if not source:
            if variable == _COLUMN.variable and (held := _positions(state.channels, "q", single=False)):
                humidity = regrid(state.values[..., held, :, :], state.grid, grid)
                column = column_weights(_levels(state.channels, held), _pressure(surface_pressure))
                out[..., target[0], :, :] = (humidity * column.to(humidity)).sum(-3)
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


def _pressure(surface: torch.Tensor | None) -> torch.Tensor:
    return torch.full((1, 1), SEA_LEVEL_PRESSURE, dtype=torch.float64) if surface is None else surface


def _positions(channels: tuple[Channel, ...], variable: str, *, single: bool) -> list[int]:
    return [i for i, c in enumerate(channels) if c.variable == variable and (c.level is None) == single]


def _levels(channels: tuple[Channel, ...], positions: list[int]) -> list[float]:
    return [level for i in positions if (level := channels[i].level) is not None]
