"""The table of observation errors and how it is given to rows."""

from __future__ import annotations

import numpy as np
import pytest

from phyda_cli.fields.variables import VARIABLES
from phyda_cli.observations.errors import assign_errors, default_error_table
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


def test_the_error_of_the_row_wins():
    result = assign_errors(observations("t", [250.0] * 2, error=[0.3, np.nan]), TABLE)
    assert result.error.tolist() == [0.3, 1.2]
    assert result.used.all()


@pytest.mark.parametrize("error", [0.0, -1.0, np.inf])
def test_an_error_that_is_not_positive_is_flagged(error):
    result = assign_errors(observations("t", [250.0] * 2, error=[error, 1.0]), TABLE)
    assert result.flag.tolist() == [Flag.BOUNDS, Flag.PASS]
    assert f"{error:g}" in result.reason[0]


def test_a_variable_without_any_error_is_flagged_and_not_given_a_guess():
    result = assign_errors(observations("w", [0.1]), TABLE)
    assert result.flag.tolist() == [Flag.MISSING]
    assert np.isnan(result.error[0])
