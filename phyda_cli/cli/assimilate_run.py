"""What `phyda assimilate` does with its settings: read, assimilate, write; the document that --json shows."""

from __future__ import annotations

import dataclasses
import logging
import sys
import time as clock
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from phyda_cli.console import console

if TYPE_CHECKING:
    from phyda_cli.cli.carry import CarriedState
    from phyda_cli.fields.state import State
    from phyda_cli.formats.gridded.layout import Background
    from phyda_cli.formats.provenance import InputRecord
    from phyda_cli.library.analysis import Analysis
    from phyda_cli.settings.assimilate import AssimilateConfig, Run

_log = logging.getLogger(__name__)

_STAGES: Final = ("background", "observations", "analysis", "outputs")
STANDARD_INPUT: Final = Path("-")
NOT_OF_THE_RESULT: Final = ("overwrite", "wait", "carry_new")
"""Settings that no output hangs on, and that its attributes do not name."""


def run(asked: Run) -> dict[str, Any]:
    """Read, assimilate, write; the document of the result. Raises what readers, methods and writers raise.

    When an input changed meanwhile that is the error, whatever else followed from it.
    """
    from phyda_cli.formats.provenance import InputRecord

    record = InputRecord()
    try:
        record.add(input_files(asked))
        return _run(asked, record)
    except Exception:
        record.confirm()
        raise


def _run(asked: Run, record: InputRecord) -> dict[str, Any]:
    """Read, assimilate and write. record: digests of the inputs."""
    import numpy as np

    from phyda_cli.cli.carry import begin_cycle
    from phyda_cli.formats.gridded.output_names import check_output_names
    from phyda_cli.library.analysis import analyse
    from phyda_cli.library.inputs import first_guesses, lagged_forecasts, open_background, read_observations
    from phyda_cli.library.outcome import judge
    from phyda_cli.observations.reasons import format_rejections, format_share, rejections, share_of
    from phyda_cli.observations.summary import (
        format_left_out,
        format_summary,
        summarise,
        summarise_reports,
    )
    from phyda_cli.observations.table import no_observations
    from phyda_cli.outputs import together

    settings, stages = asked.common, _Stages()
    stages.begin("background")
    background = open_background(
        settings.background, time=settings.time, member=settings.member, select=settings.select
    )
    check_output_names(
        {"--out": settings.output, "--increment": settings.increment, "--spread-out": settings.spread_out,
         "--members-out": settings.members_out},
        background, members="--members-out",
    )  # fmt: skip
    time = background.state.time
    previous = _previous(settings, background)
    stages.begin("observations")
    observations = no_observations()
    if asked.observations:  # none where all files are missing, and may be
        observations = read_observations(
            [sys.stdin if path == STANDARD_INPUT else path for path in asked.observations],
            time=time,
            stations=settings.stations,
            units=settings.units,
        )
    carried = begin_cycle(settings, time)
    stages.begin("analysis")
    analysis = analyse(
        background,
        carried.flag(observations),
        asked,
        record=record,
        inputs=input_files(asked),
        document={name: value for name, value in asked.document().items() if name not in NOT_OF_THE_RESULT},
        first_guesses=first_guesses(settings.fgat, background, member=settings.member, select=settings.select),
        lagged=lagged_forecasts(getattr(asked.own, "lagged", ()), background, select=settings.select),
        usual_scale=carried.usual_scale,
        memory=carried.memory,
        command=asked.command,
    )
    summary = summarise(analysis.result.feedback)
    reports = summarise_reports(analysis.result.feedback)
    share, lost = share_of(analysis.result.feedback.observations), rejections(analysis.result.feedback)
    left_out = analysis.left_out if console.json or console.shows_tables else ()  # costs as much as an analysis
    tables = format_share(share), format_summary(summary, reports), format_left_out(left_out), format_rejections(lost)
    console.table("\n".join(tables))
    for entry in reports:
        console.record(f"departures: {entry.variable} {entry.report}", {"departures": dataclasses.asdict(entry)})
    for one in lost:
        console.record(f"rejected: {one.flag} {one.count}", {"rejected": dataclasses.asdict(one)})
    judge(analysis.result, settings)
    stages.begin("outputs")
    with together():
        packing = _write(settings, analysis, carried, previous)
        record.confirm()
    _say_packing(packing)
    models = {} if settings.layout is None else analysis.models_of_layout(settings.layout, previous=previous)
    _say_models(models)
    stages.end()
    rows = analysis.result.feedback.observations
    return {
        "status": "ok",
        "dry_run": settings.dry_run,
        "output": None if settings.dry_run else settings.output,
        "feedback": settings.feedback,
        "increment": None if settings.dry_run else settings.increment,
        "spread_out": None if settings.dry_run else settings.spread_out,
        "members_out": None if settings.dry_run else settings.members_out,
        "layout_out": None if settings.dry_run else settings.layout_out,
        **({"models": models} if models else {}),
        "carry": settings.carry,
        **({"packing_error": packing} if packing else {}),
        "background": {"notes": background.notes, **background.counts},
        "valid_time": f"{np.datetime_as_string(time, unit='s')}Z",
        "observations": len(rows),
        "used": int(rows.used.sum()),
        "share": dataclasses.asdict(share),
        "left_out": [dataclasses.asdict(entry) for entry in left_out],
        "variables": [dataclasses.asdict(entry) for entry in summary],
        "missing_observations": asked.missing,
        "reports": [dataclasses.asdict(entry) for entry in reports],
        "rejections": [dataclasses.asdict(one) for one in lost],
        "log": analysis.log,
        "stages": stages.seconds,
        "settings": asked.document(),
    }


class _Stages:
    """The stages of a run, said as they begin. seconds: how long those that are over took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._name, self._began = "", 0.0

    def begin(self, name: str) -> None:
        """End the stage before and say that this one begins."""
        self.end()
        _log.info("stage %d of %d: %s", _STAGES.index(name) + 1, len(_STAGES), name)
        self._name, self._began = name, clock.monotonic()

    def end(self) -> None:
        """End the stage that goes on, if one does."""
        if self._name:
            self.seconds[self._name] = round(clock.monotonic() - self._began, 3)
            self._name = ""


def input_files(asked: Run) -> list[Path]:
    """Return every file that the settings name to read."""
    common, own = asked.common, asked.own
    further = (
        common.stations, common.errors, common.quality, common.orography, common.land_sea, common.carry,
        common.previous,
    )  # fmt: skip
    weights = (getattr(own, name, None) for name in ("weights", "background_error"))
    lagged = getattr(own, "lagged", ())
    named = [*common.background, *common.fgat, *lagged, *asked.observations, *further, *weights]
    return [path for path in named if path is not None]


def _previous(settings: AssimilateConfig, background: Background) -> State | None:
    """Return the state at an earlier time for a layout, once it is clear that the layout can be written."""
    if settings.layout is None or settings.layout_out is None:
        return None
    from phyda_cli.formats.models.write import check_layout, read_previous

    mean = background.ensemble_mean().state
    previous = None if settings.previous is None else read_previous(settings.previous, mean.time)
    check_layout(settings.layout, settings.layout_out, mean, previous)
    return previous


def _write(
    settings: AssimilateConfig, analysis: Analysis, carried: CarriedState, previous: State | None
) -> dict[str, float]:
    """Write the outputs, of a dry run the feedback alone; the analysis last: who sees it takes the others for there.

    Returns the largest packing error of each field of the analysis, of GRIB.
    """
    overwrite = settings.overwrite
    if settings.feedback is not None:
        analysis.write_feedback(settings.feedback, layout=settings.feedback_format, overwrite=overwrite)
    if settings.dry_run or settings.output is None:
        return {}
    if settings.increment is not None:
        analysis.write_increment(settings.increment, overwrite=overwrite)
    if settings.spread_out is not None and analysis.result.spreads is not None:
        analysis.write_spread(settings.spread_out, overwrite=overwrite)
    if settings.members_out is not None and analysis.result.member_count:
        analysis.write_members(settings.members_out, overwrite=overwrite)
    if settings.layout is not None and settings.layout_out is not None:
        analysis.write_layout(settings.layout_out, settings.layout, previous=previous, overwrite=overwrite)
    carried.write(analysis.result)
    return dict(analysis.write(settings.output, overwrite=overwrite))


def _say_packing(errors: Mapping[str, float]) -> None:
    """Log how far the values in a GRIB file are from those of the analysis."""
    if errors:
        listed = ", ".join(f"{name} {error:.2g}" for name, error in errors.items())
        _log.info("largest error of packing, in the units of the fields: %s", listed)


def _say_models(models: Mapping[str, list[str]]) -> None:
    """Log which models find all their inputs in a layout, and what the others lack."""
    complete = [name for name, lacks in models.items() if not lacks]
    if complete:
        _log.info("layout: all inputs are there for %s", ", ".join(complete))
    for name, lacks in models.items():
        if lacks:
            _log.info("layout: %s lacks %s", name, "; ".join(lacks))
