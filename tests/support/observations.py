"""Observation tables for tests, from a few columns."""

from __future__ import annotations

import numpy as np

from phyda_cli.observations.table import Observations


def make_observations(
    rows: list[tuple[str, float, float, float, float, float]], *, time: np.datetime64, station: str = ""
) -> Observations:
    """Observations of rows (variable, pressure [Pa], latitude, longitude, value, error), all at one time.

    Without a station name each row gets its own, so that no two are duplicates by name.
    """
    n = len(rows)
    columns = list(zip(*rows, strict=True)) if rows else [()] * 6
    names = [station or f"S{i}" for i in range(n)]
    return Observations(
        variable=np.array(columns[0], dtype=object),
        pressure=np.array(columns[1], dtype=np.float64),
        latitude=np.array(columns[2], dtype=np.float64),
        longitude=np.array(columns[3], dtype=np.float64),
        value=np.array(columns[4], dtype=np.float64),
        error=np.array(columns[5], dtype=np.float64),
        time=np.full(n, time, dtype="datetime64[ns]"),
        station=np.array(names, dtype=object),
        report=np.full(n, "", dtype=object),
        elevation=np.full(n, np.nan),
        source=np.zeros(n, dtype=np.int64),
        row=np.arange(1, n + 1),
        flag=np.zeros(n, dtype=np.int16),
        reason=np.full(n, "", dtype=object),
        sources=("memory",),
    )
