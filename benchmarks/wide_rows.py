"""What a few observations of whole columns cost beside many of one level: time and memory of 3D-Var's operator.

    python -m benchmarks.wide_rows

Makes H and its transpose for 100 000 values of t, and for as many with 500 brightness temperatures among them, on the
shipped statistics' grid, and prints the widths of the rows, their bytes and the time of H and Hᵀ, best of five.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from phyda_cli.fields.standard_atmosphere import standard_height, standard_temperature
from phyda_cli.fields.state import State
from phyda_cli.formats.gridded.background_error import read_background_error
from phyda_cli.observations.table import Observations
from phyda_cli.operators.brightness_temperature import SOUNDERS
from phyda_cli.operators.first_guess import first_guess
from phyda_cli.resources import BACKGROUND_ERROR, weights_path

MANY, FEW = 100_000, 100
TIME = np.datetime64("2020-01-01", "ns")


def rows(values: int, places: int) -> Observations:
    """Temperatures anywhere, and all channels of a sounder at some places."""
    random = np.random.default_rng(1)
    n = values + places * len(SOUNDERS)
    return Observations.build(
        "drawn",
        variable=np.array(["t"] * values + list(SOUNDERS) * places, dtype=object),
        latitude=np.degrees(np.arcsin(random.uniform(-1, 1, n))),
        longitude=random.uniform(0, 360, n),
        pressure=np.where(np.arange(n) < values, random.uniform(1e4, 9e4, n), np.nan),
        value=np.zeros(n),
        zenith=np.where(np.arange(n) < values, np.nan, 20.0),
        time=np.full(n, TIME),
    )


def best(task: Callable[[], object]) -> float:
    """Return the least of five times [s]."""
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        task()
        times.append(time.perf_counter() - begun)
    return min(times)


def main() -> None:
    """Print a line for each network."""
    statistics = read_background_error(weights_path(BACKGROUND_ERROR))[0]
    grid, channels = statistics.grid, statistics.channels
    fields = torch.zeros(len(channels), *grid.shape, dtype=torch.float64)
    for number, channel in enumerate(channels):
        if channel.variable == "t" and channel.level is not None:
            fields[number] = float(standard_temperature(standard_height(channel.level)))
    background = State(fields, channels, grid, TIME)
    for places in (0, FEW):
        operator = first_guess(background, rows(MANY, places), {}).increments.increments(grid, channels)
        size = sum(b.indices.nbytes + b.weights.nbytes for b in operator.blocks)
        y = torch.ones(len(operator), dtype=torch.float64)
        forward, back = best(partial(operator, fields)), best(partial(operator.adjoint, y))
        widths = sorted(block.indices.shape[1] for block in operator.blocks)
        table = 16 * len(operator) * widths[-1]
        print(f"{places} places: {widths} weights a row, {size / 1e6:.1f} MB (one table: {table / 1e6:.1f})", end=", ")
        print(f"H {1e3 * forward:.1f} ms, transpose {1e3 * back:.1f} ms")


if __name__ == "__main__":
    main()
