"""Cycles side by side: first guess, analysis, spread over skill, and each against one of them with an interval.

    python -m benchmarks.cycles 3dvar=DIR letkf=DIR [--against 3dvar] [--skip 40] [--page docs/cycle.md --name raob]

The root mean square over the cycles after the first `--skip` and over a region, of the lines that `phyda cycle` wrote.
A ratio to the first run, or that of `--against`, is over the cycles that both have, with the 95 % interval of a paired
bootstrap over blocks of days (`experiments/intervals.py`). `--page` puts the tables between the markers of a page.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from phyda_cli.cycle.run import Record, read_records
from phyda_cli.cycle.scores import REGIONS
from phyda_cli.experiments.intervals import Bootstrap
from phyda_cli.experiments.markdown import table
from phyda_cli.fields.display import display
from tools.pages import put

CHANNELS: Final = ("z500", "t850", "t500", "t250", "u850", "u250", "v500", "q850", "msl")
PARTS: Final = {"first_guess": "first guess", "analysis": "analysis"}

Runs = dict[str, list[Record]]


def tables(runs: Runs, *, against: str, skip: int, channels: Sequence[str]) -> str:
    """Return the tables of runs, one a region. against: the run that ratios are to. skip: cycles left out."""
    held = [name for name in channels if all(name in run[0]["first_guess"]["globe"] for run in runs.values())]
    head = ["", "", *(f"{name} [{_shown(name)[1]}]" for name in held)]
    made = []
    for region in REGIONS:
        rows = [row for name in runs for row in _rows(runs, name, region, against, skip, held)]
        made.append(f"{region}\n\n{table(head, rows)}")
    return "\n".join(made)


def _rows(runs: Runs, name: str, region: str, against: str, skip: int, channels: Sequence[str]) -> list[list[str]]:
    """Return the rows of one run in one region: errors, ratios of the first guess, spread over skill."""
    own = runs[name][skip:]
    rows = []
    for part, label in PARTS.items():
        if part in own[0]:
            sizes = [_root([line[part][region][c] for line in own]) * _shown(c)[0] for c in channels]
            rows.append([name, label, *(f"{size:.3g}" for size in sizes)])
    if name != against:
        ratios = [_ratio(runs[name], runs[against], region, c, skip) for c in channels]
        rows.append([name, f"first guess / {against}", *ratios])
    if "spread_skill" in own[0]:
        means = [np.mean([line["spread_skill"][region][c] for line in own]) for c in channels]
        rows.append([name, "spread / skill", *(f"{mean:.2f}" for mean in means)])
    return rows


def _ratio(run: list[Record], other: list[Record], region: str, channel: str, skip: int) -> str:
    """Return the ratio of first-guess errors and its interval, over the times that both have after the spin-up."""
    squares = [
        {line["time"]: line["first_guess"][region][channel] ** 2 for line in lines[skip:]} for lines in (run, other)
    ]
    times = sorted(squares[0].keys() & squares[1].keys())
    if not times:
        return "-"
    hours = np.array([np.datetime64(time.rstrip("Z"), "h").astype(np.int64) for time in times])
    first, second = (np.array([one[time] for time in times]) for one in squares)
    found = Bootstrap(hours).ratio(first, second, np.ones_like(first), root=True)
    return f"{found.value:.2f} ({found.low:.2f}–{found.high:.2f})"


def _root(values: Sequence[float]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _shown(channel: str) -> tuple[float, str]:
    """Return factor from SI and unit of a channel."""
    variable = channel if channel in ("sp", "msl", "t2m", "u10", "v10") else channel.rstrip("0123456789")
    found = display(variable)
    return found.factor, found.unit


def show(made: str, page: Path | None, name: str) -> None:
    """Put tables between the markers of a name on a page, or print them."""
    if page is None:
        print(made)
    else:
        put(page, name, made)


def main() -> None:
    """Read the runs and print their tables, or put them on a page."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("runs", nargs="+", metavar="NAME=DIRECTORY")
    arguments.add_argument("--against", help="the run that ratios are to; the first")
    arguments.add_argument("--skip", type=int, default=40, help="cycles of the spin-up")
    arguments.add_argument("--channels", nargs="+", default=CHANNELS)
    arguments.add_argument("--page", type=Path)
    arguments.add_argument("--name", help="of the markers on the page")
    given = arguments.parse_args()
    runs = {name: read_records(Path(place)) for name, _, place in (one.partition("=") for one in given.runs)}
    short = [name for name, lines in runs.items() if len(lines) <= given.skip]
    if short:
        arguments.error(f"{short[0]}: has {len(runs[short[0]])} cycles, and --skip leaves out {given.skip}")
    made = tables(runs, against=given.against or next(iter(runs)), skip=given.skip, channels=given.channels)
    show(made, given.page, given.name)


if __name__ == "__main__":
    main()
