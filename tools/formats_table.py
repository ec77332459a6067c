"""Write the tables of docs/formats.md: what phyda makes of every grid file under a directory of cases.

    python tools/formats_table.py CASES docs/formats.md

CASES holds `grid_*` folders. Of a file with several valid times the first is read; a climatology gets its first entry.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np

from phyda_cli.errors import PhydaError
from phyda_cli.formats.gridded.background import read_background
from phyda_cli.formats.gridded.layout import Background

HEADING = "## Real files\n"
"""The heading under which the tables stand."""

OBSERVATIONS = "# Observation formats"
"""The heading of the part of the document that `tools/obs_formats_table.py` serves."""


def verdict(path: Path) -> tuple[str, str]:
    """(choice, verdict) of one file, with the options that the messages themselves ask for."""
    choice: dict[str, str] = {}
    time: np.datetime64 | None = None
    for _ in range(3):
        try:
            return _options(time, choice), _describe(read_background([path], time=time, select=choice))
        except PhydaError as error:
            message = str(error).replace(f"{path}: ", "").replace(str(path), path.name)
            several = re.search(r"choose one with --time: (\S+)Z", message)
            axis = re.search(r"choose one with --select (\w+)=([\w.]+)", message)
            if several and time is None:
                time = np.datetime64(several[1])
            elif axis and axis[1] not in choice:
                choice[axis[1]] = axis[2]
            elif "give it with --time" in message and time is None:
                time = np.datetime64("2000-01-15T00:00")
            else:
                return _options(time, choice), f"refused: {message}"
    return _options(time, choice), f"refused: {message}"


def _options(time: np.datetime64 | None, choice: dict[str, str]) -> str:
    parts = [f"--select {key}={value}" for key, value in choice.items()]
    return " ".join(parts + ([f"--time {time}Z"] if time is not None else []))


def _describe(background: Background) -> str:
    state = background.state
    rows, columns = state.grid.shape
    held = []
    for name in state.variables:
        levels = [level / 100 for level in state.levels(name)]
        span = f" at {len(levels)} levels {max(levels):g}–{min(levels):g} hPa" if len(levels) > 1 else ""
        held.append(name + (span or (f" at {levels[0]:g} hPa" if levels else "")))
    members = f", {state.values.shape[0]} members" if background.member else ""
    valid = np.datetime_as_string(state.time, unit="m")
    through = len(background.dataset.data_vars) - len(
        {place.name for place in (*background.layout.values(), *(place for _, place in background.companions))}
    )
    also = f"; {through} further fields passed through" if through else ""
    return f"read: {rows}×{columns}, valid {valid}Z{members}: {', '.join(held)}{also}"


def main(cases: Path, target: Path) -> None:
    """Write the table of every file in `cases/grid_*` into `target`; what stands there before and after them stays."""
    text = target.read_text()
    before, _, after = text.partition(HEADING)
    says, _, _ = after.partition("### ")
    _, heading, observations = text.partition(OBSERVATIONS)
    lines = [before + HEADING + says.rstrip("\n"), ""]
    for folder in sorted(cases.glob("grid_*")):
        lines += [f"### {folder.name}", "", "| file | options | verdict |", "|---|---|---|"]
        for path in sorted(folder.iterdir()):
            options, says = verdict(path)
            lines.append(f"| {path.name} | {f'`{options}`' if options else ''} | {says.replace('|', '/')} |")
        lines.append("")
    target.write_text("\n".join(lines).replace("\n\n\n", "\n\n") + (f"\n{heading}{observations}" if heading else ""))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
