"""What `phyda assimilate` does with its settings: read, assimilate, write; the document that --json shows."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from phyda_cli.console import console

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from phyda_cli.assimilation import Analysis
    from phyda_cli.cli.cycle import CarriedState
    from phyda_cli.fields.state import State
    from phyda_cli.formats.gridded.layout import Background
    from phyda_cli.formats.provenance import InputRecord
    from phyda_cli.observations.table import Observations
    from phyda_cli.operators.first_guess import BackgroundTimes
    from phyda_cli.settings.assimilate import AssimilateConfig, Run

STANDARD_INPUT: Final = Path("-")

_log = logging.getLogger(__name__)


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
    """The work of `run`. record: digests of the inputs."""
    import dataclasses

    import numpy as np

    from phyda_cli.assimilation import AssimilationOptions
    from phyda_cli.assimilation import assimilate as analyse
    from phyda_cli.cli.cycle import begin_cycle
    from phyda_cli.cli.methods import background_for, error_scale, make_method
    from phyda_cli.formats.gridded.background import read_background
    from phyda_cli.formats.gridded.layout import describe
    from phyda_cli.formats.gridded.orography import orography
    from phyda_cli.formats.settings import read_errors, read_quality
    from phyda_cli.observations.errors import default_error_table
    from phyda_cli.observations.settings import Quality
    from phyda_cli.observations.summary import format_summary, summarise, summarise_reports
    from phyda_cli.outputs import together

    settings = asked.common
    chosen = None if settings.time is None else np.datetime64(settings.time, "ns")
    background = background_for(
        asked,
        read_background(
            settings.background, time=chosen, member=settings.member, select=settings.select, as_members=True
        ),
    )
    for note in background.notes:
        _log.info("background: %s", note)
    _log.info("background: %s", describe(background))
    observations = _read_observations(settings, background)
    carried = begin_cycle(settings, background.state.time)
    observations = carried.flag(observations)
    method, weights = make_method(asked, background)
    record.add(weights)  # those that ship
    options = AssimilationOptions(
        window=np.timedelta64(settings.window, "ns"),
        background_error_scale=error_scale(asked),
        usual_scale=carried.usual_scale,
        update=not settings.dry_run,
        quality=Quality() if settings.quality is None else read_quality(settings.quality),
    )
    table = default_error_table() if settings.errors is None else read_errors(settings.errors)
    analysis = analyse(
        background.ensemble_mean().state,
        observations,
        method=method,
        table=table,
        options=options,
        first_guesses=_first_guesses(settings, background),
        orography=orography(background),
    )
    summary = summarise(analysis.feedback)
    reports = summarise_reports(analysis.feedback)
    console.table(format_summary(summary, reports))
    said = (
        f"{key} {value:.6g}" if isinstance(value, float) else f"{key} {value}" for key, value in analysis.log.items()
    )
    _log.info("%s", ", ".join(said))
    outside = analysis.log.get("outside_first_guesses", 0)
    if outside:
        _log.warning(
            "--fgat: %s of the used observations lie before or after all its times; the nearest counts", outside
        )
    if analysis.log.get("converged") is False or analysis.log.get("trials_converged") is False:
        _log.warning(
            "3D-Var did not converge: after %s iterations its gradient is %.2g of the first one, so the analysis draws "
            "less to the observations than it should; lower --background-error-scale or give larger observation "
            "errors",
            analysis.log.get("iterations", "all"),
            float(analysis.log.get("gradient_reduction", float("nan"))),
        )
    _check_use(settings, analysis)
    with together():
        _write(settings, background, analysis, _about(asked, analysis, record, weights), carried)
        record.confirm()
    return {
        "status": "ok",
        "dry_run": settings.dry_run,
        "output": None if settings.dry_run else settings.output,
        "feedback": settings.feedback,
        "increment": None if settings.dry_run else settings.increment,
        "members_out": None if settings.dry_run else settings.members_out,
        "carry": settings.carry,
        "background": {"notes": background.notes, **background.counts},
        "valid_time": f"{np.datetime_as_string(background.state.time, unit='s')}Z",
        "observations": len(analysis.feedback.observations),
        "used": int(analysis.feedback.observations.used.sum()),
        "variables": [dataclasses.asdict(entry) for entry in summary],
        "reports": [dataclasses.asdict(entry) for entry in reports],
        "log": analysis.log,
        "settings": asked.document(),
    }


def _read_observations(settings: AssimilateConfig, background: Background) -> Observations:
    from phyda_cli.formats.reports.observations import read_observations
    from phyda_cli.formats.reports.stations import read_stations
    from phyda_cli.observations.table import concatenate

    reference = background.state.time
    stations = None if settings.stations is None else read_stations(settings.stations)
    tables = [
        read_observations(
            sys.stdin if path == STANDARD_INPUT else path,
            reference_time=reference,
            stations=stations,
            units=settings.units,
        )
        for path in settings.observations
    ]
    return _withheld(concatenate(tables), settings.withhold)


def _withheld(observations: Observations, rule: str | None) -> Observations:
    """The observations, those that the rule names for withholding."""
    import dataclasses

    import numpy as np

    from phyda_cli.observations.rule import matching
    from phyda_cli.observations.table import Use

    if rule is None:
        return observations
    named = matching(observations, rule)
    if not named.any():
        _log.warning("--withhold %r names none of %d observations", rule, len(observations))
    return dataclasses.replace(observations, use=np.where(named, Use.WITHHOLD.value, observations.use))


def _first_guesses(settings: AssimilateConfig, background: Background) -> BackgroundTimes:
    """The background at the other times of --fgat. Raises UsageError for an ensemble."""
    from phyda_cli.errors import UsageError
    from phyda_cli.formats.gridded.background import background_times, read_background

    if settings.fgat and background.member is not None:
        raise UsageError("--fgat: needs one background, not the members of an ensemble; choose one with --member")
    member = settings.member if isinstance(settings.member, int) else None

    def reader(time: np.datetime64, paths: tuple[Path, ...]) -> Callable[[], State]:
        return lambda: read_background(paths, time=time, member=member, select=settings.select).state

    held = background_times(settings.fgat, settings.select)
    return {time: reader(time, paths) for time, paths in held.items()}


def _check_use(settings: AssimilateConfig, analysis: Analysis) -> None:
    """Raises BadDataError when too few observations were of use, as the settings say."""
    import numpy as np

    from phyda_cli.errors import BadDataError
    from phyda_cli.observations.passive import is_set_aside
    from phyda_cli.observations.table import Flag, Use

    total, used = len(analysis.feedback.observations), int(analysis.feedback.observations.used.sum())
    files = ", ".join(str(path) for path in settings.observations)
    if used == 0 and settings.on_empty == "fail":
        raise BadDataError(
            f"{files}: none of {total} observations can be used ({_why(analysis)}); --on-empty background would go on"
        )
    if used == 0:
        _log.warning("none of %d observations can be used (%s): THE ANALYSIS IS THE BACKGROUND", total, _why(analysis))
    o = analysis.feedback.observations
    # fewer rows on purpose, and rows of an earlier cycle, are no sign of bad data
    spared = np.isin(o.flag, (Flag.PASS, Flag.THINNED, Flag.SUPEROB, Flag.HISTORY))
    rejected = int((~spared & ~is_set_aside(o, Use.WITHHOLD) & ~is_set_aside(o, Use.MONITOR)).sum())
    if rejected > settings.max_reject_fraction * total:
        limit = f"--max-reject-fraction {settings.max_reject_fraction:g}"
        raise BadDataError(f"{files}: {rejected} of {total} observations are rejected, more than {limit} allows")


def _why(analysis: Analysis) -> str:
    """The commonest verdicts, and when the observations and the background are."""
    from collections import Counter

    import numpy as np

    from phyda_cli.observations.table import Flag

    o = analysis.feedback.observations
    verdicts = Counter(Flag(int(flag)).name.lower() for flag in o.flag)
    listed = ", ".join(f"{name} {count}" for name, count in verdicts.most_common(3)) or "no rows"
    times = o.time[~np.isnat(o.time)]
    if not times.size:
        return listed
    first, last, own = (
        f"{np.datetime_as_string(t, unit='m')}Z" for t in (times.min(), times.max(), analysis.background.time)
    )
    return f"{listed}; they are of {first} to {last}, the background of {own}"


def input_files(asked: Run) -> list[Path]:
    """Every file that the settings name to read."""
    common, own = asked.common, asked.own
    further = (common.stations, common.errors, common.quality, common.carry)
    weights = (getattr(own, name, None) for name in ("weights", "background_error"))
    named = [*common.background, *common.fgat, *common.observations, *further, *weights]
    return [path for path in named if path is not None]


def _about(asked: Run, analysis: Analysis, record: InputRecord, weights: tuple[Path, ...]) -> dict[str, str]:
    """Where the outputs come from, as global attributes."""
    from phyda_cli.formats.provenance import provenance

    left_out = ("overwrite", "threads", "wait", "carry_new")
    return provenance(
        record,
        [path for path in input_files(asked) if path not in weights],
        weights=weights,
        settings={name: value for name, value in asked.document().items() if name not in left_out},
        log=analysis.log,
    )


def _write(
    settings: AssimilateConfig,
    background: Background,
    analysis: Analysis,
    about: dict[str, str],
    carried: CarriedState,
) -> None:
    """Write the outputs, of a dry run the feedback alone; the analysis last: who sees it takes the others for there."""
    from phyda_cli.formats.feedback.ioda import write_ioda
    from phyda_cli.formats.feedback.netcdf import write_feedback
    from phyda_cli.formats.gridded.analysis import write_analysis, write_increment, write_members

    mean = background.ensemble_mean()
    if settings.feedback is not None:
        write = write_ioda if settings.feedback_format == "ioda" else write_feedback
        write(settings.feedback, analysis.feedback, attributes=about, overwrite=settings.overwrite)
    if settings.dry_run:
        return
    if settings.increment is not None:
        write_increment(settings.increment, mean, analysis.state, attributes=about, overwrite=settings.overwrite)
    if settings.members_out is not None and analysis.member_count:
        count = analysis.member_count
        members = map(analysis.member, range(count))
        write_members(
            settings.members_out, background, members, count=count, attributes=about, overwrite=settings.overwrite
        )
    carried.write(analysis)
    write_analysis(
        settings.output,
        mean,
        analysis.state,
        spread=analysis.spread,
        attributes=about,
        overwrite=settings.overwrite,
    )
