"""The observations of a cycle: read from files by a pattern of their time, or drawn from the truth.

    y = H(x_t) + σ_o ε,    ε ~ N(0, 1) from the generator of [seed, hours since 1970]; occultations and radiances have
                           generators beside it, so that the stations stay as they are

so that a cycle's observations depend on nothing but its time. Humidity is drawn no lower than zero.
"""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phyda_cli.cycle.config import DrawnSettings, ObservationSettings
from phyda_cli.cycle.truth import Truth, filled
from phyda_cli.errors import BadDataError, InputMissingError
from phyda_cli.fields.state import State
from phyda_cli.formats.reports.observations import read_observations
from phyda_cli.formats.reports.stations import read_stations
from phyda_cli.grids.places import even_places
from phyda_cli.observations.conversion import placed
from phyda_cli.observations.errors import ErrorTable
from phyda_cli.observations.table import Observations, concatenate
from phyda_cli.operators.brightness_temperature import SOUNDERS, STEEPEST
from phyda_cli.operators.first_guess import operator_of
from phyda_cli.operators.operator import Operator
from phyda_cli.simulation.networks import Seen

_LABEL: Final = "drawn from the truth"
_OCCULTATIONS: Final = 1
_RADIANCES: Final = 2
"""Of the seeds of their generators."""


class FileSource:
    """Observations in files."""

    def __init__(self, settings: ObservationSettings) -> None:
        self.settings = settings
        self.stations = None if settings.stations is None else read_stations(settings.stations)

    def __call__(self, time: np.datetime64) -> tuple[Observations, tuple[Path, ...]]:
        """Return the rows of a cycle, and their files. Raises InputMissingError where no file is there."""
        patterns = [filled(pattern, time) for pattern in self.settings.files]
        paths = tuple(Path(name) for pattern in patterns for name in sorted(glob.glob(pattern)))
        if not paths:
            raise InputMissingError(f"no observations for {time}: nothing is called {', '.join(patterns)}")
        tables = [
            read_observations(path, reference_time=time, stations=self.stations, units=self.settings.units)
            for path in paths
        ]
        return concatenate(tables), paths


class DrawnSource:
    """Observations of the truth, whole columns at stations. table: of observation errors."""

    def __init__(self, settings: DrawnSettings, truth: Truth, table: ErrorTable) -> None:
        self.settings, self.truth, self.table = settings, truth, table
        self.places = _places(settings.stations)

    def __call__(self, time: np.datetime64) -> tuple[Observations, tuple[Path, ...]]:
        """Return the rows of a cycle; no files."""
        heads = _heads(self.settings)
        n = len(self.places)
        variable = np.array([name for name, _ in heads] * n, dtype=object)
        pressure = np.array([level for _, level in heads] * n)
        station, latitude, longitude = (
            np.repeat(self.places[name].to_numpy(), len(heads)) for name in ("station", "latitude", "longitude")
        )
        report = np.full(variable.size, "", dtype=object)
        seen = Seen(variable, latitude, longitude, pressure, station.astype(object), report)
        random = np.random.default_rng([self.settings.seed, hours_of(time)])
        truth = self.truth(time)
        parts = [drawn(truth, time, seen, self._told(variable, self.table.sigma(variable, pressure)), random)]
        if self.settings.occultations:
            parts.append(self._occultations(truth, time))
        if self.settings.radiances:
            parts.append(self._radiances(truth, time))
        return concatenate(parts), ()

    def _occultations(self, truth: State, time: np.datetime64) -> Observations:
        """Return profiles of refractivity at places of their own."""
        settings, random = self.settings, np.random.default_rng([self.settings.seed, hours_of(time), _OCCULTATIONS])
        levels, count = len(settings.heights_km), settings.occultations
        latitude, longitude = even_places(random, count)
        n = levels * count
        blank = Observations.build(
            _LABEL,
            variable=np.full(n, "refractivity", dtype=object),
            latitude=np.repeat(latitude, levels),
            longitude=np.repeat(longitude, levels),
            height=np.tile(1000.0 * np.array(settings.heights_km), count),
            value=np.zeros(n),
            time=np.full(n, time, dtype="datetime64[ns]"),
            station=np.repeat(np.array([f"R{number:05d}" for number in range(count)], dtype=object), levels),
            report=np.full(n, "gnssro", dtype=object),
        )
        return self._seen(truth, placed(blank), random)

    def _radiances(self, truth: State, time: np.datetime64) -> Observations:
        """Return brightness temperatures of all channels at places of their own, under angles up to the steepest.

        All are as if over the sea, so that nobody has to guess the ground.
        """
        settings, random = self.settings, np.random.default_rng([self.settings.seed, hours_of(time), _RADIANCES])
        channels, count = len(SOUNDERS), settings.radiances
        latitude, longitude = even_places(random, count)
        n = channels * count
        blank = Observations.build(
            _LABEL,
            variable=np.tile(np.array(list(SOUNDERS), dtype=object), count),
            latitude=np.repeat(latitude, channels),
            longitude=np.repeat(longitude, channels),
            zenith=np.repeat(random.uniform(-STEEPEST, STEEPEST, count), channels),
            elevation=np.zeros(n),
            value=np.zeros(n),
            time=np.full(n, time, dtype="datetime64[ns]"),
            station=np.full(n, "drawn", dtype=object),
            report=np.full(n, "sounder", dtype=object),
        )
        rows = self._seen(truth, blank, random)
        return replace(rows, value=rows.value + settings.radiance_bias)

    def _seen(self, truth: State, rows: Observations, random: np.random.Generator) -> Observations:
        """Return rows with the values that the truth gives them, as far as it does."""
        usual = self.table.sigma(rows.variable, rows.pressure, rows.report, rows.latitude)
        operator, error = operator_of(truth, rows), self._told(rows.variable, usual)
        return _observed(truth, operator, replace(rows, error=error), random)

    def _told(self, variable: NDArray[np.object_], usual: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return σ_o (n,) as the settings have it. usual: that of the table."""
        error = self.settings.errors * usual
        for name, sigma in self.settings.sigma.items():
            error[variable == name] = sigma
        return error


def drawn(
    truth: State, time: np.datetime64, seen: Seen, error: NDArray[np.float64], random: np.random.Generator
) -> Observations:
    """Return y = H(x_t) + σ_o ε of what the truth has of a network. error: σ_o (n,)."""
    moment = np.full(error.size, time, dtype="datetime64[ns]")
    blank = Observations.build(_LABEL, value=np.zeros(error.size), error=error, time=moment, **seen._asdict())
    operator = Operator.at(seen.variable, seen.latitude, seen.longitude, seen.pressure)
    return _observed(truth, operator, blank, random)


def _observed(truth: State, operator: Operator, rows: Observations, random: np.random.Generator) -> Observations:
    """Return rows with values drawn, as far as H of the truth exists; humidity no lower than zero."""
    seen = operator.states(truth.grid, truth.channels)
    value = seen(truth.values) + rows.error * random.standard_normal(len(rows))
    value = np.where(rows.variable == "q", np.maximum(value, 0.0), value)
    return replace(rows, value=value).take(np.flatnonzero(seen.defined))


def hours_of(time: np.datetime64) -> int:
    """Return hours since 1970-01-01 00 UTC."""
    return int((time - np.datetime64("1970-01-01T00")) / np.timedelta64(1, "h"))


def _heads(settings: DrawnSettings) -> Sequence[tuple[str, float]]:
    """Return what a station observes: (variable, pressure [Pa])."""
    upper = [
        (name, 100.0 * level)
        for level in settings.levels_hpa
        for name in settings.variables
        if name != "q" or level >= settings.lowest_q_hpa
    ]
    return [*upper, *((name, np.nan) for name in settings.single)]


def _places(path: Path) -> pd.DataFrame:
    """Return the stations of a table. Raises InputMissingError or BadDataError with one line."""
    try:
        table = pd.read_csv(path)
    except FileNotFoundError:
        raise InputMissingError(f"{path}: no such file") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise BadDataError(f"{path}: not a table of stations ({error})") from None
    missing = [name for name in ("latitude", "longitude") if name not in table]
    if missing:
        raise BadDataError(f"{path}: lacks the column {missing[0]}; it needs latitude and longitude")
    if "station" not in table:
        table["station"] = [f"S{number:05d}" for number in range(len(table))]
    return table.astype({"station": str})
