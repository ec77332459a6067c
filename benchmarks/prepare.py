"""Reading a store of WeatherBench 2's layout at 0.25 degrees: `phyda prepare` beside plain xarray, memory, workers.

    python benchmarks/prepare.py [--dates N] [--workers]

The store is made up: 13 levels of u, v, t, q, z and four fields near the ground, a date to a chunk. Plain xarray reads
the same arrays of the same dates and does nothing with them; phyda brings them to 64 × 128 points besides. Both are
processor time of one process, one after the other in turns, and their ratio is what counts. With --workers a store is
built by one and by two workers of a local Dask cluster; that needs two idle processors.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from phyda_cli.formats.gridded.lazy import lazy_states
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.preparation.from_files import VARIABLES_OF_STORE
from phyda_cli.preparation.sources import StoreSource
from phyda_cli.preparation.store import channels_of

LEVELS: Final = (50, 100, 150, 200, 250, 300, 400, 500, 600, 700, 850, 925, 1000)
TURNS: Final = 3


def make_store(path: Path, dates: int, rows: int) -> None:
    """Write a store of smooth noise; its numbers are credible and compress as weather does, to a half or so."""
    import zarr

    root = zarr.open_group(str(path), mode="w", zarr_format=2)
    generator = np.random.default_rng(0)
    shape = rows, 2 * (rows - 1)
    typical = {"u": (0, 10), "v": (0, 8), "t": (250, 8), "q": (2e-3, 3e-4), "z": (0, 400), "msl": (101_000, 500)}
    typical |= {"t2m": (285, 8), "u10": (0, 6), "v10": (0, 6)}
    names = {"u": "u_component_of_wind", "v": "v_component_of_wind", "t": "temperature", "q": "specific_humidity"}
    names |= {"z": "geopotential", "msl": "mean_sea_level_pressure", "t2m": "2m_temperature"}
    names |= {"u10": "10m_u_component_of_wind", "v10": "10m_v_component_of_wind"}
    units = {"u": "m s**-1", "v": "m s**-1", "t": "K", "q": "kg kg**-1", "z": "m**2 s**-2", "msl": "Pa", "t2m": "K"}
    waves = np.sin(np.linspace(0, 40, shape[0]))[:, None] * np.cos(np.linspace(0, 90, shape[1]))

    def array(name: str, values: np.ndarray, dims: list[str], attributes: dict[str, str]) -> None:
        chunks = (1 if values.ndim > 1 else len(values), *values.shape[1:])
        made = root.create_array(name, data=values, chunks=chunks, fill_value=None)
        made.attrs.update({"_ARRAY_DIMENSIONS": dims, **attributes})

    array("time", 6 * np.arange(dates), ["time"], {"units": "hours since 2020-01-01"})
    array("level", np.array(LEVELS), ["level"], {})
    array("latitude", np.linspace(90, -90, shape[0], dtype=np.float32), ["latitude"], {"units": "degrees_north"})
    longitude = np.arange(shape[1], dtype=np.float32) * 360 / shape[1]
    array("longitude", longitude, ["longitude"], {"units": "degrees_east"})
    from phyda_cli.constants import GRAVITY
    from phyda_cli.fields.standard_atmosphere import standard_height

    for name in VARIABLES_OF_STORE:
        mean, size = typical[name]
        levels = LEVELS if name in "uvtqz" else (1000,)
        offset = GRAVITY * standard_height(100.0 * np.array(levels)) if name == "z" else np.full(len(levels), mean)
        factor = (np.array(levels) / 1000.0) ** 3 if name == "q" else np.ones(len(levels))
        values = np.empty((dates, len(levels), *shape), np.float32)
        for date in range(dates):
            rough = waves * (1 + 0.1 * date) + 0.02 * generator.normal(size=shape)
            values[date] = (factor * offset)[:, None, None] + size * factor[:, None, None] * rough
        dims = ["time", "level", "latitude", "longitude"]
        if len(levels) == 1:
            values, dims = values[:, 0], ["time", "latitude", "longitude"]
        array(names[name], values, dims, {"units": units.get(name, "m s**-1")})
    zarr.consolidate_metadata(str(path), zarr_format=2)


def by_xarray(path: Path, dates: int) -> None:
    """Read every field of every date and forget it."""
    import xarray as xr

    with xr.open_dataset(path, engine="zarr", chunks=None, cache=False) as dataset:
        for date in range(dates):
            for variable in dataset.data_vars.values():
                _ = variable.isel(time=date).values


def by_phyda(path: Path, dates: int, source: StoreSource | None = None) -> None:
    """Read every field of every date and bring it to the store's grid; what the store holds is found out once."""
    source = source or StoreSource(lazy_states(path, VARIABLES_OF_STORE))
    channels = channels_of(VARIABLES_OF_STORE, [100.0 * level for level in reversed(LEVELS)])
    for date in range(dates):
        source.read(np.array([date]), channels, LatLonGrid.equiangular(64, 128))


def peak() -> float:
    """The largest memory of this process so far [MiB]."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dates", type=int, default=3, metavar="N")
    parser.add_argument("--workers", action="store_true", help="one and two workers of a local Dask cluster too")
    parser.add_argument("--read", type=Path, metavar="STORE", help="only read this store, and print the peak of memory")
    options = parser.parse_args()
    if options.read is not None:
        by_phyda(options.read, options.dates)
        print(f"{peak():.0f}")
        return
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "era5.zarr"
        make_store(path, options.dates, 721)
        source = StoreSource(lazy_states(path, VARIABLES_OF_STORE))
        times: dict[str, list[float]] = {"xarray": [], "phyda": []}
        for _ in range(TURNS):
            for who, read in (("xarray", by_xarray), ("phyda", partial(by_phyda, source=source))):
                began = time.process_time()
                read(path, options.dates)
                times[who].append(time.process_time() - began)
        best = {who: min(each) / options.dates for who, each in times.items()}
        print(f"processor time a date: xarray {best['xarray']:.2f} s, phyda {best['phyda']:.2f} s")
        print(f"phyda reads at {100 * best['xarray'] / best['phyda']:.0f} % of the speed of xarray")
        words = [sys.executable, __file__, "--read", str(path), "--dates", str(options.dates)]
        print(f"peak of a process that reads: {subprocess.check_output(words, text=True).strip()} MiB")
        if options.workers:
            _clusters(path, options.dates)


def _clusters(path: Path, dates: int) -> None:
    from distributed import Client, LocalCluster

    seconds = {}
    for count in (1, 2):
        cluster = LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=None)
        with cluster, Client(cluster) as client:
            client.wait_for_workers(count)
            client.gather(client.map(lambda _: by_phyda(path, 1), range(count), pure=False))  # loads the libraries
            began = time.monotonic()
            client.gather(client.map(lambda _: by_phyda(path, dates), range(4), pure=False))
            seconds[count] = time.monotonic() - began
    print(f"two workers are {seconds[1] / seconds[2]:.2f} times as fast as one")


if __name__ == "__main__":
    main()
