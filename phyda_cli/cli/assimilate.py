"""`phyda assimilate`: a background and observations in, the analysis out."""

from __future__ import annotations

import contextlib
import os
import resource
import time as clock
from pathlib import Path
from typing import Annotated, Literal

import typer

from phyda_cli.console import console


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
            help="Observations in any format that docs/formats.md lists; - reads CSV from stdin. Repeatable.",
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
        typer.Option(metavar="KM", help="Distance from which an observation has no influence (letkf). [default: 1000]"),
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
    from phyda_cli.cli.assimilate_run import STANDARD_INPUT, run
    from phyda_cli.cli.cycle import check_carry
    from phyda_cli.cli.methods import check_method
    from phyda_cli.cli.targets import check_inputs, check_outputs
    from phyda_cli.config import AssimilateConfig, merge_config, parse_choices
    from phyda_cli.errors import UsageError
    from phyda_cli.outputs import output_lock

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
    if settings.feedback_format != "phyda" and settings.feedback is None:
        raise UsageError(f"--feedback-format {settings.feedback_format}: there is no feedback; give --feedback FILE")
    inputs = [path for path in (*settings.background, *settings.fgat, *settings.observations) if path != STANDARD_INPUT]
    others = (settings.weights, settings.background_error, settings.errors, settings.quality, settings.stations, config)
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
        document = run(settings)
    document["wall_seconds"] = round(clock.monotonic() - began, 2)
    document["peak_memory_mib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    console.table(f"{document['wall_seconds']} s, peak memory {document['peak_memory_mib']} MiB")
    said = str(settings.feedback or "dry run: nothing written") if settings.dry_run else str(settings.output)
    console.result(said, document)
