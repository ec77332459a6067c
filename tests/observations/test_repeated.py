"""Duplicates that only their elevation tells apart."""

from __future__ import annotations

import numpy as np

from phyda_cli.observations.duplicates import check_duplicates
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
