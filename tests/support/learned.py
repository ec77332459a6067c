"""A tiny learned model on the grid and channels of `background_error.py`, untrained or with random parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from phyda_cli.fields.state import Channel
from phyda_cli.networks.calibration import Calibration
from phyda_cli.networks.checkpoint import Checkpoint, to_bytes
from phyda_cli.networks.config import ModelConfig
from phyda_cli.networks.phyda import PhyDA
from phyda_cli.networks.statistics import Statistics
from tests.support.background_error import CHANNELS, GRID, small_statistics

CONFIG = ModelConfig(latent_channels=6, autoencoder_width=8, encoder_widths=(16, 16), score_widths=(16, 16), heads=2)
MEAN = (*[0.0] * 6, 225.0, 260.0, 281.0, 2e-4, 2e-3, 8e-3, 102e3, 55e3, 14.5e3, 101_300.0)
"""Of each channel [SI]."""


def statistics(channels: Sequence[Channel] = CHANNELS) -> Statistics:
    """σ_b of `small_statistics`, a climatology three times as wide, no error maps; channels in any order."""
    order = [CHANNELS.index(channel) for channel in channels]
    sigma = small_statistics().sigma[order].float()
    mean = torch.tensor(MEAN)[order, None].expand_as(sigma).contiguous()
    return Statistics(tuple(channels), GRID, sigma, mean, 3.0 * sigma, torch.zeros(4, *GRID.shape))


def untrained(channels: int = len(CHANNELS)) -> PhyDA:
    """A model as it is before the training: its reconstruction is the first guess, its latent residual N(0, 1)."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return PhyDA(channels, GRID.shape, CONFIG).eval()


def scrambled(channels: int = len(CHANNELS)) -> PhyDA:
    """A model with random parameters: everything depends on everything."""
    made = untrained(channels)
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return made


def checkpoint(
    model: PhyDA, channels: Sequence[Channel] = CHANNELS, *, calibration: Calibration | None = None
) -> Checkpoint:
    """The model with its statistics, in memory."""
    return Checkpoint(model, statistics(channels), calibration or Calibration.none(len(channels)), {})


def weights(model: PhyDA, *, background_error: str | None, **about: Any) -> bytes:
    """The content of a weights file that says with which background error (SHA-256) it was trained."""
    inputs = {} if background_error is None else {"background_error": background_error}
    return to_bytes(model, statistics(), about={"stage": "calibration", "inputs": inputs, **about})
