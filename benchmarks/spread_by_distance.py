"""Spread and error of analyses by the distance to the nearest observation.

    python -m benchmarks.spread_by_distance STORE [--weights FILE] [--background-error FILE] [--cases 24] [--page PAGE]

Cases of the store's test part at its leads in turn, with networks as a forecast centre has them and random ones in turn
(`training/networks.py`), 3D-Var and the learned analysis with 16 members each on the same departures and scale:

    ratio = √((M + 1)/M · ⟨s²⟩ / ⟨(x_a − x_t)²⟩)          over the area within the distances, all levels and cases
    corr(ln s, ln |x_a − x_t|)                             over points, mean over channels and cases

and fair CRPS over the mean absolute error of 3D-Var.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from phyda_cli.errors_b.error_scale import ErrorScale
from phyda_cli.evaluation.ensemble import fair_crps
from phyda_cli.experiments.markdown import table
from phyda_cli.fields.state import State
from phyda_cli.formats.gridded.background_error import read_background_error
from phyda_cli.grids.places import chord_distance, unit_vectors
from phyda_cli.methods.base import Case, Departures, Increment, Method
from phyda_cli.methods.phyda import MEMBERS, LearnedAnalysis
from phyda_cli.methods.threedvar import ThreeDVar
from phyda_cli.networks.checkpoint import read_checkpoint
from phyda_cli.observations.errors import default_error_table
from phyda_cli.operators.operator import Operator
from phyda_cli.preparation.store import TrainingStore
from phyda_cli.resources import LEARNED_BACKGROUND_ERROR, LEARNED_MODEL, weights_path
from phyda_cli.training.cases import ErrorGrowth, analysed_store
from phyda_cli.training.networks import draw_network, operational_network
from tools.pages import put

EDGES: Final = (0.0, 300e3, 800e3, 1600e3, np.inf)
"""Of the distances [m]."""
_LEAST: Final = 1e-9
"""Of a spread, in units of σ_b, in logarithms."""


def cases(store: TrainingStore, count: int) -> Iterator[tuple[Case, torch.Tensor]]:
    """Yield cases of the test part, spread evenly, and x_t − x_b (channel, lat, lon)."""
    index = store.pair_index("test")
    growth, table_ = ErrorGrowth.of(store), default_error_table()
    for number, chosen in enumerate(np.linspace(0, index.size - 1, count).astype(int)):
        pair = store.read_pairs(index[chosen : chosen + 1])
        random = np.random.default_rng([1, number])
        places = {"grid": store.grid, "channels": store.channels, "table": table_}
        hours = int(pair.valid_time[0])
        network = operational_network(random, hours, **places) if number % 2 else draw_network(random, **places)
        if not len(network):
            continue
        error = torch.from_numpy(pair.truth[0] - pair.background[0]).double()
        operator = Operator.at(network.variable, network.latitude, network.longitude, network.pressure)
        clean = operator.increments(store.grid, store.channels)(error).numpy()
        departures = Departures(operator, clean + network.error * random.standard_normal(len(network)), network.error)
        time = np.datetime64(hours, "h").astype("datetime64[ns]")
        background = State(torch.from_numpy(pair.background[0]).double(), store.channels, store.grid, time)
        scale = ErrorScale.uniform(growth.by_lead[int(pair.lead_hours[0])])
        yield Case(background, departures, scale), error


class Sums:
    """Sums over cases of one method."""

    def __init__(self) -> None:
        self.square: dict[tuple[str, int], float] = defaultdict(float)
        self.variance: dict[tuple[str, int], float] = defaultdict(float)
        self.correlation: dict[str, list[float]] = defaultdict(list)
        self.crps: dict[str, list[float]] = defaultdict(list)
        self.absolute: dict[str, list[float]] = defaultdict(list)

    def add(self, found: Increment, case: Case, wanted: torch.Tensor, bins: NDArray[np.int64]) -> None:
        """Add a case. wanted: x_t − x_b. bins: (lat · lon,) number of the distance."""
        assert found.members is not None
        area = torch.from_numpy(np.array(case.background.grid.area).ravel())
        for number, channel in enumerate(case.background.channels):
            place = found.mean.channels.index(channel)
            members = found.members[:, place].double().flatten(1)
            error = (found.mean.values[place].double() - wanted[number]).flatten()
            variance = members.var(0)
            for k in range(len(EDGES) - 1):
                inside = torch.from_numpy(bins == k)
                self.square[channel.variable, k] += _share(error.square(), area, inside)
                self.variance[channel.variable, k] += _share(variance, area, inside)
            logs = torch.stack([variance.clamp_min(_LEAST).log(), error.square().clamp_min(_LEAST).log()])
            self.correlation[channel.variable].append(float(torch.corrcoef(logs)[0, 1]))
            weight = area / area.sum()
            self.crps[channel.variable].append(float(fair_crps(members, wanted[number].flatten()) @ weight))
            self.absolute[channel.variable].append(float(error.abs() @ weight))


def _share(values: torch.Tensor, area: torch.Tensor, inside: torch.Tensor) -> float:
    return float((values * area)[inside].sum())


def tables(sums: dict[str, Sums]) -> str:
    """Return spread over error by distance, correlation and CRPS, by variable."""
    factor = (MEMBERS + 1) / MEMBERS
    labels = ["< 300 km", "300–800", "800–1600", "> 1600"]
    rows = []
    for name, own in sums.items():
        for variable in own.correlation:
            ratios = [
                f"{np.sqrt(factor * own.variance[variable, k] / own.square[variable, k]):.2f}"
                if own.square[variable, k]
                else "-"
                for k in range(len(labels))
            ]
            crps = np.sum(own.crps[variable]) / np.sum(sums["3dvar"].absolute[variable])
            rows.append([name, variable, *ratios, f"{np.mean(own.correlation[variable]):.2f}", f"{crps:.2f}"])
    return table(["", "", *labels, "corr(ln s, ln e)", "CRPS / MAE of 3dvar"], rows)


def main() -> None:
    """Analyse the cases by both methods and print the table, or put it on a page."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("store", type=Path)
    arguments.add_argument("--weights", type=Path)
    arguments.add_argument("--background-error", type=Path)
    arguments.add_argument("--cases", type=int, default=24)
    arguments.add_argument("--page", type=Path)
    given = arguments.parse_args()
    store = analysed_store(given.store)
    statistics = read_background_error(given.background_error or weights_path(LEARNED_BACKGROUND_ERROR))[0]
    guess = ThreeDVar(statistics, members=MEMBERS, dtype=torch.float32)
    learned = LearnedAnalysis(
        read_checkpoint(given.weights or weights_path(LEARNED_MODEL)), replace(guess, members=0), members=MEMBERS
    )
    methods: dict[str, Method] = {"3dvar": guess, "phyda": learned}
    sums = {name: Sums() for name in methods}
    latitude, longitude = (np.asarray(part) for part in store.grid.coordinates)
    where = unit_vectors(latitude, longitude)
    for case, wanted in cases(store, given.cases):
        places = unit_vectors(case.departures.latitude, case.departures.longitude)
        nearest = places[cKDTree(places).query(where)[1]]
        bins = np.digitize(chord_distance(where, nearest), EDGES[1:-1])
        for name, method in methods.items():
            sums[name].add(method.scaled(case.scale).increments([case])[0], case, wanted, bins)
    made = tables(sums)
    if given.page is None:
        print(made)
    else:
        put(given.page, "spread", made)


if __name__ == "__main__":
    main()
