from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from phyda_cli.evaluation.spectra import (
    BANDS,
    bands_of,
    divergence,
    in_bands,
    octaves,
    power_spectrum,
    radial_spectrum,
    spectra_of,
)
from phyda_cli.grids.harmonics import SphericalHarmonics
from phyda_cli.grids.latlon import LatLonGrid

ROWS, COLUMNS = 32, 64
GRID = LatLonGrid.equiangular(ROWS, COLUMNS)


def specdiv(x: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """SpecDiv (channel,) of batches (batch, channel, lat, lon), averaged before the transform."""
    first = int(36 * 0.9)
    return divergence(radial_spectrum(x)[:, first:], radial_spectrum(truth)[:, first:])


def band_ratios(x: torch.Tensor, truth: torch.Tensor) -> np.ndarray:
    """(channel, band) power over the truth's in the four bands of all grids, of fields (channel, lat, lon)."""
    bands = bands_of(GRID)[: len(BANDS)]
    return in_bands(spectra_of(x, GRID).power, bands) / in_bands(spectra_of(truth, GRID).power, bands)


def plane_wave(k_row: int, k_column: int, amplitude: float = 1.0) -> torch.Tensor:
    j, i = torch.arange(ROWS, dtype=torch.float64)[:, None], torch.arange(COLUMNS, dtype=torch.float64)[None, :]
    return amplitude * torch.cos(2 * math.pi * (k_row * j / ROWS + k_column * i / COLUMNS))


def test_number_of_bins_on_the_32_by_64_grid():
    # k_max = √(16² + 32²) = 35.78, so ⌈35.28⌉ = 36 bins
    assert radial_spectrum(torch.zeros(1, 1, ROWS, COLUMNS)).shape == (1, 36)


def test_a_plane_wave_lies_in_its_bin_alone():
    # |k| = 5 for (3, 4); bins of width 35.2777/36 from ½: (5 − ½)/0.97994 = 4.59 → bin 4
    spectrum = radial_spectrum(plane_wave(3, 4)[None, None])[0]
    assert int(spectrum.argmax()) == 4
    assert spectrum[4].item() / spectrum.sum().item() == pytest.approx(1.0, abs=1e-12)


def test_divergence_of_two_waves_by_hand():
    # The kept bins are 32 … 35; k = (16, 28) of length 32.25 lies in bin 32, k = (16, 32) in bin 35.
    wide, corner = plane_wave(16, 28), plane_wave(16, 32)
    count_wide = radial_spectrum(wide[None, None])[0, 32]
    count_corner = radial_spectrum(corner[None, None])[0, 35]
    truth = wide / count_wide.sqrt() + corner / count_corner.sqrt()  # t = (½, 0, 0, ½)
    x = math.sqrt(3) * wide / count_wide.sqrt() + corner / count_corner.sqrt()  # p = (¾, 0, 0, ¼)
    expected = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert specdiv(x[None, None], truth[None, None]).item() == pytest.approx(expected, abs=1e-9)


def test_the_batch_is_averaged_before_the_transform():
    field = torch.randn(1, 1, ROWS, COLUMNS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    noise = torch.randn(1, 1, ROWS, COLUMNS, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    batch = torch.cat([field + noise, field - noise])
    assert specdiv(batch, torch.cat([field, field])).item() == pytest.approx(0.0, abs=1e-12)


def test_missing_values_take_the_mean_of_their_field():
    truth = torch.randn(1, 1, ROWS, COLUMNS, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    holed, filled = truth.clone(), truth.clone()
    holed[0, 0, 3, 7] = math.nan
    filled[0, 0, 3, 7] = holed.nanmean()
    assert specdiv(holed, truth).item() == pytest.approx(specdiv(filled, truth).item(), rel=1e-9)


def test_lost_amplitude_is_seen_by_the_band_ratio_alone():
    truth = torch.randn(2, 1, ROWS, COLUMNS, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    assert specdiv(0.1 * truth, truth).item() == pytest.approx(0.0, abs=1e-12)
    assert band_ratios(0.1 * truth[0], truth[0])[0] == pytest.approx([0.01] * 4)


def test_band_ratio_by_hand():
    # n = 2 doubled in amplitude, n = 12 halved, others the same
    harmonics = SphericalHarmonics(GRID, 31)
    c = torch.zeros(32, 32, dtype=torch.complex128)
    c[2, 1], c[7, 3], c[12, 0], c[25, 20] = 1.0, 1.0, 1.0, 1.0
    scaled = c.clone()
    scaled[2], scaled[12] = 2 * c[2], 0.5 * c[12]
    truth, x = harmonics.synthesis(c)[None], harmonics.synthesis(scaled)[None]
    assert band_ratios(x, truth)[0] == pytest.approx([4.0, 1.0, 0.25, 1.0], abs=1e-9)


def test_power_adds_up_to_the_mean_square():
    # mean over the sphere of sin² φ is 1/3, all of it in n = 1
    grid = LatLonGrid.gaussian(16)
    field = torch.sin(torch.deg2rad(torch.tensor(grid.latitudes, dtype=torch.float64)))[:, None].expand(-1, 32)
    spectrum = power_spectrum(field, grid)
    assert spectrum[1].item() == pytest.approx(1 / 3)
    assert spectrum.sum().item() == pytest.approx(1 / 3)


def fields(seed: int) -> torch.Tensor:
    return torch.randn(3, ROWS, COLUMNS, generator=torch.Generator().manual_seed(seed))


def test_the_top_octaves_of_31():
    assert octaves(31) == ((4, 7), (8, 15), (16, 31))
    assert bands_of(GRID) == ((1, 4), (5, 10), (11, 20), (21, 31), (4, 7), (8, 15), (16, 31))


def test_specdiv_of_one_date_is_that_of_a_batch_of_one():
    x, truth = fields(0), fields(1)
    own = divergence(spectra_of(x, GRID).radial, spectra_of(truth, GRID).radial)
    assert own.tolist() == pytest.approx(specdiv(x[None], truth[None]).tolist())
    stacked = spectra_of(torch.stack([x, truth]), GRID).radial
    assert divergence(stacked, spectra_of(truth, GRID).radial)[1].tolist() == pytest.approx([0.0] * 3)


def test_a_field_that_is_zero_has_no_specdiv():
    truth = spectra_of(fields(1), GRID).radial
    assert divergence(torch.zeros_like(truth), truth).isnan().all()
