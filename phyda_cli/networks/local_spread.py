"""The size of the members, where the encoder says how large the error of its reconstruction is.

    δ_i ← δ̄ + √(⟨σ²⟩ / ⟨s²⟩) (δ_i − δ̄),     s² = Σ_i (δ_i − δ̄)² / (M − 1)

⟨·⟩ are means over 5 × 5 points: of so many values s² is known well enough, and the members keep their own shapes on
smaller scales. The latent in which they are drawn mixes all channels of 2 × 2 points and carries their size only on
average; σ is small at observations and grows with the distance from them.
"""

from __future__ import annotations

from typing import Final

import torch

from phyda_cli.grids.places import local_mean

_REACH: Final = 2
_LARGEST: Final = 10.0
"""Of the factor: members that are all alike somewhere stay so."""


def localised(members: torch.Tensor, log_sigma: torch.Tensor) -> torch.Tensor:
    """Return members (case, M, C, H, W), with log σ (case, C, H, W) in their units; their mean is unchanged."""
    mean = members.mean(1, keepdim=True)
    wanted, held = local_mean((2.0 * log_sigma).exp(), _REACH), local_mean(members.var(1), _REACH)
    factor = (wanted / held.clamp_min(torch.finfo(held.dtype).tiny)).sqrt().clamp_max(_LARGEST)
    return mean + factor[:, None] * (members - mean)
