"""The background-error scale from innovations."""

from __future__ import annotations

import numpy as np
import pytest

from phyda_cli.errors_b.error_scale import ErrorScale
from phyda_cli.methods.scale import (
    CHI_SQUARE_MEDIAN,
    SCALE_RANGE,
    Innovations,
    consistent_scale,
    estimated_scale,
)


def plain(departure, sigma_b, sigma_o, variable=None) -> Innovations:
    """Innovations whose background error only grows in size."""
    names = np.array(["t"] * len(departure), dtype=object) if variable is None else variable
    return Innovations(names, departure, sigma_o, lambda scale: scale * sigma_b)


@pytest.mark.parametrize("truth", [0.5, 1.0, 4.0])
def test_finds_the_scale_that_made_the_innovations(truth: float) -> None:
    generator = np.random.default_rng(0)
    sigma_b, sigma_o = generator.uniform(0.5, 2.0, 40_000), generator.uniform(0.1, 0.5, 40_000)
    departure = generator.standard_normal(40_000) * np.hypot(truth * sigma_b, sigma_o)
    assert consistent_scale(plain(departure, sigma_b, sigma_o)) == pytest.approx(truth, rel=0.02)


def test_gross_errors_do_not_carry_it_away() -> None:
    generator = np.random.default_rng(1)
    departure = generator.standard_normal(10_000) * np.hypot(1.0, 0.3)
    departure[:300] = 1e4
    found = consistent_scale(plain(departure, np.ones(10_000), np.full(10_000, 0.3)))
    assert found == pytest.approx(1.0, rel=0.06)


def test_solves_the_median_equation_by_hand() -> None:
    """All departures 2, σ_b = 1, σ_o = 0.5: 4 / (s² + 0.25) = 0.4549."""
    found = consistent_scale(plain(np.full(60, 2.0), np.ones(60), np.full(60, 0.5)))
    assert found == pytest.approx((4.0 / CHI_SQUARE_MEDIAN - 0.25) ** 0.5, rel=1e-5)


def test_too_few_innovations_say_nothing_and_ends_are_kept() -> None:
    assert consistent_scale(plain(np.full(49, 9.0), np.ones(49), np.ones(49))) == 1.0
    assert consistent_scale(plain(np.zeros(100), np.ones(100), np.ones(100))) == SCALE_RANGE[0]
    assert consistent_scale(plain(np.full(100, 1e6), np.ones(100), np.ones(100))) == SCALE_RANGE[1]


def made(scale: ErrorScale, count: int, *, seed: int = 3) -> Innovations:
    """Innovations of errors of exactly this scale, σ_b = 1 and σ_o = 0.3, of t and q in turn."""
    generator = np.random.default_rng(seed)
    variable = np.array(["t", "q"], dtype=object)[np.arange(count) % 2]
    size = np.hypot(scale.of(variable), 0.3)
    return plain(size * generator.standard_normal(count), np.ones(count), np.full(count, 0.3), variable)


def test_dynamics_and_humidity_find_their_own_scale() -> None:
    found = estimated_scale(made(ErrorScale(6.0, 0.7), 40_000))
    assert found.dynamics == pytest.approx(6.0, rel=0.03)
    assert found.humidity == pytest.approx(0.7, rel=0.03)


def test_few_innovations_of_a_part_hardly_move_it() -> None:
    """By hand: all of t give s = 2 exactly; 50 innovations of q of s = 1 give exp((50 ln s_q + 200 ln 2) / 250)."""
    n = 3000
    variable = np.array(["t"] * n + ["q"] * 50, dtype=object)
    departure = np.sqrt(np.where(variable == "t", 4.0 + 0.09, 1.0 + 0.09) * CHI_SQUARE_MEDIAN)
    found = estimated_scale(plain(departure, np.ones(n + 50), np.full(n + 50, 0.3), variable))
    assert found.dynamics == pytest.approx(2.0, rel=1e-5)
    assert found.humidity == pytest.approx(np.exp(200 * np.log(2.0) / 250), rel=1e-5)


def test_no_scale_is_larger_than_the_weather_itself() -> None:
    assert estimated_scale(made(ErrorScale.uniform(15.0), 20_000)) == ErrorScale(9.0, 3.0)
    assert estimated_scale(made(ErrorScale.uniform(15.0), 40), otherwise=4.0) == ErrorScale(4.0, 3.0)


def test_an_ensemble_has_one_scale() -> None:
    assert estimated_scale(made(ErrorScale(6.0, 0.7), 3000), uniform=True).is_uniform


def test_fifty_innovations_are_enough() -> None:
    found = consistent_scale(plain(np.full(50, 9.0), np.ones(50), np.ones(50)))
    assert found == pytest.approx((81.0 / CHI_SQUARE_MEDIAN - 1.0) ** 0.5, rel=1e-5)
