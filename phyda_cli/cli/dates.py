"""Many analyses in one process: for each of several dates the same settings, with the date in the names of files.

    --each 2020-01-01T00/2020-01-31T18/6h      bg/%Y%m%d%H.nc → bg/2020010100.nc, bg/2020010106.nc, …

Libraries, weights and statistics are loaded once. Names hold the date as strftime writes it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

from phyda_cli.errors import InputMissingError, UsageError
from phyda_cli.settings.assimilate import Run
from phyda_cli.settings.values import duration, moment

Settings = TypeVar("Settings")
_MOST: Final = 1_000_000
_EXAMPLE: Final = "write 2020-01-01T00/2020-01-31T18/6h, times with commas between, or a file with one a line"


def parse_dates(text: str) -> list[datetime]:
    """Return the dates of a first one, a last one and a step, of a list, or of a file; none twice, in their order.

    Raises UsageError for what is none of these, InputMissingError for a file that cannot be read.
    """
    try:
        if text.count("/") == 2 and not Path(text).exists():
            found = _steps(*text.split("/"))
        elif Path(text).is_file():
            lines = Path(text).read_text(encoding="utf-8").splitlines()
            found = [moment(line) for line in map(str.strip, lines) if line and not line.startswith("#")]
        else:
            found = [moment(one) for one in text.split(",")]
    except OSError as error:
        raise InputMissingError(f"--each {text}: {error.strerror}; check its permissions") from error
    except ValueError as error:
        raise UsageError(f"--each: {error}; {_EXAMPLE}") from error
    if not found:
        raise UsageError(f"--each {text}: holds no date; {_EXAMPLE}")
    return list(dict.fromkeys(found))


def _steps(first: str, last: str, step: str) -> list[datetime]:
    begin, end, width = moment(first), moment(last), duration(step)
    if width <= timedelta(0) or end < begin or (end - begin) / width > _MOST:
        raise ValueError(f"{first}/{last}/{step!r} makes no dates")
    return [begin + number * width for number in range(int((end - begin) / width) + 1)]


def dated(settings: Settings, date: datetime) -> Settings:
    """Return settings of which every file has the date in its name. Raises UsageError for a pattern that is none."""
    kind: Any = settings
    found = {one.name: _dated(getattr(settings, one.name), date) for one in dataclasses.fields(kind)}
    made: Settings = dataclasses.replace(kind, **found)
    return made


def dated_flags(flags: Mapping[str, Any], date: datetime) -> dict[str, Any]:
    """Return the flags of a command line for one date, as if they had been given for it alone."""
    return {name: _dated(value, date) for name, value in flags.items()} | {"time": date.isoformat()}


def _dated(value: Any, date: datetime) -> Any:
    if isinstance(value, Path):
        if "%" not in str(value):
            return value
        try:
            return Path(date.strftime(str(value)))
        except ValueError as error:
            raise UsageError(f"{value}: no pattern of a time ({error}); a % of the name itself is %%") from error
    if isinstance(value, list | tuple) and any(isinstance(one, Path) for one in value):
        return type(value)(_dated(one, date) for one in value)
    return value


def check_apart(outputs: Sequence[Mapping[str, Path]]) -> None:
    """Raise UsageError where two dates write the same file; the file of --carry goes on from one to the next."""
    for option in {option for own in outputs for option in own} - {"--carry"}:
        paths = [own[option] for own in outputs if option in own]
        if len(set(paths)) < len(paths):
            raise UsageError(f"{option} {paths[0]}: the same file for several dates; put them in its name, as %Y%m%d%H")


def at(asked: Run, date: datetime) -> Run:
    """Return a run for one date."""
    common = dataclasses.replace(dated(asked.common, date), time=date)
    return dataclasses.replace(asked, common=common, own=dated(asked.own, date))
