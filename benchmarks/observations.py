"""A table of 100 000 observations around the shipped background: reading, H and quality control."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from cold import EXAMPLES
from result import Measurement, Report, seconds

from phyda_cli.fields.state import State
from phyda_cli.formats.gridded.background import read_background
from phyda_cli.formats.reports.observations import read_observations
from phyda_cli.observations.errors import default_error_table
from phyda_cli.observations.settings import Buddy, Quality
from phyda_cli.observations.table import Observations
from phyda_cli.operators.first_guess import operator_of
from phyda_cli.quality.buddies import check_buddies
from phyda_cli.quality.checks import check_background
from phyda_cli.quality.neighbours import check_reports
from phyda_cli.quality.screening import Guess, screen

ROWS = 100_000
ROWS_OF_A_STATION = 20


def measure(repeats: int, report: Report) -> list[Measurement]:
    """Read the table; build H and apply it; give each row its verdict: the sum, and each alone."""
    report(f"{ROWS} observations")
    background = read_background([EXAMPLES / "background.nc"]).state
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "observations.csv"
        path.write_text(_text(background), encoding="utf-8")
        observations = read_observations(path)
        defined, equivalent = _observe(background, observations)
        parts = {
            "read": partial(read_observations, path),
            "H": partial(_observe, background, observations),
            "quality control": partial(_check, background, observations, defined, equivalent),
        }
        runs = [[seconds(part) for part in parts.values()] for _ in range(repeats)]
    what = f"{ROWS:,} rows".replace(",", " ")
    total = Measurement(f"{what}: read, H and quality control", "s", tuple(sum(run) for run in runs), target=5.0)
    values = zip(parts, zip(*runs, strict=True), strict=True)
    return [total, *(Measurement(f"{what}: {part}", "s", each) for part, each in values)]


def _observe(background: State, observations: Observations) -> tuple[np.ndarray, np.ndarray]:
    """Where H is defined, and H(x_b)."""
    operator = operator_of(background, observations).states(background.grid, background.channels)
    return operator.defined, operator(background.values)


def _check(background: State, observations: Observations, defined: np.ndarray, equivalent: np.ndarray) -> Observations:
    table = default_error_table()
    nothing = np.full(len(observations), np.nan)
    guess = Guess(
        channels=background.channels, time=background.time, window=np.timedelta64(3, "h"), equivalent=equivalent,
        defined=defined, surface_pressure=nothing, difference=nothing, sigma=nothing, scaled_sigma=nothing, method="",
        table=table, quality=Quality(),
    )  # fmt: skip
    screened = screen(observations, guess)
    error = np.full(len(observations), 2.0)
    checked = check_background(screened, equivalent, error, table)
    return check_reports(check_buddies(checked, equivalent, error, table, Buddy()))


def _text(background: State) -> str:
    """Temperatures at twenty levels of random stations, some of them far from the background, as CSV."""
    random = np.random.default_rng(0)
    stations = ROWS // ROWS_OF_A_STATION
    latitude = np.degrees(np.arcsin(random.uniform(-1, 1, stations)))
    longitude = random.uniform(-180, 180, stations)
    pressure = np.linspace(95_000, 20_000, ROWS_OF_A_STATION)
    value = 250.0 + random.normal(0.0, 20.0, (stations, ROWS_OF_A_STATION))
    time = np.datetime_as_string(background.time, unit="s")
    lines = ["time,lat,lon,pressure [Pa],variable,value,station"]
    lines += [
        f"{time}Z,{latitude[i]:.3f},{longitude[i]:.3f},{p:.0f},t,{v:.1f},S{i}"
        for i in range(stations)
        for p, v in zip(pressure, value[i], strict=True)
    ]
    return "\n".join(lines) + "\n"
