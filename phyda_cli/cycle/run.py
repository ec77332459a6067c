"""The loop of a forecast centre: background → observations → analysis → forecast → background.

    DIRECTORY/00007/background.nc    the forecast that is the background of cycle 7; beside it what the model needs
              00007/analysis.nc, increment.nc, feedback.nc
              cycles.jsonl           one line a cycle, written when its forecast is there

A cycle depends on its directory, its number and its time alone, and its line comes last. So a run that ends anywhere
goes on with the cycle that has no line yet, and its results are those of a run that was never stopped.
"""

from __future__ import annotations

import json
import shutil
import time as clock
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from phyda_cli.assimilation import Analysis
from phyda_cli.cycle.config import CommandSettings, CycleConfig
from phyda_cli.cycle.observations import DrawnSource, FileSource
from phyda_cli.cycle.scores import scores_of
from phyda_cli.cycle.truth import Truth, truth_of
from phyda_cli.errors import BadDataError, ConfigError, UsageError
from phyda_cli.fields.state import State
from phyda_cli.forecast.base import ANALYSIS, BACKGROUND, INCREMENT, Forecast, Step
from phyda_cli.forecast.command import CommandForecast
from phyda_cli.formats.feedback.netcdf import write_feedback
from phyda_cli.formats.gridded.analysis import write_analysis, write_increment
from phyda_cli.formats.gridded.background import read_background
from phyda_cli.formats.gridded.layout import Background
from phyda_cli.library.analysis import solve
from phyda_cli.methods.base import Method
from phyda_cli.observations.errors import default_error_table
from phyda_cli.observations.table import Observations
from phyda_cli.outputs import atomic_path
from phyda_cli.settings.assimilate import Run

LINES: Final = "cycles.jsonl"
_CONFIG: Final = "cycle.json"
_FREE: Final = ("cycles", "keep", "spin_up", "directory")
"""Settings that may change when a run goes on."""

Record = dict[str, Any]
Maker = Callable[[Run, Background], Method]
Source = Callable[[np.datetime64], tuple[Observations, tuple[Path, ...]]]


@dataclass(frozen=True)
class Centre:
    """All that a run needs. asked: settings of the analyses. make: the method of a background."""

    config: CycleConfig
    asked: Run
    make: Maker
    forecast: Forecast
    observe: Source | None
    truth: Truth | None

    @classmethod
    def of(cls, config: CycleConfig, asked: Run, make: Maker) -> Centre:
        """Raises ConfigError where settings do not go together."""
        settings = config.observations
        if settings.files and settings.drawn is not None:
            raise ConfigError("observations: name files, or what to draw from the truth, not both")
        if settings.drawn is not None and config.truth is None:
            raise ConfigError("observations.drawn: needs the truth to draw from; name it with truth")
        truth = None if config.truth is None else truth_of(config.truth)
        observe: Source | None = FileSource(settings) if settings.files else None
        if settings.drawn is not None and truth is not None:
            observe = DrawnSource(settings.drawn, truth, default_error_table())
        return cls(config, asked, make, _forecast_model(config), observe, truth)

    def time(self, cycle: int) -> np.datetime64:
        """Valid time of a cycle (UTC)."""
        return np.datetime64(self.config.start, "ns") + np.timedelta64(cycle * self.config.hours, "h")

    def place(self, cycle: int) -> Path:
        """Return the directory of a cycle."""
        return self.config.directory / f"{cycle:05d}"


def run_cycles(centre: Centre, progress: Callable[[Record], None]) -> list[Record]:
    """Make all cycles that are missing; the records of all. progress: called with each new record.

    Raises ConfigError where the directory holds cycles of other settings.
    """
    config = centre.config
    config.directory.mkdir(parents=True, exist_ok=True)
    _bind(config)
    records = read_records(config.directory)
    method: Method | None = None
    while len(records) < config.cycles:
        number = len(records)
        begun = clock.monotonic()
        here, moment = centre.place(number), centre.time(number)
        if number == 0:
            centre.forecast.first(here, moment)
        background = read_background([here / BACKGROUND], time=moment, own=centre.forecast.own)
        if background.state.values.dim() != 3:
            raise BadDataError(f"{here / BACKGROUND}: holds several members; a cycle takes one")
        if method is None and centre.observe is not None:
            method = centre.make(centre.asked, background)
        analysis = _analyse(centre, method, background, moment)
        record = {"cycle": number, "time": f"{np.datetime_as_string(moment, unit='m')}Z"}
        record |= scores_of(analysis, background.state, None if centre.truth is None else centre.truth(moment))
        increment = _written(here, background, analysis)
        centre.forecast.run(Step(moment, config.hours, here, centre.place(number + 1), increment))
        record["seconds"] = round(clock.monotonic() - begun, 2)
        records.append(record)
        _write_records(config.directory, records)
        for old in range(max(0, number - config.keep), number + 1 - config.keep):
            shutil.rmtree(centre.place(old), ignore_errors=True)
        progress(record)
    return records


def read_records(directory: Path) -> list[Record]:
    """Return the records of a run so far."""
    path = directory / LINES
    if not path.exists():
        return []
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    except ValueError as error:
        raise BadDataError(f"{path}: not the lines of a cycle ({error}); remove it to begin anew") from None


def _analyse(centre: Centre, method: Method | None, background: Background, moment: np.datetime64) -> Analysis | None:
    """Return the analysis of one cycle, or None in a free run."""
    if method is None or centre.observe is None:
        return None
    rows, _ = centre.observe(moment)
    return solve(background, rows, centre.asked, method)


def _written(here: Path, background: Background, analysis: Analysis | None) -> State:
    """Write what a cycle has made; the increment. A free run's analysis is its background."""
    state = background.state if analysis is None else analysis.state
    spread = None if analysis is None else analysis.spread
    about: dict[str, str] = {}
    if analysis is not None:
        write_feedback(here / "feedback.nc", analysis.feedback, attributes=about, overwrite=True)
    write_increment(here / INCREMENT, background, state, attributes=about, overwrite=True)
    write_analysis(here / ANALYSIS, background, state, spread=spread, attributes=about, overwrite=True)
    if analysis is None:
        return State(torch.zeros_like(state.values), state.channels, state.grid, state.time)
    return analysis.increment


def _forecast_model(config: CycleConfig) -> Forecast:
    settings = config.forecast
    if isinstance(settings, CommandSettings):
        return CommandForecast(settings.command, settings.start, settings.timeout, settings.place)
    from phyda_cli.forecast.jcm import JcmForecast

    return JcmForecast(settings.simulation, hours=config.hours, start_days_before=settings.start_days_before)


def _bind(config: CycleConfig) -> None:
    """Tie the directory to the settings. Raises ConfigError where it holds cycles of others."""
    path = config.directory / _CONFIG
    own = config.model_dump(mode="json", exclude=set(_FREE))
    if path.exists() and json.loads(path.read_text(encoding="utf-8")) != own:
        raise ConfigError(f"{path}: the directory holds cycles of other settings; choose another directory")
    with atomic_path(path, overwrite=True) as partial:
        partial.write_text(f"{json.dumps(own, indent=1)}\n", encoding="utf-8")


def _write_records(directory: Path, records: list[Record]) -> None:
    with atomic_path(directory / LINES, overwrite=True) as partial:
        partial.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")


def check_settings(asked: Run) -> None:
    """Raises UsageError for settings of the analysis that a cycle does not have."""
    if "one" not in asked.entry.backgrounds:
        raise UsageError(f"assimilate.method {asked.entry.name}: a cycle has one background, and it needs an ensemble")
