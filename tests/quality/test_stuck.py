"""The stuck check: outcomes of UFO's tests, and what is no fault."""

from __future__ import annotations

import numpy as np
import pytest

from phyda_cli.observations.settings import Stuck
from phyda_cli.observations.table import Flag
from phyda_cli.quality.track import check_stuck
from tests.support.observations import TIME, observations


def series(values, seconds, variable="t2m", **columns):
    return observations(
        variable, values, station="A1", report="ship",
        time=TIME + np.asarray(seconds).astype("timedelta64[s]"), **columns,
    )  # fmt: skip


def rejected(table, **settings):
    return np.flatnonzero(check_stuck(table, Stuck(**settings)).flag == Flag.TRACK).tolist()


# Values, times and outcomes of UFO test/testinput/unit_tests/filters/qc_stuckcheck_unittests.yaml
@pytest.mark.parametrize(
    ("values", "seconds", "expected"),
    [
        ([281, 281, 282, 282, 283, 283], [0, 7200, 10800, 18000, 21600, 28800], []),
        ([282, 282, 282, 283, 283, 283], [0, 1800, 1860, 10800, 10860, 10920], []),
        ([282] * 6, [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5]),
        ([282] * 2, [0, 1], []),
        ([282, 282, 282, 282, 283, 283], [0, 7200, 14400, 21600, 28800, 43200], [0, 1, 2, 3]),
        ([282, 282, 282, 283, 283, 283], [0, 1, 2, 21600, 28800, 43200], [3, 4, 5]),
        ([280, 281, 282, 283, 284, 285], [0, 1, 2, 21600, 28800, 43200], []),
    ],
)
def test_outcomes_of_ufo(values, seconds, expected):
    table = series(values, seconds)
    assert rejected(table, reports=2, hours=2) == expected
    order = np.random.default_rng(1).permutation(len(values))
    assert sorted(order[rejected(table.take(order), reports=2, hours=2)].tolist()) == expected


def test_variables_are_judged_apart_and_can_be_chosen():
    # UFO: temperature repeats in rows 3 to 5, pressure in rows 1 to 3
    seconds = np.tile(np.arange(6) * 7200, 2)
    names = ["t2m"] * 6 + ["sp"] * 6
    table = series([280, 281, 282, 283, 283, 283, 1.0, 1.5, 1.5, 1.5, 1.2, 1.1], seconds, names)
    assert rejected(table, reports=2, hours=2) == [3, 4, 5, 7, 8, 9]
    assert rejected(table, reports=2, hours=2, variable="t2m") == [3, 4, 5]


def test_the_reason_counts():
    result = check_stuck(series([5.0] * 4, np.arange(4) * 7200), Stuck(reports=3, hours=2))
    assert result.reason[0] == "A1 repeats t2m 5 in 4 reports"


def test_calm_soundings_short_runs_and_nameless_reports_are_no_fault():
    hours = np.arange(30) * 1800
    assert rejected(series([0.0] * 30, hours, "u10")) == []
    assert rejected(series([285.0] * 30, hours)) == list(range(30))
    assert rejected(series([285.0] * 24, hours[:24])) == []
    assert rejected(series([285.0] * 30, hours, flag=Flag.BOUNDS)) == []
    assert rejected(series([250.0] * 30, [0] * 30, "t", pressure=np.linspace(9e4, 1e4, 30))) == []
    nameless = observations("t2m", [285.0] * 30, time=TIME + hours.astype("timedelta64[s]"))
    assert rejected(nameless) == []
    assert rejected(series([285.0] * 30, hours), enabled=False) == []


def test_one_row_and_none():
    for n in (0, 1):
        assert rejected(series([1.0] * n, [0] * n), reports=1) == []
