from __future__ import annotations

from dataclasses import replace
from zlib import crc32

import numpy as np
import pytest

from phyda_cli.errors import UsageError
from phyda_cli.observations.rule import matching
from tests.support.observations import make_observations

NAN = float("nan")
ROWS = [
    ("t", 50_000.0, 10.0, 20.0, 250.0, 1.0),
    ("u", 85_000.0, -10.0, 350.0, 5.0, 1.0),
    ("msl", NAN, 0.0, 0.0, 1e5, 1.0),
]


@pytest.fixture
def table():
    made = make_observations(ROWS, time=np.datetime64("2020-01-01T00"))
    return replace(
        made,
        station=np.array(["11010", "EDDF", "007"], dtype=object),
        report=np.array(["sonde", "AMDAR", "synop"], dtype=object),
        elevation=np.array([100.0, NAN, 5.0]),
        sources=("/somewhere/a.csv",),
        source=np.zeros(3, dtype=np.int64),
        row=np.array([1, 2, 3]),
    )


def chosen(table, rule: str) -> list[int]:
    return np.flatnonzero(matching(table, rule)).tolist()


@pytest.mark.parametrize(
    ("rule", "rows"),
    [
        ("station%5==0", [0] if crc32(b"eddf") % 5 else None),
        ("station % 5 == 2", [2]),
        ("station == 007", [2]),
        ("station in ('EDDF', 007)", [1, 2]),
        ("station not in (eddf)", [0, 2]),
        ("report == amdar", [1]),
        ("variable != t", [1, 2]),
        ("pressure > 60000", [1]),
        ("pressure <= 6e4", [0]),
        ("not pressure > 60000", [0, 2]),
        ("latitude >= 0 and longitude < 180", [0, 2]),
        ("latitude < -5 or elevation < 10", [1, 2]),
        ("elevation != 5", [0]),
        ("variable == t or variable == u and pressure < 60000", [0]),
        ("(variable == t or variable == u) and pressure > 60000", [1]),
        ("source == a.csv and row in (1, 3)", [0, 2]),
        ("row % 2 == 1", [0, 2]),
        ("NOT (Variable == T)", [1, 2]),
    ],
)
def test_rules_by_hand(table, rule, rows):
    if rows is None:
        pytest.fail("choose another name: the checksum of this one is a multiple of 5")
    assert chosen(table, rule) == rows


def test_a_name_without_a_number_counts_by_its_checksum(table):
    assert chosen(table, f"station % 1000 == {crc32(b'eddf') % 1000}") == [1]
    upper = replace(table, station=np.array(["eddf", "EDDF", "EdDf"], dtype=object))
    assert chosen(upper, f"station % 1000 == {crc32(b'eddf') % 1000}") == [0, 1, 2]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("", "the rule ends at character 1 instead of a column"),
        ("stattion == 5", "'stattion' stands at character 1 instead of a column"),
        ("station = 5", "character 9, '=', means nothing"),
        ("station ==", "the rule ends at character 11 instead of a value"),
        ("pressure == high", "'high' stands at character 13 instead of a number"),
        ("report < 5", "instead of == or !="),
        ("station % 0 == 1", "instead of a whole number from 1"),
        ("latitude % 2 == 1", "% is for station and row"),
        ("(row == 1", "the rule ends at character 10 instead of )"),
        ("row == 1 row == 2", "'row' stands at character 10 instead of and, or, or the end"),
        ("row in 1", "'1' stands at character 8 instead of ("),
        ("not not not", "the rule ends at character 12 instead of a column"),
        ("(" * 60 + "row == 1" + ")" * 60, "nested more than 50 deep"),
        ("__import__('os') == 1", "'__import__' stands at character 1"),
    ],
)
def test_a_bad_rule_is_one_line_with_the_place(table, rule, words):
    with pytest.raises(UsageError, match="--withhold") as caught:
        matching(table, rule)
    assert words in str(caught.value)


def test_a_row_without_a_number_fits_nothing(table):
    assert chosen(table, "pressure not in (50000)") == [1]
    assert chosen(table, "pressure in (50000, 85000)") == [0, 1]


def test_digits_of_other_scripts_are_a_name(table):
    """Python reads ٣٠ as thirty; as a station it counts by its checksum, like every name."""
    arabic = replace(table, station=np.array(["٣٠", "30", "x"], dtype=object))
    assert crc32("٣٠".encode()) % 1000 != 30
    assert 0 not in chosen(arabic, "station % 1000 == 30")
    assert 0 in chosen(arabic, f"station % 1000 == {crc32('٣٠'.encode()) % 1000}")
