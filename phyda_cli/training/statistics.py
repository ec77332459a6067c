"""The learned model's statistics from a training store: its training part only.

mean(channel, φ) = ⟨monthly mean⟩ over months and longitudes
std²(channel, φ) = ⟨monthly std² + (monthly mean − mean)²⟩ over months and longitudes
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.networks.statistics import MAPPED, Statistics, error_maps
from phyda_cli.preparation.store import TrainingStore

_MAP_BATCH: Final = 64


def statistics_of(store: TrainingStore, *, maps: bool = True) -> Statistics:
    """The model's statistics. maps: read the nominal-lead errors for the error maps (seconds), or leave them zero."""
    monthly_mean, monthly_std = monthly(store, "monthly_mean"), monthly(store, "monthly_std")
    mean = monthly_mean.mean((0, -1))
    variance = (monthly_std**2 + (monthly_mean - mean[None, :, :, None]) ** 2).mean((0, -1))
    drawn = error_maps(_nominal_errors(store), store.channels) if maps else torch.zeros(len(MAPPED), *store.grid.shape)
    return Statistics(
        store.channels,
        store.grid,
        torch.from_numpy(store.sigma_b()).float(),
        torch.from_numpy(mean).float(),
        torch.from_numpy(np.sqrt(variance)).float(),
        drawn.float(),
    )


def monthly(store: TrainingStore, name: str) -> NDArray[np.float64]:
    """A monthly statistic (12, C, H, W) [SI]; a month that the training part lacks has the mean of the others."""
    values = store.statistic(name)
    held = np.array([bool(np.isfinite(month).all()) for month in values])
    return values if held.all() else np.where(held[:, None, None, None], values, values[held].mean(0))


def _nominal_errors(store: TrainingStore) -> torch.Tensor:
    """x_t − x_b at the nominal lead, less their mean, (n, C, H, W)."""
    lead = store.nominal_lead
    errors = torch.cat(
        [torch.from_numpy(p.truth - p.background) for p in store.pairs("train", [lead], batch=_MAP_BATCH)]
    )
    return errors - errors.mean(0)
