"""Cycles with model error: the methods on one network, nature and forecasts of a simulation at different resolution.

    python -m benchmarks.model_error SIMULATION DIRECTORY STATIONS.csv [--methods free 3dvar letkf20] [--cycles 240]
        [--settings letkf20 "localisation = 1500"] [--page docs/cycle.md --name even]

SIMULATION is that of `phyda prepare --simulate --preset core` (nature T63, forecasts T42, 13 levels). Whole columns
at ten levels from 1000 to 100 hPa with the table's errors. `letkfN` has N members, which begin with the states of N
days one after another; `free` has no observations. Each method has a directory and goes on where it was stopped; then
their tables are printed (`benchmarks/cycles.py`), with ratios to 3D-Var where it is among them.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.cycles import CHANNELS, show, tables
from phyda_cli.cli.app import main as phyda
from phyda_cli.cycle.run import read_records

SPIN_UP: Final = 40
METHODS: Final = {
    "3dvar": 'method = "3dvar"\nmembers = 0',
    "letkf": 'method = "letkf"\nlocalisation = 2000\nvertical_localisation = 0.8\nrelaxation = 0.9\n'
    "background_error_scale = 1.02",
}
"""Settings of the analyses, by the method's name without its number of members."""


def configuration(
    name: str, simulation: Path, stations: Path, *, start: str, cycles: int, settings: Sequence[str] = ()
) -> str:
    """Return the configuration of a method. settings: further lines of the analysis, in place of those here."""
    kind, members = _parts(name)
    text = f"""directory = "{name}"
start = "{start}"
cycles = {cycles}
hours = 6
truth = "{simulation.resolve()}"
spin_up = {SPIN_UP}
[forecast]
kind = "jcm"
simulation = "{simulation.resolve()}"
start_days_before = 20
members = {members}
"""
    if kind == "free":
        return text
    own = {line.split("=")[0].strip(): line for line in (*METHODS[kind].splitlines(), *settings)}
    lines = "\n".join(own.values())
    return f"""{text}[observations.drawn]
stations = "{stations.resolve()}"
levels_hpa = [1000, 925, 850, 700, 500, 400, 300, 250, 200, 100]
[assimilate]
{lines}
"""


def _parts(name: str) -> tuple[str, int]:
    """Return kind and number of members of a method's name. Raises ValueError for a name that is none."""
    found = re.fullmatch(r"(free|3dvar|letkf(?=\d))(\d*)", name)
    if found is None:
        raise ValueError(f"{name}: no method; there are free, 3dvar and letkfN")
    return found[1], int(found[2] or 1)


def main() -> None:
    """Run what is missing and make the tables."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("simulation", type=Path)
    arguments.add_argument("directory", type=Path)
    arguments.add_argument("stations", type=Path)
    arguments.add_argument("--methods", nargs="+", default=["free", "3dvar", "letkf20"])
    arguments.add_argument("--start", default="2001-04-01T00")
    arguments.add_argument("--cycles", type=int, default=240)
    arguments.add_argument("--settings", nargs=2, action="append", default=[], metavar=("METHOD", "LINE"))
    arguments.add_argument("--page", type=Path)
    arguments.add_argument("--name", help="of the markers on the page")
    given = arguments.parse_args()
    given.directory.mkdir(parents=True, exist_ok=True)
    runs = {}
    for name in given.methods:
        file = given.directory / f"{name}.toml"
        own = [line for method, line in given.settings if method == name]
        text = configuration(
            name, given.simulation, given.stations, start=given.start, cycles=given.cycles, settings=own
        )
        file.write_text(text, encoding="utf-8")
        if phyda(["cycle", "--config", str(file)]) != 0:
            raise SystemExit(1)
        runs[name] = read_records(given.directory / name)
    against = "3dvar" if "3dvar" in runs else next(iter(runs))
    made = tables(runs, against=against, skip=min(SPIN_UP, given.cycles // 2), channels=CHANNELS)
    show(made, given.page, given.name)


if __name__ == "__main__":
    main()
