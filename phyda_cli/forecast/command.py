"""Any program as the forecast model: `model --init {analysis} --out {background} --hours {hours}`.

Words in braces stand for what the program gets:

    {analysis}    the analysis, on the background's own grid, with all its fields
    {increment}   analysis minus background, for a model that adds it to its own state
    {background}  where it must write its forecast (NetCDF or GRIB, any layout that phyda reads)
    {hours}       length of the forecast; {time} valid time of the analysis, {valid} of the forecast
    {previous}    the directory of the cycle, {next} that of the next, for what the model needs to go on
    {member}      the member of an ensemble that runs once a member, from 0
    {python}      the Python that runs phyda

Of an ensemble that comes as one file {analysis} holds all its members, and the forecast must too.

Times are ISO 8601, UTC. The command is split into words as a shell would, without running one, and
runs in the directory of the configuration file.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

import numpy as np

from phyda_cli.errors import BadDataError, ConfigError, InputMissingError
from phyda_cli.forecast.base import ANALYSIS, BACKGROUND, INCREMENT, MEMBERS, Step

_SHOWN = 200
"""Characters of a program's last line in a message."""


@dataclass(frozen=True)
class CommandForecast:
    """A program.

    command: its words with names in braces. start: the first background. timeout: of one forecast. place: the
    directory it runs in. members: how many it runs for, with {member} in command and start.

    Raises ConfigError for a name in braces that is none, a command without {background}, or {member} in one of command
    and start alone.
    """

    command: str
    start: Path
    timeout: timedelta
    place: Path = Path()
    members: int = 1
    own: ClassVar[bool] = False

    def __post_init__(self) -> None:
        try:
            filled = self._words({name: name.upper() for name in _NAMES})
        except (KeyError, IndexError, ValueError) as error:
            raise ConfigError(
                f"command {self.command!r}: {error} stands for nothing; there are "
                + ", ".join(f"{{{name}}}" for name in _NAMES)
            ) from None
        if "BACKGROUND" not in " ".join(filled):
            raise ConfigError(f"command {self.command!r}: lacks {{background}}, where the forecast must be written")
        for text in (self.command, str(self.start)):
            if (self.members > 1) != ("{member}" in text):
                says = f"lacks {{member}} for {self.members} members" if self.members > 1 else "names {member}"
                raise ConfigError(f"{text!r}: {says}; give members and name {{member}} in command and start")

    def first(self, target: Path, time: np.datetime64) -> None:
        """Copy the first background. Raises InputMissingError where there is none."""
        self.first_member(0, target, time)

    def first_member(self, number: int, target: Path, time: np.datetime64) -> None:
        """Copy the first background of a member. Raises InputMissingError where there is none."""
        start = Path(str(self.start).replace("{member}", str(number)))
        if not start.is_file():
            raise InputMissingError(f"{start}: no such file; it is the first background of the cycle")
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(start, target / BACKGROUND)

    def run(self, step: Step) -> None:
        """Run the program. Raises BadDataError where it fails, takes too long or writes nothing."""
        step.target.mkdir(parents=True, exist_ok=True)
        output = step.target / BACKGROUND
        partial = step.target / f"partial-{BACKGROUND}"
        together = step.increment.values.dim() == 4
        words = self._words({
            "analysis": str(step.source / (MEMBERS if together else ANALYSIS)), "member": str(step.member),
            "increment": str(step.source / INCREMENT),
            "background": str(partial), "previous": str(step.source), "next": str(step.target),
            "hours": str(step.hours), "python": sys.executable, "time": _text(step.begin), "valid": _text(step.end),
        })  # fmt: skip
        partial.unlink(missing_ok=True)
        label = f"forecast model {words[0]}"
        try:
            done = subprocess.run(
                words, capture_output=True, text=True, timeout=self.timeout.total_seconds(), check=False, cwd=self.place
            )
        except subprocess.TimeoutExpired:
            raise BadDataError(f"{label}: not done after {self.timeout}; give a longer timeout") from None
        except OSError as error:
            raise BadDataError(f"{label}: cannot be run ({error.strerror}); check the command") from None
        if done.returncode != 0:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["it said nothing"]
            raise BadDataError(f"{label}: ended with code {done.returncode}: {said[-1][:_SHOWN]}")
        if not partial.is_file():
            raise BadDataError(f"{label}: ended well but wrote no {partial}")
        partial.replace(output)

    def _words(self, names: dict[str, str]) -> list[str]:
        return [word.format(**names) for word in shlex.split(self.command)]


_NAMES = ("analysis", "increment", "background", "previous", "next", "hours", "time", "valid", "member", "python")


def _text(time: np.datetime64) -> str:
    return f"{np.datetime_as_string(time, unit='s')}Z"
