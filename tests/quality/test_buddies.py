"""The buddy check: the reference numbers of the Met Office check, the equation by hand, who goes and who stays."""

from __future__ import annotations

import time as clock
from dataclasses import replace

import numpy as np
import pytest

from phyda_cli.constants import EARTH_RADIUS
from phyda_cli.observations.errors import default_error_table
from phyda_cli.observations.settings import Buddy
from phyda_cli.observations.table import Flag, Use
from phyda_cli.quality.buddies import check_buddies
from phyda_cli.quality.buddy_prediction import covariance, describe, predict
from phyda_cli.quality.buddy_search import find_buddies
from phyda_cli.quality.groups import content_rank
from tests.support.observations import TIME, observations

TABLE = default_error_table()
PAIR = (np.array([0]), np.array([1]))


def stations(departures, latitude, longitude, *, variable="t", error=1.0, **columns):
    n = len(departures)
    names = columns.pop("station", [f"S{i}" for i in range(n)])
    return observations(
        variable, departures, latitude=latitude, longitude=np.mod(longitude, 360), error=error, station=names, **columns
    )


def rejected(table, sigma=1.0, **settings):
    """Rows that go; values are departures, the background is zero."""
    n = len(table)
    result = check_buddies(table, np.zeros(n), np.full(n, float(sigma)), TABLE, Buddy(**settings))
    return np.flatnonzero(result.flag == Flag.BUDDY).tolist()


def test_the_pair_of_the_met_office_buddy_check():
    """UFO test/testinput/unit_tests/filters/qc_met_office_buddy_check_unittests.yaml, air temperature.

    Gross error probabilities 0.05 and 0.1 become 0.053149 and 0.106297 with damping 0.8 and 0.6: the likelihood ratio
    of our prediction goes into the formula of that check. The correlation length is 200 km at 20° N, 150 km at 30° N.
    """
    table = stations([1.0, -2.0], [20, 21], [31, 32], error=[1.0, 2.0])
    field = describe(table, np.array([2.0, 1.0]))
    settings = Buddy(length_km=197.5)
    found = predict(field, table.value, np.array([0, 1]), np.array([[1], [0]]), settings)
    total = np.array([5.0, 5.0])
    ratio = np.sqrt(total) / found.spread * np.exp(
        -0.5 * ((table.value - found.estimate) / found.spread) ** 2 + 0.5 * table.value**2 / total
    )  # fmt: skip
    assert ratio[0] == pytest.approx(ratio[1])
    prior = np.array([0.05, 0.1])
    factor = (1.0 / (1.0 - (1.0 - prior[0]) * (1.0 - prior[1]) * (1.0 - ratio**0.8))) ** 0.6
    np.testing.assert_allclose(prior * factor, [0.053149, 0.106297], rtol=2e-4)


def test_the_prediction_from_one_buddy_by_hand():
    # at one length: ρ = 2/e; C = ρ · 2 · 1, C + R = 1 + 4 → d̂ = 2 ρ/5 · 10, s² = 1 + 4 − (2 ρ)²/5
    degrees = np.degrees(200_000.0 / EARTH_RADIUS)
    table = stations([0.0, 10.0], [0.0, degrees], [0.0, 0.0], error=[1.0, 2.0])
    field = describe(table, np.array([2.0, 1.0]))
    found = predict(field, table.value, np.array([0]), np.array([[1, -1]]), Buddy())
    rho = 2.0 / np.e
    assert found.estimate[0] == pytest.approx(4.0 * rho)
    assert found.spread[0] == pytest.approx(np.sqrt(5.0 - 4.0 * rho**2 / 5.0))
    alone = predict(field, table.value, np.array([0]), np.array([[-1, -1]]), Buddy())
    assert (alone.estimate[0], alone.spread[0]) == (0.0, pytest.approx(np.sqrt(5.0)))


def test_correlations_of_winds_depth_and_time():
    degrees = np.degrees(200_000.0 / EARTH_RADIUS)
    for variable, place, expected in (
        ("u", (0.0, degrees), np.exp(-1)),  # along the wind component
        ("u", (degrees, 0.0), 0.0),  # across it, at r = 1
        ("v", (degrees, 0.0), np.exp(-1)),
        ("v", (0.0, degrees), 0.0),
        ("v", (0.0, 0.0), 1.0),
        ("t", (0.0, degrees), 2 * np.exp(-1)),
    ):
        table = stations([0.0, 0.0], [0.0, place[0]], [0.0, place[1]], variable=variable)
        found = covariance(describe(table, np.ones(2)), *PAIR, Buddy())[0]
        assert found == pytest.approx(expected, abs=1e-5), (variable, place)
    table = stations([0.0, 0.0], [0, 0], [0, 0], pressure=[50_000.0, 50_000.0 * np.exp(0.17)])
    assert covariance(describe(table, np.ones(2)), *PAIR, Buddy())[0] == pytest.approx(np.exp(-0.5))
    table = stations([0.0, 0.0], [0, 0], [0, 0], time=[TIME, TIME + np.timedelta64(3, "h")])
    assert covariance(describe(table, np.array([2.0, 3.0])), *PAIR, Buddy())[0] == pytest.approx(6 * np.exp(-0.5))


def test_across_the_pole_a_wind_component_turns_round():
    # 100 km to either side of the pole: east at 0° is west at 180°
    degrees = np.degrees(100_000.0 / EARTH_RADIUS)
    table = stations([0.0, 0.0], [90 - degrees] * 2, [0, 180], variable="u")
    assert covariance(describe(table, np.ones(2)), *PAIR, Buddy())[0] == pytest.approx(0.0, abs=1e-9)  # 1 − r = 0
    table = stations([0.0, 0.0], [90 - degrees / 2] * 2, [0, 180], variable="u")
    assert covariance(describe(table, np.ones(2)), *PAIR, Buddy())[0] == pytest.approx(-0.5 * np.exp(-0.5))


PLACES = ([50.0, 50.5, 51.0, 50.0, 50.5, 51.0, 50.5], [10.0, 10.0, 10.0, 11.0, 11.0, 11.0, 12.0])


def test_the_bad_one_goes_and_its_good_buddies_stay():
    departures = np.array([0.5, -0.3, 0.1, 0.4, 6.9, -0.2, 0.3])
    # within the background check, 5 √2 = 7.07, but not what its neighbours say
    assert rejected(stations(departures, *PLACES)) == [4]
    assert rejected(stations(departures, *PLACES), enabled=False) == []
    assert rejected(stations(departures[[4]], [50.5], [11.0])) == []
    # what all of them say is the background's error
    assert rejected(stations(np.full(7, 6.9), *PLACES)) == []


def test_several_bad_ones_go_worst_first():
    latitude = np.repeat(np.arange(50.0, 54.0, 0.5), 8)
    longitude = np.tile(np.arange(10.0, 18.0), 8)
    departures = np.random.default_rng(2).normal(0.0, 0.8, 64)
    departures[[10, 11, 40]] = [7.0, -7.0, 6.9]
    assert rejected(stations(departures, latitude, longitude)) == [10, 11, 40]


def test_own_platform_other_variables_far_levels_and_rejected_rows_are_no_buddies():
    departures = np.array([0.0, 0.0, 0.0, 0.0, 6.9, 0.0, 0.0])
    assert rejected(stations(departures, *PLACES)) == [4]
    assert rejected(stations(departures, *PLACES, station="one")) == []
    assert rejected(stations(departures, *PLACES, variable=["u"] * 4 + ["t"] + ["u"] * 2)) == []
    assert rejected(stations(departures, *PLACES, pressure=[5e4] * 4 + [8e4] + [5e4] * 2)) == []
    flag = [Flag.BOUNDS] * 4 + [0] + [Flag.BOUNDS] * 2
    assert rejected(stations(departures, *PLACES, flag=flag)) == []
    use = [Use.WITHHOLD, Use.MONITOR] * 2 + [Use.ASSIMILATE] + [Use.WITHHOLD, Use.MONITOR]
    assert rejected(stations(departures, *PLACES, use=use)) == []
    use = [Use.ASSIMILATE] * 4 + [Use.WITHHOLD] + [Use.ASSIMILATE] * 2
    assert rejected(stations(departures, *PLACES, use=use)) == [4]
    n = np.full(7, np.nan)
    assert check_buddies(stations(departures, *PLACES), np.zeros(7), n, TABLE, Buddy()).used.all()


def test_the_reason_has_the_numbers():
    table = stations([0.0, 0.0, 6.9], [50.0, 50.0, 50.0], [10.0, 10.001, 10.002], error=0.5)
    result = check_buddies(table, np.zeros(3), np.ones(3), TABLE, Buddy())
    assert result.flag.tolist() == [0, 0, Flag.BUDDY]
    assert result.reason[2].startswith("departure 6.9 is not the 0 of its 2 buddies: more than 5 times 0.")


def test_the_limit_is_that_of_the_background_check():
    departures = np.array([0.0, 0.0, 0.0, 0.0, 4.5, 0.0, 0.0])
    table = stations(departures, *PLACES)
    own = replace(TABLE, limits={"t": 3.0})
    assert check_buddies(table, np.zeros(7), np.ones(7), TABLE, Buddy()).used.all()
    assert not check_buddies(table, np.zeros(7), np.ones(7), own, Buddy()).used[4]


@pytest.mark.parametrize(
    ("latitude", "longitude"), [(0.0, 0.0), (0.0, 180.0), (89.9, 77.0), (-90.0, 0.0), (33.3, 123.4)]
)
def test_buddies_are_found_everywhere(latitude, longitude):
    # rings of 50, 150 and 290 km around a place, 400 km is too far; bearings all around
    rng = np.random.default_rng(3)
    way = np.concatenate([[0.0], np.repeat([50.0, 150.0, 290.0, 400.0], 2)]) * 1000 / EARTH_RADIUS
    bearing = rng.uniform(0, 2 * np.pi, way.size)
    phi, lam = np.radians(latitude), np.radians(longitude)
    north = np.arcsin(np.sin(phi) * np.cos(way) + np.cos(phi) * np.sin(way) * np.cos(bearing))
    east = lam + np.arctan2(np.sin(bearing) * np.sin(way) * np.cos(phi), np.cos(way) - np.sin(phi) * np.sin(north))
    table = stations(np.zeros(way.size), np.degrees(north), np.degrees(east))
    found = find_buddies(table, describe(table, np.ones(way.size)), Buddy(), content_rank(table))
    assert sorted(found[0][:4].tolist()) == [1, 2, 3, 4]
    assert sorted(found[0][found[0] >= 0].tolist()) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_rows_and_the_longitude_convention_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    n = 300
    departures = rng.normal(0.0, 1.0, n)
    departures[rng.integers(0, n, 12)] = rng.choice([-7.0, 7.0], 12)
    table = stations(
        departures, rng.uniform(86, 90, n), rng.uniform(0, 360, n), variable=rng.choice(["t", "u"], n),
        pressure=rng.choice([5e4, 5.1e4], n), time=TIME + rng.integers(-180, 180, n).astype("timedelta64[m]"),
    )  # fmt: skip
    straight = rejected(table)
    assert len(straight) >= 4
    order = rng.permutation(n)
    assert sorted(order[rejected(table.take(order))].tolist()) == straight
    west = np.where(table.longitude > 180, table.longitude - 360, table.longitude)
    assert rejected(replace(table, longitude=west)) == straight


def test_correlated_errors_of_a_right_background_are_rarely_rejected():
    """Departures drawn from C + R itself: beyond five standard deviations are six in ten million."""
    rng = np.random.default_rng(4)
    n = 600
    table = stations(np.zeros(n), rng.uniform(40, 55, n), rng.uniform(0, 25, n))
    field = describe(table, np.full(n, 1.5))
    every = np.indices((n, n)).reshape(2, -1)
    c = covariance(field, *every, Buddy()).reshape(n, n)
    root = np.linalg.cholesky(c + np.eye(n))
    table = replace(table, value=root @ rng.normal(size=n))
    assert rejected(table, sigma=1.5) == []
    found = predict(field, table.value, np.arange(n), find_buddies(table, field, Buddy(), content_rank(table)), Buddy())
    assert ((table.value - found.estimate) / found.spread).std() == pytest.approx(1.0, abs=0.1)


def test_a_large_table_is_controlled_in_time():
    n = 50_000
    rng = np.random.default_rng(0)
    table = stations(
        rng.normal(0, 1.4, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n))), rng.uniform(0, 360, n),
        pressure=rng.uniform(2e4, 1e5, n),
    )  # fmt: skip
    start = clock.process_time()
    assert len(rejected(table)) < 50
    assert clock.process_time() - start < 10.0


def test_one_row_and_none():
    assert rejected(stations([], [], [])) == []
    assert rejected(stations([9.0], [0.0], [0.0])) == []
