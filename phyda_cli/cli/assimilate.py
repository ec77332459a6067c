"""`phyda assimilate`: a background and observations in, the analysis out."""

from __future__ import annotations

import contextlib
import inspect
import os
import resource
import time as clock
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from phyda_cli.console import console
from phyda_cli.settings.assimilate import command_fields
from phyda_cli.settings.option import parameters

if TYPE_CHECKING:
    from phyda_cli.settings.assimilate import Run

_CONFIG: Final = inspect.Parameter(
    "config",
    inspect.Parameter.KEYWORD_ONLY,
    default=None,
    annotation=Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML file with these settings, - as _ in names; flags win.")
    ],
)


def assimilate(**flags: Any) -> None:
    """Assimilate observations into a background and write the analysis.

    Prints the analysis's path when it is safely on disk; with --json one document with counts and departures.
    """
    from phyda_cli.cli.assimilate_run import run
    from phyda_cli.cli.carry import check_carry
    from phyda_cli.cli.targets import check_inputs, check_outputs
    from phyda_cli.errors import UsageError
    from phyda_cli.outputs import output_lock
    from phyda_cli.settings.assimilate import merge_config

    began = clock.monotonic()
    config = flags.pop("config")
    asked = merge_config(config, _given(flags))
    common = asked.common
    if common.feedback_format != "phyda" and common.feedback is None:
        raise UsageError(f"--feedback-format {common.feedback_format}: there is no feedback; give --feedback FILE")
    inputs, targets = _inputs(asked, config), _outputs(asked)

    def check() -> None:
        check_carry(common)
        check_inputs(inputs)
        check_outputs(targets, inputs, overwrite=common.overwrite, updated=["--carry"])

    check()
    written = {k: path for k, path in targets.items() if k == "--feedback" or not common.dry_run}
    with contextlib.ExitStack() as locks:
        until = clock.monotonic() + common.wait.total_seconds()
        for target in sorted(written.values(), key=os.path.realpath):  # one order, so that no two runs block
            locks.enter_context(output_lock(target, until=until))
        check()  # who held an output may have written it
        document = run(asked)
    document["wall_seconds"] = round(clock.monotonic() - began, 2)
    document["peak_memory_mib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    console.table(f"{document['wall_seconds']} s, peak memory {document['peak_memory_mib']} MiB")
    said = str(common.feedback or "dry run: nothing written") if common.dry_run else str(common.output)
    console.result(said, document)


_PARAMETERS: Final = (*parameters(command_fields()), _CONFIG)
assimilate.__signature__ = inspect.Signature(_PARAMETERS)  # type: ignore[attr-defined]
assimilate.__annotations__ = {one.name: one.annotation for one in _PARAMETERS}


def _given(flags: dict[str, Any]) -> dict[str, Any]:
    """Return the flags that were given; those of the form KEY=VALUE as mappings."""
    from phyda_cli.settings.values import parse_choices

    given = {name: value for name, value in flags.items() if value not in (None, [], ())}
    for name, example in (("units", "temp=degC"), ("select", "month=1")):
        if name in given:
            given[name] = parse_choices(given[name], f"--{name}", example)
    return given


def _inputs(asked: Run, config: Path | None) -> list[Path]:
    """Return every file that is read, but standard input."""
    from phyda_cli.cli.assimilate_run import STANDARD_INPUT, input_files

    carried = asked.common.carry
    named = [path for path in input_files(asked) if path != STANDARD_INPUT and path != carried]
    return [*named, *([] if config is None else [config])]


def _outputs(asked: Run) -> dict[str, Path]:
    """Return the files that are written, by their options."""
    common = asked.common
    outputs = {
        "--out": common.output,
        "--feedback": common.feedback,
        "--increment": common.increment,
        "--spread-out": common.spread_out,
        "--members-out": common.members_out,
        "--carry": common.carry,
    }
    return {option: path for option, path in outputs.items() if path is not None}
