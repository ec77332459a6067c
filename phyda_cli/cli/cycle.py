"""`phyda cycle`: forecast, observations, analysis, forecast, …, from one configuration file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phyda_cli.console import console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phyda_cli.formats.gridded.layout import Background
    from phyda_cli.methods.base import Method
    from phyda_cli.methods.material import Lagged
    from phyda_cli.settings.assimilate import Run


def cycle(
    config: Annotated[
        Path, typer.Option("--config", "-c", metavar="FILE", help="The experiment, TOML (docs/cycle.md).")
    ],
    cycles: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="How many cycles in all, instead of the file's.")
    ] = None,
) -> None:
    """Run the cycle of a forecast centre: background, observations, analysis, forecast, and again.

    A run that was stopped goes on where it was. Prints the directory; --json: the summary.
    """
    from importlib.util import find_spec

    from phyda_cli.cycle.config import asked_in, read_cycle_config
    from phyda_cli.cycle.run import Centre, run_cycles
    from phyda_cli.cycle.scores import line, summary, write_summary
    from phyda_cli.outputs import output_lock

    settings = read_cycle_config(config)
    if cycles is not None:
        settings = settings.model_copy(update={"cycles": cycles})
    base = config.resolve().parent
    own = {name: _absolute(name, value, base) for name, value in settings.assimilate.items()}
    asked = asked_in(settings.directory, own)
    settings.directory.mkdir(parents=True, exist_ok=True)
    with output_lock(settings.directory / "cycles.jsonl"):
        records = run_cycles(Centre.of(settings, asked, _make), lambda record: console.table(line(record)))
        document = summary(records, settings.spin_up)
        write_summary(settings.directory / "summary.json", document)
        if find_spec("matplotlib") is not None:
            from phyda_cli.cycle.plots import plot

            plot(records, settings.directory / "cycles.png")
    console.result(str(settings.directory), {"status": "ok", "output": settings.directory, **document})


def _make(asked: Run, background: Background, lagged: Sequence[Lagged] = ()) -> Method:
    import torch

    from phyda_cli.library.method import make_method

    torch.set_num_threads(asked.common.threads)
    return make_method(asked, background, lagged)[0]


def _absolute(name: str, value: Any, base: Path) -> Any:
    """Return files of the analysis's settings, relative to the configuration."""
    files = ("weights", "background_error", "errors", "quality", "orography", "land_sea")
    return base / value if name in files and isinstance(value, str) else value
