"""What total column water vapour does for humidity: python benchmarks/column.py [--draws 4] [--learned FILE].

    x_t − x_b = L ζ,  ζ ~ N(0, 1),  with the shipped B;    d = H(x_t − x_b) + σ_o ε

A twin without a model: the background is the climate's mean and its error is drawn from the statistics that the methods
know. A fixed network of sonde-like stations is observed, with and without columns at random places. The LETKF has an
ensemble of draws of B. Printed is the table of docs/observations.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import torch
from result import commit

from phyda_cli.errors_b.background_error import BackgroundError
from phyda_cli.evaluation.scores import area_mean
from phyda_cli.fields.state import State
from phyda_cli.formats.gridded.background_error import read_background_error
from phyda_cli.grids.places import even_places
from phyda_cli.methods.base import Case, Departures, Method
from phyda_cli.methods.letkf import LETKF
from phyda_cli.methods.oi import OptimalInterpolation
from phyda_cli.methods.phyda import LearnedAnalysis
from phyda_cli.methods.threedvar import ThreeDVar
from phyda_cli.networks.checkpoint import Checkpoint, read_checkpoint
from phyda_cli.observations.errors import default_error_table
from phyda_cli.operators.operator import Operator
from phyda_cli.resources import LEARNED_BACKGROUND_ERROR, LEARNED_MODEL, weights_path

COLUMNS: Final = 600
COLUMN_ERROR: Final = 2.0
"""σ_o [kg m-2]."""
STATIONS: Final = 150
ENSEMBLE: Final = 20
TIME: Final = np.datetime64("2011-01-15T12", "ns")

Make = Callable[[State], Method]
"""A method, for an ensemble of backgrounds."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=4, metavar="N", help="background errors to average over (4)")
    parser.add_argument("--learned", type=Path, metavar="FILE", help="weights of the learned analysis (those shipped)")
    options = parser.parse_args()
    statistics, _ = read_background_error(weights_path(LEARNED_BACKGROUND_ERROR))
    checkpoint = read_checkpoint(options.learned or weights_path(LEARNED_MODEL))
    made, own = methods(statistics, checkpoint), checkpoint.statistics
    background = State(own.mean[:, :, None].expand(-1, *own.grid.shape).double(), own.channels, own.grid, TIME)
    sums = {name: torch.zeros(3, 1 + len(_levels(statistics))) for name in made}
    for number in range(options.draws):
        for name, squares in twin(statistics, background, made, number).items():
            sums[name] += squares
    print(table(statistics, {name: (total / options.draws).sqrt() for name, total in sums.items()}, options.draws))


def methods(statistics: BackgroundError, checkpoint: Checkpoint) -> dict[str, Make]:
    """The methods by name, as they are by default."""
    threedvar = ThreeDVar(statistics, dtype=torch.float32)
    learned = LearnedAnalysis(checkpoint, threedvar)
    oi = OptimalInterpolation(threedvar.background_error())
    return {"3dvar": lambda _: threedvar, "oi": lambda _: oi, "phyda": lambda _: learned, "letkf": LETKF}


def twin(statistics: BackgroundError, background: State, made: dict[str, Make], seed: int) -> dict[str, torch.Tensor]:
    """By method, ⟨e²⟩ of tcwv and of q at each level: before, without and with the columns (3, 1 + level)."""
    draws = ThreeDVar(statistics, members=1 + ENSEMBLE, seed=1000 + seed).prior_members()
    assert draws is not None
    labels = (statistics.channels, statistics.grid, TIME)
    error, members = draws[0], State(draws[1:] - draws[1:].mean(0), *labels)
    departures = _departures(statistics, error, members, np.random.default_rng(seed))
    sondes = departures.take(departures.variable != "tcwv")
    before = _squares(statistics, error)
    found = {}
    for name, make in made.items():
        method = make(members)
        rests = [error - method.increments([Case(background, own)])[0].onto(statistics.grid, statistics.channels).values
                 for own in (sondes, departures)]  # fmt: skip
        found[name] = torch.stack([before, *(_squares(statistics, rest) for rest in rests)])
    return found


def _departures(
    statistics: BackgroundError, error: torch.Tensor, members: State, random: np.random.Generator
) -> Departures:
    """Stations with u, v, t, q at every level, the same in all draws, and columns at places of this draw."""
    upper = [channel for channel in statistics.channels if channel.level is not None and channel.variable in "uvtq"]
    stations = even_places(np.random.default_rng(7), STATIONS)
    places = [np.concatenate([np.repeat(own, len(upper)), new]) for own, new in zip(
        stations, even_places(random, COLUMNS), strict=True)]  # fmt: skip
    variable = np.array([c.variable for c in upper] * STATIONS + ["tcwv"] * COLUMNS, dtype=object)
    pressure = np.array([float(c.level or 0.0) for c in upper] * STATIONS + [np.nan] * COLUMNS)
    sigma = default_error_table().sigma(variable, pressure)
    sigma[variable == "tcwv"] = COLUMN_ERROR
    operator = Operator.at(variable, *places, pressure)
    rows = operator.increments(statistics.grid, statistics.channels)
    departure = rows(error).numpy() + sigma * random.standard_normal(sigma.size)
    return Departures(operator, departure, sigma, rows(members.values).numpy())


def _levels(statistics: BackgroundError) -> list[int]:
    return [number for number, channel in enumerate(statistics.channels) if channel.variable == "q"]


def _squares(statistics: BackgroundError, error: torch.Tensor) -> torch.Tensor:
    """Area means (1 + level,) of the squares: of tcwv [kg² m⁻⁴], of q at each level."""
    grid = statistics.grid
    latitude, longitude = (x.ravel() for x in np.meshgrid(grid.latitudes, grid.longitudes, indexing="ij"))
    names = np.full(latitude.size, "tcwv", dtype=object)
    rows = Operator.at(names, latitude, longitude, np.full(latitude.size, np.nan))
    column = rows.increments(grid, statistics.channels)(error).reshape(1, *grid.shape)
    return area_mean(torch.cat([column, error[_levels(statistics)]]).square(), grid).float()


def table(statistics: BackgroundError, roots: dict[str, torch.Tensor], draws: int) -> str:
    """RMS errors in Markdown: tcwv in kg m-2, q in g/kg, each before → without → with columns."""
    levels = [statistics.channels[number].level or 0.0 for number in _levels(statistics)]
    heads = ["method", "tcwv [kg m⁻²]", *(f"q {level / 100:g} hPa" for level in levels), "q, with/without"]
    lines = [f"| {' | '.join(heads)} |", f"|---|{'---:|' * (len(heads) - 1)}"]
    for name, root in roots.items():
        factor = torch.tensor([1.0, *[1000.0] * len(levels)])
        cells = [" → ".join(f"{float(x):.3g}" for x in column) for column in (root * factor).T]
        ratio = (root[2, 1:].square().sum() / root[1, 1:].square().sum()).sqrt()
        lines.append(f"| {name} | {' | '.join(cells)} | {float(ratio):.3f} |")
    return "\n".join([f"Commit `{commit()}`, {draws} draws, {COLUMNS} columns, {STATIONS} stations.", "", *lines])


if __name__ == "__main__":
    main()
