"""`phyda evaluate`: how good an analysis is, against a truth or observations that it has not seen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phyda_cli.console import console


def evaluate(
    analysis: Annotated[
        list[Path], typer.Option("--analysis", "-a", metavar="FILE", help="Analysis to judge; repeat to merge files.")
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
            "--obs", "--observations", "-y", metavar="FILE", help="Observations withheld from the analysis. Repeatable."
        ),
    ] = None,
    time: Annotated[
        str | None, typer.Option(metavar="TIME", help="Valid time, ISO 8601 UTC, where a file holds several.")
    ] = None,
    window: Annotated[
        str, typer.Option(metavar="DURATION", help="Leave out observations farther from the valid time.")
    ] = "3h",
    member: Annotated[int | None, typer.Option(metavar="N", help="Member to read from ensembles.")] = None,
    select: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Choice in the background's files. Repeatable.")
    ] = None,
) -> None:
    """RMSE, MAE and bias by variable and level, over the grid (--truth) or at observations (--obs)."""
    import dataclasses

    import numpy as np

    from phyda_cli.commands.targets import check_inputs
    from phyda_cli.config import parse_choices, parse_duration, parse_time
    from phyda_cli.errors import UsageError
    from phyda_cli.formats.background import read_background
    from phyda_cli.formats.csv import read_csv
    from phyda_cli.observations.table import concatenate
    from phyda_cli.verification.compare import compare_fields, compare_observations, format_comparison

    if bool(truth) == bool(observations):
        raise UsageError("name either --truth or --obs to compare with")
    check_inputs([*analysis, *(background or []), *(truth or []), *(observations or [])])
    moment = None if time is None else np.datetime64(parse_time(time), "ns")
    judged = read_background(analysis, time=moment, member=member).ensemble_mean().state
    states = {"analysis": judged}
    if background:
        choices = parse_choices(select or [])
        before = read_background(background, time=moment or judged.time, member=member, select=choices)
        states = {"background": before.ensemble_mean().state, "analysis": judged}
    if truth:
        target = read_background(truth, time=judged.time, member=member).ensemble_mean().state
        entries = compare_fields(states, target)
    else:
        tables = [read_csv(path, reference_time=judged.time) for path in observations or []]
        width = np.timedelta64(parse_duration(window), "ns")
        entries = compare_observations(states, concatenate(tables), window=width)
    document = {"status": "ok", "scores": [dataclasses.asdict(entry) for entry in entries]}
    console.result(format_comparison(entries), document)
