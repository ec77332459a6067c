"""The hybrid against the dense solution, 3D-Var at weight 0, its samples, and its members."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
import torch

from phyda_cli.errors import BadDataError
from phyda_cli.errors_b.background_error import BackgroundError
from phyda_cli.errors_b.error_scale import ErrorScale
from phyda_cli.errors_b.hybrid import AlphaTransform, Localisation
from phyda_cli.fields.state import Channel, State
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.methods.base import Departures
from phyda_cli.methods.ensemble_threedvar import EnsembleThreeDVar
from phyda_cli.methods.envar import EnVar, Members, make
from phyda_cli.methods.huber import Huber
from phyda_cli.methods.material import Lagged
from phyda_cli.methods.perturbations import perturbations
from phyda_cli.methods.threedvar import ThreeDVar
from phyda_cli.operators.operator import Operator
from phyda_cli.settings.methods import EnVarSettings
from tests.methods.test_threedvar import innovation_covariance, random_network, root_of_b
from tests.support.background_error import CHANNELS, GRID, random_errors, small_statistics, zero_time
from tests.support.observations import make_departures

LOCALISATION = Localisation(9000e3, 2.0)
SIGMA = ThreeDVar(small_statistics()).background_error()
MEMBERS = State(random_errors(3, seed=31), CHANNELS, GRID, zero_time())


def hybrid(weight: float, members: int = 0, tolerance: float = 1e-10, **settings: object) -> EnVar:
    return EnVar(
        statistics=small_statistics(),
        perturbations=Members(perturbations(MEMBERS, (), SIGMA)),
        weight=weight,
        localisation=LOCALISATION,
        members=members,
        tolerance=tolerance,
        **settings,
    )


@pytest.fixture(scope="module")
def background() -> State:
    return State(torch.zeros(len(CHANNELS), *GRID.shape, dtype=torch.float64), CHANNELS, GRID, zero_time())


def localised_root(weight: float) -> torch.Tensor:
    """B^{1/2} of the hybrid, (control, channel, lat, lon)."""
    return torch.cat([(1 - weight) ** 0.5 * root_of_b(), weight**0.5 * root_of_members()])


@lru_cache(maxsize=1)
def root_of_members() -> torch.Tensor:
    """x'_i ∘ the columns of C_loc^{1/2}, (control, channel, lat, lon)."""
    ones = torch.ones(1, len(CHANNELS), *GRID.shape, dtype=torch.float64)
    alpha = AlphaTransform(GRID, CHANNELS, ones, LOCALISATION)
    columns = [alpha.forward(part.mT) for part in torch.eye(alpha.size, dtype=torch.float64).split(256)]
    root = torch.cat(columns, dim=-1).permute(3, 2, 1, 0)
    root = root[root.flatten(1).any(1)]
    return torch.cat([root * member for member in perturbations(MEMBERS, (), SIGMA)])


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float(((found - expected) / expected.abs().amax(dim=(-2, -1), keepdim=True)).abs().max())


@pytest.mark.parametrize("weight", [0.5, 1.0])
def test_increment_equals_the_dense_hybrid_solution(background: State, weight: float) -> None:
    """x = B Hᵀ (H B Hᵀ + R)⁻¹ d with B = (1 − w) B_s + w C_loc ∘ X Xᵀ."""
    d = random_network(60, seed=3)
    root = localised_root(weight)
    observed = d.operator.increments(GRID, CHANNELS)(root)
    weights = torch.linalg.solve(innovation_covariance(observed, d), torch.as_tensor(d.departure))
    expected = torch.einsum("s,s...->...", observed @ weights, root)
    assert relative(hybrid(weight).increment(background, d).mean.values, expected) < 1e-6


def test_weight_zero_is_three_d_var(background: State) -> None:
    d = random_network(60, seed=4)
    plain = ThreeDVar(small_statistics(), members=3, tolerance=1e-10).increment(background, d)
    found = hybrid(0.0, members=3).increment(background, d)
    assert relative(found.mean.values, plain.mean.values) < 1e-10
    assert found.spread is not None
    assert plain.spread is not None
    torch.testing.assert_close(found.spread.values, plain.spread.values, rtol=1e-10, atol=0)
    np.testing.assert_allclose(
        hybrid(0.0).background_error_at(d.operator, background),
        ThreeDVar(small_statistics()).background_error_at(d.operator, background),
    )


def test_the_background_error_is_that_of_the_dense_covariance() -> None:
    found = hybrid(0.7).background_error().values
    expected = localised_root(0.7).square().sum(0).sqrt()
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    exact = perturbations(MEMBERS, (), SIGMA).square().sum(0).sqrt()
    torch.testing.assert_close(hybrid(1.0).background_error().values, exact, rtol=1e-12, atol=0)
    torch.testing.assert_close(root_of_members().square().sum(0).sqrt(), exact, rtol=1e-9, atol=0)


def test_the_background_error_of_a_column_is_that_of_the_dense_covariance(background: State) -> None:
    names, nothing = np.array(["tcwv"] * 2, dtype=object), np.full(2, np.nan)
    operator = Operator.at(names, np.array(GRID.latitudes)[[4, 11]], np.array(GRID.longitudes)[[3, 9]], nothing)
    observed = operator.increments(GRID, CHANNELS)(root_of_members())
    expected = observed.square().sum(0).sqrt().numpy()
    np.testing.assert_allclose(hybrid(1.0).background_error_at(operator, background), expected, rtol=1e-6)


def test_samples_have_the_dense_posterior_variance(background: State) -> None:
    d = random_network(200, seed=4)
    spread = hybrid(0.5, members=96, tolerance=1e-4).increment(background, d).spread
    assert spread is not None
    root = localised_root(0.5)
    observed = d.operator.increments(GRID, CHANNELS)(root)
    shared = (observed.mT @ root.flatten(1)).reshape(-1, *root.shape[1:])
    gained = torch.linalg.solve(innovation_covariance(observed, d), shared.flatten(1)).reshape(shared.shape)
    posterior = root.square().sum(0) - (shared * gained).sum(0)
    ratio = spread.values.square().mean((1, 2)) / posterior.mean((1, 2))
    assert float(ratio.mean()) == pytest.approx(1.0, abs=0.06)


def test_a_larger_scale_is_a_larger_error_of_both_parts(background: State) -> None:
    """s σ_b with σ_o is the same as σ_b with d/s and σ_o/s, times s; humidity has a factor of its own."""
    d = random_network(40, seed=6)
    found = hybrid(0.5).scaled(ErrorScale.uniform(3.0)).increment(background, d).mean.values
    smaller = replace(d, departure=d.departure / 3, error=d.error / 3)
    assert relative(found, 3 * hybrid(0.5).increment(background, smaller).mean.values) < 1e-6
    ratio = hybrid(0.5).scaled(ErrorScale(3.0, 2.0)).background_error().values / hybrid(0.5).background_error().values
    for index, channel in enumerate(CHANNELS):
        torch.testing.assert_close(ratio[index], torch.full_like(ratio[index], 2.0 if channel.variable == "q" else 3.0))


def test_the_increment_of_one_observation_has_the_pattern_of_the_members(background: State) -> None:
    """With w = 1 and nearly no localisation it is a combination of the members, in proportion to their value there."""
    wide = replace(hybrid(1.0), localisation=Localisation(1e9, 1e9))
    row, column = 10, 20
    d = make_departures([("t", 50_000.0, GRID.latitudes[row], GRID.longitudes[column], 2.0, 1.0)])
    own = wide.perturbations.values[:, CHANNELS.index(Channel("t", 50_000.0)), row, column]
    expected = torch.einsum("k,k...->...", own, wide.perturbations.values) * 2.0 / (own.square().sum() + 1.0)
    assert relative(wide.increment(background, d).mean.values, expected) < 1e-6


def test_an_ensemble_moves_with_the_hybrid(background: State) -> None:
    """Mean of the members: the hybrid analysis of their mean; the Huber cost is that of 3D-Var."""
    d = random_network(60, seed=5)
    equivalents = d.operator.increments(GRID, CHANNELS)(MEMBERS.values).numpy()
    data = Departures(d.operator, d.departure, d.error, equivalents)
    method = hybrid(0.5, huber=Huber(1.0, 4, 1e-9))
    found = EnsembleThreeDVar(method, MEMBERS, tuple(range(3)), name="envar").increment(background, data)
    assert relative(found.mean.values, method.increment(background, d).mean.values) < 1e-5
    assert int(found.log["downweighted"]) > 0


def lagged(*errors: torch.Tensor, channels=CHANNELS) -> tuple[Lagged, ...]:
    def one(number: int, values: torch.Tensor) -> Lagged:
        return Lagged(f"f{number}.nc", lambda: State(values, channels, GRID, zero_time()))

    return tuple(one(number, values) for number, values in enumerate(errors))


def test_members_are_deviations_from_their_mean_with_their_covariance(background: State) -> None:
    found = perturbations(MEMBERS, (), SIGMA)
    torch.testing.assert_close(found.square().sum(0), MEMBERS.values.var(0))
    assert float((found.sum(0) / found.abs().amax((0, 2, 3))[:, None, None]).abs().max()) < 1e-12


def test_lagged_forecasts_get_the_size_of_a_short_forecast_whatever_their_lead(background: State) -> None:
    """Twice the difference is the same perturbation; over the globe its squares in units of σ_b have the mean 1/J."""
    first, second = random_errors(2, seed=5)
    found = perturbations(background, lagged(first, second), SIGMA)
    again = perturbations(background, lagged(7 * second, 2 * first), SIGMA)
    torch.testing.assert_close(found, again)
    area = torch.tensor(GRID.area)
    share = ((found / SIGMA.values).square() * area).sum((-2, -1))
    humid = torch.tensor([channel.variable == "q" for channel in CHANNELS])
    torch.testing.assert_close(share[:, humid].mean(1), torch.full((2,), 0.5, dtype=torch.float64))
    torch.testing.assert_close(share[:, ~humid].mean(1), torch.full((2,), 0.5, dtype=torch.float64))


def test_the_order_of_lagged_forecasts_does_not_show(background: State) -> None:
    errors = random_errors(3, seed=6)
    d = random_network(40, seed=7)
    drawn = [Members(perturbations(background, lagged(*order), SIGMA)) for order in (errors, errors.flip(0))]
    made = [replace(hybrid(0.5, members=2), perturbations=own).increment(background, d) for own in drawn]
    assert torch.equal(made[0].mean.values, made[1].mean.values)
    assert made[0].members is not None
    assert made[1].members is not None
    assert torch.equal(made[0].members, made[1].members)


def test_lagged_forecasts_count_beside_an_ensemble_as_one_member_each() -> None:
    extra = random_errors(2, seed=8)
    found = perturbations(MEMBERS, lagged(*(MEMBERS.values.mean(0) + extra)), SIGMA)
    alone = perturbations(MEMBERS, (), SIGMA).square().sum(0)
    other = perturbations(replace(MEMBERS, values=torch.zeros_like(extra[0])), lagged(*extra), SIGMA).square().sum(0)
    torch.testing.assert_close(found.square().sum(0), (2 * alone + 2 * other) / 4)


def test_a_forecast_on_another_grid_comes_onto_that_of_the_background(background: State) -> None:
    def wave(grid: LatLonGrid) -> State:
        phi, lam = (torch.from_numpy(np.radians(axis)).reshape(grid.shape) for axis in grid.coordinates)
        return State((phi.cos() ** 2 * (2 * lam).cos()).repeat(len(CHANNELS), 1, 1), CHANNELS, grid, zero_time())

    fine = wave(LatLonGrid.equiangular(48, 96))
    found = perturbations(background, (Lagged("f.nc", lambda: fine),), SIGMA)
    assert relative(found, perturbations(background, lagged(wave(GRID).values), SIGMA)) < 0.02


class Shelf:
    """What `make` is given: statistics of relative humidity, an atmosphere, one lagged forecast."""

    numbers = ()
    device, seed = "cpu", 0

    def __init__(self) -> None:
        mean = {"t": 270.0, "q": 2e-3}
        values = torch.tensor([mean.get(channel.variable, 0.0) for channel in CHANNELS], dtype=torch.float64)
        self.background = State(values[:, None, None].repeat(1, *GRID.shape), CHANNELS, GRID, zero_time())
        self.lagged = lagged(self.background.values + random_errors(1, seed=5)[0])

    @property
    def grid(self) -> LatLonGrid:
        return GRID

    def background_error(self, path: object, *, option: str = "--weights") -> BackgroundError:
        """Statistics whose humidity is relative."""
        humid = torch.tensor([100.0 if channel.variable == "q" else 1.0 for channel in CHANNELS])
        small = small_statistics()
        return replace(small, relative_humidity=True, sigma=small.sigma * humid[:, None])


def test_members_keep_their_size_where_the_statistics_are_of_relative_humidity() -> None:
    """σ_b of the members alone is |x'| in SI, whatever the unit of the statistics."""
    shelf = Shelf()
    method = make(EnVarSettings(ensemble_weight=1.0), shelf)
    sigma = ThreeDVar(shelf.background_error(None)).background_error(shelf.background)
    expected = perturbations(shelf.background, shelf.lagged, sigma)[0].abs()
    torch.testing.assert_close(method.background_error(shelf.background).values, expected)


def test_faults_are_one_line(background: State) -> None:
    errors = random_errors(1, seed=5)[0]
    with pytest.raises(BadDataError, match="needs members"):
        perturbations(background, (), SIGMA)
    held = [index for index, channel in enumerate(CHANNELS) if channel != Channel("v", 50_000.0)]
    without = lagged(errors[held], channels=tuple(CHANNELS[index] for index in held))
    with pytest.raises(BadDataError, match=r"f0.nc: holds no v500, which the background has"):
        perturbations(background, without, SIGMA)
    with pytest.raises(BadDataError, match=r"f0.nc: is the background itself"):
        perturbations(background, lagged(background.values), SIGMA)
