"""assimilate() with a background that is an ensemble: twin experiments, members, feedback."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from phyda_cli.assimilation import Analysis, AssimilationOptions, assimilate
from phyda_cli.fields.moments import Moments
from phyda_cli.fields.state import Channel, State
from phyda_cli.methods.ensemble_threedvar import EnsembleThreeDVar
from phyda_cli.methods.letkf import LETKF
from phyda_cli.methods.threedvar import ThreeDVar
from phyda_cli.observations.errors import default_error_table
from phyda_cli.observations.table import Flag, Observations
from phyda_cli.operators.first_guess import operator_of
from tests.support.background_error import CHANNELS, GRID, random_errors, small_statistics, zero_time
from tests.support.observations import make_observations

OFFSET = {"u": 0.0, "v": 0.0, "t": 260.0, "q": 4e-3, "z": 5.5e4, "msl": 101_000.0}
MEMBERS = 16
Z500 = CHANNELS.index(Channel("z", 50_000.0))


def state(values: torch.Tensor) -> State:
    offset = torch.tensor([OFFSET[channel.variable] for channel in CHANNELS], dtype=torch.float64)
    return State(values + offset[:, None, None], CHANNELS, GRID, zero_time())


def twin() -> tuple[State, State]:
    """The truth, and members about a background as wrong as they are spread."""
    errors = random_errors(MEMBERS + 1, seed=21)
    return state(errors[0]), state(errors[1:])


def observe(truth: State, count: int, *, seed: int) -> Observations:
    draw = np.random.default_rng(seed)
    size = {"u": 1.5, "v": 1.5, "t": 0.8, "z": 80.0}
    variable = draw.choice(np.array(sorted(size), dtype=object), count)
    pressure = draw.choice(np.array([25_000.0, 50_000.0, 85_000.0]), count)
    lat, lon = np.degrees(np.arcsin(draw.uniform(-1, 1, count))), draw.uniform(0, 360, count)
    error = np.array([size[name] for name in variable])
    blank = make_observations(
        list(zip(variable, pressure, lat, lon, np.zeros(count), error, strict=True)), time=zero_time()
    )
    exact = operator_of(truth, blank).states(truth.grid, truth.channels)(truth.values)
    return replace(blank, value=exact + error * draw.standard_normal(count))


def run(members: State, observations: Observations, *, method=None, update: bool = True) -> Analysis:
    return assimilate(
        replace(members, values=members.values.mean(0)),
        observations,
        method=method or LETKF(members, radius=6000e3, vertical_radius=3.0),
        table=default_error_table(),
        options=AssimilationOptions(np.timedelta64(3, "h"), background_error_scale=1.0, update=update),
    )


def threedvar(members: State) -> EnsembleThreeDVar:
    return EnsembleThreeDVar(ThreeDVar(small_statistics(), tolerance=1e-6), members, tuple(range(MEMBERS)))


def error(values: torch.Tensor, truth: State) -> float:
    return float((values - truth.values)[Z500].square().mean().sqrt())


@pytest.mark.parametrize("name", ["letkf", "3dvar"])
def test_a_twin_is_drawn_to_the_truth_and_its_spread_shrinks(name: str) -> None:
    truth, members = twin()
    result = run(members, observe(truth, 600, seed=1), method=threedvar(members) if name == "3dvar" else None)
    assert result.log["method"] == name
    assert error(result.state.values, truth) < 0.8 * error(members.values.mean(0), truth)
    assert result.spread is not None
    assert float(result.spread.values[Z500].mean()) < 0.8 * float(members.values.std(0)[Z500].mean())


@pytest.mark.parametrize("name", ["letkf", "3dvar"])
def test_mean_spread_and_feedback_are_those_of_the_members(name: str) -> None:
    truth, members = twin()
    observations = observe(truth, 200, seed=2)
    result = run(members, observations, method=threedvar(members) if name == "3dvar" else None)
    made = torch.stack([result.member(i).values for i in range(MEMBERS)])
    scale = members.values.std(0)
    assert float(((made.mean(0) - result.state.values) / scale).abs().max()) < 1e-9
    assert result.spread is not None
    assert float(((made.std(0) - result.spread.values) / scale).abs().max()) < 1e-9
    torch.testing.assert_close(result.increment.values, result.state.values - members.values.mean(0))
    operator = operator_of(result.state, observations).states(members.grid, members.channels)
    before = np.stack([operator(x) for x in members.values])
    after = np.stack([operator(x) for x in made])
    np.testing.assert_allclose(result.feedback.background_equivalent, before.mean(0), rtol=1e-12)
    np.testing.assert_allclose(result.feedback.analysis_equivalent, after.mean(0), rtol=1e-12)
    np.testing.assert_allclose(result.feedback.spread, after.std(0, ddof=1), rtol=1e-6)


def test_without_a_usable_observation_every_member_stays_bit_for_bit() -> None:
    truth, members = twin()
    for observations, update in ((make_observations([], time=zero_time()), True), (observe(truth, 50, seed=3), False)):
        for method in (LETKF(members, inflation=1.3, relaxation=0.5), threedvar(members)):
            result = run(members, observations, method=method, update=update)
            assert torch.equal(result.state.values, members.values.mean(0))
            assert all(torch.equal(result.member(i).values, members.values[i]) for i in range(MEMBERS))


def test_the_background_check_is_as_wide_as_the_ensemble() -> None:
    """|d| ≤ 5 √(σ_o² + σ_b²), σ_b the spread at the place, here a grid point."""
    _, members = twin()
    t500 = CHANNELS.index(Channel("t", 50_000.0))
    column = members.values[:, t500, 6, 9]
    width = 5 * float((1.0 + column.var()).sqrt())
    for factor, flag in ((0.99, Flag.PASS), (1.01, Flag.FIRST_GUESS)):
        value = float(column.mean()) + factor * width
        place = (GRID.latitudes[6], GRID.longitudes[9])
        result = run(members, make_observations([("t", 50_000.0, *place, value, 1.0)], time=zero_time()))
        assert result.feedback.observations.flag[0] == flag


@pytest.mark.parametrize("name", ["letkf", "3dvar"])
def test_a_wide_background_check_asks_the_neighbours(name: str) -> None:
    """A scale above 1.5 makes trial analyses, of ensembles as of others; good observations pass them."""
    truth, members = twin()
    method = threedvar(members) if name == "3dvar" else LETKF(members, radius=2500e3, vertical_radius=1.0)
    options = AssimilationOptions(np.timedelta64(3, "h"), background_error_scale=2.0)
    result = assimilate(
        replace(members, values=members.values.mean(0)),
        observe(truth, 200, seed=5),
        method=method,
        table=default_error_table(),
        options=options,
    )
    assert int(result.log["trials"]) >= 1
    assert int(result.log["used"]) >= 195
    assert error(result.state.values, truth) < error(members.values.mean(0), truth)


def test_humidity_of_every_member_has_its_own_background_for_a_limit() -> None:
    """Far from all observations a supersaturated member stays as it is, though the mean is far from saturation."""
    _, members = twin()
    values = members.values.clone()
    q = CHANNELS.index(Channel("q", 85_000.0))
    values[3, q] = 0.05
    odd = replace(members, values=values)
    result = run(
        odd,
        make_observations([("t", 25_000.0, 80.0, 10.0, 260.5, 1.0)], time=zero_time()),
        method=LETKF(odd, radius=1500e3),
    )
    south = slice(0, 8)
    assert torch.equal(result.member(3).values[q, south], values[3, q, south])


def test_moments_are_those_of_all_at_once() -> None:
    values = 1e6 + random_errors(5, seed=4)
    moments = Moments()
    for value in values:
        moments.add(value)
    torch.testing.assert_close(moments.mean, values.mean(0), rtol=1e-13, atol=0)
    torch.testing.assert_close(moments.spread(), values.std(0), rtol=1e-6, atol=1e-9)
