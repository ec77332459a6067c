"""Pressure at a station: that of the background's ground, or of the sea, brought to the station's height.

    f = k sp (1 − Γ δ/T)^(g/(R_d Γ)),    δ = h_station − h_ground,    T = t2m, or the standard one
    f = msl (1 − Γ h/T₀)^(g/(R_d Γ)),    T₀ = T + Γ (h − δ),   h = h_station               without sp

k is as if each grid point's sp were brought there. Increments without a channel of sp move it by as much of ln p as
msl: a_sp = sp/p₀ of msl.
Source: UFO's surface operators, which bring pressure to the station in this way; ICAO (Doc 7488) for Γ.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import numpy as np

from phyda_cli.constants import GRAVITY, LAPSE_RATE, R_DRY
from phyda_cli.fields.standard_atmosphere import SEA_LEVEL_PRESSURE, SEA_LEVEL_TEMPERATURE
from phyda_cli.fields.state import Channel
from phyda_cli.operators.kind import Floats, Level, Sites, Vertical, between_levels, nothing

_EXPONENT: Final = GRAVITY / (R_DRY * LAPSE_RATE)


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


def station_pressure(pressure: Floats, temperature: Floats, above: Floats) -> Floats:
    """p (1 − Γ δ/T)^(g/(R_d Γ)) [Pa] so far [m] above where pressure and temperature are."""
    return np.asarray(pressure * _cooling(temperature, above) ** _EXPONENT)


def _cooling(temperature: Floats, above: Floats) -> Floats:
    """1 − Γ δ/T so far [m] above where the temperature is T [K]; at least 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.maximum(1.0 - LAPSE_RATE * above / temperature, 0.0))
