"""Random observation networks: their distribution, counted."""

import numpy as np
import pytest

from phyda_cli.fields.state import Channel
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.observations.errors import default_error_table
from phyda_cli.simulation.networks import sonde_places
from phyda_cli.training import networks
from phyda_cli.training.networks import (
    Network,
    draw_network,
    draw_places,
    operational_network,
    uniform_network,
)

GRID = LatLonGrid.equiangular(16, 32)
CHANNELS = (
    *(Channel(name, level) for name in ("u", "v", "t", "z") for level in (85_000.0, 50_000.0, 25_000.0)),
    Channel("msl"),
)
SIZE = len(CHANNELS) * 16 * 32


def draw_many(count: int, seed: int = 0) -> list[Network]:
    generator = np.random.default_rng(seed)
    table = default_error_table()
    return [draw_network(generator, grid=GRID, channels=CHANNELS, table=table) for _ in range(count)]


def test_a_tenth_is_empty_and_the_rest_log_uniform() -> None:
    drawn = draw_many(1500)
    empty = [network for network in drawn if len(network) == 0]
    assert len(empty) / 1500 == pytest.approx(networks.NONE, abs=0.025)
    density = np.log([network.density for network in drawn if len(network)])
    low, high = np.log(networks.LEAST_DENSITY), np.log(networks.LARGEST_DENSITY)
    assert density.min() >= low
    assert density.max() <= high
    assert density.mean() == pytest.approx((low + high) / 2, abs=0.12)
    assert density.std() == pytest.approx((high - low) / 12**0.5, rel=0.05)


def test_the_number_of_observations_is_the_density_s() -> None:
    for network in draw_many(200):
        if len(network):
            # columns and levels come whole: off by at most half of one
            assert abs(len(network) - network.density * SIZE) <= max(len(CHANNELS) / 2 + 1, 1)


def test_values_columns_and_levels_all_occur_and_variables_go_missing() -> None:
    drawn = [network for network in draw_many(400) if len(network) >= 3 * len(CHANNELS)]
    places = [len(set(zip(network.latitude, network.longitude, strict=True))) for network in drawn]
    single = sum(count == len(network) for count, network in zip(places, drawn, strict=True))
    levels = [set(np.nan_to_num(network.pressure)) for network in drawn]
    one = sum(len(held) == 1 for held in levels)
    assert 0.25 < single / len(drawn) < 0.45
    assert 0.25 < one / len(drawn) < 0.45
    whole = [set(network.variable) for network, held in zip(drawn, levels, strict=True) if len(held) > 1]
    missing = np.mean([name not in held for held in whole for name in ("u", "v", "t", "z")])
    assert missing == pytest.approx(networks.MISSING, abs=0.06)
    assert all(whole)


def test_scattered_places_are_even_on_the_sphere_and_clustered_ones_are_not() -> None:
    generator = np.random.default_rng(1)
    latitude, longitude = draw_places(generator, 20_000, "scattered")
    assert np.mean(np.abs(latitude) < 30) == pytest.approx(0.5, abs=0.015)
    assert np.mean(longitude < 90) == pytest.approx(0.25, abs=0.015)
    latitude, longitude = draw_places(generator, networks.PLACES_PER_CLUSTER, "clustered")
    phi, lam = np.radians(latitude), np.radians(longitude)
    points = np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)])
    centre = points.mean(1) / np.linalg.norm(points.mean(1))
    distance = np.degrees(np.arccos(np.clip(centre @ points, -1, 1)))
    # |N(0, 15°)|: 95 % within 30°; the mean of the sample is a little off the centre
    assert np.mean(distance < 33) > 0.85


def test_clusters_are_as_wide_near_a_pole_as_at_the_equator() -> None:
    generator = np.random.default_rng(2)
    for latitude in (0.0, 89.0):
        moved, east = networks._displaced(generator, np.full(20_000, latitude), np.full(20_000, 10.0))
        phi, lam = np.radians(moved), np.radians(east - 10.0)
        start = np.radians(latitude)
        cosine = np.sin(start) * np.sin(phi) + np.cos(start) * np.cos(phi) * np.cos(lam)
        distance = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
        assert np.sqrt(np.mean(distance**2)) == pytest.approx(networks.CLUSTER_WIDTH, rel=0.03)


def test_the_paper_s_network_has_the_table_s_errors_exactly() -> None:
    table = default_error_table()
    network = uniform_network(np.random.default_rng(3), 0.02, grid=GRID, channels=CHANNELS, table=table)
    assert len(network) == round(0.02 * SIZE)
    assert np.array_equal(network.error, table.sigma(network.variable, network.pressure))


def test_noise_factors_are_one_for_each_variable_and_log_uniform() -> None:
    table = default_error_table()
    factors = []
    for network in draw_many(500, seed=4):
        ratio = network.error / table.sigma(network.variable, network.pressure) if len(network) else np.zeros(0)
        for name in set(network.variable):
            own = ratio[network.variable == name]
            assert np.allclose(own, own[0])
            factors.append(np.log(own[0]))
    low, high = np.log(networks.NOISE)
    assert min(factors) >= low
    assert max(factors) <= high
    assert np.mean(factors) == pytest.approx((low + high) / 2, abs=0.05)
    assert np.std(factors) == pytest.approx((high - low) / 12**0.5, rel=0.07)


def test_a_uniform_network_has_the_noise_that_is_asked_for() -> None:
    table = default_error_table()
    made = uniform_network(np.random.default_rng(0), 0.02, grid=GRID, channels=CHANNELS, table=table, noise=0.25)
    assert np.allclose(made.error, 0.25 * table.sigma(made.variable, made.pressure))


def test_the_generator_decides() -> None:
    first, second, other = draw_many(20, seed=5), draw_many(20, seed=5), draw_many(20, seed=6)
    assert all(np.array_equal(a.latitude, b.latitude) for a, b in zip(first, second, strict=True))
    assert not all(np.array_equal(a.latitude, b.latitude) for a, b in zip(first, other, strict=True))


def test_a_uniform_network_may_observe_one_channel_alone() -> None:
    """2 % of the values of t500: 0.02 · 512 observations, all of it."""
    table = default_error_table()
    number = CHANNELS.index(Channel("t", 50_000.0))
    made = uniform_network(
        np.random.default_rng(0), 0.02, grid=GRID, channels=CHANNELS, table=table, observed=(number,)
    )
    assert len(made) == 10
    assert set(made.variable) == {"t"}
    assert set(made.pressure) == {50_000.0}


def test_an_operational_network_sees_the_channels_that_there_are_with_errors_of_the_table() -> None:
    table = default_error_table()
    stations = set(zip(*sonde_places(), strict=True))
    for seed in range(8):
        midnight, again, morning = (
            operational_network(np.random.default_rng(seed), hours, grid=GRID, channels=CHANNELS, table=table)
            for hours in (273_912, 273_912, 273_918)
        )
        held = {
            Channel(name, None if np.isnan(p) else p)
            for name, p in zip(midnight.variable, midnight.pressure, strict=True)
        }
        assert held <= set(CHANNELS)
        assert midnight.density == pytest.approx(len(midnight) / SIZE)
        np.testing.assert_array_equal(midnight.latitude, again.latitude)
        sondes = [
            {(a, b) for a, b, name in zip(n.latitude, n.longitude, n.variable, strict=True) if name == "z"} & stations
            for n in (midnight, morning)
        ]
        assert sondes[1] <= sondes[0]
        heights = midnight.variable == "z"
        if heights.any():
            factor = midnight.error[heights] / table.sigma(midnight.variable[heights], midnight.pressure[heights])
            assert factor.min() == pytest.approx(factor.max())
            assert 0.8 <= factor.min() <= 1.3
