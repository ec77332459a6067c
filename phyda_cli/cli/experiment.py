"""`phyda experiment`: twin experiments on a training store, which compare the methods."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from phyda_cli.console import console
from phyda_cli.errors import CannotWriteError, ConfigError, UsageError

if TYPE_CHECKING:
    from phyda_cli.experiments.settings import Settings

DEFAULT_NAME: Final = "phyda"
"""The method of weights that are given without a name."""
_NAMED: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]*)=(.+)")


def experiment(
    store: Annotated[
        Path | None, typer.Argument(metavar="STORE", help="The training store that phyda prepare has made.")
    ] = None,
    named_store: Annotated[Path | None, typer.Option("--store", metavar="DIRECTORY", help="The same by name.")] = None,
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
    path: Annotated[
        str,
        typer.Option(
            metavar="method|analysis",
            help="Departures straight to the method, or all that phyda assimilate does; both with a comma.",
        ),
    ] = "method",
    densities: Annotated[
        str | None,
        typer.Option(metavar="PERCENT,…", help="Observations in % of the grid values. [default: 10,5,2,1,0.5,0]"),
    ] = None,
    part: Annotated[Literal["train", "validation", "test"], typer.Option(help="Part of the store.")] = "test",
    dates: Annotated[int, typer.Option(metavar="N", help="Dates, spread evenly.")] = 200,
    leads: Annotated[
        str | None, typer.Option(metavar="HOURS,…", help="Leads of the backgrounds, in turn. [default: all up to 72]")
    ] = None,
    members: Annotated[int, typer.Option(metavar="N", help="Members of each analysis.")] = 16,
    noise: Annotated[float, typer.Option(metavar="FACTOR", help="Observation errors relative to the table's.")] = 1.0,
    only: Annotated[
        str | None, typer.Option(metavar="NAME,…", help="Observe these channels alone, such as t850. [default: all]")
    ] = None,
    background_error: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Background-error statistics. [default: those shipped]")
    ] = None,
    tune: Annotated[
        bool, typer.Option("--tune/--no-tune", help="Tune 3D-Var for each density on the validation part.")
    ] = True,
    tuning_cases: Annotated[int, typer.Option(metavar="N", help="Dates to tune on.")] = 24,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of observations and members.")] = 0,
    threads: Annotated[int | None, typer.Option(metavar="N", min=1, help="Processor threads.")] = None,
    dask: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Analyse on a Dask cluster; local: on this machine's processors."),
    ] = None,
) -> None:
    """Compare the methods in twin experiments on a training store, at several densities of observations.

    Writes every score, ratios to 3D-Var and the background with their intervals, and a report with pictures.
    """
    from phyda_cli.cli.targets import check_inputs
    from phyda_cli.experiments.experiment import Inputs
    from phyda_cli.experiments.experiment import experiment as run
    from phyda_cli.outputs import output_lock
    from phyda_cli.preparation.workers import workers
    from phyda_cli.resources import LEARNED_BACKGROUND_ERROR, weights_path

    if (store is None) == (named_store is None):
        raise UsageError("name one store, phyda experiment STORE --out DIRECTORY")
    directory = store or named_store
    assert directory is not None
    if output is None:
        raise UsageError("give --out DIRECTORY for the scores and the report")
    statistics = background_error or weights_path(LEARNED_BACKGROUND_ERROR)
    named = named_weights(weights or [])
    check_inputs([directory, statistics, *named.values()])
    settings = _settings(
        directory,
        leads,
        {
            "part": part,
            "dates": dates,
            "members": members,
            "noise": noise,
            "seed": seed,
            "only": tuple(_names(only)),
            "tuning_cases": tuning_cases if tune else 0,
            **({} if densities is None else {"densities": tuple(_numbers("--densities", densities))}),
        },
    )
    try:
        output.mkdir(exist_ok=True)
    except FileNotFoundError as error:
        raise CannotWriteError(f"{output}: the directory {output.parent} does not exist; create it first") from error
    except OSError as error:
        raise CannotWriteError(f"{output}: {error.strerror}; name a directory") from error
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    if dask is not None:
        threads = threads or 1
    with output_lock(output / "scores.json"), workers(dask) as those, contextlib.ExitStack() as stack:

        def progress(description: str, total: int) -> Callable[[int], None]:
            return stack.enter_context(console.progress(description, total))

        inputs = Inputs(directory, statistics, named)
        chosen = None if methods is None else _names(methods)
        ways = tuple(dict.fromkeys(_names(path)))
        outcome = run(inputs, output, settings, chosen, progress, paths=ways, workers=those, threads=threads)
    document = {"status": "ok", "output": output, "files": list(outcome.files), **outcome.document}
    console.result(outcome.table, document)


def named_weights(texts: list[str]) -> dict[str, Path]:
    """NAME=FILE or FILE, by name. Raises UsageError for a name that comes twice."""
    found: dict[str, Path] = {}
    for text in texts:
        match = _NAMED.fullmatch(text)
        name, path = (match[1], Path(match[2])) if match and not Path(text).exists() else (DEFAULT_NAME, Path(text))
        if name in found:
            raise UsageError(f"--weights {text}: there are weights of the name {name} already; give NAME=FILE")
        found[name] = path
    return found


def _settings(store: Path, leads: str | None, given: dict[str, Any]) -> Settings:
    """The settings of the experiment. Raises UsageError for a list that is none, ConfigError for a wrong value."""
    from pydantic import ValidationError

    from phyda_cli.experiments.settings import LARGEST_LEAD, Settings
    from phyda_cli.preparation.store import open_store
    from phyda_cli.settings.toml import reason

    if leads is None:
        chosen = [lead for lead in open_store(store).leads if lead <= LARGEST_LEAD]
    else:
        chosen = [int(lead) for lead in _numbers("--leads", leads)]
    try:
        return Settings.model_validate({"leads": tuple(chosen), **given})
    except ValidationError as error:
        option = f"--{str(error.errors()[0]['loc'][0]).replace('_', '-')}"
        raise ConfigError(f"{option}: {reason(error)}") from error


def _names(text: str | None) -> list[str]:
    """Return names with commas between them."""
    return [] if text is None else [name.strip() for name in text.split(",")]


def _numbers(option: str, text: str) -> list[float]:
    """Return numbers with commas between them, none twice. Raises UsageError."""
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"{option} {text}: give numbers with commas between them") from None
    return list(dict.fromkeys(found))
