"""`phyda evaluate`: how far an analysis is from a truth, or from observations that it has not seen."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from phyda_cli.console import console
from phyda_cli.errors import UsageError


class EvaluateCommand(TyperCommand):
    """The command, which names the successors of its former options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words after `evaluate`. Raises UsageError for those of a command that has become one of its own."""
        check_spelling(args)
        return super().parse_args(ctx, args)


def check_spelling(words: Sequence[str]) -> None:
    """Raises UsageError with the new command for words that once followed `evaluate`."""
    options = [word.partition("=")[0] for word in words]
    if "--feedback" in options:
        rest = [part for word in words if (part := word.removeprefix("--feedback").removeprefix("="))]
        raise UsageError(f"evaluate --feedback is a command of its own now: phyda diagnose {shlex.join(rest)}")
    if "--store" in options:
        raise UsageError(f"evaluate --store is a command of its own now: phyda experiment {shlex.join(words)}")


def evaluate(
    analysis: Annotated[
        list[Path],
        typer.Option("--analysis", "-a", metavar="FILE", help="Analysis to judge; repeat to merge files."),
    ],
    background: Annotated[
        list[Path] | None,
        typer.Option("--background", "-b", metavar="FILE", help="Its background, to say what changed. Repeatable."),
    ] = None,
    truth: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Truth or a better analysis on any grid. Repeatable.")
    ] = None,
    observations: Annotated[
        list[Path] | None,
        typer.Option(
            "--obs",
            "--observations",
            "-y",
            metavar="FILE",
            help="Observations that the analysis has not seen, in any format that docs/formats.md lists. Repeatable.",
        ),
    ] = None,
    withhold: Annotated[
        str | None,
        typer.Option(
            "--withhold",
            "--withheld",
            metavar="RULE",
            help='Of --obs only what assimilate --withhold withheld: "station % 5 == 0".',
        ),
    ] = None,
    stations: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Places of stations for --obs, as in assimilate.")
    ] = None,
    units: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=UNIT", help="Units of columns of --obs, as in assimilate. Repeatable."),
    ] = None,
    log_of: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Another NetCDF output of the run, such as its feedback: how the analysis saw refractivity and "
            "brightness temperatures, where its own file (GRIB) cannot say it.",
        ),
    ] = None,
    window: Annotated[
        str, typer.Option(metavar="DURATION", help="Leave out observations farther from the valid time.")
    ] = "3h",
    time: Annotated[
        str | None, typer.Option(metavar="TIME", help="Valid time, ISO 8601 UTC, where a file holds several.")
    ] = None,
    member: Annotated[int | None, typer.Option(metavar="N", help="Member to read from ensembles.")] = None,
    select: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Choice in the background's files. Repeatable.")
    ] = None,
) -> None:
    """Score an analysis against a truth on a grid, or against observations that it has not seen.

    Shows RMSE, MAE and bias by variable, and by variable and level, of the analysis and of its background.
    """
    import dataclasses

    import numpy as np

    from phyda_cli.cli.targets import check_inputs
    from phyda_cli.evaluation.compare import compare_fields, compare_observations, format_comparison, over_levels
    from phyda_cli.formats.gridded.background import read_background
    from phyda_cli.library.inputs import read_observations
    from phyda_cli.library.scores import as_analysed, named_by
    from phyda_cli.settings.values import parse_choices, parse_duration, parse_time

    if bool(truth) == bool(observations):
        raise UsageError("name either --truth or --obs to compare with")
    if truth and (withhold or stations or units or log_of):
        raise UsageError("--withhold, --stations, --units and --log-of are for --obs; leave them out with --truth")
    paths = [*analysis, *(background or []), *(truth or []), *(observations or [])]
    check_inputs([*paths, *(path for path in (stations, log_of) if path is not None)])
    choices, columns = parse_choices(select or []), parse_choices(units or [], "--units", "temp=degC")
    width = np.timedelta64(parse_duration(window), "ns")
    moment = None if time is None else np.datetime64(parse_time(time), "ns")
    opened = read_background(analysis, time=moment, member=member).ensemble_mean()
    judged = opened.state
    states = {"analysis": judged}
    if background:
        before = read_background(background, time=moment or judged.time, member=member, select=choices)
        states = {"background": before.ensemble_mean().state, "analysis": judged}
    if truth:
        target = read_background(truth, time=judged.time, member=member).ensemble_mean().state
        entries = compare_fields(states, target)
    else:
        read = read_observations(observations or [], time=judged.time, stations=stations, units=columns)
        rows = named_by(withhold, read)
        entries = compare_observations(states, rows, window=width, seen=as_analysed(opened, rows, log_of))
    document = {
        "status": "ok",
        "variables": [dataclasses.asdict(entry) for entry in over_levels(entries)],
        "scores": [dataclasses.asdict(entry) for entry in entries],
    }
    console.result(format_comparison(entries), document)
