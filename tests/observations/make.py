"""A small table of observations for the tests, all passed, every column to be set by name."""

from __future__ import annotations

import numpy as np

from phyda_cli.observations.table import Observations

TIME = np.datetime64("2011-01-15T12:00:00", "ns")


def observations(variable, value, **columns):
    n = len(value)
    names = [variable] * n if isinstance(variable, str) else list(variable)

    def column(name, default, dtype):
        return np.array(np.broadcast_to(np.asarray(columns.get(name, default), dtype=dtype), (n,)))

    return Observations(
        variable=np.array(names, dtype=object),
        latitude=column("latitude", 50.0, np.float64),
        longitude=column("longitude", 10.0, np.float64),
        pressure=column("pressure", 50_000.0, np.float64),
        value=np.asarray(value, dtype=np.float64),
        error=column("error", np.nan, np.float64),
        time=column("time", TIME, "datetime64[ns]"),
        station=column("station", "", object),
        report=column("report", "", object),
        elevation=column("elevation", np.nan, np.float64),
        source=column("source", 0, np.int64),
        row=np.arange(1, n + 1, dtype=np.int64),
        flag=column("flag", 0, np.int16),
        reason=np.full(n, "", dtype=object),
        sources=("obs.csv",),
    )
