"""Refractivity at a geometric height: what radio occultations measure, made of z, t and q of a layer.

Between the two levels p_b (below) and p_a (above) of the background whose heights enclose that of the observation,
temperature and humidity are linear in geopotential and the air is hydrostatic,

    s = (Φ(h, φ) − z_b)/(z_a − z_b)          Φ by the gravity of the ellipsoid (`fields/geometric_height.py`)
    T = T_b + s (T_a − T_b),   q alike,      T_v = T (1 + (1/ε − 1) q)
    p = p_b (p_a/p_b)^w,   w = ln(1 + s r)/ln(1 + r),   1 + r = T_v,a/T_v,b
    y = N(p, T, q)                           (`fields/refractivity.py`)

w is what dp/p = −dΦ/(R_d T_v) gives for a T_v linear in Φ; that both ends of the layer keep their pressures spares the
gas constant. H has six inputs, each linear: z, t, q at p_b and at p_a. The layer is that of the background, so that any
channels give the inputs by interpolation to these pressures, and H is smooth: where a state moves the height out of the
layer, the layer goes on. Slopes are by automatic differentiation.
Levels that lack one of the three are no ends of layers; outside of all layers there is no H.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import torch

from phyda_cli.constants import EPSILON
from phyda_cli.fields.geometric_height import geopotential_of_height
from phyda_cli.fields.refractivity import refractivity
from phyda_cli.fields.state import Channel
from phyda_cli.operators.kind import Floats, Mixed, Sites, Vertical, between_levels

_OF_LAYER: Final = ("z", "t", "q")
_PLAIN: Final = 1e-6
"""A layer whose T_v differs by less, relative, is isothermal: there w = s to twelve digits."""


@dataclass(frozen=True)
class Refractivity(Mixed):
    """N = 10⁶ (n − 1) of moist air; inputs are z, t, q below and z, t, q above."""

    variable: str = "refractivity"

    def lacks(self, variables: Collection[str]) -> tuple[str, ...]:
        return tuple(name for name in _OF_LAYER if name not in variables)

    def inputs(self, channels: Sequence[Channel], sites: Sites, *, beyond: bool) -> tuple[Vertical, ...]:
        return tuple(
            between_levels(channels, name, pressure, beyond=beyond)
            for pressure in (sites.below, sites.above)
            for name in _OF_LAYER
        )

    def value(self, inputs: Floats, sites: Sites) -> Floats:
        return np.asarray(_seen(torch.from_numpy(inputs), sites).numpy())

    def slopes(self, inputs: Floats, sites: Sites) -> Floats:
        given = torch.from_numpy(inputs.copy()).requires_grad_()
        (slopes,) = torch.autograd.grad(_seen(given, sites).sum(), given)
        return np.asarray(np.nan_to_num(slopes.numpy()))


def _seen(inputs: torch.Tensor, sites: Sites) -> torch.Tensor:
    """N (n,) of inputs (6, n), NaN where there is no layer."""
    below, above = inputs[:3], inputs[3:6]
    wanted = torch.from_numpy(geopotential_of_height(sites.height, sites.latitude))
    share = (wanted - below[0]) / (above[0] - below[0])
    temperature, humidity = (low + share * (high - low) for low, high in zip(below[1:], above[1:], strict=True))
    lower, upper = (level[1] * (1.0 + (1.0 / EPSILON - 1.0) * level[2]) for level in (below, above))
    growth = upper / lower - 1.0
    bent = growth.abs() > _PLAIN
    safe = torch.where(bent, growth, 1.0)
    part = torch.where(bent, torch.log1p(share * safe) / torch.log1p(safe), share)
    bottom, top = torch.from_numpy(sites.below), torch.from_numpy(sites.above)
    pressure = bottom * (top / bottom) ** part
    return torch.as_tensor(refractivity(pressure, temperature, humidity, sites.coefficients))


class Layer(NamedTuple):
    """The levels around n heights and the pressure there (n,) [Pa]; NaN where no layer holds the height."""

    below: Floats
    above: Floats
    pressure: Floats


def common_levels(channels: Sequence[Channel]) -> Floats:
    """Return the levels [Pa] that have z, t and q, from the ground up."""
    held = [{c.level for c in channels if c.variable == name and c.level is not None} for name in _OF_LAYER]
    return np.array(sorted(set.intersection(*held), reverse=True), dtype=np.float64)


def layer_around(height: Floats, latitude: Floats, levels: Floats, geopotential: Floats) -> Layer:
    """Return the layers that hold heights (n,) [m] at latitudes (n,) [degree].

    levels: (k,) [Pa] from the ground up. geopotential: (k, n) there [m2 s-2], NaN at places that have none. The
    pressure is linear in Φ in its logarithm, near enough to stand for the place.
    """
    nothing = np.full(height.shape, np.nan)
    if levels.size < 2:
        return Layer(nothing, nothing, nothing)
    wanted = geopotential_of_height(height, latitude)
    with np.errstate(invalid="ignore"):
        lower = np.clip((geopotential <= wanted).sum(0) - 1, 0, levels.size - 2)
        rows = np.arange(height.size)
        bottom, top = geopotential[lower, rows], geopotential[lower + 1, rows]
        inside = (wanted >= bottom) & (wanted <= top) & (top > bottom)
    below, above = (np.where(inside, levels[k], np.nan) for k in (lower, lower + 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (wanted - bottom) / (top - bottom)
        return Layer(below, above, below * (above / below) ** share)
