"""What each observed variable sees of a column: one kind for each way of looking, in one registry.

    y = f(g_1, …, g_m) + c,      g_j = Σ_k a_jk x[channel_jk] interpolated to the place

An input g_j is linear: weights a over the channels of the column. f and its slopes ∂f/∂g_j are the identity and 1 for
every kind but those that say otherwise. c is a constant of the row.

    a level             x(p), linear in ln p between the two levels that enclose p; a single-level field as it is
    z                   the same of what z has above the standard atmosphere s: c = s(p) − Σ a s(p_k)
    t2m, d2m            brought to the station's height: c = −Γ δ,    δ = h_station − h_ground
    sp                  brought to the station's height: f = k sp (1 − Γ δ/T)^(g/(R_d Γ)),    T = t2m, or the standard
                        one, k as if each grid point's sp were brought there;
                        without sp from msl:  f = msl (1 − Γ h/T₀)^(g/(R_d Γ)),    T₀ = T + Γ (h − δ),   h = h_station
    refractivity        of moist air at a geometric height (`refractivity.py`)
    tcwv                the field of it, or where the channels have none the column ∫ q dp/g (`fields/column.py`)

Increments without a channel of sp move it by as much of ln p as msl: a_sp = sp/p₀ of msl.
Source: UFO's surface operators, which bring pressure to the station in this way; ICAO (Doc 7488) for Γ.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

import numpy as np
import torch

from phyda_cli.constants import GRAVITY, LAPSE_RATE, R_DRY
from phyda_cli.fields.column import column_weights
from phyda_cli.fields.standard_atmosphere import SEA_LEVEL_PRESSURE, SEA_LEVEL_TEMPERATURE, standard_height
from phyda_cli.fields.state import Channel
from phyda_cli.operators.kind import Floats, Kind, Level, Sites, Vertical, between_levels, nothing
from phyda_cli.operators.refractivity import Refractivity

_WATER_LEVEL: Final = 85_000.0
"""Half of the water of a column with a scale height of 2 km is below this pressure [Pa]."""
_EXPONENT: Final = GRAVITY / (R_DRY * LAPSE_RATE)


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


class StationPressure(Level):
    """sp at the station's height, as it is where δ is not known; without sp that of msl there.

    The second input is t2m, 0 where there is none; the third is 1 · msl where the first is msl, else 0.
    """

    def lacks(self, variables: Collection[str]) -> tuple[str, ...]:
        return () if "msl" in variables else super().lacks(variables)

    def inputs(self, channels: Sequence[Channel], sites: Sites, *, beyond: bool) -> tuple[Vertical, ...]:
        own = super().inputs(channels, sites, beyond=beyond)[0]
        temperature = between_levels(channels, "t2m", sites.pressure, beyond=beyond)
        if Channel(self.variable) in channels or Channel("msl") not in channels:
            return own, temperature, nothing(sites.pressure.size)
        reduced = between_levels(channels, "msl", sites.pressure, beyond=beyond)
        if beyond:
            part = np.nan_to_num(sites.surface_pressure / SEA_LEVEL_PRESSURE, nan=1.0)
            return Vertical(reduced.channel, reduced.weight * part[:, None]), temperature, reduced
        known = np.isfinite(sites.height)[:, None]
        reduced = Vertical(np.where(known, reduced.channel, -1), reduced.weight)
        return reduced, temperature, reduced

    def value(self, inputs: Floats, sites: Sites) -> Floats:
        return np.asarray(inputs[0] * self._factor(inputs, sites))

    def slopes(self, inputs: Floats, sites: Sites) -> Floats:
        base, of_pressure = self._base(inputs, sites), self._factor(inputs, sites)
        reduced, below = self._fall(inputs, sites)
        with np.errstate(divide="ignore", invalid="ignore"):
            shift = inputs[0] * _EXPONENT * of_pressure / base * LAPSE_RATE * below / reduced**2
        known = (base > 0) & (inputs[1] > 0) & np.isfinite(shift)
        return np.stack([of_pressure, np.where(known, shift, 0.0), np.zeros_like(base)])

    def _factor(self, inputs: Floats, sites: Sites) -> Floats:
        relief = np.where(inputs[2] > 0, 1.0, sites.relief)
        return np.asarray(relief * self._base(inputs, sites) ** _EXPONENT)

    def _base(self, inputs: Floats, sites: Sites) -> Floats:
        base = _cooling(*self._fall(inputs, sites))
        return np.where(np.isfinite(base), base, 1.0)

    def _fall(self, inputs: Floats, sites: Sites) -> tuple[Floats, Floats]:
        """T or T₀ [K] where the pressure is given, and how far [m] the station is above that."""
        standard = np.where(np.isfinite(sites.ground_temperature), sites.ground_temperature, SEA_LEVEL_TEMPERATURE)
        ground = np.where(inputs[1] > 0, inputs[1], standard)
        above_sea = np.nan_to_num(sites.height - sites.difference)  # of the ground
        reduced = inputs[2] > 0
        return np.where(reduced, ground + LAPSE_RATE * above_sea, ground), np.where(
            reduced, sites.height, sites.difference
        )


class WaterColumn(Level):
    """Total column water vapour: its own field, or the integral of q over the levels that there are."""

    def lacks(self, variables: Collection[str]) -> tuple[str, ...]:
        return () if "q" in variables else super().lacks(variables)

    def inputs(self, channels: Sequence[Channel], sites: Sites, *, beyond: bool) -> tuple[Vertical, ...]:
        if Channel(self.variable) in channels:
            return super().inputs(channels, sites, beyond=beyond)
        held = [(number, c.level) for number, c in enumerate(channels) if c.variable == "q" and c.level is not None]
        n = sites.pressure.size
        if not held or not (beyond or _spans(level for _, level in held)):
            return (nothing(n),)
        surface = np.where(np.isfinite(sites.surface_pressure), sites.surface_pressure, SEA_LEVEL_PRESSURE)
        weights = column_weights([level for _, level in held], torch.from_numpy(surface)).numpy().T
        return (Vertical(np.tile(np.array([number for number, _ in held]), (n, 1)), np.ascontiguousarray(weights)),)

    def level(self, pressure: Floats) -> Floats:
        return np.full(pressure.shape, _WATER_LEVEL)

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
    )
}
"""The kinds that are more than a level; every other variable is a `Level`."""


def kind_of(variable: str) -> Kind:
    """Return how a variable is observed."""
    return KINDS.get(variable) or Level(variable)


def station_pressure(pressure: Floats, temperature: Floats, above: Floats) -> Floats:
    """p (1 − Γ δ/T)^(g/(R_d Γ)) [Pa] so far [m] above where pressure and temperature are."""
    return np.asarray(pressure * _cooling(temperature, above) ** _EXPONENT)


def _cooling(temperature: Floats, above: Floats) -> Floats:
    """1 − Γ δ/T so far [m] above where the temperature is T [K]; at least 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.maximum(1.0 - LAPSE_RATE * above / temperature, 0.0))


def _spans(levels: Iterable[float]) -> bool:
    """Return whether levels hold nearly all water of a column: from 850 hPa or below to 500 hPa or above."""
    held = list(levels)
    return max(held) >= _WATER_LEVEL and min(held) <= 50_000.0
