"""The last stage: the inflation of the ensemble's spread, fitted on the validation cases; it trains no network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch

from phyda_cli.methods.phyda import EVALUATIONS
from phyda_cli.networks.calibration import Calibration, CalibrationSums
from phyda_cli.networks.phyda import PhyDA
from phyda_cli.networks.statistics import Statistics
from phyda_cli.training.batches import fixed_batch, to_device
from phyda_cli.training.case_files import AnyCases

MEMBERS: Final = 8
"""Samples of each case; what is fitted does not depend on their number."""
_BATCH: Final = 16
_SEED: Final = 2


@torch.no_grad()
def calibrate(
    model: PhyDA,
    cases: AnyCases,
    statistics: Statistics,
    device: torch.device,
    progress: Callable[[int], None],
) -> Calibration:
    """Fit the inflation. progress: told the number of cases done."""
    model.to(device).eval()
    sums = CalibrationSums.none(len(statistics.channels))
    for start in range(0, len(cases), _BATCH):
        chosen = list(range(start, min(start + _BATCH, len(cases))))
        batch = to_device(fixed_batch(cases, statistics, chosen, generator=torch.Generator()), device)
        parts = model.reconstruct(batch.observations, batch.first_guess, batch.background, batch.static, batch.base)
        seeds = [_SEED + number for number in chosen]
        members = model.members(*parts, batch.base, count=MEMBERS, evaluations=EVALUATIONS, seeds=seeds).cpu()
        sums.add(members, parts[0].mean.cpu(), batch.increment.cpu(), batch.density.cpu(), statistics.area)
        progress(start + len(chosen))
    return sums.fit()
