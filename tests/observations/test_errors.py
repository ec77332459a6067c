"""The table of observation errors and how it is given to rows."""

from __future__ import annotations

import numpy as np
import pytest

from phyda_cli.constants import GRAVITY
from phyda_cli.fields.variables import VARIABLES
from phyda_cli.observations.errors import ErrorDocument, assign_errors, count_raised, default_error_table, grown
from phyda_cli.observations.table import Flag
from tests.support.observations import observations

TABLE = default_error_table()


def sigma(variable, pressure):
    return TABLE.sigma(np.array([variable], dtype=object), np.array([pressure], dtype=float))[0]


@pytest.mark.parametrize(
    ("variable", "pressure", "expected"),
    [
        ("t", 50_000.0, 1.2),
        ("u", 85_000.0, 2.3),
        ("v", np.sqrt(50_000.0 * 70_000.0), 2.75),  # half-way in ln p between 3.0 and 2.5
        ("t", 108_000.0, 1.7),  # constant below
        ("u", 100.0, 4.5),  # constant above
        ("z", 50_000.0, 8.4 * 9.80665),
        ("msl", np.nan, 100.0),
    ],
)
def test_values_of_the_table(variable, pressure, expected):
    assert sigma(variable, pressure) == pytest.approx(expected, rel=1e-12)


def test_every_entry_is_a_known_variable_and_positive():
    assert set(TABLE.profiles) <= set(VARIABLES)
    for name, profile in TABLE.profiles.items():
        assert min(profile.sigma) > 0, name
        assert list(profile.log_pressure) == sorted(profile.log_pressure), name
        assert len(profile.log_pressure) in (0, len(profile.sigma)), name
        assert len(profile.log_pressure) > 0 or len(profile.sigma) == 1, name
        assert VARIABLES[name].pressure_level == bool(profile.log_pressure), name


def extended(**document):
    return TABLE.extended(ErrorDocument.model_validate(document))


@pytest.mark.parametrize(
    ("variable", "pressure", "report", "expected"),
    [
        ("u", 30_000.0, "aircraft", 4.0),
        ("u", 85_000.0, "AIRCFT", 2.5),
        ("v", np.sqrt(50_000.0 * 70_000.0), "acars", 3.25),  # half-way in ln p between 3.5 and 3.0
        ("u", 70_000.0, "SATWND", 2.0),
        ("t", 100_000.0, "amdar", 1.4),
        ("t", 100_000.0, "ADPUPA", 1.7),
        ("t", 100_000.0, "", 1.7),
        ("q", 50_000.0, "aircraft", 2.4e-4),
    ],
)
def test_values_by_report_type(variable, pressure, report, expected):
    names, kinds = np.array([variable], dtype=object), np.array([report], dtype=object)
    assert TABLE.sigma(names, np.array([pressure]), kinds)[0] == pytest.approx(expected, rel=1e-12)


def test_a_type_wins_over_its_family_and_the_family_over_the_variable():
    own = extended(sigma={"t": {"sigma": 3.0, "AMDAR": {"sigma": 0.7}, "sonde": {"sigma": [0.5]}}})
    kinds = np.array(["amdar", "acars", "temp", "synop"], dtype=object)
    found = own.sigma(np.full(4, "t", dtype=object), np.full(4, 1e5), kinds)
    assert found.tolist() == pytest.approx([0.7, 1.4, 0.5, 3.0])
    assert TABLE.sigma(np.full(1, "t", dtype=object), np.full(1, 1e5))[0] == pytest.approx(1.7)


def test_inflation_and_representativeness_hold_for_both_kinds_of_error():
    own = extended(inflation={"t": 2.0}, representativeness={"t": 0.9, "u": 1.2})
    table = observations(["t", "t", "u", "v"], [250.0] * 4, error=[1.2, np.nan, 1.6, 1.0])
    # 2 √(1.2² + 0.9²) = 3; the table's 1.2 at 500 hPa likewise; √(1.6² + 1.2²) = 2
    assert assign_errors(table, own).error.tolist() == pytest.approx([3.0, 3.0, 2.0, 1.0])


def test_what_is_said_of_heights_holds_for_the_geopotential():
    own = extended(
        sigma={"gh": {"sigma": 10.0}}, inflation={"gh": 2.0}, representativeness={"gh": 10.0},
        background_check={"gh": 4.0},
    )  # fmt: skip
    result = assign_errors(observations("z", [5e4]), own)
    assert result.error[0] == pytest.approx(2.0 * np.sqrt(2.0) * 10.0 * GRAVITY)
    assert own.limit(np.array(["z", "t"], dtype=object)).tolist() == [4.0, 5.0]
    assert extended(background_check={"default": 3.0}).limit(np.array(["t"], dtype=object)).tolist() == [3.0]


def test_the_error_of_the_row_wins():
    result = assign_errors(observations("t", [250.0] * 2, error=[0.3, np.nan]), TABLE)
    assert result.error.tolist() == [0.3, 1.2]
    assert result.used.all()


@pytest.mark.parametrize("error", [0.0, -1.0, np.inf])
def test_an_error_that_is_not_positive_is_flagged(error):
    result = assign_errors(observations("t", [250.0] * 2, error=[error, 1.0]), TABLE)
    assert result.flag.tolist() == [Flag.BOUNDS, Flag.PASS]
    assert f"{error:g}" in result.reason[0]


def test_an_absurd_error_never_reaches_the_solver():
    """At 500 hPa t has 1.2 K: hundred times less is raised to 0.012 K, hundred times more is no error."""
    table = observations("t", [250.0] * 4, error=[1e-12, 0.013, 119.0, 121.0])
    result = assign_errors(table, TABLE)
    assert result.error.tolist() == pytest.approx([0.012, 0.013, 119.0, 121.0])
    assert result.flag.tolist() == [Flag.PASS, Flag.PASS, Flag.PASS, Flag.BOUNDS]
    assert "error 121 is more than 100 times the usual 1.2" in result.reason[3]
    assert count_raised(table) == 1


def test_a_variable_without_any_error_is_flagged_and_not_given_a_guess():
    result = assign_errors(observations("w", [0.1]), TABLE)
    assert result.flag.tolist() == [Flag.MISSING]
    assert np.isnan(result.error[0])


def test_errors_grow_outside_of_the_domain():
    """√2 at 100 km, of heights and pressures at 35 km; as they were within."""
    rows = observations(["t", "t", "z", "msl", "u"], np.ones(5), pressure=[5e4] * 3 + [np.nan, 5e4])
    rows = assign_errors(rows, TABLE)
    far = grown(rows, np.array([0.0, 100e3, 35e3, 35e3, 200e3]))
    np.testing.assert_allclose(far.error / rows.error, [1.0, 2**0.5, 2**0.5, 2**0.5, 5**0.5])


def test_the_tropics_have_errors_of_their_own_until_somebody_says_otherwise():
    """Of refractivity at 10 km: GSI's 0.155 and 0.204 with half a per cent of the standard atmosphere's 91.9."""
    rows = observations("refractivity", [90.0] * 3, pressure=26_437.0, latitude=[10.0, -19.0, 60.0], height=1e4)
    expected = [np.hypot(0.155, 0.46), np.hypot(0.155, 0.46), np.hypot(0.204, 0.46)]
    np.testing.assert_allclose(assign_errors(rows, TABLE).error, expected, rtol=0.02)
    own = TABLE.extended(ErrorDocument.model_validate({"sigma": {"refractivity": {"sigma": 2.0}}}))
    assert assign_errors(rows, own).error.tolist() == [2.0, 2.0, 2.0]
    both = TABLE.extended(
        ErrorDocument.model_validate({"sigma": {"refractivity": {"sigma": 2.0, "tropics": {"sigma": 3.0}}}})
    )
    assert assign_errors(rows, both).error.tolist() == [3.0, 3.0, 2.0]
