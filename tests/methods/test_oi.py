"""Optimal interpolation against the dense analysis equations, closed forms and invariances."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from phyda_cli.constants import EARTH_RADIUS
from phyda_cli.errors import BadDataError, ConfigError
from phyda_cli.errors_b.error_scale import ErrorScale
from phyda_cli.fields.column import column_weights
from phyda_cli.fields.state import Channel, State
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.methods.base import Departures, Increment
from phyda_cli.methods.oi import OptimalInterpolation
from phyda_cli.methods.oi_rows import Points, features
from phyda_cli.operators.kinds import kind_of
from phyda_cli.operators.operator import Operator
from tests.support.observations import make_departures, moved_to

GRID = LatLonGrid.equiangular(8, 16)
CHANNELS = (
    Channel("t", 85_000.0),
    Channel("t", 50_000.0),
    Channel("u", 50_000.0),
    Channel("msl"),
)
TIME = np.datetime64("2008-12-08T12:00", "ns")
EVERYWHERE = 2.1 * EARTH_RADIUS


def sigma_b(*, varying: bool = True) -> State:
    """σ_b with a value of its own at every point, or one value for each variable."""
    scale = torch.tensor([1.5, 1.5, 4.0, 300.0], dtype=torch.float64)[:, None, None]
    shape = torch.ones(4, *GRID.shape, dtype=torch.float64)
    if varying:
        shape += torch.rand(4, *GRID.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return State(scale * shape, CHANNELS, GRID, TIME)


def scattered(count: int, *, seed: int = 2) -> Departures:
    random = np.random.default_rng(seed)
    variable = random.choice(np.array(["t", "u", "msl"], dtype=object), count)
    places = {
        "variable": variable,
        "pressure": np.where(variable == "msl", np.nan, random.uniform(50_000.0, 100_000.0, count)),
        "latitude": np.degrees(np.arcsin(random.uniform(-1, 1, count))),
        "longitude": random.uniform(0, 360, count),
    }
    departure, error = random.normal(size=count), random.uniform(0.5, 2.0, count)
    return Departures(Operator.at(**places), departure, error)


def analyse(data: Departures, *, sigma: State | None = None, **settings: float) -> Increment:
    sigma = sigma_b() if sigma is None else sigma
    background = replace(sigma, values=torch.zeros_like(sigma.values))
    return OptimalInterpolation(sigma, **settings).increment(background, data)


def chord(lat_1: float, lon_1: float, lat_2: float, lon_2: float) -> float:
    """Straight distance by the haversine formula [m]."""
    a, b = np.radians(lat_1), np.radians(lat_2)
    half = np.sin((b - a) / 2) ** 2 + np.cos(a) * np.cos(b) * np.sin(np.radians(lon_2 - lon_1) / 2) ** 2
    return 2 * EARTH_RADIUS * np.sqrt(half)


def correlation(one: tuple[float, float, float], other: tuple[float, float, float]) -> float:
    """Between (latitude, longitude, pressure) and another, with L = 2500 km and L_v = 0.4."""
    vertical = 0.0 if np.isnan(one[2]) else np.log(one[2] / other[2])
    return float(np.exp(-(chord(*one[:2], *other[:2]) ** 2) / (2 * 2.5e6**2) - vertical**2 / (2 * 0.4**2)))


SCALES = {"length_scale": 2.5e6, "vertical_scale": 0.4}


def test_without_selection_it_is_the_dense_analysis():
    """δ = B Hᵀ (H B Hᵀ + R)⁻¹ d and its error variance, written out pair by pair for every channel and point."""
    sigma, data = sigma_b(varying=False), scattered(60)
    result = analyse(data, sigma=sigma, radius=EVERYWHERE, max_observations=1000, **SCALES)
    for index, channel in enumerate(CHANNELS):
        rows = np.flatnonzero(data.variable == channel.variable)
        places = [(data.latitude[i], data.longitude[i], data.pressure[i]) for i in rows]
        deviation = sigma.values[index, 0, 0].item()
        matrix = np.array([[correlation(a, b) for b in places] for a in places]) * deviation**2
        matrix += np.diag(data.error[rows] ** 2)
        for i, latitude in enumerate(GRID.latitudes):
            for j, longitude in enumerate(GRID.longitudes):
                level = np.nan if channel.level is None else channel.level
                point = np.array([correlation((latitude, longitude, level), b) for b in places]) * deviation**2
                weights = np.linalg.solve(matrix, point)
                assert result.mean.values[index, i, j].item() == pytest.approx(weights @ data.departure[rows], abs=1e-9)
                assert result.spread is not None
                variance = deviation**2 - weights @ point
                assert result.spread.values[index, i, j].item() ** 2 == pytest.approx(variance, rel=1e-9)


def test_a_single_observation_at_a_grid_point():
    """δ = σ_b²/(σ_b² + σ_o²) d and σ_a² = σ_b² σ_o²/(σ_b² + σ_o²) there; elsewhere the covariance's shape."""
    sigma = sigma_b()
    latitude, longitude = GRID.latitudes[5], GRID.longitudes[15]
    result = analyse(
        make_departures([("t", 50_000.0, latitude, longitude, 2.0, 0.7)]), sigma=sigma, radius=1e7, **SCALES
    )
    at = sigma.values[1, 5, 15].item()
    assert result.mean.values[1, 5, 15].item() == pytest.approx(2 * at**2 / (at**2 + 0.49), rel=1e-12)
    assert result.spread is not None
    assert result.spread.values[1, 5, 15].item() ** 2 == pytest.approx(at**2 * 0.49 / (at**2 + 0.49), rel=1e-12)
    other = correlation((latitude, longitude, 50_000.0), (GRID.latitudes[6], GRID.longitudes[1], 85_000.0))
    expected = sigma.values[0, 6, 1].item() * at * other * 2 / (at**2 + 0.49)
    assert result.mean.values[0, 6, 1].item() == pytest.approx(expected, rel=1e-9)


def test_the_background_error_at_an_observation_is_interpolated():
    """Half-way in ln p between the levels and in longitude between two columns: the mean of the four values."""
    sigma = sigma_b()
    middle, longitude = float(np.sqrt(85_000.0 * 50_000.0)), 0.5 * (GRID.longitudes[15] + 360.0)
    place = (GRID.latitudes[5], longitude, middle)
    result = analyse(make_departures([("t", middle, *place[:2], 2.0, 0.7)]), sigma=sigma, **SCALES)
    at = sigma.values[:2, 5, [15, 0]].mean().item()
    other = correlation(place, (GRID.latitudes[5], 0.0, 85_000.0))
    expected = sigma.values[0, 5, 0].item() * at * other * 2 / (at**2 + 0.49)
    assert result.mean.values[0, 5, 0].item() == pytest.approx(expected, rel=1e-9)


def test_only_the_observed_variable_changes():
    sigma = sigma_b()
    result = analyse(make_departures([("t", 50_000.0, 10.0, 20.0, 2.0, 0.7)]), sigma=sigma, **SCALES)
    assert torch.all(result.mean.values[2:] == 0)
    assert result.spread is not None
    assert torch.equal(result.spread.values[2:], sigma.values[2:])
    assert torch.any(result.mean.values[:2] != 0)


def test_zero_departures_make_a_zero_increment_and_less_spread():
    data = scattered(40)
    result = analyse(replace(data, departure=np.zeros(40)), **SCALES)
    assert torch.all(result.mean.values == 0)
    assert result.spread is not None
    assert torch.all(result.spread.values <= sigma_b().values)
    assert torch.any(result.spread.values < 0.9 * sigma_b().values)


@pytest.mark.parametrize(
    "rows",
    [[], [("q", 50_000.0, 10.0, 20.0, 1.0, 1.0)], [("t", 25_000.0, 10.0, 20.0, 1.0, 1.0)]],
    ids=["none", "of a variable that σ_b lacks", "where σ_b has faded to zero"],
)
def test_observations_that_cannot_count_leave_the_background(rows):
    result = analyse(make_departures(rows))
    assert torch.all(result.mean.values == 0)
    assert result.spread is not None
    assert torch.equal(result.spread.values, sigma_b().values)
    assert result.log is not None
    assert result.log["observations"] == 0


def test_the_order_of_the_rows_does_not_matter():
    """With repeated places, too, whose distances tie, and a selection that has to break the ties."""
    data = scattered(60)
    place = np.arange(60) // 6 * 6
    data = moved_to(data, latitude=data.latitude[place], longitude=data.longitude[place])
    shuffled = np.random.default_rng(5).permutation(60)
    mixed = data.take(shuffled)
    one, other = (analyse(d, max_observations=7, **SCALES) for d in (data, mixed))
    torch.testing.assert_close(one.mean.values, other.mean.values, rtol=0, atol=1e-10)
    assert one.spread is not None
    assert other.spread is not None
    torch.testing.assert_close(one.spread.values, other.spread.values, rtol=0, atol=1e-10)


def test_nothing_reaches_beyond_the_radius():
    data = make_departures([("msl", np.nan, 1.0, 1.0, 500.0, 100.0), ("msl", np.nan, -2.0, 181.0, 500.0, 100.0)])
    values = analyse(data, radius=3e6, length_scale=2e6).mean.values[3]
    for i, latitude in enumerate(GRID.latitudes):
        for j, longitude in enumerate(GRID.longitudes):
            nearest = min(chord(latitude, longitude, 1.0, 1.0), chord(latitude, longitude, -2.0, 181.0))
            assert (values[i, j].item() != 0) == (nearest <= 3e6)


def test_observations_beyond_the_radius_do_not_disturb_the_others():
    near = ("msl", np.nan, 1.0, 1.0, 500.0, 100.0)
    alone = analyse(make_departures([near]), radius=3e6, length_scale=2e6).mean.values[3]
    both = analyse(make_departures([near, ("msl", np.nan, 20.0, 30.0, -300.0, 100.0)]), radius=3e6, length_scale=2e6)
    for i, latitude in enumerate(GRID.latitudes):
        for j, longitude in enumerate(GRID.longitudes):
            if chord(latitude, longitude, 20.0, 30.0) > 3e6:
                assert both.mean.values[3, i, j].item() == pytest.approx(alone[i, j].item(), rel=1e-12)


def test_a_column_uses_its_nearest_observations():
    """With room for one, each column analyses its nearest observation as if it were the only one."""
    first, second = ("msl", np.nan, 1.0, 1.0, 500.0, 100.0), ("msl", np.nan, 10.0, 170.0, -300.0, 100.0)
    wide = {"radius": EVERYWHERE, "length_scale": 4e6}
    alone = [analyse(make_departures([row]), **wide).mean.values[3] for row in (first, second)]
    chosen = analyse(make_departures([first, second]), max_observations=1, **wide).mean.values[3]
    for i, latitude in enumerate(GRID.latitudes):
        for j, longitude in enumerate(GRID.longitudes):
            farther = chord(latitude, longitude, 1.0, 1.0) > chord(latitude, longitude, 10.0, 170.0)
            assert chosen[i, j].item() == pytest.approx(alone[int(farther)][i, j].item(), rel=1e-12)


def test_turning_the_globe_turns_the_analysis():
    """Five columns (112.5°) eastward: some observations cross the dateline and Greenwich."""
    data, sigma = scattered(40), sigma_b()
    turned_sigma = replace(sigma, values=sigma.values.roll(5, -1))
    turned = moved_to(data, longitude=np.mod(data.longitude + 112.5, 360.0))
    one = analyse(data, sigma=sigma, max_observations=10, **SCALES)
    other = analyse(turned, sigma=turned_sigma, max_observations=10, **SCALES)
    torch.testing.assert_close(other.mean.values, one.mean.values.roll(5, -1), rtol=0, atol=1e-9)


def test_wind_observations_near_the_pole_keep_their_background_error():
    """89.9° lies half-way to the same row across the pole, where a wind would change sign: σ_b must not vanish."""
    sigma = sigma_b(varying=False)
    result = analyse(make_departures([("u", 50_000.0, 89.9, 0.0, 3.0, 4.0)]), sigma=sigma, length_scale=5e6)
    # σ_b = σ_o = 4 at the observation: the normalised gain is ½ times the correlation with the point.
    near = np.exp(-(chord(89.9, 0.0, GRID.latitudes[-1], 0.0) ** 2) / (2 * 5e6**2))
    assert result.mean.values[2, -1, 0].item() == pytest.approx(1.5 * near, rel=1e-9)


def test_coincident_observations_without_error_are_survived():
    rows = [("t", 50_000.0, 10.0, 20.0, 1.0, 1e-12)] * 5 + [("t", 50_000.0, 10.0, 20.0, 3.0, 1e-12)] * 5
    result = analyse(make_departures(rows), **SCALES)
    assert torch.all(torch.isfinite(result.mean.values))
    one = analyse(make_departures([("t", 50_000.0, 10.0, 20.0, 2.0, 1e-12)]), **SCALES)
    torch.testing.assert_close(result.mean.values, one.mean.values, rtol=0, atol=1e-6)


def test_scaling_the_background_error():
    sigma = sigma_b()
    data = make_departures([("t", 50_000.0, GRID.latitudes[5], 0.0, 2.0, 0.7)])
    method = OptimalInterpolation(sigma).scaled(ErrorScale.uniform(2.0))
    assert torch.equal(method.background_error().values, 2 * sigma.values)
    at = 2 * sigma.values[1, 5, 0].item()
    increment = method.increment(sigma, data).mean.values[1, 5, 0].item()
    assert increment == pytest.approx(2 * at**2 / (at**2 + 0.49), rel=1e-12)


def test_valid_time_comes_from_the_background():
    sigma = sigma_b()
    background = replace(sigma, time=np.datetime64("2020-02-29T00", "ns"))
    assert OptimalInterpolation(sigma).increment(background, scattered(3)).mean.time == background.time


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length_scale": 0.0}, "length_scale must be positive, not 0"),
        ({"vertical_scale": -1.0}, "vertical_scale must be positive, not -1"),
        ({"radius": 0.0}, "radius must be positive"),
        ({"max_observations": 0}, "max_observations must be positive"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        OptimalInterpolation(sigma_b(), **settings)


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), float("inf")])
def test_an_impossible_background_error_is_refused(wrong):
    sigma = sigma_b()
    sigma.values[1, 2, 3] = wrong
    with pytest.raises(BadDataError, match="finite, non-negative"):
        OptimalInterpolation(sigma)


HUMID = (Channel("q", 85_000.0), Channel("q", 70_000.0), Channel("q", 50_000.0))


def test_a_column_of_water_beside_a_level_is_the_dense_analysis():
    """δ = B Hᵀ (H B Hᵀ + R)⁻¹ d with H written out: two columns of water and one humidity on a level."""
    values = torch.tensor([2e-3, 1.5e-3, 6e-4], dtype=torch.float64)[:, None, None].expand(3, *GRID.shape).clone()
    sigma = State(values, HUMID, GRID, TIME)
    rows = [("tcwv", np.nan, 11.25, 22.5, 3.0, 1.0), ("tcwv", np.nan, -11.25, 45.0, -2.0, 1.5),
            ("q", 70_000.0, 11.25, 67.5, 1e-3, 5e-4)]  # fmt: skip
    data = make_departures(rows)
    result = analyse(data, sigma=sigma, radius=EVERYWHERE, max_observations=1000, **SCALES)
    weights = column_weights([85_000.0, 70_000.0, 50_000.0], torch.tensor([101_325.0], dtype=torch.float64))[:, 0]
    heads = [(row[2], row[3], channel.level) for row in rows for channel in HUMID]
    seen = np.zeros((3, 9))
    seen[0, :3] = seen[1, 3:6] = weights.numpy()
    seen[2, 7] = 1.0
    size = np.tile(values[:, 0, 0].numpy(), 3)
    covariance = np.array([[correlation(a, b) for b in heads] for a in heads]) * np.outer(size, size)
    inverse = np.linalg.inv(seen @ covariance @ seen.T + np.diag(data.error**2))
    np.testing.assert_allclose(
        OptimalInterpolation(sigma, **SCALES).background_error_at(data.operator, sigma),
        np.sqrt(np.diag(seen @ covariance @ seen.T)),
        rtol=1e-9,
    )
    for index, channel in enumerate(HUMID):
        for i, j in ((3, 2), (4, 1), (6, 9)):
            here = (GRID.latitudes[i], GRID.longitudes[j], channel.level)
            point = values[index, 0, 0].item() * size * np.array([correlation(here, b) for b in heads])
            expected = point @ seen.T @ inverse @ data.departure
            assert result.mean.values[index, i, j].item() == pytest.approx(expected, rel=1e-8)
            variance = values[index, 0, 0].item() ** 2 - point @ seen.T @ inverse @ seen @ point
            assert result.spread.values[index, i, j].item() ** 2 == pytest.approx(variance, rel=1e-8)


MIXED = (*HUMID, *(Channel(name, p) for name in "tz" for p in (85_000.0, 50_000.0)))


def test_what_sees_several_variables_is_the_dense_analysis_of_all_of_them():
    """Rows of z, t and q at two levels with any slopes, beside rows of q, t and z, R diagonal."""
    sizes = torch.tensor([2e-3, 1.5e-3, 6e-4, 1.5, 1.2, 90.0, 120.0], dtype=torch.float64)
    sigma = State(sizes[:, None, None].expand(7, *GRID.shape).clone(), MIXED, GRID, TIME)
    rows = [("refractivity", 50_000.0, 11.25, 22.5, 1.0, 0.4), ("refractivity", 50_000.0, -11.25, 45.0, -2.0, 0.5),
            ("q", 70_000.0, 11.25, 67.5, 1e-3, 5e-4), ("t", 50_000.0, -11.25, 67.5, 0.8, 0.7),
            ("z", 85_000.0, 11.25, 45.0, 100.0, 90.0)]  # fmt: skip
    plain = make_departures(rows)
    ends = {"below": 85_000.0, "above": 50_000.0}
    operator = replace(plain.operator, **{name: np.full(5, p) for name, p in ends.items()})
    slopes = np.zeros((len(kind_of("refractivity").inputs(MIXED, operator.sites(np.arange(2)), beyond=True)), 5))
    slopes[0] = 1.0
    slopes[:, :2] = np.random.default_rng(7).normal(size=slopes[:, :2].shape) * [[1.0, 2.0]]
    data = replace(plain, operator=replace(operator, slopes=slopes))
    method = OptimalInterpolation(sigma, radius=EVERYWHERE, max_observations=1000, **SCALES)
    found = method.increment(replace(sigma, values=torch.zeros_like(sigma.values)), data)

    weight = data.operator.increments(GRID, MIXED).by_channel(torch.ones(7, *GRID.shape, dtype=torch.float64)).numpy()
    weight[2:] = 0.0
    weight[[2, 3, 4], [1, 4, 5]] = 1.0  # q700, t500, z850
    assert ((weight[:2] != 0).sum(1) == 6).all()
    heads = [(row[2], row[3], channel) for row in rows for channel in MIXED]
    seen = np.zeros((5, 35))
    for row in range(5):
        seen[row, 7 * row : 7 * row + 7] = weight[row]

    def covariance(a, b) -> float:
        if a[2].variable != b[2].variable:
            return 0.0
        size = [sizes[MIXED.index(own[2])].item() for own in (a, b)]
        return size[0] * size[1] * correlation(*((own[0], own[1], own[2].level or np.nan) for own in (a, b)))

    inner = seen @ np.array([[covariance(a, b) for b in heads] for a in heads]) @ seen.T
    np.testing.assert_allclose(method.background_error_at(data.operator, sigma), np.sqrt(np.diag(inner)), rtol=1e-9)
    inverse = np.linalg.inv(inner + np.diag(data.error**2))
    for index, channel in enumerate(MIXED):
        for i, j in ((3, 2), (4, 1), (6, 9)):
            here = (GRID.latitudes[i], GRID.longitudes[j], channel)
            point = np.array([covariance(here, b) for b in heads]) @ seen.T
            expected = point @ inverse @ data.departure
            assert found.mean.values[index, i, j].item() == pytest.approx(expected, rel=1e-8, abs=1e-15)
            variance = sizes[index].item() ** 2 - point @ inverse @ point
            assert found.spread.values[index, i, j].item() ** 2 == pytest.approx(variance, rel=1e-8)


def test_vertical_correlations_are_products_of_features():
    heights = np.log(np.array([101_325.0, 85_000.0, 52_345.6, 50_000.0, 1_000.0]))[:, None]
    points = Points(np.zeros((5, 1), dtype=np.int64), heights, np.ones((5, 1)))
    (own,) = features([points], np.array([0]), 0.3)
    np.testing.assert_allclose(own @ own.T, np.exp(-0.5 * ((heights - heights.T) / 0.3) ** 2), atol=1e-12)
