"""Diagnosis of departures: the closed form of a scalar analysis, sums by hand, and counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from phyda_cli.evaluation.diagnosis import FEWEST, Diagnosis, Group, format_diagnosis
from phyda_cli.observations.passive import set_aside
from phyda_cli.observations.table import Feedback, Flag
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


def diagnosed(*feedbacks: Feedback) -> Diagnosis:
    made = Diagnosis()
    for number, each in enumerate(feedbacks):
        made.add(each, f"f{number}.nc")
    return made


def whole(*feedbacks: Feedback) -> Group:
    (group,) = diagnosed(*feedbacks).groups("variables")
    return group


def test_a_consistent_analysis_gives_back_its_errors():
    """Products of normals have standard deviations of some 2 % of σ² in the mean of 1e5: 1 % in σ."""
    found = whole(feedback(1.5, 2.0))
    assert (found.fate, found.variable, found.of, found.count) == ("used", "t", "", COUNT)
    assert found.assumed == pytest.approx(1.5)
    assert found.sigma_o == pytest.approx(1.5, rel=0.01)
    assert found.sigma_b == pytest.approx(2.0, rel=0.01)
    assert abs(found.sigma_o - 1.5) < 4 * found.sigma_o_error
    # var(r d) for r = (1 − K) d is 2 (1 − K)² s⁴: σ_o² has √2 σ_o²/√n, and σ_o half of that relative to itself
    assert found.sigma_o_error == pytest.approx(1.5 / np.sqrt(2 * COUNT), rel=0.05)
    # d_b has σ_b² + σ_o² = 6.25; J_o/n is that over σ_o²
    assert found.background.rms == pytest.approx(2.5, rel=0.01)
    assert found.background.cost == pytest.approx(6.25 / 2.25, rel=0.02)


def test_a_wrong_one_moves_towards_the_truth():
    """Told 3 where 1.5 is true, σ_b = 2: (1 − K)(σ_o² + σ_b²) with 1 − K = 9/13 of 6.25 is 4.33."""
    found = whole(feedback(1.5, 2.0, told=3.0))
    assert found.sigma_o == pytest.approx(np.sqrt(9 / 13 * 6.25), rel=0.01)
    assert 1.5 < found.sigma_o < 3.0


def test_sums_over_files_are_those_of_one_file_with_all_rows():
    both = feedback(1.5, 2.0, count=1000)

    def part(rows: slice) -> Feedback:
        index = np.arange(1000)[rows]
        columns = (both.background_equivalent, both.analysis_equivalent, both.spread)
        return Feedback(both.observations.take(index), *(column[index] for column in columns))

    parts, one = diagnosed(part(slice(0, 300)), part(slice(300, None))), diagnosed(both)
    for name in ("variables", "levels", "reports", "stations"):
        for a, b in zip(parts.groups(name), one.groups(name), strict=True):
            assert (a.of, a.count) == (b.of, b.count)
            numbers = [(g.background.bias, g.analysis.rms, g.sigma_o, g.sigma_o_error, g.sigma_b) for g in (a, b)]
            assert numbers[0] == pytest.approx(numbers[1], rel=1e-9)
    assert [(g.of, g.count) for g in parts.groups("levels")] == [(85_000.0, 500), (50_000.0, 500)]
    assert [(g.of, g.count) for g in parts.groups("cycles")] == [(0.0, 300), (1.0, 700)]
    assert [(c.path, c.rows, c.used) for c in parts.cycles] == [("f0.nc", 300, 300), ("f1.nc", 700, 700)]


def hand_made() -> Feedback:
    """Six rows of 250 K and σ_o = 2 K: two used, two withheld, one rejected by its departure, one thinned."""
    made = feedback(1.0, 2.0, told=2.0, count=6)
    table = replace(
        made.observations,
        value=np.full(6, 250.0),
        pressure=np.full(6, 50_500.0),
        report=np.array(["sonde", "aircraft", "sonde", "sonde", "sonde", "sonde"], object),
        use=np.array(["assimilate", "assimilate", "withhold", "withhold", "assimilate", "assimilate"], object),
    )
    table = table.reject(np.arange(6) == 4, Flag.FIRST_GUESS, "far").reject(np.arange(6) == 5, Flag.THINNED, "near")
    background = np.array([249.0, 253.0, 248.0, 254.0, 210.0, 0.0])
    return Feedback(set_aside(table), background, np.array([249.5, 252.0, 249.0, 253.0, 211.0, 0.0]), np.zeros(6))


def test_fates_are_kept_apart():
    made = diagnosed(hand_made())
    used, withheld, rejected = made.groups("variables")
    assert [g.fate for g in (used, withheld, rejected)] == ["used", "withheld", "rejected"]
    assert (used.count, used.background.bias, used.analysis.bias) == (2, -1.0, -0.75)
    # withheld: O − B of 2 and −4, O − A of 1 and −3
    assert (withheld.count, withheld.background.bias, withheld.analysis.bias) == (2, -1.0, -1.0)
    assert withheld.background.rms == pytest.approx(np.sqrt(10.0))
    assert withheld.background.cost == pytest.approx(20.0 / 8.0)
    assert (rejected.count, rejected.background.bias) == (1, 40.0)
    assert [(g.fate, g.of, g.count) for g in made.groups("reports")] == [
        ("used", "aircraft", 1), ("used", "sonde", 1), ("withheld", "sonde", 2), ("rejected", "sonde", 1),
    ]  # fmt: skip
    assert made.verdicts == {
        ("t", "sonde", "used"): 1, ("t", "aircraft", "used"): 1, ("t", "sonde", "withheld"): 2,
        ("t", "sonde", "first_guess"): 1, ("t", "sonde", "thinned"): 1,
    }  # fmt: skip
    assert "used 2, withheld 2, first_guess 1, thinned 1" in format_diagnosis(made, 10)


def test_only_used_rows_count_and_too_few_give_no_estimate():
    made = feedback(1.0, 1.0, count=2 * FEWEST)
    rejected = made.observations.reject(np.arange(2 * FEWEST) >= FEWEST, Flag.DOMAIN, "far")
    assert whole(replace(made, observations=rejected)).sigma_o == pytest.approx(1.0, abs=0.4)
    fewer = whole(replace(made, observations=rejected.reject(np.arange(2 * FEWEST) < 1, Flag.DOMAIN, "")))
    assert fewer.count == FEWEST - 1
    assert np.isnan(fewer.sigma_o)
    assert diagnosed().groups("variables") == ()


def test_an_analysis_worse_than_its_background_has_no_size():
    made = feedback(1.0, 1.0, count=200)
    away = replace(made, analysis_equivalent=made.background_equivalent - 2.0 * made.background_departure)
    found = whole(away)
    assert np.isnan(found.sigma_b)
    assert found.sigma_o > 0


def test_single_level_variables_have_no_level_and_are_shown_in_hectopascals():
    made = feedback(1.0, 1.0, count=100)
    table = replace(made.observations, variable=np.full(100, "msl", dtype=object), pressure=np.full(100, np.nan))
    table = replace(table, error=np.full(100, 150.0))
    found = diagnosed(replace(made, observations=table))
    (entry,) = found.groups("levels")
    assert (entry.variable, entry.of) == ("msl", None)
    line = format_diagnosis(found, 0).splitlines()[4].split()
    assert (line[2], line[13]) == ("hPa", "1.5")


def test_the_worst_stations_come_first_and_rejected_values_count():
    """Station a: O − B = 2 K in 10 used rows; b: 1 K in 9 used rows and 30 K in a rejected one; c: 9 rows only."""
    made = feedback(1.0, 1.0, count=29)
    station = np.array(["a"] * 10 + ["b"] * 10 + ["c"] * 9, object)
    background = np.array([248.0] * 10 + [249.0] * 9 + [220.0] + [150.0] * 9)
    table = replace(made.observations, station=station, value=np.full(29, 250.0), error=np.ones(29))
    table = table.reject(np.arange(29) == 19, Flag.BUDDY, "alone")
    found = diagnosed(Feedback(table, background, background, np.zeros(29))).worst_stations(5)
    assert [(s.station, s.variable, s.used, s.rejected) for s in found] == [("b", "t", 9, 1), ("a", "t", 10, 0)]
    # b: (9 · 1 + 900)/10 and (9 + 30)/10
    assert (found[0].background.cost, found[0].background.bias) == (pytest.approx(90.9), pytest.approx(3.9))
    assert found[1].background.cost == pytest.approx(4.0)
