"""Observations and departures for tests, from a few columns or rows; all have passed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from phyda_cli.errors_b.error_scale import ErrorScale
from phyda_cli.methods.base import Departures
from phyda_cli.observations.errors import default_error_table
from phyda_cli.observations.settings import Quality
from phyda_cli.observations.table import Observations, Use
from phyda_cli.operators.operator import Operator
from phyda_cli.operators.rows import Rows, together
from phyda_cli.quality.screening import Guess

TIME = np.datetime64("2011-01-15T12:00:00", "ns")

Row = tuple[str, float, float, float, float, float]
"""variable, pressure [Pa], latitude, longitude, value or departure, error."""


def observations(variable, value, **columns) -> Observations:
    """Observations of one variable (a name) or several (names); every other column by its name, or the same for all."""
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
        height=column("height", np.nan, np.float64),
        zenith=column("zenith", np.nan, np.float64),
        top=column("top", np.nan, np.float64),
        use=column("use", Use.ASSIMILATE.value, object),
        source=column("source", 0, np.int64),
        row=np.arange(1, n + 1, dtype=np.int64),
        flag=column("flag", 0, np.int16),
        reason=np.full(n, "", dtype=object),
        sources=("obs.csv",),
    )


def make_observations(rows: list[Row], *, time: np.datetime64, station: str = "") -> Observations:
    """Observations of rows, all at one time; without a station name each gets its own, so that none is a duplicate."""
    names, pressure, latitude, longitude, value, error = _columns(rows)
    return observations(
        names,
        value,
        pressure=pressure,
        latitude=latitude,
        longitude=longitude,
        error=error,
        time=time,
        station=station or [f"S{i}" for i in range(len(rows))],
    )


def make_departures(rows: list[Row]) -> Departures:
    """Departures of rows."""
    names, *numbers = _columns(rows)
    pressure, latitude, longitude, departure, error = (np.array(column, dtype=np.float64) for column in numbers)
    return Departures(Operator.at(np.array(names, dtype=object), latitude, longitude, pressure), departure, error)


def moved_to(departures: Departures, **places: np.ndarray) -> Departures:
    """The same departures at other places, or of other variables."""
    return replace(departures, operator=replace(departures.operator, **places))


def _columns(rows: list[Row]) -> list[tuple]:
    return list(zip(*rows, strict=True)) if rows else [()] * 6


def rows_of(grid, channels, variable, latitude, longitude, pressure, *, beyond: bool = False) -> Rows:
    """H of observations on a grid: of full fields, or with `beyond` of increments, which go on outside the levels."""
    operator = Operator.at(variable, latitude, longitude, pressure)
    if beyond:
        return operator.increments(grid, channels)
    seen = operator.states(grid, channels)
    blocks = together((part.rows, part.inputs[0]) for part in seen.parts)
    return Rows(grid, channels, blocks, seen.defined)  # the first inputs, which are H where it is linear


def guess_of(rows: Observations, channels, equivalent, **changes) -> Guess:
    """What a check is told about rows: H(x_b) (n,), and what else there is."""
    nothing = np.full(len(rows), np.nan)
    known: dict = {
        "defined": np.ones(len(rows), dtype=bool),
        "beyond": np.zeros(len(rows)),
        "surface_pressure": nothing,
        "ground_error": np.zeros(len(rows)),
        "difference": nothing,
    }
    known |= {"sigma": np.ones(len(rows)), "method": "3dvar", "table": default_error_table(), "quality": Quality()}
    known |= {"time": TIME, "window": np.timedelta64(3, "h")}
    known |= changes
    if "scaled_sigma" not in known:
        scale = known.get("scale", ErrorScale.uniform(1.0))
        known["scaled_sigma"] = scale.of(rows.variable) * known["sigma"]
    return Guess(channels=tuple(channels), equivalent=np.asarray(equivalent, dtype=float), **known)
