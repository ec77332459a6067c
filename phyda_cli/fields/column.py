"""The total column water vapour of an increment of specific humidity.

    W = (1/g) ∫₀^{p_s} δq dp = Σ_l w_l δq_l,      w_l = (1/g) ∫₀^{p_s} φ_l(p) dp

φ_l are the weights with which an increment is interpolated between its levels (`vertical`): linear in ln p, constant
below the lowest level, to zero from the top level to half its pressure. The integral is a sum over layers of 2.5 hPa.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch

from phyda_cli.constants import GRAVITY
from phyda_cli.fields.vertical import vertical_weights

_LAYER: Final = 250.0
"""Thickness of a layer [Pa]; p_s may lie within one."""
_BOTTOM: Final = 110_000.0


def column_weights(levels: Sequence[float], surface_pressure: torch.Tensor) -> torch.Tensor:
    """w (level, …) [kg m-2] for p_s (…) [Pa]; the layer that holds p_s counts with the part that is above it."""
    edges = np.arange(0.0, _BOTTOM + _LAYER, _LAYER)
    middle = 0.5 * (edges[1:] + edges[:-1])
    shapes = torch.from_numpy(vertical_weights(levels, middle)).to(surface_pressure)
    upper = torch.from_numpy(edges[:-1]).to(surface_pressure)
    above = (surface_pressure[..., None] - upper).clamp(0.0, _LAYER)
    return (above @ shapes / GRAVITY).movedim(-1, 0)
