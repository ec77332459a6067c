"""Factors on the background error by kind of variable, and the statistics that they change."""

from __future__ import annotations

import numpy as np
import torch

from phyda_cli.errors_b.error_scale import ErrorScale
from tests.support.background_error import small_statistics

SCALE = ErrorScale(8.0, 3.0)


def test_humidity_has_a_factor_of_its_own():
    np.testing.assert_array_equal(SCALE.of(["t", "q", "u", "msl", "d2m", "tcwv"]), [8, 3, 8, 8, 3, 3])
    assert not SCALE.is_uniform
    assert ErrorScale.uniform(2.5) == ErrorScale(2.5, 2.5)
    assert SCALE.times(ErrorScale(0.5, 2.0)) == ErrorScale(4.0, 6.0)


def test_statistics_are_scaled_field_by_field():
    before = small_statistics()
    after = before.scaled(SCALE)
    wind = before.wind_levels
    assert torch.equal(after.sigma_psi, 8.0 * before.sigma_psi)
    for index, channel in enumerate(before.channels):
        factor = 3.0 if channel.variable == "q" else 8.0
        assert torch.equal(after.sigma[index], before.sigma[index] * factor)
        if index >= wind:
            assert torch.equal(after.sigma_unbalanced[index - wind], before.sigma_unbalanced[index - wind] * factor)
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
