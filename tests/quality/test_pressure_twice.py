"""One barometer counts once."""

from __future__ import annotations

import numpy as np

from phyda_cli.observations.table import Flag
from phyda_cli.quality.pressure_twice import pressure_once
from tests.support.observations import observations


def test_two_values_of_one_barometer_weigh_as_much_as_one():
    rows = observations(
        ["sp", "msl", "sp", "msl", "sp", "msl", "t2m"],
        np.full(7, 1e5),
        pressure=np.nan,
        error=50.0,
        station=["A", "A", "B", "C", "D", "D", "A"],
        flag=[0, 0, 0, 0, 0, Flag.DOMAIN, 0],
    )
    found = pressure_once(rows)
    np.testing.assert_allclose(found.error, [50 * 2**0.5] * 2 + [50.0] * 5)
    assert (1.0 / found.error[:2] ** 2).sum() == 1.0 / 50.0**2
    assert pressure_once(found.take(np.array([6]))).error.tolist() == [50.0]
