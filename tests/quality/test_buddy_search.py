"""The search for buddies against all pairs; what is not predicted could not have been rejected."""

from __future__ import annotations

import numpy as np
import pytest

from phyda_cli.grids.places import chord_distance
from phyda_cli.observations.errors import default_error_table
from phyda_cli.observations.settings import Buddy
from phyda_cli.observations.table import Flag, Observations, Use
from phyda_cli.quality import buddies
from phyda_cli.quality.buddy_prediction import describe
from phyda_cli.quality.buddy_search import find_buddies
from phyda_cli.quality.groups import content_rank
from tests.support.observations import TIME, observations

SETTINGS = Buddy(buddies=5)


def clusters(seed: int) -> Observations:
    """Forty clusters of ten rows within some 300 km, far from each other: fewer than the candidates of a search."""
    rng = np.random.default_rng(seed)
    centre_latitude, centre_longitude = np.meshgrid(np.linspace(-60, 60, 5), np.linspace(0, 315, 8))
    latitude = np.repeat(centre_latitude.ravel(), 10) + rng.uniform(-1.5, 1.5, 400)
    longitude = np.mod(np.repeat(centre_longitude.ravel(), 10) + rng.uniform(-2, 2, 400), 360)
    return observations(
        rng.choice(["t", "u"], 400, p=[0.7, 0.3]), rng.normal(0, 1, 400), latitude=latitude, longitude=longitude,
        pressure=5e4 * np.exp(rng.uniform(-0.3, 0.3, 400)), time=TIME + rng.integers(-300, 300, 400).astype("m8[m]"),
        station=[f"S{i}" for i in rng.integers(0, 200, 400)], error=1.0,
        use=rng.choice([Use.ASSIMILATE.value, Use.WITHHOLD.value], 400, p=[0.8, 0.2]),
    )  # fmt: skip


def all_pairs(o: Observations) -> np.ndarray:
    """The definition, pair by pair."""
    field, rank = describe(o, np.ones(len(o))), content_rank(o)
    one, other = np.indices((len(o), len(o)))
    r = chord_distance(field.place[one.ravel()], field.place[other.ravel()]).reshape(one.shape) / 200_000.0
    depth = (field.log_pressure[:, None] - field.log_pressure) / SETTINGS.log_pressure
    lag = (field.hours[:, None] - field.hours) / SETTINGS.hours
    related = (
        (o.variable[:, None] == o.variable) & (o.station[:, None] != o.station) & (o.use == Use.ASSIMILATE.value)
        & (r <= 1.5) & (np.abs(depth) <= 2) & (np.abs(lag) <= 2)
    )  # fmt: skip
    correlation = (1 + r) * np.exp(-r) * np.exp(-0.5 * (depth**2 + lag**2))
    result = np.full((len(o), SETTINGS.buddies), -1)
    for i in range(len(o)):
        there = np.flatnonzero(related[i])
        best = there[np.lexsort((rank[there], -np.round(correlation[i, there], 9)))][: SETTINGS.buddies]
        result[i, : best.size] = best
    return result


@pytest.mark.parametrize("seed", range(4))
def test_few_neighbours_are_the_best_of_all_pairs(seed):
    o = clusters(seed)
    found = find_buddies(o, describe(o, np.ones(len(o))), SETTINGS, content_rank(o))
    expected = all_pairs(o)
    assert (expected >= 0).any(axis=1).mean() > 0.5
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("seed", range(2))
def test_buddies_do_not_depend_on_the_order_of_rows_in_a_crowd(seed):
    rng = np.random.default_rng(seed)
    n = 600
    o = observations(
        "t", rng.normal(0, 1, n), latitude=rng.integers(50, 54, n) + 0.5, longitude=rng.integers(0, 8, n) * 0.5,
        pressure=rng.choice([5e4, 5.2e4, 5.4e4], n), station=[f"S{i}" for i in range(n)], error=1.0,
    )  # fmt: skip

    def search(table: Observations) -> np.ndarray:
        return find_buddies(table, describe(table, np.ones(n)), Buddy(), content_rank(table))

    order = rng.permutation(n)
    found = search(o)
    assert (found >= 0).all()
    np.testing.assert_array_equal(order[search(o.take(order))], found[order])


@pytest.mark.parametrize(("sigma", "spread"), [(0.3, 1.0), (1.0, 1.3), (3.0, 2.0)])
def test_rows_that_are_not_predicted_would_have_passed(monkeypatch, sigma, spread):
    rng = np.random.default_rng(5)
    n = 2000
    value = rng.normal(0.0, spread, n)
    value[:60] = rng.choice([-1, 1], 60) * rng.uniform(4, 9, 60)
    o = observations(
        rng.choice(["t", "u", "v"], n), value, latitude=rng.uniform(70, 90, n), longitude=rng.uniform(0, 360, n),
        station=[f"S{i}" for i in range(n)], error=rng.uniform(0.7, 1.5, n),
    )  # fmt: skip
    predicted = []
    original = buddies.predict

    def counted(field, departure, rows, *rest):
        predicted.append(rows.size)
        return original(field, departure, rows, *rest)

    monkeypatch.setattr(buddies, "predict", counted)

    def check() -> tuple[Observations, int]:
        predicted.clear()
        result = buddies.check_buddies(o, np.zeros(n), np.full(n, sigma), default_error_table(), Buddy())
        return result, sum(predicted)

    quick, few = check()
    monkeypatch.setattr(buddies, "_SAFE", -1.0)
    thorough, many = check()
    assert few < many
    assert (quick.flag == Flag.BUDDY).sum() > 5
    assert quick.flag.tolist() == thorough.flag.tolist()
    assert quick.reason.tolist() == thorough.reason.tolist()
