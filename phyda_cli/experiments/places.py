"""Scores at places: the withheld ones, where no method saw anything, and those that were assimilated.

withheld:     e = H δ − H (x_t − x_b), the truth without noise; sums by channel
assimilated:  with d = y − H(x_b), r = d − H δ and σ_b at the case's lead: means over all observations of a date of
    chi2_innovation  d²/(σ_b² + σ_o²)          1 where σ_b and σ_o are right
    chi2_residual    r²/σ_o²                   below 1: the analysis fits what it saw
    desroziers_o     r d/σ_o²                  1 for consistent weights; its root is the factor that σ_o lacks
    desroziers_b     (H δ) d/σ_b²              the same for σ_b (Desroziers et al. 2005)
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.evaluation.ensemble import fair_crps
from phyda_cli.experiments.cases import CaseBatch
from phyda_cli.experiments.score import WITHHELD_COUNT, Score

Values = dict[str, NDArray[np.float64]]


def withheld_scores(batch: CaseBatch, row: int, mean: torch.Tensor, members: torch.Tensor | None) -> Values:
    """Return means (channel,) over the withheld places of each channel, 0 where there is none, and their number.

    mean (channel, lat, lon), members (member, channel, lat, lon): increments of the case in row `row` of the batch.
    """
    operator, channel = batch.withheld[row], batch.withheld_channel[row]
    wanted = operator(batch.error[row].double())
    sigma = operator.of_spread(batch.sigma[row].double().expand_as(batch.error[row]))
    error = operator(mean.double()) - wanted
    size = mean.shape[0]
    count = np.bincount(channel, minlength=size).astype(np.float64)

    def means(values: torch.Tensor) -> NDArray[np.float64]:
        total = np.bincount(channel, weights=values.numpy(), minlength=size)
        return np.asarray(total / np.maximum(count, 1.0))

    scores: dict[Score, torch.Tensor] = {
        Score("mse"): error.square(), Score("mae"): error.abs(), Score("bias"): error,
        Score("mse", relative=True): (error / sigma).square(), Score("mae", relative=True): (error / sigma).abs(),
    }  # fmt: skip
    if members is not None:
        crps = fair_crps(operator(members.double()), wanted)
        scores |= {Score("crps"): crps, Score("crps", relative=True): crps / sigma}
    return {replace(score, withheld=True).key: means(x) for score, x in scores.items()} | {WITHHELD_COUNT: count}


def innovation_scores(batch: CaseBatch, row: int, mean: torch.Tensor) -> dict[str, float]:
    """Return the consistency of what was assimilated; empty where nothing was."""
    case, operator = batch.departures[row], batch.operators[row]
    if len(case) == 0:
        return {}
    expected = operator.of_spread(batch.sigma[row].double().expand_as(batch.error[row])).numpy() ** 2
    fit = operator(mean.double()).numpy()
    d, variance = case.departure, case.error**2
    return {
        "chi2_innovation": float(np.mean(d**2 / (expected + variance))),
        "chi2_residual": float(np.mean((d - fit) ** 2 / variance)),
        "desroziers_o": float(np.mean((d - fit) * d / variance)),
        "desroziers_b": float(np.mean(fit * d / expected)),
    }
