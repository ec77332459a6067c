"""3D-Var of every member: the mean, the spread, and what the perturbations depend on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from phyda_cli.errors import BadDataError
from phyda_cli.fields.state import State
from phyda_cli.methods.base import Departures
from phyda_cli.methods.ensemble_threedvar import EnsembleThreeDVar
from phyda_cli.methods.threedvar import ThreeDVar
from phyda_cli.operators.operator import Operator
from tests.support.background_error import CHANNELS, GRID, random_errors, small_statistics, zero_time
from tests.support.observations import rows_of

NUMBERS = (4, 0, 9, 2)
EXACT = ThreeDVar(small_statistics(), tolerance=1e-10)


def ensemble() -> State:
    return State(random_errors(len(NUMBERS), seed=11), CHANNELS, GRID, zero_time())


def departures(state: State, count: int = 40) -> Departures:
    draw = np.random.default_rng(3)
    variable = draw.choice(np.array(["t", "u", "v"], dtype=object), count)
    places = draw.uniform(-80, 80, count), draw.uniform(0, 360, count), draw.uniform(25e3, 85e3, count)
    equivalents = rows_of(GRID, CHANNELS, variable, *places)(state.values).numpy()
    error = draw.uniform(0.5, 2, count)
    return Departures(Operator.at(variable, *places), -equivalents.mean(0), error, equivalents)


def members(state: State, data: Departures, numbers=NUMBERS, seed: int = 0) -> torch.Tensor:
    found = EnsembleThreeDVar(EXACT, state, numbers, seed).increment(replace(state, values=state.values.mean(0)), data)
    assert found.members is not None
    torch.testing.assert_close(found.mean.values, found.members.mean(0))
    return found.members


def test_the_mean_is_the_analysis_of_the_mean() -> None:
    state = ensemble()
    data = departures(state)
    plain = EXACT.increment(replace(state, values=state.values.mean(0)), replace(data, equivalents=None))
    size = plain.mean.values.abs().amax(dim=(1, 2), keepdim=True)
    assert float(((members(state, data).mean(0) - plain.mean.values) / size).abs().max()) < 1e-6


def test_each_member_assimilates_its_own_departure_with_its_own_perturbation() -> None:
    """Linear in y + ε − H(x_i): with members that agree at the observations the perturbations alone are left."""
    state = ensemble()
    data = departures(state)
    assert data.equivalents is not None
    whole = members(state, data)
    same = replace(data, equivalents=data.equivalents.mean(0).repeat(len(NUMBERS)).reshape(-1, len(NUMBERS)).T)
    noise = members(state, same)
    for index in range(len(NUMBERS)):
        own = data.equivalents.mean(0) - data.equivalents[index]
        alone = EXACT.minimise([replace(data, departure=own, equivalents=None)])[0][0]
        expected = noise[index] + alone
        size = expected.abs().amax(dim=(1, 2), keepdim=True)
        assert float(((whole[index] - expected) / size).abs().max()) < 1e-6


def test_perturbations_have_the_variance_of_the_errors_and_mean_zero() -> None:
    numbers = tuple(range(30))
    method = EnsembleThreeDVar(EXACT, State(random_errors(30, seed=1), CHANNELS, GRID, zero_time()), numbers)
    drawn = method._perturbations(2000)
    np.testing.assert_allclose(drawn.mean(0), 0.0, atol=1e-12)
    # 60 000 values: the standard error of the variance is 0.006
    assert float(np.mean(drawn**2)) == pytest.approx(1.0, abs=0.03)


def test_order_of_members_and_rows_does_not_matter_and_the_seed_does() -> None:
    state = ensemble()
    data = departures(state)
    assert data.equivalents is not None
    whole = members(state, data)
    order = [2, 0, 3, 1]
    turned = replace(state, values=state.values[order])
    again = members(turned, replace(data, equivalents=data.equivalents[order]), tuple(NUMBERS[i] for i in order))
    size = whole.abs().amax(dim=(0, 2, 3), keepdim=True)
    assert float(((again - whole[order]) / size).abs().max()) < 1e-6
    shuffled = data.take(np.random.default_rng(1).permutation(len(data)))
    assert float(((members(state, shuffled) - whole) / size).abs().max()) < 1e-6
    assert float(((members(state, data, seed=1) - whole) / size).abs().max()) > 0.1


def test_a_seed_and_a_member_are_two_numbers() -> None:
    """Members 1 and 2 of seed 0 do not have the draws of members 0 and 1 of seed 1."""
    state = State(random_errors(3, seed=1), CHANNELS, GRID, zero_time())
    draws = [EnsembleThreeDVar(EXACT, state, (0, 1, 2), seed)._perturbations(50) for seed in (0, 1)]
    # centred rows: differences of members are differences of their draws
    assert not np.allclose(draws[0][2] - draws[0][1], draws[1][1] - draws[1][0])


def test_one_member_and_missing_equivalents_are_refused() -> None:
    state = ensemble()
    with pytest.raises(BadDataError, match="at least two members"):
        EnsembleThreeDVar(EXACT, replace(state, values=state.values[:1]), (0,))
    with pytest.raises(BadDataError, match="each with a number"):
        EnsembleThreeDVar(EXACT, state, (0, 1))
    with pytest.raises(BadDataError, match="members at the observations"):
        members(state, replace(departures(state), equivalents=None))
