"""What each observed variable sees of a column: one kind for each way of looking, in one registry.

    y = f(g_1, …, g_m) + c,      g_j = Σ_k a_jk x[channel_jk] interpolated to the place

An input g_j is linear: weights a over the channels of the column. f and its slopes ∂f/∂g_j are the identity and 1 for
every kind but those that say otherwise. c is a constant of the row.

    a level             x(p), linear in ln p between the two levels that enclose p; a single-level field as it is
    z                   the same of what z has above the standard atmosphere s: c = s(p) − Σ a s(p_k)
    t2m, d2m            brought to the station's height: c = −Γ δ,    δ = h_station − h_ground
    sp                  brought to the station's height, also of msl (`station_pressure.py`)
    refractivity        of moist air at a geometric height (`refractivity.py`)
    ztd                 the zenith total delay of navigation satellites (`zenith_delay.py`)
    ws10                f = √(u10² + v10²)
    tb5, …, tb9         brightness temperatures of a microwave sounder (`brightness_temperature.py`)
    thickness, tv_layer of a layer between two pressures (`layer.py`)
    tcwv                the field of it, or where the channels have none the column ∫ q dp/g (`fields/column.py`)

Source: ICAO (Doc 7488) for Γ.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import numpy as np
import torch

from phyda_cli.constants import GRAVITY, LAPSE_RATE
from phyda_cli.fields.column import column_weights
from phyda_cli.fields.standard_atmosphere import SEA_LEVEL_PRESSURE, standard_height
from phyda_cli.fields.state import Channel
from phyda_cli.operators.brightness_temperature import SOUNDERS, BrightnessTemperature
from phyda_cli.operators.kind import WATER_LEVEL, Floats, Kind, Level, Sites, Vertical, holds_water, nothing
from phyda_cli.operators.layer import LAYERS, Layer
from phyda_cli.operators.refractivity import Refractivity
from phyda_cli.operators.station_pressure import StationPressure
from phyda_cli.operators.wind_speed import WindSpeed
from phyda_cli.operators.zenith_delay import ZenithDelay


class Geopotential(Level):
    """Geopotential bends in ln p; what it has above the standard atmosphere hardly does."""

    def constant(self, first: Vertical, channels: Sequence[Channel], sites: Sites) -> Floats:
        standard = np.array([0.0 if c.level is None else GRAVITY * float(standard_height(c.level)) for c in channels])
        with np.errstate(invalid="ignore"):
            own = GRAVITY * standard_height(sites.pressure)
        return np.asarray(own - (first.weight * standard[first.channel]).sum(1))


class ScreenTemperature(Level):
    """t2m or d2m at the station's height, as it is where δ is not known.

    Where relative humidity goes on with height the dew point falls by Γ (T_d/T)², which is near Γ.
    """

    def constant(self, first: Vertical, channels: Sequence[Channel], sites: Sites) -> Floats:
        return -LAPSE_RATE * np.nan_to_num(sites.difference)


class WaterColumn(Level):
    """Total column water vapour: its own field, or the integral of q over the levels that there are."""

    def lacks(self, variables: Collection[str]) -> tuple[str, ...]:
        return () if "q" in variables else super().lacks(variables)

    def inputs(self, channels: Sequence[Channel], sites: Sites, *, beyond: bool) -> tuple[Vertical, ...]:
        if Channel(self.variable) in channels:
            return super().inputs(channels, sites, beyond=beyond)
        held = [(number, c.level) for number, c in enumerate(channels) if c.variable == "q" and c.level is not None]
        n = sites.pressure.size
        if not held or not (beyond or holds_water([level for _, level in held])):
            return (nothing(n),)
        surface = np.where(np.isfinite(sites.surface_pressure), sites.surface_pressure, SEA_LEVEL_PRESSURE)
        weights = column_weights([level for _, level in held], torch.from_numpy(surface)).numpy().T
        return (Vertical(np.tile(np.array([number for number, _ in held]), (n, 1)), np.ascontiguousarray(weights)),)

    def level(self, pressure: Floats) -> Floats:
        return np.full(pressure.shape, WATER_LEVEL)

    def integrates(self, channels: Sequence[Channel]) -> bool:
        return Channel(self.variable) not in channels


KINDS: Final[dict[str, Kind]] = {
    kind.variable: kind
    for kind in (
        Geopotential("z"),
        ScreenTemperature("t2m"),
        ScreenTemperature("d2m"),
        StationPressure("sp"),
        WaterColumn("tcwv"),
        Refractivity(),
        ZenithDelay(),
        WindSpeed(),
        *map(Layer, LAYERS),
        *map(BrightnessTemperature, SOUNDERS),
    )
}
"""The kinds that are more than a level; every other variable is a `Level`."""


def kind_of(variable: str) -> Kind:
    """Return how a variable is observed."""
    return KINDS.get(variable) or Level(variable)
