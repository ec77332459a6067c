"""Networks of a cycle: what persists, what moves, and the geometry of routes and orbits."""

from __future__ import annotations

import numpy as np
import pytest

from phyda_cli.constants import EARTH_RADIUS
from phyda_cli.grids.places import chord_distance, unit_vectors
from phyda_cli.simulation import networks
from phyda_cli.simulation.config import NetworkRanges
from phyda_cli.simulation.networks import Network, sonde_places

EVERY = NetworkRanges(
    sondes=(0.5, 0.5), sondes_between=(0.2, 0.2), surface=(60, 60), routes=(40, 40), winds=(80, 80), swaths=(1, 1),
    columns=(20, 20), presence=1.0,
)  # fmt: skip
MIDNIGHT, MORNING = 273_912, 273_918
"""2001-04-01 00 and 06 UTC."""


@pytest.fixture
def network() -> Network:
    return Network.draw(EVERY, (0, 1, 2))


def places(seen, report):
    rows = seen.report == report
    return {(a, b) for a, b in zip(seen.latitude[rows], seen.longitude[rows], strict=True)}


def test_the_same_seed_and_time_see_the_same_and_others_do_not(network):
    again = Network.draw(EVERY, (0, 1, 2))
    for left, right in zip(network(MIDNIGHT), again(MIDNIGHT), strict=True):
        np.testing.assert_array_equal(left, right)
    assert places(Network.draw(EVERY, (0, 1, 3))(MIDNIGHT), "sonde") != places(network(MIDNIGHT), "sonde")


def test_stations_stay_and_aircraft_winds_and_swaths_move(network):
    first, later = network(MIDNIGHT), network(MORNING)
    assert places(first, "surface") == places(later, "surface")
    assert places(later, "sonde") < places(first, "sonde")
    for report in ("aircraft", "satwind", "sounding"):
        assert places(first, report) != places(later, report)
    real = set(zip(*sonde_places(), strict=True))
    own = places(first, "sonde") & real
    assert 0.4 * len(real) < len(own) < 0.6 * len(real)
    assert len(places(first, "sonde")) == len(own) + 20
    assert not np.any((first.variable == "q") & (first.pressure < 30_000.0))


def test_without_sondes_there_are_columns():
    bare = NetworkRanges(sondes=(0, 0), surface=(0, 0), routes=(0, 0), winds=(0, 0), swaths=(0, 0), columns=(0, 7))
    seen = Network.draw(bare, (0,))(MIDNIGHT)
    assert set(seen.report) == {"sonde"}
    assert len(places(seen, "sonde")) == 7


def test_aircraft_fly_great_circles(network):
    seen = network(MIDNIGHT)
    cruise = (seen.report == "aircraft") & np.isin(seen.pressure, [20_000.0, 25_000.0, 30_000.0])
    at = unit_vectors(seen.latitude[cruise], seen.longitude[cruise])
    normal = np.cross(network.routes[:, 0], network.routes[:, 1])
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    assert len(at) > 50
    assert np.abs(at @ normal.T).min(axis=1).max() < 1e-12


def test_a_polar_orbit_goes_round_the_earth_in_its_period_and_crosses_the_equator_further_west():
    track = networks._track(0.3, 1.0, 1000.0).reshape(3, -1, 2)
    middle = unit_vectors(*track[1].T)
    assert np.abs(track[1, :, 0]).max() == pytest.approx(81.4, abs=0.3)
    # relative to space: 2π a SAMPLING / P; the earth turns below by at most ω a SAMPLING
    step = 2 * np.pi * EARTH_RADIUS * networks.SAMPLING / networks.PERIOD
    assert (
        np.abs(chord_distance(middle[1:], middle[:-1]) - step).max() < networks.TURN * networks.SAMPLING * EARTH_RADIUS
    )
    beside = chord_distance(unit_vectors(*track[0].T), middle)
    np.testing.assert_allclose(beside[1:-1], 600e3, rtol=1e-6)
    rising = np.flatnonzero((track[1, :-1, 0] < 0) & (track[1, 1:, 0] >= 0))
    shift = np.diff(np.unwrap(np.radians(track[1, rising, 1])))
    assert shift == pytest.approx(np.full(shift.size, -networks.TURN * networks.PERIOD), abs=0.05)
