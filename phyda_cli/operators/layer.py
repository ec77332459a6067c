"""What lies between two pressures: the thickness of a layer, and its mean virtual temperature.

    thickness           y = (z(p_t) − z(p_b))/g
    tv_layer            y = (z(p_t) − z(p_b))/(R_d ln(p_b/p_t)),   the T_v that the thickness has in hydrostatic balance

p_b is the pressure of the observation, p_t < p_b its `top`. Both are linear in geopotential, whose values at the two
ends are those that an observation of z there would have (`kinds.py`): linear in ln p, of what z has above the standard
atmosphere. H exists where both ends are within the levels.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from phyda_cli.constants import GRAVITY, R_DRY
from phyda_cli.fields.standard_atmosphere import standard_height
from phyda_cli.fields.state import Channel
from phyda_cli.operators.kind import Floats, Mixed, Sites, Vertical, between_levels

LAYERS: Final = ("thickness", "tv_layer")
_OF: Final = "z"


@dataclass(frozen=True)
class Layer(Mixed):
    """One of the two; the input is the weighted difference of z at its two ends."""

    variable: str

    def lacks(self, variables: Collection[str]) -> tuple[str, ...]:
        return () if _OF in variables else (_OF,)

    def inputs(self, channels: Sequence[Channel], sites: Sites, *, beyond: bool) -> tuple[Vertical, ...]:
        bottom, top = (between_levels(channels, _OF, p, beyond=beyond) for p in (sites.pressure, sites.top))
        scale = self._scale(sites)[:, None]
        channel = np.concatenate([top.channel, bottom.channel], axis=1)
        ends = np.any(top.channel >= 0, axis=1) & np.any(bottom.channel >= 0, axis=1)
        weight = np.concatenate([scale * top.weight, -scale * bottom.weight], axis=1)
        return (Vertical(np.where(ends[:, None], channel, -1), np.where(ends[:, None], weight, 0.0)),)

    def constant(self, first: Vertical, channels: Sequence[Channel], sites: Sites) -> Floats:
        standard = np.array([0.0 if c.level is None else GRAVITY * float(standard_height(c.level)) for c in channels])
        with np.errstate(invalid="ignore"):
            own = GRAVITY * (standard_height(sites.top) - standard_height(sites.pressure))
        return np.asarray(self._scale(sites) * own - (first.weight * standard[first.channel]).sum(1))

    def level(self, pressure: Floats) -> Floats:
        return pressure

    def _scale(self, sites: Sites) -> Floats:
        """Return what one unit of z(p_t) − z(p_b) is."""
        if self.variable == "thickness":
            return np.full(sites.pressure.shape, 1.0 / GRAVITY)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(1.0 / (R_DRY * np.log(sites.pressure / sites.top)))
