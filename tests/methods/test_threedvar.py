"""3D-Var against closed forms, a dense solution, geostrophy and invariances."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
import torch

from phyda_cli.errors import BadDataError
from phyda_cli.errors_b.control import ControlTransform
from phyda_cli.errors_b.error_scale import ErrorScale
from phyda_cli.fields.state import Channel, State
from phyda_cli.methods.base import Case, Departures
from phyda_cli.methods.threedvar import ThreeDVar
from phyda_cli.operators.operator import Operator
from tests.support.background_error import CHANNELS, GRID, small_statistics, zero_time
from tests.support.observations import make_departures, moved_to


def random_network(count: int, *, seed: int) -> Departures:
    generator = np.random.default_rng(seed)
    variable = generator.choice(np.array(["u", "v", "t", "q", "z", "msl"], dtype=object), count)
    size = {"u": 3.0, "v": 3.0, "t": 1.5, "q": 5e-4, "z": 300.0, "msl": 60.0}
    unit = np.array([size[name] for name in variable])
    places = {
        "variable": variable,
        "pressure": np.where(variable == "msl", np.nan, np.exp(generator.uniform(np.log(2.5e4), np.log(8.5e4), count))),
        "latitude": np.degrees(np.arcsin(generator.uniform(-1, 1, count))),
        "longitude": generator.uniform(0, 360, count),
    }
    departure, error = unit * generator.standard_normal(count), unit * generator.uniform(0.3, 1.0, count)
    return Departures(Operator.at(**places), departure, error)


@pytest.fixture(scope="module")
def method() -> ThreeDVar:
    return ThreeDVar(small_statistics(), tolerance=1e-9)


@pytest.fixture(scope="module")
def background() -> State:
    return State(torch.zeros(len(CHANNELS), *GRID.shape, dtype=torch.float64), CHANNELS, GRID, zero_time())


@lru_cache(maxsize=1)
def root_of_b() -> torch.Tensor:
    """B^{1/2} written out, (control, channel, lat, lon), without the control entries that stand for nothing."""
    transform = ControlTransform(small_statistics())
    size = math.prod(transform.shape)
    root = torch.cat([transform(part.reshape(-1, *transform.shape)) for part in torch.eye(size).double().split(512)])
    return root[root.flatten(1).any(1)]


def observed_root(d: Departures) -> torch.Tensor:
    """H B^{1/2}, (control, observation)."""
    operator = d.operator.increments(GRID, CHANNELS)
    return operator(root_of_b())


def innovation_covariance(observed: torch.Tensor, d: Departures) -> torch.Tensor:
    return observed.mT @ observed + torch.diag(torch.as_tensor(d.error) ** 2)


def test_increment_equals_the_dense_solution(method: ThreeDVar, background: State) -> None:
    d = random_network(60, seed=3)
    root, observed = root_of_b(), observed_root(d)
    weights = torch.linalg.solve(innovation_covariance(observed, d), torch.as_tensor(d.departure))
    expected = torch.einsum("s,s...->...", observed @ weights, root)
    found = method.increment(background, d).mean.values
    scale = expected.abs().amax(dim=(1, 2), keepdim=True)
    assert float(((found - expected) / scale).abs().max()) < 1e-6


def test_members_sample_the_dense_posterior(background: State) -> None:
    """The members' variance against diag(B − B Hᵀ (H B Hᵀ + R)⁻¹ H B), as a mean over all channels and points."""
    d = random_network(300, seed=4)
    spread = ThreeDVar(small_statistics(), members=128, tolerance=1e-5).increment(background, d).spread
    assert spread is not None
    root, observed = root_of_b(), observed_root(d)
    prior = root.square().sum(0)
    shared = (observed.mT @ root.flatten(1)).reshape(-1, *root.shape[1:])
    gained = torch.linalg.solve(innovation_covariance(observed, d), shared.flatten(1)).reshape(shared.shape)
    posterior = prior - (shared * gained).sum(0)
    ratio = spread.values.square().mean((1, 2)) / posterior.mean((1, 2))
    assert float((posterior.mean((1, 2)) / prior.mean((1, 2))).mean()) < 0.8
    assert float(ratio.mean()) == pytest.approx(1.0, abs=0.04)


def test_spread_is_the_background_error_where_nothing_is_observed(background: State) -> None:
    """An observation without weight, even with two members: their noise cancels in the ratio."""
    d = make_departures([("t", 50_000.0, 45.0, 100.0, 1.0, 1e6)])
    method = ThreeDVar(small_statistics(), members=2)
    spread = method.increment(background, d).spread
    assert spread is not None
    assert torch.allclose(spread.values, method.background_error().values, rtol=1e-6)


def test_single_observation_closed_form(method: ThreeDVar, background: State) -> None:
    lat, lon = GRID.latitudes[11], GRID.longitudes[7]
    d = make_departures([("t", 50_000.0, lat, lon, 2.0, 1.0)])
    channel = CHANNELS.index(Channel("t", 50_000.0))
    variance = float(root_of_b()[:, channel, 11, 7].square().sum())
    found = float(method.increment(background, d).mean.values[channel, 11, 7])
    assert found == pytest.approx(variance / (variance + 1.0) * 2.0, rel=1e-8)
    assert variance**0.5 == pytest.approx(float(method.statistics.sigma[channel, 11]), rel=0.08)


@pytest.mark.parametrize(("latitude", "turn"), [(45.0, 1.0), (-45.0, -1.0)])
def test_height_observation_makes_geostrophic_winds(
    method: ThreeDVar, background: State, latitude: float, turn: float
) -> None:
    """A high: anticyclonic, so west of north-hemisphere centre the wind is northward and east of it southward."""
    d = make_departures([("z", 50_000.0, latitude, 180.0, 500.0, 50.0)])
    mean = method.increment(background, d).mean
    v = mean.values[CHANNELS.index(Channel("v", 50_000.0))]
    u = mean.values[CHANNELS.index(Channel("u", 50_000.0))]
    row = int(np.argmin(np.abs(np.asarray(GRID.latitudes) - latitude)))
    column = GRID.longitudes.index(180.0)
    assert float(turn * v[row, column - 2]) > 0.5
    assert float(turn * v[row, column + 2]) < -0.5
    assert float(turn * u[row + 1, column]) > 0.0
    assert float(turn * u[row - 1, column]) < 0.0


def test_no_departure_no_increment(method: ThreeDVar, background: State) -> None:
    d = random_network(30, seed=5)
    silent = replace(d, departure=np.zeros(30))
    assert not bool(method.increment(background, silent).mean.values.any())
    nothing = d.take(np.zeros(30, dtype=bool))
    assert not bool(method.increment(background, nothing).mean.values.any())


def test_no_seam_at_the_dateline(method: ThreeDVar, background: State) -> None:
    """Turning the observations by a number of grid columns turns the increment by as many."""
    d = random_network(40, seed=6)
    turned = moved_to(d, longitude=np.mod(d.longitude + 5 * 360.0 / 32, 360.0))
    first = method.increment(background, d).mean.values
    second = method.increment(background, turned).mean.values
    assert torch.allclose(first.roll(5, dims=-1), second, atol=1e-7 * float(first.abs().max()))


def test_increment_is_smooth_across_the_pole(method: ThreeDVar, background: State) -> None:
    """Values around the last row vary no more than a band-limited field can: far below the increment's own size."""
    d = make_departures([("t", 50_000.0, 89.0, 30.0, 3.0, 0.5)])
    t = method.increment(background, d).mean.values[CHANNELS.index(Channel("t", 50_000.0)), -1]
    opposite = t.roll(16)
    assert float((t - opposite).abs().max()) < 0.5 * float(t.abs().max())
    assert float(t.min()) > 0.5 * float(t.max())


def test_row_order_does_not_matter(background: State) -> None:
    d = random_network(50, seed=7)
    order = np.random.default_rng(0).permutation(50)
    shuffled = d.take(order)
    method = ThreeDVar(small_statistics(), members=2)
    first, second = method.increment(background, d), method.increment(background, shuffled)
    assert torch.equal(first.mean.values, second.mean.values)
    assert first.spread is not None
    assert second.spread is not None
    assert torch.equal(first.spread.values, second.spread.values)


def test_batch_equals_single_cases(method: ThreeDVar, background: State) -> None:
    cases = [random_network(20, seed=8), random_network(35, seed=9), random_network(1, seed=10)]
    batch = method.increments([Case(background, case) for case in cases])
    for number, case in enumerate(cases):
        alone = method.increment(background, case).mean.values
        assert torch.allclose(batch[number].mean.values, alone, atol=1e-7 * float(alone.abs().max()))


def test_float32_is_close_to_float64(background: State) -> None:
    d = random_network(80, seed=11)
    exact = ThreeDVar(small_statistics()).increment(background, d).mean.values
    single = ThreeDVar(small_statistics(), dtype=torch.float32).increment(background, d).mean.values
    scale = exact.abs().amax(dim=(1, 2), keepdim=True)
    assert float(((single - exact) / scale).abs().max()) < 1e-3


def test_gradient_by_taylor_ratio(method: ThreeDVar) -> None:
    """[J(v + ε p) − J(v)] / (ε pᵀ∇J(v)) → 1, its error halving with ε."""
    d = random_network(25, seed=12)
    transform = ControlTransform(method.statistics)
    operator = d.operator.increments(GRID, CHANNELS)
    departure, error = torch.as_tensor(d.departure), torch.as_tensor(d.error)

    def cost(v: torch.Tensor) -> torch.Tensor:
        return 0.5 * v.square().sum() + 0.5 * ((operator(transform(v)) - departure) / error).square().sum()

    generator = torch.Generator().manual_seed(1)
    v = torch.randn(transform.shape, generator=generator, dtype=torch.float64, requires_grad=True)
    p = torch.randn(transform.shape, generator=generator, dtype=torch.float64)
    slope = (torch.autograd.grad(cost(v), v)[0] * p).sum()
    with torch.no_grad():
        errors = [abs(float((cost(v + e * p) - cost(v)) / (e * slope)) - 1.0) for e in (1e-2, 5e-3, 2.5e-3)]
    assert errors[1] / errors[0] == pytest.approx(0.5, rel=0.01)
    assert errors[2] / errors[1] == pytest.approx(0.5, rel=0.01)


def test_scaling_the_background_error(background: State) -> None:
    """With σ_o much smaller than σ_b the analysis draws to the observation; a tiny σ_b leaves it where it was."""
    lat, lon = GRID.latitudes[4], GRID.longitudes[3]
    d = make_departures([("u", 25_000.0, lat, lon, 5.0, 1.0)])
    channel = CHANNELS.index(Channel("u", 25_000.0))
    method = ThreeDVar(small_statistics(), tolerance=1e-9)
    near = float(method.scaled(ErrorScale.uniform(20.0)).increment(background, d).mean.values[channel, 4, 3])
    far = float(method.scaled(ErrorScale.uniform(0.01)).increment(background, d).mean.values[channel, 4, 3])
    assert near == pytest.approx(5.0, rel=1e-3)
    assert far == pytest.approx(0.0, abs=0.01)


def test_a_minimisation_that_does_not_stay_finite_is_an_error(background):
    d = random_network(40, seed=2)
    tiny = replace(d, error=np.where(np.arange(40) == 7, 1e-200, d.error))
    with pytest.raises(BadDataError, match=rf"smallest observation error is 1e-200 \(of {d.variable[7]}\)"):
        ThreeDVar(small_statistics()).increment(background, tiny)
    with pytest.raises(BadDataError, match="largest background error"):
        ThreeDVar(small_statistics().scaled(1e200)).minimise([d])


def test_a_minimisation_that_has_not_converged_says_so(background):
    d = random_network(300, seed=3)
    found = ThreeDVar(small_statistics(), max_iterations=3).increment(background, d).log
    assert found["iterations"] == 3
    assert found["converged"] is False
    assert found["gradient_reduction"] > 1e-3
    done = ThreeDVar(small_statistics()).increment(background, d).log
    assert done["converged"] is True
    assert done["gradient_reduction"] <= 1e-3


def test_the_background_error_of_a_column_is_that_of_its_draws() -> None:
    """√⟨(H L ζ)²⟩ of 600 draws (± 6 %), along rows, which B does not tell apart; with one error for all levels it is
    much more, with independent ones much less.
    """
    names, nothing = np.array(["tcwv"] * 3, dtype=object), np.full(3, np.nan)
    operator = Operator.at(names, np.array([50.625, 5.625, -39.375]), np.array([0.0, 90.0, 200.0]), nothing)
    method = ThreeDVar(small_statistics(), members=600)
    rows = operator.increments(GRID, CHANNELS)
    drawn = method.prior_members()
    assert drawn is not None
    every = Operator.at(
        np.array(["tcwv"] * 96, dtype=object), np.repeat(operator.latitude, 32), np.tile(np.arange(32) * 11.25, 3),
        np.full(96, np.nan),
    )  # fmt: skip
    spread = every.increments(GRID, CHANNELS)(drawn).square().reshape(-1, 3, 32).mean((0, 2)).sqrt().numpy()
    found = method.background_error_at(operator, method.background_error())
    np.testing.assert_allclose(found, spread, rtol=0.1)
    terms = rows.by_channel(method.background_error().values)
    assert (terms.sum(1).numpy() > 1.1 * found).all()
    assert (terms.square().sum(1).sqrt().numpy() < 0.95 * found).all()


def test_between_levels_an_observation_counts_less(background: State) -> None:
    """δ = d σ²/(σ² + σ_o² (1 + 4 b w (1 − w))): with b = 3 σ_o doubles half way between levels, on one it stays."""
    middle = float(np.sqrt(50_000.0 * 85_000.0))
    for pressure, factor in ((middle, 4.0), (50_000.0, 1.0)):
        d = make_departures([("t", pressure, 45.0, 100.0, 1.0, 1.2)])
        plain = ThreeDVar(small_statistics(), tolerance=1e-10)
        found = replace(plain, between=3.0).increment(background, d).at(d.operator)[0]
        free = plain.increment(background, d).at(d.operator)[0]  # = σ²/(σ² + σ_o²)
        variance = 1.44 * free / (1 - free)
        assert found == pytest.approx(variance / (variance + factor * 1.44), rel=1e-6)
