"""`phyda assimilate`: a background and observations in, the analysis out."""

from __future__ import annotations

import contextlib
import logging
import resource
import sys
import time as clock
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from phyda_cli.console import console

if TYPE_CHECKING:
    from phyda_cli.assimilation import Analysis
    from phyda_cli.config import AssimilateConfig
    from phyda_cli.formats.background import Background
    from phyda_cli.observations.table import Observations

STANDARD_INPUT: Final = Path("-")

_log = logging.getLogger(__name__)


def assimilate(
    background: Annotated[
        list[Path] | None,
        typer.Option(
            "--background", "-b", metavar="FILE", help="Background file, GRIB or NetCDF; repeat to merge several."
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
    output: Annotated[
        Path | None, typer.Option("--out", "--output", "-o", metavar="FILE", help="The analysis, NetCDF.")
    ] = None,
    method: Annotated[
        Literal["phyda", "3dvar", "oi"] | None, typer.Option(help="The assimilation method. [default: phyda]")
    ] = None,
    feedback: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write what became of every observation, NetCDF.")
    ] = None,
    feedback_format: Annotated[
        Literal["phyda", "ioda"] | None, typer.Option(help="Layout of the feedback. [default: phyda]")
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
    member: Annotated[int | None, typer.Option(metavar="N", help="Member of a background ensemble.")] = None,
    select: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Choice along another dimension or GRIB key. Repeatable."),
    ] = None,
    members: Annotated[
        int | None,
        typer.Option(metavar="N", help="Samples for the analysis's uncertainty; 0: none. [default: phyda 16, 3dvar 8]"),
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
            metavar="X|auto", help="Factor on the background errors; auto: from the departures. [default: auto]"
        ),
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
        bool | None, typer.Option("--dry-run", help="Read and check everything, say what would be done, write nothing.")
    ] = None,
    overwrite: Annotated[bool | None, typer.Option("--overwrite", help="Replace outputs that exist.")] = None,
) -> None:
    """Assimilate observations into a background and write the analysis.

    Prints the analysis's path when it is safely on disk; with --json one document with counts and departures.
    """
    from phyda_cli.commands.methods import check_method
    from phyda_cli.commands.targets import check_inputs, check_outputs
    from phyda_cli.config import AssimilateConfig, merge_config, parse_choices
    from phyda_cli.errors import UsageError
    from phyda_cli.formats.atomic import output_lock

    began = clock.monotonic()
    flags = {
        "background": background or None,
        "observations": observations or None,
        "output": output,
        "method": method,
        "feedback": feedback,
        "feedback_format": feedback_format,
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
        "weights": weights,
        "background_error": background_error,
        "on_empty": on_empty,
        "max_reject_fraction": max_reject_fraction,
        "device": device,
        "seed": seed,
        "threads": threads,
        "dry_run": dry_run,
        "overwrite": overwrite,
    }
    settings = merge_config(AssimilateConfig, config, flags)
    check_method(settings)
    if settings.feedback_format != "phyda" and settings.feedback is None:
        raise UsageError(f"--feedback-format {settings.feedback_format}: there is no feedback; give --feedback FILE")
    inputs = [path for path in (*settings.background, *settings.observations) if path != STANDARD_INPUT]
    inputs += [path for path in (settings.weights, settings.background_error) if path is not None]
    outputs = {
        "--out": settings.output,
        "--feedback": settings.feedback,
        "--increment": settings.increment,
        "--members-out": settings.members_out,
    }
    targets = {option: path for option, path in outputs.items() if path is not None}
    check_inputs(inputs)
    check_outputs(targets, inputs, overwrite=settings.overwrite)
    with contextlib.ExitStack() as locks:
        for target in () if settings.dry_run else targets.values():
            locks.enter_context(output_lock(target))
        document = _run(settings)
    document["wall_seconds"] = round(clock.monotonic() - began, 2)
    document["peak_memory_mib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    console.table(f"{document['wall_seconds']} s, peak memory {document['peak_memory_mib']} MiB")
    console.result("dry run: nothing written" if settings.dry_run else str(settings.output), document)


def _run(settings: AssimilateConfig) -> dict[str, Any]:
    """Read, assimilate, write; the document that --json shows."""
    import dataclasses

    import numpy as np

    from phyda_cli.assimilation import AssimilationOptions
    from phyda_cli.assimilation import assimilate as analyse
    from phyda_cli.commands.methods import make_method
    from phyda_cli.formats.background import describe, read_background
    from phyda_cli.observations.errors import default_error_table
    from phyda_cli.observations.summary import format_summary, summarise

    chosen = None if settings.time is None else np.datetime64(settings.time, "ns")
    background = read_background(settings.background, time=chosen, member=settings.member, select=settings.select)
    for note in background.notes:
        _log.info("background: %s", note)
    _log.info("background: %s", describe(background))
    observations = _read_observations(settings, background)
    method, weights = make_method(settings)
    options = AssimilationOptions(
        window=np.timedelta64(settings.window, "ns"),
        background_error_scale=None if settings.background_error_scale == "auto" else settings.background_error_scale,
        update=not settings.dry_run,
    )
    table = default_error_table()
    analysis = analyse(background.state, observations, method=method, table=table, options=options)
    summary = summarise(analysis.feedback)
    console.table(format_summary(summary))
    _log.info("%s", ", ".join(f"{key} {value}" for key, value in analysis.log.items()))
    _check_use(settings, analysis)
    if not settings.dry_run:
        _write(settings, background, analysis, weights)
    return {
        "status": "ok",
        "dry_run": settings.dry_run,
        "output": settings.output,
        "feedback": settings.feedback,
        "increment": settings.increment,
        "members_out": settings.members_out,
        "valid_time": f"{np.datetime_as_string(background.state.time, unit='s')}Z",
        "observations": len(analysis.feedback.observations),
        "used": int(analysis.feedback.observations.used.sum()),
        "variables": [dataclasses.asdict(entry) for entry in summary],
        "log": analysis.log,
        "settings": settings.model_dump(mode="json"),
    }


def _read_observations(settings: AssimilateConfig, background: Background) -> Observations:
    from phyda_cli.formats.observations import read_observations
    from phyda_cli.observations.table import concatenate

    reference = background.state.time
    tables = [
        read_observations(sys.stdin if path == STANDARD_INPUT else path, reference_time=reference)
        for path in settings.observations
    ]
    return concatenate(tables)


def _check_use(settings: AssimilateConfig, analysis: Analysis) -> None:
    """Raises BadDataError when too few observations were of use, as the settings say."""
    from phyda_cli.errors import BadDataError

    total, used = len(analysis.feedback.observations), int(analysis.feedback.observations.used.sum())
    files = ", ".join(str(path) for path in settings.observations)
    if used == 0 and settings.on_empty == "fail":
        raise BadDataError(f"{files}: none of {total} observations can be used; --on-empty background would go on")
    if used == 0:
        _log.warning("none of %d observations can be used: THE ANALYSIS IS THE BACKGROUND", total)
    rejected = (total - used) / max(total, 1)
    if rejected > settings.max_reject_fraction:
        limit = f"--max-reject-fraction {settings.max_reject_fraction:g}"
        raise BadDataError(f"{files}: {total - used} of {total} observations are rejected, more than {limit} allows")


def _write(settings: AssimilateConfig, background: Background, analysis: Analysis, weights: tuple[Path, ...]) -> None:
    """Write the outputs; the analysis last, since who sees it takes the others for there."""
    from phyda_cli.formats.analysis import write_analysis, write_increment, write_members
    from phyda_cli.formats.feedback import write_feedback
    from phyda_cli.formats.ioda_writer import write_ioda
    from phyda_cli.formats.provenance import provenance

    about = provenance(
        [*settings.background, *settings.observations],
        weights=weights,
        settings=settings.model_dump(mode="json", exclude={"overwrite", "threads"}),
        log=analysis.log,
    )
    if settings.feedback is not None:
        write = write_ioda if settings.feedback_format == "ioda" else write_feedback
        write(settings.feedback, analysis.feedback, attributes=about, overwrite=settings.overwrite)
    if settings.increment is not None:
        write_increment(settings.increment, background, analysis.state, attributes=about, overwrite=settings.overwrite)
    if settings.members_out is not None and analysis.members is not None:
        members = map(analysis.member, range(analysis.members.values.shape[0]))
        write_members(settings.members_out, background, members, attributes=about, overwrite=settings.overwrite)
    write_analysis(
        settings.output,
        background,
        analysis.state,
        spread=analysis.spread,
        attributes=about,
        overwrite=settings.overwrite,
    )
