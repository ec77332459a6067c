"""Iterations of 3D-Var's conjugate gradients per second, one case and a batch, from two runs of different length.

rate = (n₂ − n₁) / (t₂ − t₁),   so that what comes before the first iteration does not count.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from result import Measurement, Report, seconds

from phyda_cli.errors_b.background_error import BackgroundError
from phyda_cli.errors_b.resolution import at_truncation
from phyda_cli.fields.state import Channel, State
from phyda_cli.formats.gridded.background_error import read_background_error
from phyda_cli.methods.base import Departures
from phyda_cli.methods.threedvar import ThreeDVar
from phyda_cli.operators.operator import Operator
from phyda_cli.resources import BACKGROUND_ERROR, weights_path

OBSERVATIONS = 5_000
BATCHES = {42: (1, 32), 106: (1, 8)}
"""Cases together at each truncation."""
FEW, MANY = 2, 12


def measure(repeats: int, weights: Path | None, report: Report) -> list[Measurement]:
    """One row for each size of batch and precision; an iteration of a batch advances all its cases."""
    whole, _ = read_background_error(weights or weights_path(BACKGROUND_ERROR))
    variables = sorted({channel.variable for channel in whole.channels})
    rows = []
    for dtype in (torch.float64, torch.float32):
        for truncation, batches in BATCHES.items():
            statistics = at_truncation(whole, truncation)
            for batch in batches:
                name = f"3D-Var T{statistics.truncation}, {batch} case{'s' if batch > 1 else ''}, "
                name += str(dtype).removeprefix("torch.")
                report(name)
                cases = [_network(variables, seed) for seed in range(batch)]
                _duration(statistics, cases, dtype, 1)
                rates = tuple(_rate(statistics, cases, dtype) for _ in range(repeats))
                rows.append(Measurement(name, "iterations/s", rates, higher_is_better=True))
    return rows


def _rate(statistics: BackgroundError, cases: list[Departures], dtype: torch.dtype) -> float:
    few, many = (_duration(statistics, cases, dtype, iterations) for iterations in (FEW, MANY))
    return (MANY - FEW) / (many - few)


def _duration(statistics: BackgroundError, cases: list[Departures], dtype: torch.dtype, iterations: int) -> float:
    method = ThreeDVar(statistics, tolerance=1e-12, max_iterations=iterations, dtype=dtype)
    grid, time = statistics.grid, np.datetime64("2020-01-01", "ns")
    empty = State(torch.zeros(1, *grid.shape, dtype=torch.float64), (Channel("msl"),), grid, time)
    return seconds(lambda: method.minimise(cases, [empty] * len(cases)))


def _network(variables: list[str], seed: int) -> Departures:
    """Random departures of unit error, in every variable, anywhere."""
    random = np.random.default_rng(seed)
    variable = np.array(variables, dtype=object)[random.integers(len(variables), size=OBSERVATIONS)]
    places = {
        "variable": variable,
        "pressure": np.exp(random.uniform(np.log(2e4), np.log(9e4), OBSERVATIONS)),
        "latitude": np.degrees(np.arcsin(random.uniform(-1, 1, OBSERVATIONS))),
        "longitude": random.uniform(0.0, 360.0, OBSERVATIONS),
    }
    departure, error = random.standard_normal(OBSERVATIONS), np.ones(OBSERVATIONS)
    return Departures(Operator.at(**places), departure, error)
