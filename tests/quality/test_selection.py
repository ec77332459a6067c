"""Rules: which rows they mean, and the blacklist."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from phyda_cli.observations.settings import Rule, Selection
from phyda_cli.observations.table import Flag
from phyda_cli.quality.selection import check_blacklist, select
from tests.support.observations import observations

TABLE = observations(
    ["t", "u", "t", "msl"], [1.0] * 4, station=["11035", "AFR12", "11xxx", ""],
    report=["ADPUPA", "amdar", "temp", "ship"], pressure=[50_000.0, 25_000.0, 70_000.0, np.nan],
    latitude=[48.0, 50.0, -10.0, 0.0], longitude=[16.0, 350.0, 180.0, 200.0],
)  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({}, [0, 1, 2, 3]),
        ({"station": "11*"}, [0, 2]),
        ({"station": ["afr*", "11035"]}, [0, 1]),
        ({"report": "sonde"}, [0, 2]),
        ({"report": "TEMP"}, [2]),
        ({"report": "aircraft"}, [1]),
        ({"variable": ["t", "q"]}, [0, 2]),
        ({"source": "obs.csv"}, [0, 1, 2, 3]),
        ({"source": "other*"}, []),
        ({"pressure_hpa": [250, 500]}, [0, 1]),
        ({"latitude": [-10, 0]}, [2, 3]),
        ({"longitude": [-20, 20]}, [0, 1]),
        ({"longitude": [340, 20]}, [0, 1]),
        ({"longitude": [170, -150]}, [2, 3]),
        ({"longitude": [-180, 180]}, [0, 1, 2, 3]),
        ({"longitude": [16, 16]}, [0]),
        ({"variable": "t", "latitude": [0, 90]}, [0]),
    ],
)
def test_a_rule_means_the_rows_that_fit_all_of_it(rule, expected):
    assert np.flatnonzero(select(TABLE, Selection(**rule))).tolist() == expected


def test_file_names_with_and_without_their_path():
    table = replace(TABLE, sources=("a/b/first.csv", "second.csv"), source=np.array([0, 1, 0, 1]))
    for pattern in ("first.csv", "a/b/*", "*/first.*"):
        assert np.flatnonzero(select(table, Selection(source=pattern))).tolist() == [0, 2], pattern


def test_the_reason_is_the_rules_own_and_the_first_rule_counts():
    rules = [Rule(station="11*", reason="moved in 2020"), Rule(variable="t"), Rule(report="ship")]
    result = check_blacklist(TABLE, rules, [])
    assert result.flag.tolist() == [Flag.BLACKLIST, 0, Flag.BLACKLIST, Flag.BLACKLIST]
    assert result.reason.tolist() == ["moved in 2020", "", "moved in 2020", "blacklist rule 3"]


def test_reject_and_accept_lists_of_ufo():
    """UFO test/testinput/unit_tests/filters/qc_acceptlist.yaml: 12 of 20 pass; its var1 is the latitude here."""
    table = observations(["u"] * 10 + ["v"] * 10, [1.0] * 20, latitude=np.tile(np.arange(1.0, 11.0), 2))
    result = check_blacklist(table, [Rule(latitude=(6, 90))], [Selection(variable="v", latitude=(3, 7))])
    assert result.used.sum() == 12
    assert np.flatnonzero(result.used).tolist() == [0, 1, 2, 3, 4, 10, 11, 12, 13, 14, 15, 16]


def test_an_allow_list_in_the_strict_sense():
    result = check_blacklist(TABLE, [Rule(reason="not on the list")], [Selection(report="aircraft")])
    assert np.flatnonzero(result.used).tolist() == [1]


def test_nothing_to_do_and_earlier_verdicts():
    assert check_blacklist(TABLE, [], [Selection()]) is TABLE
    table = observations("t", [1.0], flag=Flag.BOUNDS)
    assert check_blacklist(table, [Rule()], []).flag.tolist() == [Flag.BOUNDS]
    assert len(check_blacklist(observations("t", []), [Rule(station="a")], [])) == 0
