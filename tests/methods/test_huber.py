"""The Huber cost: its minimum by brute force, without outliers the quadratic one, and a bounded pull."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from phyda_cli.fields.state import Channel, State
from phyda_cli.methods.base import Departures
from phyda_cli.methods.ensemble_threedvar import EnsembleThreeDVar
from phyda_cli.methods.huber import Huber
from phyda_cli.methods.threedvar import ThreeDVar
from tests.methods.test_threedvar import random_network
from tests.support.background_error import CHANNELS, GRID, random_errors, small_statistics, zero_time
from tests.support.observations import make_departures

EXACT = Huber(1.5, rounds=80, settled=1e-12)
LATITUDE, LONGITUDE = GRID.latitudes[11], GRID.longitudes[7]
T500 = CHANNELS.index(Channel("t", 50_000.0))


@pytest.fixture(scope="module")
def background() -> State:
    return State(torch.zeros(len(CHANNELS), *GRID.shape, dtype=torch.float64), CHANNELS, GRID, zero_time())


def solver(huber: Huber | None = EXACT, members: int = 0) -> ThreeDVar:
    return ThreeDVar(small_statistics(), members=members, tolerance=1e-9, huber=huber)


def at_the_point(background: State, values: list[float], method: ThreeDVar) -> float:
    d = make_departures([("t", 50_000.0, LATITUDE, LONGITUDE, value, 1.0) for value in values])
    return float(method.increment(background, d).mean.values[T500, 11, 7])


def test_the_cost_and_its_weight_are_those_of_huber() -> None:
    """ρ′(r) = w r, by differences; ρ and ρ′ are continuous at c."""
    huber, r = Huber(1.5), torch.linspace(-6, 6, 2401, dtype=torch.float64)
    slope = (huber.cost(r + 1e-6) - huber.cost(r - 1e-6)) / 2e-6
    torch.testing.assert_close(slope, huber.weights(r) * r, rtol=0, atol=1e-6)
    assert huber.cost(torch.tensor([1.0, 4.0])).tolist() == [0.5, 1.5 * 4 - 1.125]


@pytest.mark.parametrize("values", [[1.0, 1.5, 9.0], [8.0], [-2.0, 0.5, 0.7, -30.0]])
def test_observations_at_one_point_give_the_minimum_by_brute_force(background: State, values: list[float]) -> None:
    """J(x) = x²/2σ_b² + Σ ρ(y − x) on a fine line of x, σ_b from the quadratic analysis of one observation."""
    alone = at_the_point(background, [2.0], solver(None))
    variance = alone / (2.0 - alone)
    x = torch.linspace(-15, 15, 300_001, dtype=torch.float64)
    cost = 0.5 * x.square() / variance + sum(EXACT.cost(value - x) for value in values)
    assert at_the_point(background, values, solver()) == pytest.approx(float(x[cost.argmin()]), abs=2e-4)


def test_without_outliers_it_is_the_quadratic_analysis(background: State) -> None:
    d = random_network(60, seed=3)
    plain, robust = (solver(h).increment(background, d) for h in (None, Huber(20.0)))
    scale = plain.mean.values.abs().amax(dim=(1, 2), keepdim=True)
    assert float(((plain.mean.values - robust.mean.values) / scale).abs().max()) < 1e-7
    assert (robust.log["downweighted"], robust.log["reweightings"]) == (0, 0)
    assert robust.log["cost_after"] == pytest.approx(plain.log["cost_after"])


def test_the_pull_of_a_gross_error_is_bounded(background: State) -> None:
    """From 100 to 1000 σ_o nothing changes but the outlier's own cost, while the quadratic analysis follows it."""
    d = random_network(60, seed=5)
    largest = {}
    for name, method in (("huber", solver()), ("quadratic", solver(None))):
        found = []
        for size in (100.0, 1000.0):
            wrong = np.where(np.arange(60) == 7, size * d.error, d.departure)
            found.append(method.increment(background, replace(d, departure=wrong)).mean.values)
        scale = found[0].abs().amax(dim=(1, 2))
        largest[name] = float(((found[1] - found[0]).abs().amax(dim=(1, 2)) / scale).max())
    assert largest["huber"] < 1e-5
    assert largest["quadratic"] > 3.0


def test_a_few_rounds_come_near_the_minimum_and_never_raise_the_cost(background: State) -> None:
    d = random_network(150, seed=8)
    wrong = np.where(np.arange(150) % 10 == 0, d.departure + 15 * d.error, d.departure)
    d = replace(d, departure=wrong)
    cost = [float(solver(Huber(1.5, n, 1e-12)).increment(background, d).log["cost_after"]) for n in (0, 1, 2, 4)]
    least = float(solver().increment(background, d).log["cost_after"])
    usual = solver(Huber(1.5)).increment(background, d)
    assert cost == sorted(cost, reverse=True)
    assert float(usual.log["cost_after"]) == pytest.approx(least, rel=1e-3)
    assert int(usual.log["downweighted"]) >= 15


@pytest.mark.parametrize("huber", [EXACT, None])
def test_from_the_minimum_of_nearly_the_same_rows_it_ends_at_its_own_with_fewer_steps(
    background: State, huber: Huber | None
) -> None:
    d = random_network(60, seed=5)
    wrong = np.where(np.arange(60) % 20 == 7, 8.0 * d.error, d.departure)
    method, whole = solver(huber), replace(d, departure=wrong)
    rest = whole.take(np.arange(60) != 27)
    before = method.increment(background, whole)
    cold, warm = (method.increment(background, rest, start) for start in (None, before.control))
    apart = float((before.mean.values - cold.mean.values).abs().max())
    assert float((warm.mean.values - cold.mean.values).abs().max()) < 1e-5 * apart
    same = method.increment(background, whole, before.control)
    assert same.log["iterations"] < 0.2 * before.log["iterations"]


def test_samples_are_those_of_the_errors_that_the_weights_raise(background: State) -> None:
    """σ_o/√w with w = c/|r|, r from the analysis itself: the same draws, so the same spread."""
    outlier = make_departures([("t", 50_000.0, LATITUDE, LONGITUDE, 30.0, 0.3)])
    robust = solver(members=4).increment(background, outlier)
    weight = 1.5 / ((30.0 - float(robust.mean.values[T500, 11, 7])) / 0.3)
    raised = solver(None, members=4).increment(background, replace(outlier, error=np.array([0.3 / weight**0.5])))
    assert robust.spread is not None
    assert raised.spread is not None
    torch.testing.assert_close(robust.spread.values, raised.spread.values, rtol=1e-6, atol=0)


def test_weights_are_those_of_the_rows_as_given(background: State) -> None:
    """w = min(1, c/|r|) of the departures from the analysis, whatever the order of the rows."""
    d = random_network(60, seed=5)
    d = replace(d, departure=d.departure * np.where(np.arange(60) % 7 == 0, 20.0, 1.0))
    for rows in (d, d.take(np.random.default_rng(2).permutation(60))):
        found = solver().increment(background, rows)
        residual = (rows.departure - found.at(rows.operator)) / rows.error
        np.testing.assert_allclose(found.weights, 1.5 / np.maximum(np.abs(residual), 1.5), rtol=1e-4)


def test_a_batch_weighs_each_case_by_itself(background: State) -> None:
    cases = [random_network(30, seed=8), random_network(45, seed=9)]
    cases = [replace(case, departure=case.departure * 4) for case in cases]
    method = solver(Huber(1.5, 8, 1e-12))
    together = method.minimise(cases)[0]
    for number, case in enumerate(cases):
        alone = method.increment(background, case).mean.values
        scale = alone.abs().amax(dim=(1, 2), keepdim=True)
        assert float(((together[number] - alone) / scale).abs().max()) < 1e-5


def test_the_members_of_an_ensemble_share_the_weights_of_their_mean(background: State) -> None:
    members = State(random_errors(4, seed=11), CHANNELS, GRID, zero_time())
    d = random_network(60, seed=5)
    wrong = np.where(np.arange(60) == 7, 100 * d.error, d.departure)
    equivalents = d.operator.increments(GRID, CHANNELS)(members.values).numpy()
    data = Departures(d.operator, wrong, d.error, equivalents)
    found = EnsembleThreeDVar(solver(), members, (0, 1, 2, 3)).increment(background, data)
    expected = solver().increment(background, replace(data, equivalents=None)).mean.values
    scale = expected.abs().amax(dim=(1, 2), keepdim=True)
    assert float(((found.mean.values - expected) / scale).abs().max()) < 1e-5
    assert int(found.log["downweighted"]) >= 1
