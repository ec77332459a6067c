"""Forecasts from the analyses of a cycle: how fast their errors grow, and how many hours of lead one cycle gains.

    python -m benchmarks.forecasts run CYCLE.toml --cycles 60 --every 2 [--days 5]
    python -m benchmarks.forecasts table 3dvar=DIR phyda=DIR [--against 3dvar]

`run` goes on with the cycle of a configuration (`kind = "jcm"`, with a truth) for so many cycles more, and lets every
so-manieth forecast go on for days; its errors against the truth at 24, 48, … h go to DIR/forecasts.jsonl, a line a
start, and what is there is not made again. `table` compares runs over the starts that all of them have: RMSE by lead,
ratios with the interval of a paired bootstrap over blocks of days, and the hours that a run gains at day 3: by how much
later its error is what the other's is there (linear between leads).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import torch

from phyda_cli.cycle.config import CycleConfig, asked_in, read_cycle_config
from phyda_cli.cycle.run import Centre, run_cycles
from phyda_cli.cycle.scores import REGIONS, errors
from phyda_cli.cycle.truth import Truth
from phyda_cli.experiments.intervals import Bootstrap
from phyda_cli.experiments.markdown import table
from phyda_cli.fields.state import State
from phyda_cli.forecast.base import Step
from phyda_cli.forecast.jcm import JcmForecast
from phyda_cli.library.method import make_method
from phyda_cli.preparation.from_simulation import stack

CHANNELS: Final = ("z500", "t850", "t500", "u850", "u250", "v500", "q850", "msl")
LINES: Final = "forecasts.jsonl"
DAY: Final = 24
JUDGED: Final = 72
"""Lead [h] at which hours are gained."""


@dataclass(frozen=True)
class Onward:
    """The forecast model of a cycle, which lets some forecasts go on and scores them."""

    model: JcmForecast
    truth: Truth
    path: Path
    every: int
    days: int
    begin: np.datetime64
    own: ClassVar[bool] = True

    def first(self, target: Path, time: np.datetime64) -> None:
        """That of the model."""
        self.model.first(target, time)

    def run(self, step: Step) -> None:
        """A forecast to the next cycle, and where it is its turn from there on."""
        self.model.run(step)
        number = int((step.begin - self.begin) / np.timedelta64(step.hours, "h"))
        time = f"{np.datetime_as_string(step.begin, unit='m')}Z"
        if number % self.every or time in {line["time"] for line in read(self.path)}:
            return
        leads = [DAY * day for day in range(1, self.days + 1)]
        fields = stack(self.model.further(step.target, step.end, [lead - step.hours for lead in leads]))
        found = {}
        for lead, values in zip(leads, fields, strict=True):
            valid = step.begin + np.timedelta64(lead, "h")
            state = State(torch.from_numpy(values), self.model.channels, self.model.grid, valid)
            found[str(lead)] = errors(state, self.truth(valid))
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(f"{json.dumps({'time': time, 'leads': found})}\n")


def run(config: CycleConfig, *, cycles: int, every: int, days: int) -> None:
    """Go on with a cycle for so many cycles beyond those of its configuration."""
    asked = asked_in(config.directory, config.assimilate)
    longer = config.model_copy(update={"cycles": config.cycles + cycles})
    centre = Centre.of(longer, asked, lambda own, background, lagged=(): make_method(own, background, lagged)[0])
    if not isinstance(centre.forecast, JcmForecast) or centre.truth is None:
        raise SystemExit('forecasts: needs kind = "jcm" with one member, and a truth')
    begin = centre.time(config.cycles)
    onward = Onward(centre.forecast, centre.truth, config.directory / LINES, every, days, begin)
    run_cycles(replace(centre, forecast=onward), lambda record: print(record["time"], flush=True))


def read(path: Path) -> list[dict[str, Any]]:
    """Return the lines that are there."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def tables(runs: dict[str, Path], *, against: str) -> str:
    """Return the tables of runs, one a region."""
    lines = {name: {line["time"]: line["leads"] for line in read(path / LINES)} for name, path in runs.items()}
    times = sorted(set.intersection(*(set(own) for own in lines.values())))
    hours = np.array([np.datetime64(time.rstrip("Z"), "h").astype(np.int64) for time in times])
    leads = sorted(int(lead) for lead in lines[against][times[0]])
    made = [f"{len(times)} starts from {times[0]} to {times[-1]}"]
    for region in REGIONS:
        rows = []
        squares = {
            name: {c: np.array([[own[t][str(k)][region][c] ** 2 for k in leads] for t in times]) for c in CHANNELS}
            for name, own in lines.items()
        }
        for name in runs:
            if name == against:
                continue
            for place, lead in enumerate(leads):
                cells = [_ratio(hours, squares[name][c][:, place], squares[against][c][:, place]) for c in CHANNELS]
                rows.append([name, f"{lead} h", *cells])
            gained = [_gained(leads, squares[name][c], squares[against][c]) for c in CHANNELS]
            rows.append([name, f"gained at {JUDGED} h", *gained])
        made.append(f"{region}: RMSE relative to {against}\n\n{table(['', '', *CHANNELS], rows)}")
    return "\n\n".join(made)


def _ratio(hours: np.ndarray[Any, Any], own: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> str:
    found = Bootstrap(hours).ratio(own, other, np.ones_like(own), root=True)
    return f"{found.value:.2f} ({found.low:.2f}–{found.high:.2f})"


def _gained(leads: Sequence[int], own: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> str:
    """Return by how many hours later the error is what the other's is at the judged lead."""
    grown, limit = np.sqrt(own.mean(0)), float(np.sqrt(other.mean(0))[list(leads).index(JUDGED)])
    if limit >= grown[-1]:
        return f"> {leads[-1] - JUDGED} h"
    if limit <= grown[0]:
        return f"< {leads[0] - JUDGED} h"
    return f"{np.interp(limit, grown, leads) - JUDGED:+.0f} h"


def main() -> None:
    """Run or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("run", "table"))
    parser.add_argument("what", nargs="+", help="the configuration of a cycle, or NAME=DIRECTORY …")
    parser.add_argument("--cycles", type=int, default=60)
    parser.add_argument("--every", type=int, default=2)
    parser.add_argument("--days", type=int, default=5)
    parser.add_argument("--against", default="3dvar")
    asked = parser.parse_args()
    if asked.task == "run":
        run(read_cycle_config(Path(asked.what[0])), cycles=asked.cycles, every=asked.every, days=asked.days)
        return
    runs = {name: Path(directory) for name, _, directory in (one.partition("=") for one in asked.what)}
    print(tables(runs, against=asked.against))


if __name__ == "__main__":
    main()
