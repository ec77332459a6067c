"""The bias of brightness temperatures: its start, one step by hand, and what it learns in a chain of analyses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from phyda_cli.errors import BadDataError
from phyda_cli.fields.state import Channel, State
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.methods.bias import PREDICTORS, BiasCorrection
from phyda_cli.observations.settings import Bias
from phyda_cli.observations.table import Feedback, Flag
from phyda_cli.operators.first_guess import first_guess
from tests.support.observations import TIME, observations

GRID = LatLonGrid.equiangular(8, 16)
LEVELS = (100_000.0, 85_000.0, 50_000.0, 30_000.0, 10_000.0, 5_000.0)
SETTINGS = Bias(inertia=50.0)


def background(thickness: float = 7_700.0) -> State:
    """Air of 250 K whose layer from 850 to 300 hPa has a thickness [m]."""
    heights = dict(zip(LEVELS, (100.0, 1_400.0, 5_500.0, 1_400.0 + thickness, 16_000.0, 20_500.0), strict=True))
    values = [250.0] * len(LEVELS) + [9.80665 * heights[p] for p in LEVELS]
    fields = torch.tensor(values, dtype=torch.float64)[:, None, None].expand(-1, *GRID.shape).clone()
    return State(fields, tuple(Channel(name, p) for name in "tz" for p in LEVELS), GRID, TIME)


def rows(n: int, *, bias: float, zenith=0.0, station="n19", of: State | None = None, error=0.5, name="tb7"):
    of = background() if of is None else of
    blank = observations(name, np.zeros(n), zenith=zenith, station=station, error=error, pressure=np.nan, elevation=0.0)
    return replace(blank, value=first_guess(of, blank, {})(of.values) + bias)


def correction(own, memory=None, of: State | None = None, settings=SETTINGS) -> BiasCorrection:
    of = background() if of is None else of
    return BiasCorrection.of(own, of, first_guess(of, own, {})(of.values), memory or {}, settings)


def feedback(own, analysis_departure) -> Feedback:
    equivalent = own.value - analysis_departure
    return Feedback(own, equivalent, equivalent, np.full(len(own), np.nan))


def test_without_a_past_it_begins_with_the_median_of_enough_rows():
    own = rows(21, bias=1.25)
    own.value[:5] += 30.0  # gross errors do not move a median
    np.testing.assert_allclose(correction(own).values, 1.25)
    np.testing.assert_allclose(correction(rows(19, bias=1.25)).values, 0.0)


def test_a_step_by_hand_is_the_weighted_mean_of_departures_and_past():
    """One predictor: β_a = β_b + n d/(n + N) for equal errors."""
    own = rows(30, bias=0.0)
    before = correction(own, {"bias n19 tb7": [0.4, 0.0, 0.0, 0.0]})
    np.testing.assert_allclose(before.values, 0.4)
    after = before.learned(feedback(own, np.full(30, 0.2)), SETTINGS)
    assert after.memory({})["bias n19 tb7"][0] == pytest.approx(0.4 + 30 * 0.2 / (30 + 50))
    np.testing.assert_allclose(after.memory({})["bias n19 tb7"][1:], 0.0, atol=1e-12)


def test_one_step_after_the_analysis_against_both_at_once():
    """n rows of error σ_o see one x of error σ_b, s = σ_b²/σ_o². Of their mean departure d̄ goes into β

    n/(n + N) · 1/(1 + n s)     where β is learned from O − A, as here
    1/(1 + N s + N/n)           where x and β are minimised together, or in turn until nothing moves
    """
    n, inertia, s, mean = 30, SETTINGS.inertia, 0.04, 0.2
    own = rows(n, bias=0.0, error=0.5)
    left = mean / (1.0 + n * s)  # O − A of an analysis with β_b
    after = correction(own, {"bias n19 tb7": [0.0] * PREDICTORS}).learned(feedback(own, np.full(n, left)), SETTINGS)
    in_turn = after.memory({})["bias n19 tb7"][0]
    assert in_turn == pytest.approx(n / (n + inertia) / (1.0 + n * s) * mean, rel=1e-9)

    # J/σ_o⁻² = x²/s + n (d̄ − x − β)² + N β²
    joint = np.linalg.solve([[1.0 / s + n, n], [n, n + inertia]], [n * mean, n * mean])[1]
    assert joint == pytest.approx(mean / (1.0 + inertia * s + inertia / n), rel=1e-12)
    beta = 0.0
    for _ in range(200):
        x = n * (mean - beta) / (1.0 / s + n)
        beta = n * (mean - x) / (n + inertia)
        assert beta <= joint + 1e-12
    assert beta == pytest.approx(joint, rel=1e-9)
    assert in_turn / joint == pytest.approx(0.375 / 2.2 * (1.0 + 2.0 + 5.0 / 3.0), rel=1e-6)


def test_rejected_rows_and_other_satellites_teach_nothing_and_passive_ones_do():
    own = rows(40, bias=0.0, station=["n19"] * 20 + ["n18"] * 20)
    flags = np.where(np.arange(40) % 2 == 0, Flag.FIRST_GUESS, Flag.PASSIVE).astype(np.int16)
    departures = np.where(np.arange(40) % 2 == 0, 90.0, np.where(np.arange(40) < 20, 1.0, -2.0))
    start = {f"bias {name} tb7": [0.0] * PREDICTORS for name in ("n19", "n18")}
    made = correction(own, start).learned(feedback(replace(own, flag=flags), departures), SETTINGS).memory({})
    assert made["bias n19 tb7"][0] == pytest.approx(10 * 1.0 / 60)
    assert made["bias n18 tb7"][0] == pytest.approx(10 * -2.0 / 60)


def test_angle_and_layer_are_found_apart():
    """A bias of 0.5 + 0.3 θ/30° − 0.2 (θ/30°)² + 0.4 (thickness) K, learned from many analyses of the same error."""
    truth = np.array([0.5, 0.3, -0.2, 0.4])
    generator = np.random.default_rng(1)
    memory = {"bias n19 tb7": [0.0] * PREDICTORS}
    for _ in range(60):
        thickness = 7_700.0 + generator.normal(0.0, 300.0)
        of = background(thickness)
        zenith = generator.uniform(-55.0, 55.0, 80)
        own = rows(80, bias=0.0, zenith=zenith, of=of)
        angle = zenith / 30.0
        planted = truth[0] + truth[1] * angle + truth[2] * angle**2 + truth[3] * (thickness - 7_700.0) / 300.0
        before = correction(own, memory, of)
        memory = before.learned(feedback(own, planted - before.values), SETTINGS).memory(memory)
    np.testing.assert_allclose(memory["bias n19 tb7"], truth, atol=0.01)


def test_what_is_remembered_of_others_stays_and_what_is_no_bias_goes():
    own = rows(30, bias=0.0)
    kept = correction(own).memory({"bias n15 tb6": [1.0, 2.0, 3.0, 4.0], "north t500": [1.0, 2.0]})
    assert kept["bias n15 tb6"] == [1.0, 2.0, 3.0, 4.0]
    assert set(kept) == {"bias n15 tb6", "bias n19 tb7"}


def test_off_it_does_nothing_and_other_variables_have_none():
    assert correction(rows(30, bias=2.0), settings=Bias(enabled=False)).values.tolist() == [0.0] * 30
    warm = observations("t", [260.0] * 30, station="n19", pressure=50_000.0)
    assert correction(warm).memory({}) == {}


@pytest.mark.parametrize("values", [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0, float("nan")]])
def test_a_memory_that_is_none_is_refused(values):
    with pytest.raises(BadDataError, match=r"the memory of bias n19 tb7 holds .*, not 4 coefficients"):
        correction(rows(30, bias=0.0), {"bias n19 tb7": values})
