"""What the surface analysis costs: 20 000 stations on a global 0.25° background, seconds and memory.

    python -m benchmarks.surface_cost [THREADS] [STATIONS]

Seven in ten stations are in North America and Europe, as dense as networks are there.
"""

from __future__ import annotations

import cProfile
import pstats
import resource
import sys
import time

import numpy as np
import torch

from phyda_cli.assimilation import AssimilationOptions, assimilate
from phyda_cli.fields.state import Channel, State
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.methods.surface import VARIABLES, SurfaceAnalysis
from phyda_cli.observations.errors import default_error_table
from phyda_cli.observations.table import Observations

USUAL = {"t2m": 285.0, "d2m": 278.0, "u10": 2.0, "v10": 1.0, "msl": 101_000.0, "sp": 100_000.0}


def network(count: int, time_: np.datetime64) -> Observations:
    """Stations with all variables but msl; their departures are waves of 600 km and noise."""
    rng = np.random.default_rng(0)
    dense = rng.random(count) < 0.7
    west = rng.random(count) < 0.5
    latitude = np.where(dense, rng.uniform(32, 58, count), np.degrees(np.arcsin(rng.uniform(-1, 1, count))))
    longitude = np.where(dense, np.where(west, rng.uniform(240, 290, count), rng.uniform(0, 40, count)), 0.0)
    longitude = np.where(dense, longitude, rng.uniform(0, 360, count))
    wave = np.sin(np.radians(60 * latitude)) * np.cos(np.radians(60 * longitude * np.cos(np.radians(latitude))))
    names = [name for name in VARIABLES if name != "msl"]
    value = [USUAL[name] + (2.0 * wave + rng.normal(size=count)) * (100.0 if name == "sp" else 1.0) for name in names]
    return Observations.build(
        "network",
        variable=np.repeat(np.array(names, dtype=object), count),
        latitude=np.tile(latitude, len(names)),
        longitude=np.tile(longitude, len(names)),
        value=np.concatenate(value),
        time=np.full(count * len(names), time_),
        station=np.tile(np.array([f"S{i}" for i in range(count)], dtype=object), len(names)),
        report=np.full(count * len(names), "synop", dtype=object),
        elevation=np.zeros(count * len(names)),
    )


def main() -> None:
    """Run it once and show where the time goes."""
    given = [int(x) for x in sys.argv[1:]]
    threads, count = [*given, *(2, 20_000)[len(given) :]]
    torch.set_num_threads(threads)
    grid, moment = LatLonGrid.with_poles(721, 1440), np.datetime64("2020-01-01T00", "ns")
    channels = tuple(Channel(name) for name in VARIABLES)
    values = torch.tensor([USUAL[name] for name in VARIABLES], dtype=torch.float64)[:, None, None]
    background = State(values.expand(-1, *grid.shape).clone(), channels, grid, moment)
    rows = network(count, moment)
    ground = torch.zeros(grid.shape, dtype=torch.float64)
    method = SurfaceAnalysis(grid, channels, ground, ground + 1.0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    profile = cProfile.Profile()
    wall, cpu = time.perf_counter(), time.process_time()
    profile.enable()
    options = AssimilationOptions(window=np.timedelta64(3, "h"))
    done = assimilate(background, rows, method=method, table=default_error_table(), options=options, orography=ground)
    profile.disable()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{int(done.log['used'])} rows used, {wall:.1f} s, {cpu:.1f} s of processors, {threads} threads")
    print(f"peak {peak / 1024:.0f} MiB, before it {before / 1024:.0f} MiB")
    pstats.Stats(profile).sort_stats("cumulative").print_stats("phyda_cli", 25)


if __name__ == "__main__":
    main()
