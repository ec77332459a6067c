"""`phyda evaluate`: how good an analysis is, or how good the methods are on a training store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from phyda_cli.console import console
from phyda_cli.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from phyda_cli.observations.table import Observations


def evaluate(
    analysis: Annotated[
        list[Path] | None,
        typer.Option("--analysis", "-a", metavar="FILE", help="Analysis to judge; repeat to merge files."),
    ] = None,
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
    feedback: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Instead: error sizes from the departures of feedback files, and the scores of their withheld rows "
            "by level. Repeatable.",
        ),
    ] = None,
    time: Annotated[
        str | None, typer.Option(metavar="TIME", help="Valid time, ISO 8601 UTC, where a file holds several.")
    ] = None,
    withheld: Annotated[
        str | None,
        typer.Option(
            metavar="RULE", help="Of --obs only what this rule names, as assimilate --withhold did: station % 5 == 0."
        ),
    ] = None,
    stations: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Places of stations for --obs, as in assimilate.")
    ] = None,
    units: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=UNIT", help="Units of columns of --obs, as in assimilate. Repeatable."),
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="Leave out observations farther from the valid time. [default: 3h]"),
    ] = None,
    member: Annotated[int | None, typer.Option(metavar="N", help="Member to read from ensembles.")] = None,
    select: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Choice in the background's files. Repeatable.")
    ] = None,
    store: Annotated[
        Path | None, typer.Option(metavar="DIRECTORY", help="Instead: twin experiments on this training store.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--out", "--output", "-o", metavar="DIRECTORY", help="Scores and report; a stopped run goes on here."
        ),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(metavar="[NAME=]FILE", help="Weights to compare; the name phyda without one. Repeatable."),
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,…", help="background, oi, 3dvar, names of weights. [default: all but oi, which is slow]"
        ),
    ] = None,
    densities: Annotated[
        str | None,
        typer.Option(metavar="PERCENT,…", help="Observations in % of the grid values. [default: 10,5,2,1,0.5,0]"),
    ] = None,
    part: Annotated[
        Literal["train", "validation", "test"] | None, typer.Option(help="Part of the store. [default: test]")
    ] = None,
    dates: Annotated[int | None, typer.Option(metavar="N", help="Dates, spread evenly. [default: 200]")] = None,
    leads: Annotated[
        str | None, typer.Option(metavar="HOURS,…", help="Leads of the backgrounds, in turn. [default: all up to 72]")
    ] = None,
    members: Annotated[int | None, typer.Option(metavar="N", help="Members of each analysis. [default: 16]")] = None,
    noise: Annotated[
        float | None, typer.Option(metavar="FACTOR", help="Observation errors relative to the table's. [default: 1]")
    ] = None,
    only: Annotated[
        str | None, typer.Option(metavar="NAME,…", help="Observe these channels alone, such as t850. [default: all]")
    ] = None,
    background_error: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Background-error statistics. [default: those shipped]")
    ] = None,
    tune: Annotated[
        bool | None,
        typer.Option("--tune/--no-tune", help="Tune 3D-Var for each density on the validation part. [default: tune]"),
    ] = None,
    tuning_cases: Annotated[int | None, typer.Option(metavar="N", help="Dates to tune on. [default: 24]")] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Of observations and members. [default: 0]")] = None,
    threads: Annotated[int | None, typer.Option(metavar="N", min=1, help="Processor threads.")] = None,
) -> None:
    """RMSE, MAE and bias of an analysis, over the grid (--truth) or at observations (--obs); with --feedback the errors
    of observations and background from its departures (Desroziers et al. 2005) and the scores of its withheld rows; or,
    with --store, twin experiments that compare the methods at several densities of observations.
    """
    judging = {
        "--analysis": analysis, "--background": background, "--truth": truth, "--obs": observations, "--time": time,
        "--withheld": withheld, "--stations": stations, "--units": units, "--window": window, "--member": member,
        "--select": select,
    }  # fmt: skip
    options: dict[str, Any] = {
        "weights": weights, "methods": methods, "densities": densities, "part": part, "dates": dates, "leads": leads,
        "members": members, "noise": noise, "only": only, "background_error": background_error, "tune": tune,
        "tuning_cases": tuning_cases, "seed": seed, "threads": threads,
    }  # fmt: skip
    if feedback:
        given = {
            **judging,
            "--store": store,
            **{f"--{k.replace('_', '-')}": v for k, v in {"out": output, **options}.items()},
        }
        refused = [option for option, value in given.items() if value not in (None, [])]
        if refused:
            raise UsageError(f"{refused[0]}: --feedback stands alone; leave one of them out")
        _diagnose(feedback)
        return
    if store is not None:
        refused = [option for option, value in judging.items() if value not in (None, [])]
        if refused:
            raise UsageError(
                f"{refused[0]}: is for an analysis that is there; --store makes its own, so give one of them"
            )
        from phyda_cli.cli.experiment import run_experiment

        run_experiment(store, output, options)
        return
    refused = [name for name, value in {"out": output, **options}.items() if value not in (None, [])]
    if refused:
        raise UsageError(f"--{refused[0].replace('_', '-')}: is for experiments on a training store; give --store too")
    if not analysis:
        raise UsageError(
            "name what to evaluate: --analysis FILE, --feedback FILE, or --store DIRECTORY for experiments"
        )
    if truth and (withheld or stations or units):
        raise UsageError("--withheld, --stations and --units are for --obs; leave them out with --truth")
    scored = _Scored(observations or [], withheld, stations, units or [], window or "3h")
    _judge(analysis, background, truth, scored, time, member, select)


class _Scored(NamedTuple):
    """What an analysis is scored at: files, the rule that names their rows, and how they are read."""

    paths: list[Path]
    withheld: str | None
    stations: Path | None
    units: list[str]
    window: str


def _diagnose(paths: list[Path]) -> None:
    """Error sizes from feedback files."""
    import dataclasses

    import numpy as np

    from phyda_cli.cli.targets import check_inputs
    from phyda_cli.errors import BadDataError
    from phyda_cli.evaluation.compare import compare_withheld, format_comparison
    from phyda_cli.evaluation.desroziers import FEWEST, estimate, format_estimates
    from phyda_cli.formats.feedback.netcdf import read_feedback

    check_inputs(paths)
    feedbacks = [read_feedback(path) for path in paths]
    for path, feedback in zip(paths, feedbacks, strict=True):
        if not np.isfinite(feedback.analysis_equivalent).any():
            raise BadDataError(f"{path}: holds no analysis: a dry run wrote it, or no observation has an equivalent")
    estimates, withheld = estimate(feedbacks), compare_withheld(feedbacks)
    if not estimates and not withheld:
        raise BadDataError(f"{paths[0]}: fewer than {FEWEST} used rows of any variable: too few for an estimate")
    text = [format_estimates(estimates)] if estimates else []
    text += ["withheld rows that passed every check", format_comparison(withheld)] if withheld else []
    document = {
        "status": "ok",
        "estimates": [dataclasses.asdict(entry) for entry in estimates],
        "withheld": [dataclasses.asdict(entry) for entry in withheld],
    }
    console.result("\n".join(text), document)


def _judge(
    analysis: list[Path],
    background: list[Path] | None,
    truth: list[Path] | None,
    scored: _Scored,
    time: str | None,
    member: int | None,
    select: list[str] | None,
) -> None:
    """Compare an analysis, and its background, with a truth or with observations."""
    import dataclasses

    import numpy as np

    from phyda_cli.cli.targets import check_inputs
    from phyda_cli.config import parse_choices, parse_duration, parse_time
    from phyda_cli.evaluation.compare import compare_fields, compare_observations, format_comparison
    from phyda_cli.formats.gridded.background import read_background

    if bool(truth) == bool(scored.paths):
        raise UsageError("name either --truth or --obs to compare with")
    check_inputs([*analysis, *(background or []), *(truth or []), *scored.paths])
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
        width = np.timedelta64(parse_duration(scored.window), "ns")
        entries = compare_observations(states, _rows(scored, judged.time), window=width)
    document = {"status": "ok", "scores": [dataclasses.asdict(entry) for entry in entries]}
    console.result(format_comparison(entries), document)


def _rows(scored: _Scored, time: np.datetime64) -> Observations:
    """The observations to score at. Raises UsageError when the rule names none of them."""
    from phyda_cli.config import parse_choices
    from phyda_cli.formats.reports.observations import read_observations
    from phyda_cli.formats.reports.stations import read_stations
    from phyda_cli.observations.rule import matching
    from phyda_cli.observations.table import concatenate

    stations = None if scored.stations is None else read_stations(scored.stations)
    units = parse_choices(scored.units, "--units", "temp=degC")
    tables = [read_observations(p, reference_time=time, stations=stations, units=units) for p in scored.paths]
    rows = concatenate(tables)
    if scored.withheld is None:
        return rows
    named = matching(rows, scored.withheld, option="--withheld")
    if not named.any():
        raise UsageError(f"--withheld {scored.withheld!r} names none of {len(rows)} observations")
    return rows.take(named)
