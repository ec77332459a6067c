"""Increments without what the grid cannot carry."""

from __future__ import annotations

import numpy as np
import torch

from phyda_cli.fields.state import Channel
from phyda_cli.grids.harmonics import spherical_harmonics
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.networks.band_limit import BandLimit

GRID = LatLonGrid.equiangular(16, 32)
CHANNELS = (Channel("v", 5e4), Channel("t", 5e4), Channel("u", 5e4), Channel("u", 8.5e4), Channel("msl"))


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, *GRID.shape, generator=torch.Generator().manual_seed(0))


def test_what_the_grid_carries_is_kept_and_noise_is_not() -> None:
    """A solid rotation u = cos φ and a scalar Y with n = N stay; white noise loses the part beyond N; twice is once."""
    project = BandLimit(CHANNELS, GRID)
    phi = torch.deg2rad(torch.tensor(GRID.latitudes)).float()[:, None].expand(GRID.shape)
    largest = (GRID.shape[1] - 1) // 3
    harmonics = spherical_harmonics(GRID, largest, torch.float64, "cpu")
    scalar = harmonics.synthesis(harmonics.analysis(noise(1).double()))[0].float()
    kept = torch.stack([torch.zeros_like(phi), scalar, phi.cos(), scalar, scalar])
    assert torch.allclose(project(kept), kept, atol=2e-4)
    once = project(noise(2, 5))
    assert torch.allclose(project(once), once, atol=1e-3)
    lost = (noise(2, 5) - once).square().mean((0, 2, 3))
    assert (lost > 0.2).all()
    assert (lost < 0.8).all()


def test_winds_go_together_as_vectors() -> None:
    """A unit of u alone, which no vector harmonic is at the poles, brings v with it; a lone u is taken for a scalar."""
    project, fields = BandLimit(CHANNELS, GRID), torch.zeros(5, *GRID.shape)
    fields[2, 0, 3] = 1.0
    assert project(fields)[0].abs().max() > 0.01
    fields[2], fields[3, 0, 3] = 0.0, 1.0
    assert not project(fields)[[0, 1, 2, 4]].any()


def test_rotation_commutes() -> None:
    project, fields = BandLimit(CHANNELS, GRID), noise(5)
    assert torch.allclose(project(fields.roll(5, -1)), project(fields).roll(5, -1), atol=1e-4)
    assert np.isfinite(project(fields).numpy()).all()
