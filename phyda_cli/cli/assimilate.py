"""`phyda assimilate`: a background and observations in, the analysis out."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import logging
import os
import resource
import shlex
import time as clock
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from phyda_cli.console import console
from phyda_cli.settings.assimilate import command_fields, merge_config
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
_PRINT: Final = inspect.Parameter(
    "print_config",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[
        bool, typer.Option("--print-config", help="Print these settings as a file for --config, and do nothing.")
    ],
)
_EACH: Final = inspect.Parameter(
    "each",
    inspect.Parameter.KEYWORD_ONLY,
    default=None,
    annotation=Annotated[
        str | None,
        typer.Option(
            metavar="TIMES",
            help="An analysis for each of these times, in one process: FIRST/LAST/STEP, a list or a file; names of "
            "files hold the time as %Y%m%d%H.",
        ),
    ],
)


def assimilate(**flags: Any) -> None:
    """Assimilate observations into a background and write the analysis.

    Prints the analysis's path when it is safely on disk; with --json one document with counts and departures.
    """
    config, printed, each = flags.pop("config"), flags.pop("print_config"), flags.pop("each")
    if printed:
        _print_config(config, _given(flags))
        return
    asked = merge_config(config, _given(flags))
    if each is not None:
        _for_each(each, asked, config, flags)
        return
    console.result(*_one(dataclasses.replace(asked, command=_command(config, flags)), config))


def _for_each(each: str, asked: Run, config: Path | None, flags: dict[str, Any]) -> None:
    """Make an analysis for each date; one that fails is said and does not end the others.

    Raises typer.Exit with the code of the first that failed.
    """
    from phyda_cli.cli.assimilate_run import STANDARD_INPUT
    from phyda_cli.cli.dates import at, check_apart, dated_flags, parse_dates
    from phyda_cli.cli.failures import failure_of, received
    from phyda_cli.errors import UsageError

    if asked.common.time is not None:
        raise UsageError("--time: --each names the times already; give one of the two")
    if STANDARD_INPUT in asked.common.observations:
        raise UsageError("--obs -: standard input is read once; name files for --each, as obs/%Y%m%d%H.csv")
    dates = parse_dates(each)
    runs = [dataclasses.replace(at(asked, date), command=_command(config, dated_flags(flags, date))) for date in dates]
    check_apart([_outputs(run) for run in runs])
    first_code, carried = 0, False
    for number, (date, run) in enumerate(zip(dates, runs, strict=True), 1):
        label = f"{date.isoformat(timespec='minutes')}Z"
        logging.getLogger(__name__).info("date %d of %d: %s", number, len(dates), label)
        if carried:
            run = dataclasses.replace(run, common=dataclasses.replace(run.common, carry_new=False))
        try:
            said, document = _one(run, config)
        except Exception as error:
            if received:
                raise
            found = failure_of(error)
            about = {"valid_time": f"{date.isoformat(timespec='seconds')}Z"}
            console.failure(f"{label}: {found.message}", code=found.code, kind=found.kind, about=about)
            first_code = first_code or found.code
            continue
        carried = carried or (run.common.carry is not None and not run.common.dry_run)
        console.result(said, document)
    if first_code:
        raise typer.Exit(first_code)


def _one(asked: Run, config: Path | None) -> tuple[str, dict[str, Any]]:
    """Make one analysis; return the path to print and the document. Raises what checks, readers and writers raise."""
    from phyda_cli.cli.assimilate_run import run
    from phyda_cli.cli.carry import check_carry
    from phyda_cli.cli.targets import check_inputs, check_outputs
    from phyda_cli.errors import UsageError
    from phyda_cli.outputs import output_lock

    began, common = clock.monotonic(), asked.common
    if common.feedback_format != "phyda" and common.feedback is None:
        raise UsageError(f"--feedback-format {common.feedback_format}: there is no feedback; give --feedback FILE")
    asked = _without_missing(asked)
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
    return said, document


def _command(config: Path | None, flags: dict[str, Any]) -> str:
    """Return the command line, without what the result does not hang on."""
    from phyda_cli.cli.assimilate_run import NOT_OF_THE_RESULT

    words = ["phyda", "assimilate", *([] if config is None else ["--config", str(config)])]
    for field in command_fields():
        value = flags.get(field.name)
        if value in (None, [], ()) or field.name in (*NOT_OF_THE_RESULT, "threads"):
            continue
        for one in value if isinstance(value, list | tuple) else [value]:
            words += [field.spelling] if field.kind is bool else [field.spelling, str(one)]
    return shlex.join(words)


def _print_config(config: Path | None, flags: dict[str, Any]) -> None:
    """Print the settings of a run as TOML; files that are not named yet stay open."""
    from phyda_cli.settings.assimilate import run_fields
    from phyda_cli.settings.toml import read_toml
    from phyda_cli.settings.write_toml import as_toml

    held = set(flags) | ({key.replace("-", "_") for key in read_toml(config)} if config else set())
    needed = {field.name for field in command_fields() if field.required} | {"output"}
    open_ones = dict.fromkeys((field.name for field in command_fields() if field.name in needed - held), "…")
    asked = merge_config(config, flags | open_ones)
    document = {name: value for name, value in asked.document().items() if name not in open_ones}
    console.result(as_toml(run_fields(asked), document, needed=open_ones), {"status": "ok", "settings": document})


_PARAMETERS: Final = (*parameters(command_fields()), _EACH, _CONFIG, _PRINT)
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


def _without_missing(asked: Run) -> Run:
    """Return the settings without the observation files that are not there, where these may be missing.

    Raises InputMissingError where none is left and an analysis without any is not wanted.
    """
    from phyda_cli.errors import InputMissingError

    common = asked.common
    if common.on_missing_obs == "fail":
        return asked
    missing = tuple(path for path in common.observations if str(path) != "-" and _is_missing(path))
    for path in missing:
        logging.getLogger(__name__).warning("%s: not there or empty; the analysis goes on without it", path)
    if len(missing) == len(common.observations) and common.on_empty == "fail":
        raise InputMissingError(f"{missing[0]}: not there or empty, as all of --obs; --on-empty background goes on")
    return dataclasses.replace(asked, missing=missing)


def _is_missing(path: Path) -> bool:
    return not path.exists() or (path.is_file() and path.stat().st_size == 0)


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
        "--layout-out": common.layout_out,
        "--carry": common.carry,
    }
    return {option: path for option, path in outputs.items() if path is not None}
