"""Duplicates that only their elevation tells apart."""

from __future__ import annotations

import numpy as np
import pytest

from phyda_cli.observations.table import concatenate
from phyda_cli.quality import duplicates
from phyda_cli.quality.duplicates import check_duplicates
from tests.support.observations import TIME, observations


def test_elevation_decides_between_rows_that_are_otherwise_the_same():
    """Whichever comes first: the lower one stays, as it comes first in the order of content."""
    kept = []
    for order in ([100.0, 600.0], [600.0, 100.0]):
        table = observations("t2m", [280.0, 280.0], pressure=np.nan, error=1.0, station="A", elevation=order)
        kept.append(table.elevation[check_duplicates(table, TIME).used].tolist())
    assert kept == [[100.0], [100.0]]


def test_many_rows_of_one_place_over_a_day_are_compared_with_those_near_in_time():
    """A row a minute: those within thirty minutes of the best are its duplicates."""
    time = TIME + np.arange(1440) * np.timedelta64(60_000_000_000, "ns")
    table = observations("t2m", np.full(1440, 280.0), pressure=np.nan, error=1.0, station="A", time=time)
    kept = np.flatnonzero(check_duplicates(table, TIME).used)
    assert kept.tolist() == list(range(0, 1440, 31))


def crowd(seed: int, count: int = 400):
    """Rows around the date line: few stations, some without a name, values and errors of which some are alike."""
    draw = np.random.default_rng(seed)
    return observations(
        draw.choice(np.array(["t", "u"], object), count),
        np.round(draw.normal(250.0, 1.0, count), draw.integers(0, 3)),
        latitude=10.0 + np.round(draw.uniform(0, 0.08, count), 3),
        longitude=np.mod(-0.04 + np.round(draw.uniform(0, 0.08, count), 3), 360.0),
        pressure=draw.choice([50_000.0, 50_030.0, 50_090.0, 3_000.0, 3_008.0], count),
        error=draw.choice([0.5, 1.0, 4.0], count),
        station=draw.choice(np.array(["", "A", "B", "C"], object), count),
        time=TIME + draw.integers(-5400, 5400, count).astype("timedelta64[s]"),
    )


@pytest.mark.parametrize("seed", range(8))
def test_a_crowd_is_judged_as_by_comparing_all_pairs(seed, monkeypatch):
    table = crowd(seed)
    monkeypatch.setattr(duplicates, "_LONGEST", 10_000)
    pairs = check_duplicates(table, TIME).used
    for longest in (0, 3):
        monkeypatch.setattr(duplicates, "_LONGEST", longest)
        np.testing.assert_array_equal(check_duplicates(table, TIME).used, pairs)
    assert 10 < pairs.sum() < 390


def test_a_crowd_beside_other_rows_leaves_these_alone(monkeypatch):
    """Far from the crowd, a pair of duplicates and a single row are judged as ever."""
    few = observations("t", [1.0, 1.0, 2.0], latitude=[-50.0, -50.0, 70.0], station=["X", "X", "Y"], time=TIME)
    table = concatenate([crowd(1), few])
    assert check_duplicates(table, TIME).used[-3:].tolist() == [True, False, True]


def test_the_reason_names_the_row_that_stays():
    table = observations("t", np.full(300, 250.0), station="A", error=np.append(np.full(299, 2.0), 1.0))
    judged = check_duplicates(table, TIME)
    assert np.flatnonzero(judged.used).tolist() == [299]
    assert set(judged.reason[:299]) == {f"duplicate of row {table.row[299]}"}
