"""How far a learned correction is to be trusted, judged by observations that it has not seen.

The departures are split by their places into two halves, A and B. 3D-Var's x_g and the reconstruction μ are made from A
and compared with B:

    r = d − H x_g,    c = H (μ − x_g),    v = σ_o² + s² σ_b²                              at B
    τ = (Σ r c / v + κ τ₀) / (Σ c² / v + κ),    within [0, 1]

is the factor on c that leaves least of r, drawn to τ₀ with the weight κ: first for each variable with τ₀ = 1, then for
each of its channels with the variable's τ as τ₀. Where errors are like those of the training τ stays near 1; where they
are not, as against a climatology or another model's stratosphere, the analysis falls back to 3D-Var. An observation
between levels counts for the nearest one. Source: stacked regressions (Breiman 1996), with two members.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.fields.state import Channel
from phyda_cli.methods.base import Departures

WEIGHT: Final = 10.0
"""κ: a sum of c²/v as large as this makes observations count as much as what is believed before."""
_SEED: Final = 0


def halves(case: Departures) -> NDArray[np.bool_]:
    """(n,) True for half A. Observations at one place go together; the split does not depend on the order of rows."""
    places = np.stack([case.latitude, case.longitude], axis=1)
    unique, index = np.unique(places, axis=0, return_inverse=True)
    shuffled = np.random.default_rng(_SEED).permutation(len(unique))
    return np.asarray(shuffled[index.reshape(-1)] % 2 == 0)


def nearest_channels(case: Departures, channels: Sequence[Channel]) -> NDArray[np.int64]:
    """(n,) the channel of the same variable whose level is nearest in ln p, and −1 where there is none."""
    result = np.full(len(case), -1, dtype=np.int64)
    level = case.operator.level
    for variable in np.unique(case.variable.astype(str)):
        own = [number for number, channel in enumerate(channels) if channel.variable == variable]
        rows = np.flatnonzero(case.variable.astype(str) == variable)
        levels = np.array([channels[number].level or np.nan for number in own], dtype=np.float64)
        if not own:
            continue
        if np.isnan(levels).all():
            result[rows] = own[0]
            continue
        distance = np.abs(np.log(level[rows])[:, None] - np.log(levels))
        result[rows] = np.asarray(own)[np.argmin(distance, axis=1)]
    return result


def trust(
    residual: torch.Tensor,
    correction: torch.Tensor,
    variance: torch.Tensor,
    channel: NDArray[np.int64],
    channels: Sequence[Channel],
) -> torch.Tensor:
    """τ (channel,) from r, c, v (n,) at half B; channel (n,): of each, −1 counts nowhere. 1 where nothing is known."""
    index = torch.from_numpy(np.where(channel < 0, len(channels), channel))
    agreement = torch.zeros(len(channels) + 1, dtype=torch.float64)
    size = agreement.clone()
    agreement.index_add_(0, index, (residual * correction / variance).double())
    size.index_add_(0, index, (correction.square() / variance).double())
    result = torch.ones(len(channels), dtype=torch.float64)
    for variable in dict.fromkeys(c.variable for c in channels):
        own = [number for number, c in enumerate(channels) if c.variable == variable]
        common = ((agreement[own].sum() + WEIGHT) / (size[own].sum() + WEIGHT)).clamp(0.0, 1.0)
        result[own] = ((agreement[own] + WEIGHT * common) / (size[own] + WEIGHT)).clamp(0.0, 1.0)
    return result
