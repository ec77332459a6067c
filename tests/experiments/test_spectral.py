from __future__ import annotations

import pytest
import torch

from phyda_cli.evaluation.ensemble import fair_crps
from phyda_cli.evaluation.spectra import band_power_ratio, spectral_divergence
from phyda_cli.experiments.measure import crps_of
from phyda_cli.experiments.spectral import bands_of, divergence, in_bands, octaves, spectra_of
from phyda_cli.grids.grid import Grid

GRID = Grid.equiangular(32, 64)


def fields(seed: int) -> torch.Tensor:
    return torch.randn(3, 32, 64, generator=torch.Generator().manual_seed(seed))


def test_the_top_octaves_of_31():
    assert octaves(31) == ((4, 7), (8, 15), (16, 31))
    assert bands_of(GRID) == ((1, 4), (5, 10), (11, 20), (21, 31), (4, 7), (8, 15), (16, 31))


def test_specdiv_of_one_date_is_that_of_the_verification():
    x, truth = fields(0), fields(1)
    own = divergence(spectra_of(x, GRID).radial, spectra_of(truth, GRID).radial)
    assert own.tolist() == pytest.approx(spectral_divergence(x[None], truth[None]).tolist())
    stacked = spectra_of(torch.stack([x, truth]), GRID).radial
    assert divergence(stacked, spectra_of(truth, GRID).radial)[1].tolist() == pytest.approx([0.0] * 3)


def test_a_field_that_is_zero_has_no_specdiv():
    truth = spectra_of(fields(1), GRID).radial
    assert divergence(torch.zeros_like(truth), truth).isnan().all()


def test_bands_are_those_of_the_verification():
    x, truth = fields(0), fields(1)
    bands = ((4, 7), (16, 31))
    own = in_bands(spectra_of(x, GRID).power, bands) / in_bands(spectra_of(truth, GRID).power, bands)
    assert own == pytest.approx(band_power_ratio(x[None], truth[None], GRID, bands=bands).numpy())


def test_the_fast_crps_is_the_fair_crps():
    members = torch.randn(7, 3, 8, 9, generator=torch.Generator().manual_seed(2))
    truth = torch.randn(3, 8, 9, generator=torch.Generator().manual_seed(3))
    assert torch.allclose(crps_of(members, truth), fair_crps(members, truth), atol=1e-7)
