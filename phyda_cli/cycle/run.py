"""The loop of a forecast centre: background → observations → analysis → forecast → background.

    DIRECTORY/00007/background.nc    the forecast that is the background of cycle 7; beside it what the model needs
              00007/memory.json      what the method's analysis of cycle 6 tells that of cycle 7
              00007/analysis.nc, increment.nc, feedback.nc
              00007/lag-2/…            of a forecast that went on for two cycles more (`lagged.py`)
              00007/member-003/…     of an ensemble that is forecast member by member (`forecast/members.py`)
              cycles.jsonl           one line a cycle, written when its forecast is there

Of an ensemble analysis.nc holds mean and spread, and every member moves on by its own increment.

A cycle depends on its directory, its number and its time alone, and its line comes last. So a run that ends anywhere
goes on with the cycle that has no line yet, and its results are those of a run that was never stopped.
"""

from __future__ import annotations

import json
import shutil
import time as clock
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from pydantic import ValidationError

from phyda_cli.assimilation import Analysis
from phyda_cli.cycle.config import CommandSettings, CycleConfig
from phyda_cli.cycle.lagged import checked_settings, lagged_forecasts, run_on, without_members
from phyda_cli.cycle.observations import DrawnSource, FileSource
from phyda_cli.cycle.scores import scores_of
from phyda_cli.cycle.truth import Truth, truth_of
from phyda_cli.errors import BadDataError, ConfigError, UsageError
from phyda_cli.fields.state import State
from phyda_cli.forecast.base import ANALYSIS, INCREMENT, MEMBERS, Forecast, Step
from phyda_cli.forecast.command import CommandForecast
from phyda_cli.forecast.members import MemberForecasts, backgrounds, member_place
from phyda_cli.formats.carry import memory_of
from phyda_cli.formats.feedback.netcdf import write_feedback
from phyda_cli.formats.gridded.analysis import write_analysis, write_increment
from phyda_cli.formats.gridded.analysis_members import write_members
from phyda_cli.formats.gridded.background import read_background
from phyda_cli.formats.gridded.layout import Background
from phyda_cli.library.analysis import solve
from phyda_cli.library.method import background_for
from phyda_cli.methods.base import Memory, Method
from phyda_cli.observations.errors import default_error_table
from phyda_cli.observations.table import Observations
from phyda_cli.outputs import atomic_path
from phyda_cli.settings.assimilate import Run

LINES: Final = "cycles.jsonl"
_CONFIG: Final = "cycle.json"
_MEMORY: Final = "memory.json"
_FREE: Final = ("cycles", "keep", "spin_up", "directory")
"""Settings that may change when a run goes on."""

Record = dict[str, Any]
Maker = Callable[..., Method]
Source = Callable[[np.datetime64], tuple[Observations, tuple[Path, ...]]]


@dataclass(frozen=True)
class Centre:
    """All that a run needs.

    asked: settings of the analyses. make: the method of settings, a background and, if there are any, lagged forecasts.
    """

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
        checked_settings(asked, config.lagged)
        if settings.files and settings.drawn is not None:
            raise ConfigError("observations: name files, or what to draw from the truth, not both")
        if settings.drawn is not None and config.truth is None:
            raise ConfigError("observations.drawn: needs the truth to draw from; name it with truth")
        truth = None if config.truth is None else truth_of(config.truth)
        observe: Source | None = FileSource(settings) if settings.files else None
        if settings.drawn is not None and truth is not None:
            observe = DrawnSource(settings.drawn, truth, default_error_table())
        return cls(config, asked, make, _forecast_model(config), observe, truth)

    def method(self, background: Background, cycle: int) -> Method:
        """Return the method of a background. Of an ensemble it holds the members, and has a seed for every cycle.

        Raises BadDataError where the method does not take the background, UsageError for a number of members.
        """
        asked = self.asked
        if background.member is not None:
            if asked.own.members is not None:
                raise UsageError("assimilate.members: a cycle takes all members of its background; leave it out")
            asked = replace(asked, common=replace(asked.common, seed=asked.common.seed + cycle))
        background = background_for(asked, background)
        if not self.config.lagged:
            return self.make(asked, background)
        if background.member is not None:
            raise ConfigError("lagged: is for one background; an ensemble has members of its own")
        lagged = lagged_forecasts(self.place(cycle), self.time(cycle), own=self.forecast.own)
        return self.make(asked, background, lagged) if lagged else self.make(without_members(asked), background)

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
        background = _background(centre, here, moment)
        if centre.observe is not None and (method is None or background.member is not None or config.lagged):
            method = centre.method(background, number)
        analysis = _analyse(centre, method, background, moment, _memory(here))
        record = {"cycle": number, "time": f"{np.datetime_as_string(moment, unit='m')}Z"}
        record |= scores_of(analysis, background, None if centre.truth is None else centre.truth(moment))
        increment = _written(here, background, analysis, own=centre.forecast.own)
        step = Step(moment, config.hours, here, centre.place(number + 1), increment)
        centre.forecast.run(step)
        run_on(centre.forecast, step, background, config.lagged)
        if analysis is not None and analysis.memory:
            _write_memory(step.target, analysis.memory)
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


def _memory(here: Path) -> Memory:
    """Return what the analysis before has left in the directory of a cycle."""
    path = here / _MEMORY
    if not path.exists():
        return {}
    try:
        return memory_of(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, AttributeError, TypeError) as error:
        raise BadDataError(f"{path}: not the memory of an analysis ({error}); remove it to go on without") from None


def _write_memory(target: Path, memory: Memory) -> None:
    with atomic_path(target / _MEMORY, overwrite=True) as partial:
        partial.write_text(f"{json.dumps(memory, indent=1)}\n", encoding="utf-8")


def _analyse(
    centre: Centre, method: Method | None, background: Background, moment: np.datetime64, memory: Memory
) -> Analysis | None:
    """Return the analysis of one cycle, or None in a free run."""
    if method is None or centre.observe is None:
        return None
    rows, _ = centre.observe(moment)
    return solve(background, rows, centre.asked, method, memory=memory)


def _background(centre: Centre, here: Path, moment: np.datetime64) -> Background:
    """Return the background of one cycle. Raises BadDataError where members are missing."""
    paths = backgrounds(here)
    background = read_background(paths, time=moment, own=centre.forecast.own, as_members=True)
    if len(paths) > 1 and background.member is None:
        raise BadDataError(f"{paths[0]}: holds other fields than {paths[1]}; members hold all the same")
    return background


def _written(here: Path, background: Background, analysis: Analysis | None, *, own: bool) -> State:
    """Write what a cycle has made; the increment, of all members. A free run's analysis is its background.

    own: the model goes on from increments, so that no file holds the members of the analysis.
    """
    mean = background.ensemble_mean()
    state = mean.state if analysis is None else analysis.state
    spread = None if analysis is None else analysis.spread
    about: dict[str, str] = {}
    if analysis is not None:
        write_feedback(here / "feedback.nc", analysis.feedback, attributes=about, overwrite=True)
    write_increment(here / INCREMENT, mean, state, attributes=about, overwrite=True)
    write_analysis(here / ANALYSIS, mean, state, spread=spread, attributes=about, overwrite=True)
    before = background.state
    if background.member is None:
        return replace(before, values=torch.zeros_like(before.values)) if analysis is None else analysis.increment
    members = [replace(before, values=values) for values in before.values]
    if analysis is not None:
        members = [analysis.member(number) for number in range(len(members))]
    if not own:
        _write_each(here, background, members)
    return replace(before, values=torch.stack([member.values for member in members]) - before.values)


def _write_each(here: Path, background: Background, members: list[State]) -> None:
    """Write the members of an analysis as they came: each in its directory, or all in one file."""
    about: dict[str, str] = {}
    if not member_place(here, 0).is_dir():
        write_members(here / MEMBERS, background, members, count=len(members), attributes=about, overwrite=True)
        return
    for number, member in enumerate(members):
        place, one = member_place(here, number), background.one_member(number)
        write_increment(place / INCREMENT, one, member, attributes=about, overwrite=True)
        write_analysis(place / ANALYSIS, one, member, spread=None, attributes=about, overwrite=True)


def _forecast_model(config: CycleConfig) -> Forecast:
    settings = config.forecast
    if isinstance(settings, CommandSettings):
        program = CommandForecast(settings.command, settings.start, settings.timeout, settings.place, settings.members)
        return program if settings.members == 1 else MemberForecasts(program, settings.members)
    from phyda_cli.forecast.jcm import JcmForecast
    from phyda_cli.forecast.jcm_ensemble import JcmEnsemble

    times = {"hours": config.hours, "start_days_before": settings.start_days_before}
    if settings.members == 1:
        return JcmForecast(settings.simulation, **times)
    return JcmEnsemble(
        settings.simulation,
        members=settings.members,
        member_days=settings.member_days,
        start_error=settings.start_error,
        **times,
    )


def _bind(config: CycleConfig) -> None:
    """Tie the directory to the settings. Raises ConfigError where it holds cycles of others."""
    path = config.directory / _CONFIG
    own = config.model_dump(mode="json", exclude={*_FREE})
    if path.exists() and not _same(config, json.loads(path.read_text(encoding="utf-8"))):
        raise ConfigError(f"{path}: the directory holds cycles of other settings; choose another directory")
    with atomic_path(path, overwrite=True) as partial:
        partial.write_text(f"{json.dumps(own, indent=1)}\n", encoding="utf-8")


def _same(config: CycleConfig, found: Record) -> bool:
    """Return whether settings that were written are these; what an earlier version did not know has its default."""
    try:
        own = config.model_dump(mode="json")
        written = found | {name: own[name] for name in _FREE}
        return CycleConfig.model_validate(written) == CycleConfig.model_validate(own)
    except ValidationError:
        return False


def _write_records(directory: Path, records: list[Record]) -> None:
    with atomic_path(directory / LINES, overwrite=True) as partial:
        partial.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")
