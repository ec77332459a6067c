"""Factors on the background error by kind of variable and latitude, and the statistics that they change."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from phyda_cli.fields.error_scale import ErrorScale
from tests.support.background_error import small_statistics

SCALE = ErrorScale((8.0, 2.0, 4.0), (1.0, 3.0, 2.0))


def test_factors_are_those_of_the_band_and_change_linearly_over_its_border():
    """From 10 to 30 degrees the weight of the higher latitudes goes from 0 to 1: at 25 it is 3/4."""
    latitudes = [-90, -30, -25, -10, 0, 10, 20, 30, 60]
    expected = [8, 8, 0.75 * 8 + 0.25 * 2, 2, 2, 2, 3, 4, 4]
    np.testing.assert_allclose(SCALE.at(["t"] * 9, latitudes), expected)
    np.testing.assert_allclose(SCALE.at(["q", "u", "d2m"], [0, 0, 40]), [3, 2, 2])
    np.testing.assert_allclose(SCALE.rows(["q", "t"], [-50, 50]), [[1, 2], [8, 4]])


def test_one_number_for_the_log_is_the_mean_over_the_area():
    """Half the globe lies within 30 degrees; within 20 it is sin 20 = 0.342 of it."""
    share = np.sin(np.radians(20.0))
    logarithm = share * np.log(2) + 0.5 * (1 - share) * (np.log(8) + np.log(4))
    assert SCALE.typical == pytest.approx(np.exp(logarithm))
    assert ErrorScale.uniform(2.5).typical == 2.5
    assert ErrorScale.uniform(2.5).is_uniform
    assert not SCALE.is_uniform


def test_factors_multiply():
    both = SCALE.times(ErrorScale((0.5, 3.0, 1.0), (2.0, 1.0, 1.0)))
    assert both == ErrorScale((4.0, 6.0, 4.0), (2.0, 3.0, 2.0))


def test_statistics_are_scaled_field_by_field_and_row_by_row():
    before = small_statistics()
    after = before.scaled(SCALE)
    rows, wind = before.grid.latitudes, before.wind_levels
    dynamics = torch.from_numpy(SCALE.at(["u"] * len(rows), rows))
    humidity = torch.from_numpy(SCALE.at(["q"] * len(rows), rows))
    torch.testing.assert_close(after.sigma_psi, before.sigma_psi * dynamics)
    for index, channel in enumerate(before.channels):
        factor = humidity if channel.variable == "q" else dynamics
        torch.testing.assert_close(after.sigma[index], before.sigma[index] * factor)
        if index >= wind:
            own = after.sigma_unbalanced[index - wind]
            torch.testing.assert_close(own, before.sigma_unbalanced[index - wind] * factor)
    assert torch.equal(after.covariance_psi, before.covariance_psi)
    assert torch.equal(before.scaled(3.0).sigma, 3.0 * before.sigma)


def test_stretching_keeps_variances_and_symmetry():
    """Σ (2n + 1) C(n) keeps its diagonal, C stays symmetric, and C'(n) ∝ C(2 n) as a correlation between fields."""
    before = small_statistics()
    after = before.stretched(2.0)
    weight = (2 * torch.arange(before.truncation + 1, dtype=torch.float64) + 1)[:, None]
    for name in ("covariance_psi", "covariance_unbalanced"):
        old, new = getattr(before, name), getattr(after, name)
        torch.testing.assert_close(new, new.mT)
        torch.testing.assert_close(
            (weight * new.diagonal(dim1=1, dim2=2)).sum(0), (weight * old.diagonal(dim1=1, dim2=2)).sum(0)
        )
        for n in (1, 3):
            size = old[2 * n].diagonal().sqrt()
            own = new[n].diagonal().sqrt()
            torch.testing.assert_close(new[n] / (own[:, None] * own), old[2 * n] / (size[:, None] * size))
