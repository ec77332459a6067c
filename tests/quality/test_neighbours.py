"""The check against neighbours, on a table alone; with trial analyses in tests/test_assimilation_neighbours.py."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from phyda_cli.observations.errors import default_error_table
from phyda_cli.observations.table import Flag
from phyda_cli.quality.neighbours import check_neighbours
from tests.support.observations import observations

TABLE = default_error_table()


def test_the_limit_is_five_times_both_errors_together():
    # σ_o 3, σ_b 4: expected 5, limit 25; without σ_b: 15
    table = observations("t", [274.9, 225.1, 275.1, 224.9], error=3.0)
    result = check_neighbours(table, np.full(4, 250.0), np.full(4, 4.0), TABLE)
    assert result.flag.tolist() == [Flag.PASS, Flag.PASS, Flag.BUDDY, Flag.BUDDY]
    assert result.reason[2] == "departure 25.1 from its neighbours' analysis exceeds 5 times 5"
    unknown = check_neighbours(
        observations("t", [264.9, 265.1], error=3.0), np.full(2, 250.0), np.full(2, np.nan), TABLE
    )
    assert unknown.used.tolist() == [True, False]


def test_a_variable_may_have_its_own_limit():
    table = observations(["t", "u"], [262.0, 12.0], error=3.0)
    own = replace(TABLE, limits={"t": 3.0})
    assert check_neighbours(table, np.array([250.0, 0.0]), np.zeros(2), own).used.tolist() == [False, True]


def test_an_earlier_verdict_stays():
    table = observations("t", [999.0, 999.0], error=1.0, flag=[Flag.FIRST_GUESS, Flag.PASS])
    result = check_neighbours(table, np.zeros(2), np.zeros(2), TABLE)
    assert result.flag.tolist() == [Flag.FIRST_GUESS, Flag.BUDDY]
