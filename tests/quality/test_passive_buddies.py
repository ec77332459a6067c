"""Passive rows judge nobody, wherever they lie."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from phyda_cli.observations.errors import default_error_table
from phyda_cli.observations.settings import Buddy
from phyda_cli.observations.table import Observations, Use
from phyda_cli.quality.buddies import check_buddies
from tests.support.observations import observations


def crowd(seed: int) -> Observations:
    """Sixty temperatures within 400 km, a third withheld, some of both far off."""
    generator = np.random.default_rng(seed)
    bad = generator.random(60) < 0.3
    return observations(
        "t",
        260.0 + generator.standard_normal(60) + np.where(bad, 12.0 * generator.choice([-1, 1], 60), 0.0),
        latitude=45.0 + generator.uniform(-2, 2, 60),
        longitude=10.0 + generator.uniform(-2, 2, 60),
        error=1.0,
        station=[f"S{i}" for i in range(60)],
        use=np.where(generator.random(60) < 1 / 3, Use.WITHHOLD.value, Use.ASSIMILATE.value),
    )


def flags(table: Observations) -> np.ndarray:
    guess, sigma = np.full(len(table), 260.0), np.ones(len(table))
    return check_buddies(table, guess, sigma, default_error_table(), Buddy()).flag


@pytest.mark.parametrize("seed", range(25))
def test_active_rows_are_judged_as_if_there_were_no_others(seed):
    table = crowd(seed)
    active = table.use == Use.ASSIMILATE.value
    changed = replace(table, value=np.where(active, table.value, table.value[::-1] + 7.0))
    alone = flags(table.take(active))
    np.testing.assert_array_equal(flags(table)[active], alone)
    np.testing.assert_array_equal(flags(changed)[active], alone)


def test_a_wrong_passive_row_is_found_by_the_active_ones():
    table = crowd(1)
    wrong = np.flatnonzero(table.use == Use.WITHHOLD.value)[0]
    value = np.full(60, 260.0)
    value[wrong] = 285.0
    assert np.flatnonzero(flags(replace(table, value=value))).tolist() == [wrong]
