"""The background error from published statistics."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch

from phyda_cli.constants import EARTH_RADIUS, R_DRY
from phyda_cli.errors_b import published as made
from phyda_cli.errors_b.background_error import BackgroundError
from phyda_cli.errors_b.control import ControlTransform
from phyda_cli.fields.standard_atmosphere import SEA_LEVEL_PRESSURE
from phyda_cli.fields.state import Channel
from phyda_cli.grids.latlon import LatLonGrid

GRID = LatLonGrid.equiangular(36, 72)
WINDS = (Channel("u", 85_000.0), Channel("u", 25_000.0), Channel("u10"), Channel("v", 85_000.0), Channel("v", 25_000.0),
         Channel("v10"))  # fmt: skip
LEVELS = (100_000.0, 92_500.0, 85_000.0, 70_000.0, 50_000.0)
CHANNELS = (*WINDS, *(Channel(n, p) for n in ("t", "q", "z") for p in LEVELS), Channel("msl"), Channel("t2m"))


@lru_cache(maxsize=1)
def statistics() -> BackgroundError:
    regression = torch.zeros(36, len(CHANNELS) - 3, 3, dtype=torch.float64)
    return made.published_background_error(GRID, CHANNELS, 23, regression)


def test_sizes_are_the_table_s() -> None:
    """σ_ψ at 250 hPa of `gfs_nmc.json`, times the share of a short forecast and what the truncation holds; σ_RH too."""
    table, degeneracy = made._table(), 2 * np.arange(24) + 1
    for field, level, sigma in (
        ("psi", 250, statistics().sigma_psi[1]),
        ("rh", 500, statistics().sigma_unbalanced[3 + 5 + 4]),
    ):
        row = table["fields"][field]["std"][table["pressure_hpa"].index(level)]
        found = np.interp([-45.0, 0.0, 45.0], GRID.latitudes, sigma.numpy())
        wanted = [row[table["latitude"].index(latitude)] for latitude in (-45, 0, 45)]
        length = 1e3 * np.array(table["fields"][field]["length_km"][table["pressure_hpa"].index(level)])
        area = np.cos(np.radians(table["latitude"]))
        mean = np.array([length @ area / area.sum()])
        held = sum(w * degeneracy @ made.gaussian(h * mean, 23)[:, 0] for h, w in made.SHAPES)
        np.testing.assert_allclose(found, made.SHORT * np.sqrt(held) * np.array(wanted), rtol=0.03)


def test_the_spectrum_is_a_gaussian_of_distance() -> None:
    """Σ (2n+1) D(n) P_n(cos γ) = exp(−r²/2 l²): far from the antipode a sphere is a plane."""
    degree = np.arange(1024)
    for length in (150e3, 400e3, 700e3):
        spectrum = made.gaussian(np.array([length]), 1023)[:, 0] * (2 * degree + 1)
        for distance in (0.0, 200e3, 600e3, 1200e3):
            legendre = np.polynomial.legendre.legval(np.cos(distance / EARTH_RADIUS), spectrum)
            assert legendre == pytest.approx(np.exp(-0.5 * (distance / length) ** 2), abs=3e-3)


def test_the_wind_has_the_size_of_one_gaussian_s() -> None:
    """Σ_j w_j = 1 and Σ_j w_j / h_j² = 1: the curvature of the correlation at zero distance."""
    assert sum(w for _, w in made.SHAPES) == pytest.approx(1.0)
    assert sum(w / h**2 for h, w in made.SHAPES) == pytest.approx(1.0, abs=1e-3)


def test_the_weights_below_a_level_integrate() -> None:
    """A constant and a T linear in ln p: ∫ d ln p and ∫ ln p d ln p in closed form, between nodes of the axis too."""
    for pressure in (101_000.0, 85_000.0, 23_456.0):
        weights, axis = made._below(pressure), np.log(made._FINE)
        low, high = np.log(pressure), np.log(SEA_LEVEL_PRESSURE)
        assert weights.sum() == pytest.approx(high - low, rel=1e-12)
        assert weights @ axis == pytest.approx((high**2 - low**2) / 2, rel=1e-12)


def test_geopotential_is_the_hydrostatic_sum_of_temperature() -> None:
    """Draws of B: thickness 925–850 hPa against R_d times the mean T of these levels, within what T varies between."""
    transform = ControlTransform(statistics())
    v = torch.randn(4, *transform.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = transform(v)
    at = {str(c): k for k, c in enumerate(CHANNELS)}
    thickness = x[:, at["z850"]] - x[:, at["z925"]]
    mean = 0.5 * (x[:, at["t925"]] + x[:, at["t850"]]) * R_DRY * np.log(925 / 850)
    assert float(torch.corrcoef(torch.stack([thickness.flatten(), mean.flatten()]))[0, 1]) > 0.9
    ground = x[:, at["z1000"]] / (R_DRY * 288.15 / SEA_LEVEL_PRESSURE)
    assert float((ground / x[:, at["msl"]]).median()) == pytest.approx(1.0, abs=0.02)


def test_winds_at_ten_metres_follow_the_lowest_air() -> None:
    correlation = (2 * torch.arange(24) + 1)[:, None, None] * statistics().covariance_psi
    assert float(correlation.sum(0)[2, 2]) == pytest.approx(float(correlation.sum(0)[0, 0]), rel=0.1)
    near, far = correlation.sum(0)[2, 0], correlation.sum(0)[2, 1]
    assert near > far > 0
    assert float(statistics().sigma[2].mean()) < float(statistics().sigma[0].mean())


def test_covariances_are_no_less_than_zero() -> None:
    for covariance in (statistics().covariance_psi, statistics().covariance_unbalanced):
        assert float(torch.linalg.eigvalsh(covariance).min()) > -1e-12


def test_the_climate_gains_structure_between_its_levels() -> None:
    """σ² of T adds, and neighbouring levels are less alike than before."""
    fine = made.with_fine_temperature(statistics())
    place = 3 + CHANNELS[6:].index(Channel("t", 50_000.0))
    assert float(fine.sigma_unbalanced[place].mean()) > float(statistics().sigma_unbalanced[place].mean())
    assert torch.equal(fine.sigma_psi, statistics().sigma_psi)
    others = 3 + CHANNELS[6:].index(Channel("q", 50_000.0))
    torch.testing.assert_close(fine.sigma_unbalanced[others], statistics().sigma_unbalanced[others])
