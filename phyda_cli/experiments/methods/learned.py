"""Learned methods: the analysis of PhyDA and its variants, regressions without diffusion, and the prior with guidance.

Weights whose last stage is the encoder are a regression: the analysis is the reconstruction's mean, without members.
Weights of an unconditional prior are guided by the observations (`guided_prior.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from phyda_cli.errors import BadDataError
from phyda_cli.errors_b.error_scale import ErrorScale
from phyda_cli.experiments.cases import CaseBatch
from phyda_cli.experiments.methods.base import Analyses, ExperimentMethod
from phyda_cli.experiments.methods.guided_prior import GuidedPriorMethod
from phyda_cli.experiments.methods.variational import RememberedThreeDVar, increments
from phyda_cli.methods.phyda import LearnedAnalysis
from phyda_cli.networks.checkpoint import Checkpoint
from phyda_cli.preparation.store import TrainingStore

REGRESSION: Final = "encoder"
"""The last stage of weights that are a regression."""
_TOGETHER: Final = 4
"""Cases whose members are drawn together: more of them do not fit the processor's caches."""


@dataclass(frozen=True)
class LearnedMethod:
    """Weights with a name. members: of each analysis; 0 for a regression. seed: pair p draws from seed + p."""

    name: str
    identity: str
    analysis: LearnedAnalysis
    seed: int = 0

    def analyse(self, batch: CaseBatch) -> Analyses:
        """Members of the batch, a few cases at a time; their first guesses are solved together and remembered."""
        increments(self.analysis.first_guess, batch)
        anomaly = self.analysis.checkpoint.statistics.anomaly(batch.background)
        means, members = [], []
        for start in range(0, len(batch), _TOGETHER):
            own = slice(start, start + _TOGETHER)
            result = self.analysis.analyse(
                anomaly[own],
                batch.times[own],
                batch.departures[own],
                [ErrorScale.uniform(scale) for scale in batch.scale[own].tolist()],
                seeds=[self.seed + pair for pair in batch.pairs[own]],
            )
            means.append(result.mean)
            members.append(result.members)
        drawn = torch.cat(members)
        return Analyses(torch.cat(means), drawn if drawn.shape[1] else None)


def learned_method(
    name: str,
    path: Path,
    checkpoint: Checkpoint,
    first_guess: RememberedThreeDVar,
    store: TrainingStore,
    *,
    members: int,
    seed: int,
    digest: str,
) -> ExperimentMethod:
    """The method of a weights file. digest: of the file.

    Raises BadDataError for weights of other channels or another grid than the store's.
    """
    own = checkpoint.statistics
    if own.channels != store.channels or own.grid.shape != store.grid.shape:
        raise BadDataError(f"{path}: weights for other channels or another grid than those of {store.path}")
    if not checkpoint.model.config.conditional:
        return GuidedPriorMethod(name, f"{digest} guided, {members} members", checkpoint, members, seed)
    size = 0 if checkpoint.about.get("stage") == REGRESSION else members
    analysis = LearnedAnalysis(checkpoint, first_guess, members=size, judged=size > 0)
    return LearnedMethod(name, f"{digest} {size} members", analysis, seed)
