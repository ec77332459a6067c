"""Whole columns in training networks: what is added, and what 3D-Var and the encoder's input make of it."""

import numpy as np
import pytest
import torch

from phyda_cli.observations.errors import default_error_table
from phyda_cli.training.cases import CaseMaker
from phyda_cli.training.from_space import HEIGHTS, with_occultations, with_sounder
from phyda_cli.training.networks import Network, draw_network
from tests.support.background_error import CHANNELS, GRID, small_statistics


def largest() -> Network:
    """The largest of some networks."""
    generator, table = np.random.default_rng(0), default_error_table()
    return max((draw_network(generator, grid=GRID, channels=CHANNELS, table=table) for _ in range(4)), key=len)


def test_a_sounder_adds_all_channels_at_its_places_and_leaves_the_others_alone() -> None:
    table = default_error_table()
    before = largest()
    counts, factors = [], []
    for seed in range(60):
        both = with_sounder(np.random.default_rng(seed), before, table)
        n = len(before)
        np.testing.assert_array_equal(both.latitude[:n], before.latitude)
        np.testing.assert_array_equal(both.error[:n], before.error)
        assert np.isnan(both.zenith[:n]).all()
        assert both.density == before.density
        own = both.zenith[n:].reshape(-1, 5)
        np.testing.assert_array_equal(own, own[:, :1].repeat(5, axis=1))
        assert np.abs(own).max() <= 60.0
        assert both.variable[n : n + 5].tolist() == ["tb5", "tb6", "tb7", "tb8", "tb9"]
        assert len(np.unique(both.latitude[n:])) == len(own)
        counts.append(len(own))
        factors.append(both.error[n] / table.sigma(both.variable[n : n + 1], np.array([np.nan]))[0])
    assert 30 <= min(counts) < 60
    assert 500 < max(counts) <= 1000
    assert 0.15 <= min(factors) < 0.3
    assert 1.0 < max(factors) <= 1.5


def test_occultations_add_whole_profiles_with_errors_of_their_latitude():
    table, before = default_error_table(), largest()
    n, counts = len(before), []
    for seed in range(60):
        both = with_occultations(np.random.default_rng(seed), before, table)
        np.testing.assert_array_equal(both.error[:n], before.error)
        assert np.isnan(both.height[:n]).all()
        own = both.height[n:].reshape(-1, HEIGHTS.size)
        np.testing.assert_array_equal(own, np.broadcast_to(HEIGHTS, own.shape))
        assert set(both.variable[n:]) == {"refractivity"}
        counts.append(len(own))
        latitude, pressure = both.latitude[n:], both.pressure[n:]
        ratio = both.error[n:] / table.sigma(both.variable[n:], pressure, latitude=latitude)
        assert np.ptp(ratio) < 1e-12
        assert 0.15 <= ratio[0] <= 1.5
        # the standard atmosphere has 264.4 hPa at 10 km of geopotential height, which gravity lifts by 16 m and turns
        # by 0.26 % between the pole and the equator
        ten = pressure.reshape(own.shape)[:, HEIGHTS.tolist().index(10_000.0)]
        assert ten.min() > 26_300.0
        assert ten.max() < 26_700.0
    assert 20 <= min(counts) < 40
    assert 250 < max(counts) <= 400


def test_a_profile_warms_the_first_guess_where_the_truth_is_warmer_and_the_encoder_sees_it(place):
    """N falls with temperature at 10 km, where there is hardly any water: ∂N/∂T = −77.6 p/T² < 0."""
    store = place.opened()
    maker = CaseMaker(store, small_statistics(), default_error_table())
    background = torch.from_numpy(store.read_pairs(store.pair_index("train")[:1]).background)
    row, column, one = 5, 11, np.ones(1)
    network = Network(
        np.array(["refractivity"], dtype=object), 26_400.0 * one, GRID.latitudes[row] * one,
        GRID.longitudes[column] * one, 0.01 * one, np.nan * one, 10_000.0 * one, 0.0,
    )  # fmt: skip
    warmer = torch.zeros_like(background)
    warm = [k for k, channel in enumerate(CHANNELS) if channel.variable == "t"]
    warmer[:, warm] = 1.0
    made = maker.make(warmer, [network], [1.0], [np.random.default_rng(4)], background)
    seen = made.observations
    levels = {
        (CHANNELS[k].variable, CHANNELS[k].level) for k in seen.density[0, :, row, column].nonzero()[:, 0].tolist()
    }
    assert {name for name, _ in levels} == {"z", "t", "q"}
    assert {level for _, level in levels} == {50_000.0, 25_000.0}
    at = CHANNELS.index(next(c for c in CHANNELS if c.variable == "t" and c.level == 25_000.0))
    assert seen.signal[0, at, row, column] > 0  # d < 0 and ∂N/∂T < 0
    assert made.first_guess[0, at, row, column] > 0
    assert float(seen.count().sum()) == pytest.approx(1.0, abs=1e-5)
