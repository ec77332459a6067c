"""The unconditional prior of increments with guidance by every observation: what a diffusion model does by itself.

    δ_i = guided members: log N( d | H δ(x̂), R + γ σ²/(σ² + 1) (H s σ_b)² ) in every evaluation (`networks/guidance.py`)
    mean = Σ_i δ_i / M,    γ = 0.2 × density [%], within ½ and 2

No first guess, no encoder: the network has seen increments alone. γ grows with the density, since a likelihood that is
diagonal counts more than once what neighbouring observations share: on 12 dates of the validation part a quarter to a
half of it diverges at 2 to 10 %, and twice of it is 1 % worse. Source: Rozet and Louppe (2023), Score-based Data
Assimilation, with its likelihood.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch

from phyda_cli.experiments.cases import CaseBatch
from phyda_cli.experiments.methods.base import Analyses
from phyda_cli.methods.phyda import EVALUATIONS
from phyda_cli.networks.checkpoint import Checkpoint
from phyda_cli.networks.edm import Denoiser
from phyda_cli.networks.gridded import GriddedObservations
from phyda_cli.networks.guidance import guided
from phyda_cli.networks.phyda import Base, Guide

_STRENGTH: Final = 0.2
_LIMITS: Final = (0.5, 2.0)


def strength(density: float) -> float:
    """γ at a density [% of the grid values]."""
    return min(max(_STRENGTH * density, _LIMITS[0]), _LIMITS[1])


@dataclass(frozen=True)
class GuidedPriorMethod:
    """Weights of a prior, with a name. members: of each analysis. seed: pair p draws from seed + p."""

    name: str
    identity: str
    checkpoint: Checkpoint
    members: int
    seed: int = 0

    def analyse(self, batch: CaseBatch) -> Analyses:
        """Members of the batch, case by case: each has its own likelihood."""
        drawn = torch.stack([self._members(batch, number) for number in range(len(batch))])
        return Analyses(drawn.mean(1), drawn)

    def _members(self, batch: CaseBatch, number: int) -> torch.Tensor:
        """(member, channel, lat, lon) of one case, SI."""
        statistics, model = self.checkpoint.statistics, self.checkpoint.model
        sigma = statistics.sigma(batch.scale[number : number + 1].float())
        nothing = torch.zeros(1, *batch.background.shape[1:])
        base = Base(nothing, torch.ones(1, nothing.shape[1], nothing.shape[2], 1))
        seen = GriddedObservations(nothing, nothing, nothing[:, :1])
        with torch.no_grad():
            parts = model.reconstruct(seen, nothing, nothing, nothing, base)
            members = model.members(
                *parts, base, count=self.members, evaluations=EVALUATIONS,
                seeds=[self.seed + batch.pairs[number]], guide=self._guide(batch, number, sigma[0]),
            )[0]  # fmt: skip
        drawn: torch.Tensor = members * sigma[0]
        return drawn

    def _guide(self, batch: CaseBatch, number: int, sigma: torch.Tensor) -> Guide:
        case, operator = batch.departures[number], batch.operators[number]
        departure, error = (torch.from_numpy(x).float() for x in (case.departure, case.error))
        width = operator.of_spread(sigma.double()).float()

        def guide(denoiser: Denoiser, decode: Callable[[torch.Tensor], torch.Tensor]) -> Denoiser:
            if len(case) == 0:
                return denoiser

            def equivalent(r: torch.Tensor) -> torch.Tensor:
                # departures in units of σ_o, which vary over orders of magnitude between variables
                return operator(decode(r) * sigma) / error

            return guided(
                denoiser, equivalent, departure / error, torch.ones_like(error), (width / error).square(),
                strength=strength(batch.density),
            )  # fmt: skip

        return guide
