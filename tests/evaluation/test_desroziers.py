"""Error sizes from departures: the closed form of a scalar analysis, and counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from phyda_cli.evaluation.desroziers import FEWEST, estimate, format_estimates
from phyda_cli.observations.feedback import Feedback
from phyda_cli.observations.table import Flag
from tests.support.observations import observations

COUNT = 100_000


def feedback(sigma_o: float, sigma_b: float, *, told: float | None = None, count: int = COUNT, variable="t", seed=1):
    """Scalar analyses x_a = x_b + K d of a truth of 250 with K = σ_b²/(σ_b² + told²)."""
    generator = np.random.default_rng(seed)
    value = 250.0 + sigma_o * generator.standard_normal(count)
    background = 250.0 + sigma_b * generator.standard_normal(count)
    told = sigma_o if told is None else told
    gain = sigma_b**2 / (sigma_b**2 + told**2)
    table = observations(variable, value, error=told, pressure=np.where(np.arange(count) % 2, 85_000.0, 50_500.0))
    return Feedback(table, background, background + gain * (value - background), np.full(count, np.nan))


def test_a_consistent_analysis_gives_back_its_errors():
    """Products of normals have standard deviations of some 2 % of σ² in the mean of 1e5: 1 % in σ."""
    whole = estimate([feedback(1.5, 2.0)])[0]
    assert (whole.variable, whole.level, whole.count, whole.assumed) == ("t", 0.0, COUNT, pytest.approx(1.5))
    assert whole.sigma_o == pytest.approx(1.5, rel=0.01)
    assert whole.sigma_b == pytest.approx(2.0, rel=0.01)
    assert abs(whole.sigma_o - 1.5) < 4 * whole.sigma_o_error
    # var(r d) for r = (1 − K) d is 2 (1 − K)² s⁴: σ_o² has √2 σ_o²/√n, and σ_o half of that relative to itself
    assert whole.sigma_o_error == pytest.approx(1.5 / np.sqrt(2 * COUNT), rel=0.05)


def test_a_wrong_one_moves_towards_the_truth():
    """Told 3 where 1.5 is true, σ_b = 2: (1 − K)(σ_o² + σ_b²) with 1 − K = 9/13 of 6.25 is 4.33."""
    found = estimate([feedback(1.5, 2.0, told=3.0)])[0]
    assert found.sigma_o == pytest.approx(np.sqrt(9 / 13 * 6.25), rel=0.01)
    assert 1.5 < found.sigma_o < 3.0


def test_by_level_and_over_several_feedbacks():
    entries = estimate([feedback(1.5, 2.0, count=600), feedback(1.5, 2.0, count=400, seed=2)])
    assert [(e.level, e.count) for e in entries] == [(0.0, 1000), (85_000.0, 500), (50_000.0, 500)]
    assert "85" in format_estimates(entries)


def test_only_used_rows_count_and_too_few_give_none():
    made = feedback(1.0, 1.0, count=2 * FEWEST)
    rejected = made.observations.reject(np.arange(2 * FEWEST) >= FEWEST, Flag.FIRST_GUESS, "far")
    spoilt = replace(made, observations=rejected, background_equivalent=made.background_equivalent + 0.0)
    spoilt.background_equivalent[FEWEST:] = 1e6
    assert [e.count for e in estimate([spoilt])] == [FEWEST]
    assert estimate([replace(spoilt, observations=rejected.reject(np.arange(2 * FEWEST) < 1, Flag.BUDDY, ""))]) == ()
    assert estimate([]) == ()


def test_an_analysis_worse_than_its_background_has_no_size():
    made = feedback(1.0, 1.0, count=200)
    away = replace(made, analysis_equivalent=made.background_equivalent - 2.0 * made.background_departure)
    (whole, *_) = estimate([away])
    assert np.isnan(whole.sigma_b)
    assert whole.sigma_o > 0
    assert "-" in format_estimates([whole])


def test_single_level_variables_have_no_level():
    made = feedback(1.0, 1.0, count=100)
    table = replace(made.observations, variable=np.full(100, "msl", dtype=object), pressure=np.full(100, np.nan))
    (entry,) = estimate([replace(made, observations=table)])
    assert (entry.variable, entry.level) == ("msl", None)
