"""The yardstick of SPEEDY-LETKF: a perfect model at T31, 40 members, the stations and errors of its papers.

    python -m benchmarks.speedy DIRECTORY raob=STATIONS.csv [reg2=STATIONS.csv] [--cycles 240] [--members 40]

Published (speedy-lpf, T30 and 7 levels, mean of 1 March to 31 May): a first guess of t500 that errs by 0.476 K with the
415 places of sondes and σ_h = 800 km, and by 0.145 K with 1008 places in even steps and σ_h = 500 km; σ_v = 0.1 ln p; a
Gaussian's σ is our radius / 3.65. DIRECTORY gets the nature run and a cycle for each network, all of which go on where
they were stopped.

Ours differs in: 8 levels of the model, and observations at 8 pressure levels instead of the model's own; humidity from
the ground to 500 hPa, drawn no lower than zero; relaxation to the prior spread instead of adaptive inflation; the first
members lie about the truth with a quarter (reg2: a tenth) of the climate's differences, to save weeks of spin-up.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from phyda_cli.cli.app import main as phyda
from phyda_cli.cycle.run import Record, read_records
from phyda_cli.experiments.markdown import table
from phyda_cli.simulation.config import SimulationConfig
from phyda_cli.simulation.run import simulate


class Network(NamedTuple):
    """A network: cut-off radius [km], start_error of the first members, published t500 first guess [K]."""

    radius: int
    start_error: float
    published: float


NETWORKS: Final = {"raob": Network(2921, 0.25, 0.4762), "reg2": Network(1826, 0.1, 0.1450)}
LEVELS: Final = (925, 850, 700, 500, 300, 250, 200, 100)
START: Final = "2000-12-31T06"
NATURE: Final = SimulationConfig(
    nature_truncation=31, forecast_truncation=31, nature_step_minutes=30, forecast_step_minutes=30,
    start=datetime(2000, 11, 1, tzinfo=UTC), spin_up_days=80, settling_days=8, rows=32, levels_hpa=LEVELS,
    near_surface=True, days=184,
)  # fmt: skip
_QUALITY: Final = "[surface]\nrequire_height = false\n"


def configuration(name: str, stations: Path, *, members: int, cycles: int) -> str:
    """Return the configuration of a cycle beside the nature run."""
    network = NETWORKS[name]
    return f"""directory = "{name}"
start = "{START}"
cycles = {cycles}
hours = 6
truth = "nature"
spin_up = {cycles // 2}
[forecast]
kind = "jcm"
simulation = "nature"
start_days_before = 10
members = {members}
start_error = {network.start_error}
[observations.drawn]
stations = "{stations.resolve()}"
levels_hpa = {list(LEVELS)}
variables = ["u", "v", "t", "q"]
single = ["sp"]
lowest_q_hpa = 500
sigma = {{ u = 1.0, v = 1.0, t = 1.0, q = 1e-3, sp = 100.0 }}
[assimilate]
method = "letkf"
localisation = {network.radius}
vertical_localisation = 0.365
relaxation = 0.8
quality = "quality.toml"
"""


def summary(runs: dict[str, list[Record]]) -> str:
    """Return t500 of the first guess in the second half of each run beside the published figure."""
    rows = []
    for name, lines in runs.items():
        half = lines[len(lines) // 2 :]
        error = float(np.sqrt(np.mean([line["first_guess"]["globe"]["t500"] ** 2 for line in half])))
        ratio = float(np.mean([line["spread_skill"]["globe"]["t500"] for line in half]))
        published = NETWORKS[name].published
        cells = (f"{error:.3f}", f"{published:.3f}", f"{error / published:.2f}", f"{ratio:.2f}")
        rows.append([name, len(lines), len(lines) - len(half), *cells])
    head = ["network", "cycles", "left out", "t500 first guess [K]", "published [K]", "ratio", "spread / skill"]
    return table(head, rows)


def main() -> None:
    """Make the nature run and the cycles, as far as they are missing, and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("directory", type=Path)
    arguments.add_argument("networks", nargs="+", metavar="NAME=STATIONS")
    arguments.add_argument("--cycles", type=int, default=240)
    arguments.add_argument("--members", type=int, default=40)
    given = arguments.parse_args()
    simulate(NATURE, given.directory / "nature", progress=print, part="nature")
    (given.directory / "quality.toml").write_text(_QUALITY, encoding="utf-8")
    runs = {}
    for name, _, stations in (one.partition("=") for one in given.networks):
        if name not in NETWORKS:
            arguments.error(f"{name}: no network; there are {', '.join(NETWORKS)}")
        file = given.directory / f"{name}.toml"
        made = configuration(name, Path(stations), members=given.members, cycles=given.cycles)
        file.write_text(made, encoding="utf-8")
        if phyda(["cycle", "--config", str(file)]) != 0:
            raise SystemExit(1)
        runs[name] = read_records(given.directory / name)
    print(summary(runs))


if __name__ == "__main__":
    main()
