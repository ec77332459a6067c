"""The height of a state's ground, where its levels put its surface pressure.

    h_s = h*(p_s) + Δ(ln p_s),    Δ_l = z_l/g − h*(p_l)

h* is the height of the standard atmosphere and Δ what the state adds to it, linear in ln p between levels and constant
beyond the lowest.
"""

from __future__ import annotations

import numpy as np
import torch

from phyda_cli.constants import GRAVITY
from phyda_cli.fields.standard_atmosphere import standard_height
from phyda_cli.fields.state import Channel, State

_SURFACE_PRESSURE = Channel("sp")


def surface_height(state: State) -> torch.Tensor | None:
    """h_s (lat, lon) [m] of a state (channel, lat, lon), or None where it has no surface pressure or no z on levels."""
    levels = sorted(state.levels("z"))
    if _SURFACE_PRESSURE not in state.channels or not levels:
        return None
    surface = state.values[state.index(_SURFACE_PRESSURE)].double()
    heights = torch.tensor(standard_height(np.array(levels)), dtype=torch.float64)
    fields = torch.stack([state.values[state.index(Channel("z", level))].double() for level in levels])
    extra = fields / GRAVITY - heights[:, None, None]
    at, nodes = torch.log(surface), torch.log(torch.tensor(levels, dtype=torch.float64))
    upper = (torch.searchsorted(nodes, at.contiguous(), right=True) - 1).clamp(0, max(len(levels) - 2, 0))
    lower = (upper + 1).clamp_max(len(levels) - 1)
    width = (nodes[lower] - nodes[upper]).clamp_min(torch.finfo(torch.float64).tiny)
    share = torch.where(lower > upper, ((at - nodes[upper]) / width).clamp(0.0, 1.0), 0.0)
    above, below = (torch.take_along_dim(extra, index[None], dim=0)[0] for index in (upper, lower))
    return torch.from_numpy(standard_height(surface.numpy())) + (1.0 - share) * above + share * below
