"""Scores of an ensemble x_1 … x_M against a truth y.

Fair CRPS (Ferro 2014), unbiased for the distribution that the members are drawn from:

    CRPS = (1/M) Σ_i |x_i − y| − 1/(2 M (M−1)) Σ_i Σ_j |x_i − x_j|

Spread and skill of the ensemble mean m over the grid (and any leading axes):

    spread² = ⟨ Σ_i (x_i − m)² / (M−1) ⟩,   skill² = ⟨ (m − y)² ⟩,   ratio = √((M+1)/M) · spread / skill

which is 1 for a reliable ensemble of any size; for such an ensemble the rank of y among the members is uniform over
0 … M. Members are (member, …); all sums are float64.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from phyda_cli.errors import BadDataError
from phyda_cli.evaluation.scores import area_mean
from phyda_cli.grids.grid import Grid


class SpreadSkill(NamedTuple):
    """spread, skill: in the unit of the fields. ratio: √((M+1)/M) spread/skill, below 1 when over-confident."""

    spread: torch.Tensor
    skill: torch.Tensor
    ratio: torch.Tensor


def fair_crps(members: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Fair CRPS (…) of members (member, …) at every point, in the unit of the fields.

    With the members in order, Σ_i Σ_j |x_i − x_j| = 2 Σ_i (2i − M − 1) x_(i), i = 1 … M.
    """
    size = _size(members)
    x, y = members.double(), truth.double()
    rank = torch.arange(1, size + 1, device=x.device, dtype=torch.float64)
    pairs: torch.Tensor = torch.tensordot(2 * rank - size - 1, x.sort(dim=0).values, dims=1)
    return (x - y).abs().mean(0) - pairs / (size * (size - 1))


def spread_skill(members: torch.Tensor, truth: torch.Tensor, grid: Grid) -> SpreadSkill:
    """Spread, skill and their ratio (channel,) over all cases.

    members: (member, case, channel, lat, lon). truth: (case, channel, lat, lon).
    """
    size = _size(members)
    x = members.double()
    spread = area_mean(x.var(0), grid).mean(0).sqrt()
    skill = area_mean((x.mean(0) - truth.double()).square(), grid).mean(0).sqrt()
    return SpreadSkill(spread, skill, ((size + 1) / size) ** 0.5 * spread / skill)


def rank_histogram(members: torch.Tensor, truth: torch.Tensor, *, seed: int) -> torch.Tensor:
    """Counts (M+1,) of the truth's rank among members (member, …); ties are broken at random with the seed."""
    size = _size(members)
    below = (members < truth).sum(0)
    ties = (members == truth).sum(0)
    generator = torch.Generator(device="cpu").manual_seed(seed)
    share = torch.rand(ties.shape, generator=generator, dtype=torch.float64).to(ties.device)
    rank = below + (share * (ties + 1)).long()
    return torch.bincount(rank.flatten(), minlength=size + 1)


def _size(members: torch.Tensor) -> int:
    size = int(members.shape[0])
    if size < 2:
        raise BadDataError(f"an ensemble score needs at least 2 members, got {size}")
    return size
