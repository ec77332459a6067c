"""The total column water vapour of an increment of specific humidity, and the mean of its levels that water weighs.

    W = (1/g) ∫₀^{p_s} δq dp = Σ_l w_l δq_l,      w_l = (1/g) ∫₀^{p_s} φ_l(p) dp

φ_l are the weights with which an increment is interpolated between its levels (`vertical`): linear in ln p, constant
below the lowest level, to zero from the top level to half its pressure. The integral is a sum over layers of 2.5 hPa.
The mean of another field where the water is has the weights ∫ φ_l p³ dp/∫ p³ dp: water falls with height three times as
fast as pressure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.constants import GRAVITY
from phyda_cli.fields.vertical import vertical_weights

Floats = NDArray[np.float64]

_LAYER: Final = 250.0
"""Thickness of a layer [Pa]; p_s may lie within one."""
_BOTTOM: Final = 110_000.0
_WATER_POWER: Final = 3.0
"""Of pressure, to which the density of water is proportional."""


def column_weights(levels: Sequence[float], surface_pressure: torch.Tensor) -> torch.Tensor:
    """w (level, …) [kg m-2] for p_s (…) [Pa]; the layer that holds p_s counts with the part that is above it."""
    middle, above = _layers(surface_pressure)
    shapes = torch.from_numpy(vertical_weights(levels, middle)).to(surface_pressure)
    return (above @ shapes / GRAVITY).movedim(-1, 0)


def moist_mean_weights(levels: Sequence[float], surface_pressure: torch.Tensor) -> torch.Tensor:
    """Return the weights (level, …) of the mean where the water is, for p_s (…) [Pa]; their sum is 1."""
    middle, above = _layers(surface_pressure)
    shapes = torch.from_numpy(vertical_weights(levels, middle, above="constant")).to(surface_pressure)
    water = above * torch.from_numpy(middle**_WATER_POWER).to(surface_pressure)
    return (water @ shapes / water.sum(-1, keepdim=True)).movedim(-1, 0)


def _layers(surface_pressure: torch.Tensor) -> tuple[Floats, torch.Tensor]:
    """Return the middles (layer,) of layers [Pa] and how much of each is above the ground (…, layer) [Pa]."""
    edges = np.arange(0.0, _BOTTOM + _LAYER, _LAYER)
    upper = torch.from_numpy(edges[:-1]).to(surface_pressure)
    return 0.5 * (edges[1:] + edges[:-1]), (surface_pressure[..., None] - upper).clamp(0.0, _LAYER)
