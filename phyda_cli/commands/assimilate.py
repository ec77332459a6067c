"""`phyda assimilate`: a background and observations in, the analysis out."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import sys
import time as clock
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from phyda_cli.console import console

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from phyda_cli.assimilation import Analysis
    from phyda_cli.commands.cycle import CarriedState
    from phyda_cli.config import AssimilateConfig
    from phyda_cli.fields.state import State
    from phyda_cli.formats.background import Background
    from phyda_cli.observations.first_guess import BackgroundTimes
    from phyda_cli.observations.table import Observations

STANDARD_INPUT: Final = Path("-")

_log = logging.getLogger(__name__)


def assimilate(
    background: Annotated[
        list[Path] | None,
        typer.Option(
            "--background",
            "-b",
            metavar="FILE",
            help="Background file, GRIB or NetCDF; repeat to merge several, or for the members of an ensemble.",
        ),
    ] = None,
    observations: Annotated[
        list[Path] | None,
        typer.Option(
            "--obs",
            "--observations",
            "-y",
            metavar="FILE",
            help="Table of observations, CSV; - reads stdin. Repeatable.",
        ),
    ] = None,
    stations: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Places of stations, CSV, for reports that have none (METAR)."),
    ] = None,
    units: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=UNIT", help="Unit of a table's column that does not say it. Repeatable."),
    ] = None,
    withhold: Annotated[
        str | None,
        typer.Option(metavar="RULE", help='Withhold these observations, to judge by: "station % 5 == 0".'),
    ] = None,
    fgat: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="Background at other times of the window, for early and late observations. Repeatable."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--out", "--output", "-o", metavar="FILE", help="The analysis, NetCDF.")
    ] = None,
    method: Annotated[
        Literal["phyda", "3dvar", "oi", "letkf"] | None, typer.Option(help="The assimilation method. [default: phyda]")
    ] = None,
    feedback: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write what became of every observation, NetCDF.")
    ] = None,
    increment: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write analysis minus background, NetCDF.")
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Valid time, ISO 8601 UTC; needed where the background holds several."),
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION", help="Reject observations farther from the valid time: 3h, 90min, PT3H. [default: 3h]"
        ),
    ] = None,
    member: Annotated[
        str | None, typer.Option(metavar="N|LIST", help="Member of a background ensemble, or several: 3, or 0,3-7.")
    ] = None,
    select: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Choice along another dimension or GRIB key. Repeatable."),
    ] = None,
    members: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Samples for the analysis's uncertainty; 0: none. [default: phyda 16, 3dvar 8] "
            "Of a background ensemble: take the first N. [default: all]",
        ),
    ] = None,
    members_out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write every member of the analysis, NetCDF.")
    ] = None,
    evaluations: Annotated[
        int | None, typer.Option(metavar="N", help="Network evaluations for each sample (phyda). [default: 12]")
    ] = None,
    churn: Annotated[
        float | None, typer.Option(metavar="X", help="Fresh noise before each evaluation (phyda). [default: 0]")
    ] = None,
    guidance: Annotated[
        Literal["none", "sda"] | None,
        typer.Option(help="sda: also assimilate total column water vapour (phyda). [default: none]"),
    ] = None,
    background_error_scale: Annotated[
        str | None,
        typer.Option(
            "--background-error-scale",
            "--inflation",
            metavar="X|auto",
            help="Factor on the background errors; auto: from the departures. [default: auto, letkf 1]",
        ),
    ] = None,
    localisation: Annotated[
        float | None,
        typer.Option(metavar="KM", help="Distance from which an observation has no influence (letkf). [default: 2000]"),
    ] = None,
    vertical_localisation: Annotated[
        float | None, typer.Option(metavar="X", help="The same in ln p (letkf). [default: 1]")
    ] = None,
    relaxation: Annotated[
        float | None,
        typer.Option(metavar="X", help="Relax the spread to the background's, 0 to 1 (letkf). [default: 0]"),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Learned model (phyda) or background-error statistics. [default: those shipped]"
        ),
    ] = None,
    background_error: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Statistics that the learned model was trained with. [default: those shipped]"
        ),
    ] = None,
    errors: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML file of observation errors, instead of those shipped.")
    ] = None,
    quality: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML file: blacklist, checks, thinning, superobs.")
    ] = None,
    on_empty: Annotated[
        Literal["background", "fail"] | None,
        typer.Option(help="Without a usable observation write the background, or fail (65). [default: background]"),
    ] = None,
    max_reject_fraction: Annotated[
        float | None,
        typer.Option(metavar="X", help="Fail (65) when more of the observations is rejected. [default: 1]"),
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"] | None, typer.Option(help="Where to compute. [default: auto]")
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed of the random numbers. [default: 0]")] = None,
    threads: Annotated[int | None, typer.Option(metavar="N", help="Processor threads. [default: 1]")] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML file with these settings, - as _ in names; flags win.")
    ] = None,
    dry_run: Annotated[
        bool | None,
        typer.Option("--dry-run", help="Read and check everything, say what would be done; write --feedback alone."),
    ] = None,
    overwrite: Annotated[bool | None, typer.Option("--overwrite", help="Replace outputs that exist.")] = None,
    wait: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION", help="Wait for a run that holds an output: 30s, 10min. [default: 0s, then exit 75]"
        ),
    ] = None,
    carry: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What the cycle before left, JSON; read first, written anew at the end."),
    ] = None,
    carry_new: Annotated[
        bool | None, typer.Option("--carry-new", help="First cycle: begin the file of --carry, which must not exist.")
    ] = None,
) -> None:
    """Assimilate observations into a background and write the analysis.

    Prints the analysis's path when it is safely on disk; with --json one document with counts and departures.
    """
    from phyda_cli.commands.cycle import check_carry
    from phyda_cli.commands.methods import check_method
    from phyda_cli.commands.targets import check_inputs, check_outputs
    from phyda_cli.config import AssimilateConfig, merge_config, parse_choices
    from phyda_cli.formats.atomic import output_lock

    began = clock.monotonic()
    flags = {
        "background": background or None,
        "observations": observations or None,
        "stations": stations,
        "withhold": withhold,
        "fgat": fgat or None,
        "units": parse_choices(units, "--units", "temp=degC") if units else None,
        "output": output,
        "method": method,
        "feedback": feedback,
        "increment": increment,
        "time": time,
        "window": window,
        "member": member,
        "select": parse_choices(select) if select else None,
        "members": members,
        "members_out": members_out,
        "evaluations": evaluations,
        "churn": churn,
        "guidance": guidance,
        "background_error_scale": background_error_scale,
        "localisation": localisation,
        "vertical_localisation": vertical_localisation,
        "relaxation": relaxation,
        "weights": weights,
        "background_error": background_error,
        "errors": errors,
        "quality": quality,
        "on_empty": on_empty,
        "max_reject_fraction": max_reject_fraction,
        "device": device,
        "seed": seed,
        "threads": threads,
        "dry_run": dry_run,
        "overwrite": overwrite,
        "wait": wait,
        "carry": carry,
        "carry_new": carry_new,
    }
    settings = merge_config(AssimilateConfig, config, flags)
    check_method(settings)
    inputs = [path for path in (*settings.background, *settings.fgat, *settings.observations) if path != STANDARD_INPUT]
    others = (settings.weights, settings.background_error, settings.errors, settings.quality, settings.stations)
    inputs += [path for path in others if path is not None]
    outputs = {
        "--out": settings.output,
        "--feedback": settings.feedback,
        "--increment": settings.increment,
        "--members-out": settings.members_out,
        "--carry": settings.carry,
    }
    targets = {option: path for option, path in outputs.items() if path is not None}

    def check() -> None:
        check_carry(settings)
        check_inputs(inputs)
        check_outputs(targets, inputs, overwrite=settings.overwrite, updated=["--carry"])

    check()
    written = {k: path for k, path in targets.items() if k == "--feedback" or not settings.dry_run}
    with contextlib.ExitStack() as locks:
        until = clock.monotonic() + settings.wait.total_seconds()
        for target in sorted(written.values(), key=os.path.realpath):  # one order, so that no two runs block
            locks.enter_context(output_lock(target, until=until))
        check()  # who held an output may have written it
        document = _run(settings)
    document["wall_seconds"] = round(clock.monotonic() - began, 2)
    document["peak_memory_mib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    console.table(f"{document['wall_seconds']} s, peak memory {document['peak_memory_mib']} MiB")
    said = str(settings.feedback or "dry run: nothing written") if settings.dry_run else str(settings.output)
    console.result(said, document)


def _run(settings: AssimilateConfig) -> dict[str, Any]:
    """Read, assimilate, write; the document that --json shows."""
    import dataclasses

    import numpy as np

    from phyda_cli.assimilation import AssimilationOptions
    from phyda_cli.assimilation import assimilate as analyse
    from phyda_cli.commands.cycle import begin_cycle
    from phyda_cli.commands.methods import background_for, error_scale, make_method
    from phyda_cli.formats.background import describe, read_background
    from phyda_cli.formats.settings import read_errors, read_quality
    from phyda_cli.observations.errors import default_error_table
    from phyda_cli.observations.settings import Quality
    from phyda_cli.observations.summary import format_summary, summarise, summarise_reports

    chosen = None if settings.time is None else np.datetime64(settings.time, "ns")
    background = background_for(
        settings,
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
    method, weights = make_method(settings, background)
    options = AssimilationOptions(
        window=np.timedelta64(settings.window, "ns"),
        background_error_scale=error_scale(settings),
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
    )
    summary = summarise(analysis.feedback)
    reports = summarise_reports(analysis.feedback)
    console.table(format_summary(summary, reports))
    _log.info("%s", ", ".join(f"{key} {value}" for key, value in analysis.log.items()))
    _check_use(settings, analysis)
    _write(settings, background, analysis, weights, carried)
    return {
        "status": "ok",
        "dry_run": settings.dry_run,
        "output": settings.output,
        "feedback": settings.feedback,
        "increment": settings.increment,
        "members_out": settings.members_out,
        "carry": settings.carry,
        "valid_time": f"{np.datetime_as_string(background.state.time, unit='s')}Z",
        "observations": len(analysis.feedback.observations),
        "used": int(analysis.feedback.observations.used.sum()),
        "variables": [dataclasses.asdict(entry) for entry in summary],
        "reports": [dataclasses.asdict(entry) for entry in reports],
        "log": analysis.log,
        "settings": settings.model_dump(mode="json"),
    }


def _read_observations(settings: AssimilateConfig, background: Background) -> Observations:
    from phyda_cli.formats.csv import read_stations
    from phyda_cli.formats.observations import read_observations
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
    from phyda_cli.formats.background import read_background
    from phyda_cli.formats.background_times import background_times

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
        raise BadDataError(f"{files}: none of {total} observations can be used; --on-empty background would go on")
    if used == 0:
        _log.warning("none of %d observations can be used: THE ANALYSIS IS THE BACKGROUND", total)
    o = analysis.feedback.observations
    spared = np.isin(o.flag, (Flag.PASS, Flag.THINNED, Flag.SUPEROB))  # fewer rows on purpose are no sign of bad data
    rejected = int((~spared & ~is_set_aside(o, Use.WITHHOLD) & ~is_set_aside(o, Use.MONITOR)).sum())
    if rejected > settings.max_reject_fraction * total:
        limit = f"--max-reject-fraction {settings.max_reject_fraction:g}"
        raise BadDataError(f"{files}: {rejected} of {total} observations are rejected, more than {limit} allows")


def _write(
    settings: AssimilateConfig,
    background: Background,
    analysis: Analysis,
    weights: tuple[Path, ...],
    carried: CarriedState,
) -> None:
    """Write the outputs, of a dry run the feedback alone; the analysis last: who sees it takes the others for there."""
    from phyda_cli.formats.analysis import write_analysis, write_increment, write_members
    from phyda_cli.formats.feedback import write_feedback
    from phyda_cli.formats.provenance import provenance

    mean = background.ensemble_mean()
    further = (settings.stations, settings.errors, settings.quality, settings.carry)
    about = provenance(
        [*settings.background, *settings.fgat, *settings.observations, *(path for path in further if path is not None)],
        weights=weights,
        settings=settings.model_dump(mode="json", exclude={"overwrite", "threads", "wait", "carry_new"}),
        log=analysis.log,
    )
    if settings.feedback is not None:
        write_feedback(settings.feedback, analysis.feedback, attributes=about, overwrite=settings.overwrite)
    if settings.dry_run:
        return
    if settings.increment is not None:
        write_increment(settings.increment, mean, analysis.state, attributes=about, overwrite=settings.overwrite)
    if settings.members_out is not None and analysis.members is not None:
        members = map(analysis.member, range(analysis.members.values.shape[0]))
        write_members(settings.members_out, background, members, attributes=about, overwrite=settings.overwrite)
    carried.write(analysis)
    write_analysis(
        settings.output,
        mean,
        analysis.state,
        spread=analysis.spread,
        attributes=about,
        overwrite=settings.overwrite,
    )
