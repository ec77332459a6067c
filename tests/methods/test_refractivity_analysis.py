"""Refractivity in 3D-Var and the LETKF: increments of one observation, its σ_b, and what OI makes of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from phyda_cli.constants import GRAVITY
from phyda_cli.fields.state import Channel, State
from phyda_cli.methods.base import Departures
from phyda_cli.methods.letkf import LETKF
from phyda_cli.methods.oi import OptimalInterpolation
from phyda_cli.methods.threedvar import ThreeDVar
from phyda_cli.operators.first_guess import operator_of
from phyda_cli.operators.operator import Operator
from tests.support.background_error import CHANNELS, GRID, random_errors, small_statistics, zero_time
from tests.support.observations import observations

LATITUDE, LONGITUDE = GRID.latitudes[5], GRID.longitudes[7]
AIR = {"z": (10_400.0, 5_600.0, 1_450.0), "t": (222.0, 253.0, 281.0), "q": (5e-5, 1.2e-3, 8e-3)}


def background() -> State:
    """Air of middle latitudes, the same everywhere."""
    values = [
        AIR[c.variable][(25_000.0, 50_000.0, 85_000.0).index(c.level)] * (GRAVITY if c.variable == "z" else 1.0)
        if c.variable in AIR
        else 0.0
        for c in CHANNELS
    ]
    fields = torch.tensor(values, dtype=torch.float64)[:, None, None].expand(-1, *GRID.shape).clone()
    return State(fields, CHANNELS, GRID, zero_time())


def tangent(height: float) -> Operator:
    """H of one occultation's level at a grid point, linearised at the background."""
    state = background()
    rows = observations("refractivity", [0.0], height=height, latitude=LATITUDE, longitude=LONGITUDE, pressure=np.nan)
    return operator_of(state, rows).states(GRID, CHANNELS).linearised(state.values)


def analysed(operator: Operator, departure: float, error: float) -> torch.Tensor:
    method = ThreeDVar(small_statistics(), tolerance=1e-10)
    case = Departures(operator, np.array([departure]), np.array([error]))
    return method.increment(background(), case).mean.values


def covariance(operator: Operator) -> torch.Tensor:
    """B Hᵀ = δ (s² + σ_o²)/d of one observation, of which H δ = d s²/(s² + σ_o²) tells s² = H B Hᵀ."""
    size = float(ThreeDVar(small_statistics()).background_error_at(operator, background())[0])
    increment = analysed(operator, 2.0 * size, size)
    seen = float(operator.increments(GRID, CHANNELS)(increment)[0])
    return increment * (size**2 / (1.0 - seen / (2.0 * size))) / (2.0 * size)


@pytest.mark.parametrize("height", [3_000.0, 8_000.0])
def test_the_increment_of_one_observation_is_that_of_its_tangent(height):
    """B Hᵀ is Σ (∂N/∂g) B e_g, of which single observations of z, t and q at the layer's levels give the parts."""
    operator = tangent(height)
    rows = operator.increments(GRID, CHANNELS)
    slopes = rows.by_channel(torch.ones(len(CHANNELS), *GRID.shape, dtype=torch.float64))[0]
    expected = torch.zeros(len(CHANNELS), *GRID.shape, dtype=torch.float64)
    for number in np.flatnonzero(slopes):
        channel = CHANNELS[number]
        place = np.array([LATITUDE]), np.array([LONGITUDE]), np.array([channel.level])
        expected += slopes[number] * covariance(Operator.at(np.array([channel.variable], object), *place))
    scale = expected.abs().amax(dim=(1, 2), keepdim=True)
    assert np.count_nonzero(slopes) == 6
    assert float(((covariance(operator) - expected) / scale).abs().max()) < 1e-4


def test_moist_air_is_seen_as_humidity_and_dry_air_as_cold():
    low, high = analysed(tangent(2_000.0), 3.0, 2.0), analysed(tangent(9_500.0), 0.5, 0.3)
    at = (5, 7)
    humid, warm = (CHANNELS.index(Channel(name, 85_000.0)) for name in ("q", "t"))
    aloft = CHANNELS.index(Channel("t", 25_000.0))
    assert float(low[humid, *at]) > 1e-4
    assert float(low[warm, *at]) < 0.0
    assert float(high[aloft, *at]) < -0.05


def test_its_background_error_is_that_of_its_tangent():
    """√(H B Hᵀ) by 3000 draws of B, and by the ensemble of the LETKF."""
    operator = tangent(3_000.0)
    rows = operator.increments(GRID, CHANNELS)
    draws = ThreeDVar(small_statistics(), members=3000, seed=3).prior_members()
    found = ThreeDVar(small_statistics()).background_error_at(operator, background())[0]
    assert found == pytest.approx(float(rows(draws)[:, 0].std()), rel=0.06)
    members = State(background().values + draws[:30], CHANNELS, GRID, zero_time())
    of_ensemble = LETKF(members).background_error_at(operator, background())[0]
    assert of_ensemble == pytest.approx(float(rows(draws[:30])[:, 0].std()), rel=1e-9)


def test_the_letkf_draws_its_members_to_the_observation():
    state = background()
    members = State(state.values + 3.0 * random_errors(20, seed=9), CHANNELS, GRID, zero_time())
    mean = State(members.values.mean(0), CHANNELS, GRID, zero_time())
    rows = observations("refractivity", [0.0], height=7_000.0, latitude=LATITUDE, longitude=LONGITUDE, pressure=np.nan)
    operator = operator_of(mean, rows).states(GRID, CHANNELS)
    equivalents = np.stack([operator(one) for one in members.values])
    error = np.array([0.3 * equivalents.std()])
    method = LETKF(members, relaxation=0.0, vertical_radius=100.0)
    departures = Departures(operator.linearised(mean.values), np.array([equivalents.std()]), error, equivalents)
    moved = method.increment(mean, departures)
    after = operator(mean.values + moved.mean.values)[0] - operator(mean.values)[0]
    variance = equivalents.var(ddof=1)
    assert after == pytest.approx(departures.departure[0] * variance / (variance + error[0] ** 2), rel=0.03)


def test_optimal_interpolation_shares_it_out_among_what_it_sees():
    """H δ = s²/(s² + σ_o²) d with s² = Σ (h_k σ_k)² + correlated levels, all of δ within the variables that H sees."""
    operator = tangent(3_000.0)
    method = OptimalInterpolation(ThreeDVar(small_statistics()).background_error())
    (s,) = method.background_error_at(operator, background())
    found = method.increment(background(), Departures(operator, np.array([2.0]), np.array([0.7 * s])))
    rows = operator.increments(GRID, found.mean.channels)
    assert rows(found.mean.values).item() == pytest.approx(2.0 / 1.49, rel=1e-9)
    moved = {c.variable for c, plane in zip(found.mean.channels, found.mean.values, strict=True) if plane.any()}
    assert moved == {"z", "t", "q"}
