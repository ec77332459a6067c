"""The zenith total delay of a signal of a navigation satellite at a station: what the air above it adds to its path.

    y = 10⁻⁶ ∫ N dz = 10⁻⁶ [k₁ R_d p_s/g_m + R_v (k₃ − ε k₁ + k₂/T_m) W],      W = ∫ q dp/g

N as in `fields/refractivity.py`; with the density of moist air k₁ p_d/T = k₁ (R_d ρ − ε e/T), and e T_v/(p T) = q/ε
makes columns of the vapour's parts, exactly. p_s is the pressure at the station (`kinds.py`), W the column above it
(`fields/column.py`). g_m is gravity at the centre of mass of the air, 7.3 km + 0.9 h (Saastamoinen 1972). T_m, which is
that of ∫ q dp/∫ (q/T) dp, is the mean of T with the weight p³, a scale height of humidity of 2.5 km: 2 K more or less
are 1 mm. The inputs are those of the pressure at the station, W and T_m.
Source: Bevis et al. (1992, 1994) for the way, with a mean temperature of the model's own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from phyda_cli.constants import EPSILON, R_DRY, R_VAPOUR
from phyda_cli.fields.column import column_weights, moist_mean_weights
from phyda_cli.fields.geometric_height import gravity_at
from phyda_cli.fields.standard_atmosphere import SEA_LEVEL_PRESSURE
from phyda_cli.fields.state import Channel
from phyda_cli.operators.kind import WATER_LEVEL, Floats, Mixed, Sites, Vertical, holds_water, nothing
from phyda_cli.operators.station_pressure import StationPressure, station_pressure

_PRESSURE: Final = StationPressure("sp")
_CENTRE, _CENTRE_SLOPE = 7_300.0, 0.9
"""Of the mass of the air above a height h: so much [m], plus so much of h."""
_LEAST_TEMPERATURE: Final = 100.0
"""T_m [K] of inputs that are none."""


@dataclass(frozen=True)
class ZenithDelay(Mixed):
    """Zenith total delay [m]; inputs are the three of the pressure at the station, W and T_m."""

    variable: str = "ztd"

    def lacks(self, variables: Collection[str]) -> tuple[str, ...]:
        return (*_PRESSURE.lacks(variables), *(name for name in ("t", "q") if name not in variables))

    def inputs(self, channels: Sequence[Channel], sites: Sites, *, beyond: bool) -> tuple[Vertical, ...]:
        above = station_pressure(sites.surface_pressure, sites.ground_temperature, np.nan_to_num(sites.difference))
        bottom = torch.from_numpy(np.where(np.isfinite(above), above, SEA_LEVEL_PRESSURE))
        columns = [
            _column([(number, c.level) for number, c in enumerate(channels) if c.variable == name], bottom, of, beyond)
            for name, of in (("q", column_weights), ("t", moist_mean_weights))
        ]
        pressure = _PRESSURE.inputs(channels, sites, beyond=beyond)
        seen = np.all([np.any(part.channel >= 0, axis=1) for part in columns], axis=0)
        first = Vertical(np.where(seen[:, None], pressure[0].channel, -1), pressure[0].weight)
        return (first, *pressure[1:], *columns)

    def value(self, inputs: Floats, sites: Sites) -> Floats:
        water, warm = inputs[3], np.maximum(inputs[4], _LEAST_TEMPERATURE)
        of_water = self._of_water(warm, sites) * water
        return np.asarray(self._of_pressure(sites) * _PRESSURE.value(inputs[:3], sites) + of_water)

    def slopes(self, inputs: Floats, sites: Sites) -> Floats:
        water, warm = inputs[3], np.maximum(inputs[4], _LEAST_TEMPERATURE)
        of_mean = -1e-6 * R_VAPOUR * sites.coefficients.dipole / warm**2 * water
        of_station = self._of_pressure(sites) * _PRESSURE.slopes(inputs[:3], sites)
        return np.concatenate([of_station, [self._of_water(warm, sites), of_mean]])

    def level(self, pressure: Floats) -> Floats:
        return np.full(pressure.shape, WATER_LEVEL)

    @staticmethod
    def _of_pressure(sites: Sites) -> Floats:
        """∂y/∂p_s [m Pa-1]."""
        centre = _CENTRE + _CENTRE_SLOPE * np.nan_to_num(sites.height)
        return np.asarray(1e-6 * sites.coefficients.dry * R_DRY / gravity_at(centre, sites.latitude))

    @staticmethod
    def _of_water(warm: Floats, sites: Sites) -> Floats:
        """∂y/∂W [m3 kg-1] at a mean temperature."""
        dry, dipole, moist = sites.coefficients
        return np.asarray(1e-6 * R_VAPOUR * (moist - EPSILON * dry + dipole / warm))


def _column(
    held: list[tuple[int, float | None]],
    bottom: torch.Tensor,
    weights: Callable[[Sequence[float], torch.Tensor], torch.Tensor],
    beyond: bool,
) -> Vertical:
    """Return weights over the levels that there are of a variable. held: (channel, level [Pa]). bottom: (n,) [Pa]."""
    known = [(number, level) for number, level in held if level is not None]
    levels = [level for _, level in known]
    if not known or not (beyond or holds_water(levels)):
        return nothing(bottom.numel())
    channel = np.tile(np.array([number for number, _ in known]), (bottom.numel(), 1))
    return Vertical(channel, np.ascontiguousarray(weights(levels, bottom).numpy().T))
