"""The background-error scale from innovations."""

from __future__ import annotations

import numpy as np
import pytest

from phyda_cli.methods.scale import CHI_SQUARE_MEDIAN, SCALE_RANGE, consistent_scale


@pytest.mark.parametrize("truth", [0.5, 1.0, 4.0])
def test_finds_the_scale_that_made_the_innovations(truth: float) -> None:
    generator = np.random.default_rng(0)
    sigma_b, sigma_o = generator.uniform(0.5, 2.0, 40_000), generator.uniform(0.1, 0.5, 40_000)
    departure = generator.standard_normal(40_000) * np.hypot(truth * sigma_b, sigma_o)
    assert consistent_scale(departure, sigma_b, sigma_o) == pytest.approx(truth, rel=0.02)


def test_gross_errors_do_not_carry_it_away() -> None:
    generator = np.random.default_rng(1)
    departure = generator.standard_normal(10_000) * np.hypot(1.0, 0.3)
    departure[:300] = 1e4
    found = consistent_scale(departure, np.ones(10_000), np.full(10_000, 0.3))
    assert found == pytest.approx(1.0, rel=0.06)


def test_solves_the_median_equation_by_hand() -> None:
    """All departures 2, σ_b = 1, σ_o = 0.5: 4 / (s² + 0.25) = 0.4549."""
    found = consistent_scale(np.full(60, 2.0), np.ones(60), np.full(60, 0.5))
    assert found == pytest.approx((4.0 / CHI_SQUARE_MEDIAN - 0.25) ** 0.5, rel=1e-5)


def test_too_few_innovations_say_nothing_and_ends_are_kept() -> None:
    assert consistent_scale(np.full(49, 9.0), np.ones(49), np.ones(49)) == 1.0
    assert consistent_scale(np.zeros(100), np.ones(100), np.ones(100)) == SCALE_RANGE[0]
    assert consistent_scale(np.full(100, 1e6), np.ones(100), np.ones(100)) == SCALE_RANGE[1]
