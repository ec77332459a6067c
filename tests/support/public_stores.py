"""Small stores in the layouts of public archives, from fields of our own: names, axes, chunks, encodings, attributes.

    era5        WeatherBench 2, ERA5 at 0.25 degrees: (time, level, latitude, longitude), a date to a chunk, from the
                north, poles included, Zarr 2, consolidated
    coarse      WeatherBench 2, conservatively regridded: (time, level, longitude, latitude), from the south, many dates
                to a chunk
    forecasts   WeatherBench 2, IFS HRES: time and prediction_timedelta, a forecast to a chunk; with bare True as of
                GraphCast and Pangu: without attributes of the fields
    arco        ARCO-ERA5: hours since 1900 with room before and after the days that attributes name, 37 levels
    anemoi      anemoi-datasets: data(time, variable, ensemble, cell), on a regular or an octahedral grid

Sources: the data guide of WeatherBench 2; ARCO-ERA5's README; anemoi-datasets' documentation, "Overview".
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr
import zarr
import zarr.codecs.numcodecs
from numcodecs import Blosc

from phyda_cli.constants import GRAVITY
from phyda_cli.fields.standard_atmosphere import standard_height
from phyda_cli.grids.latlon import LatLonGrid

LEVELS_13 = (50, 100, 150, 200, 250, 300, 400, 500, 600, 700, 850, 925, 1000)
LEVELS_37 = (1, 2, 3, 5, 7, 10, 20, 30, 50, 70, 100, 125, 150, 175, 200, 225, 250, 300, 350, 400, 450, 500, 550, 600,
             650, 700, 750, 775, 800, 825, 850, 875, 900, 925, 950, 975, 1000)  # fmt: skip
START = np.datetime64("2020-01-01T00", "h")

LONG = {
    "u": ("u_component_of_wind", "m s**-1"),
    "v": ("v_component_of_wind", "m s**-1"),
    "t": ("temperature", "K"),
    "q": ("specific_humidity", "kg kg**-1"),
    "z": ("geopotential", "m**2 s**-2"),
    "msl": ("mean_sea_level_pressure", "Pa"),
    "t2m": ("2m_temperature", "K"),
    "u10": ("10m_u_component_of_wind", "m s**-1"),
    "v10": ("10m_v_component_of_wind", "m s**-1"),
}
SURFACE = ("msl", "t2m", "u10", "v10")


def field(name: str, level: float | None, lat: np.ndarray, lon: np.ndarray, hour: float, noise: int = 0) -> np.ndarray:
    """A smooth field [SI] at places [degree] and an hour since START, with a little weather; noise: seed of an error
    of half a unit, 0 for none.

    level: [hPa].
    """
    phi, lam = np.radians(lat), np.radians(lon)
    wave = np.sin(2 * lam + 0.05 * hour) * np.cos(phi) ** 2 + 0.3 * np.sin(3 * phi + 0.11 * hour)
    p = 1000.0 if level is None else level
    base = {
        "u": 10.0 * np.cos(phi) ** 2 + 6.0 * wave,
        "v": 5.0 * wave * np.cos(phi),
        "t": 210.0 + 0.07 * p + 10.0 * np.cos(phi) + 2.0 * wave,
        "q": 1e-2 * (p / 1000.0) ** 3 * (0.6 + 0.3 * np.cos(phi) + 0.05 * wave),
        "z": GRAVITY * standard_height(np.array(100.0 * p)) + 500.0 * wave,
        "msl": 101_000.0 + 400.0 * wave,
        "t2m": 278.0 + 12.0 * np.cos(phi) + 2.0 * wave,
        "u10": 5.0 * np.cos(phi) ** 2 + 3.0 * wave,
        "v10": 3.0 * wave * np.cos(phi),
    }[name]
    if not noise:
        return base
    size = {"q": 2e-4 * (p / 1000.0) ** 3, "z": 60.0, "msl": 60.0}.get(name, 0.8)
    seed = [noise, int(hour) & 0x7FFFFFFF, int(p), sorted(LONG).index(name)]
    rough = np.random.default_rng(seed).normal(size=(3, 4))
    waves = sum(
        rough[i, j] * np.cos((i + 1) * lam + j) * np.cos(phi) ** (i + 1) * np.cos((j + 1) * phi)
        for i in range(3)
        for j in range(4)
    )
    return base + size * waves * 0.5


def latlon(grid: LatLonGrid) -> tuple[np.ndarray, np.ndarray]:
    """Latitude and longitude (lat, lon) of the points."""
    return np.meshgrid(np.array(grid.latitudes), np.array(grid.longitudes), indexing="ij")


def _dataset(
    grid: LatLonGrid,
    hours: Sequence[float],
    levels: Sequence[int],
    names: Sequence[str],
    *,
    north_first: bool,
    lon_first: bool,
    noise: int = 0,
) -> xr.Dataset:
    lat, lon = latlon(grid)
    if north_first:
        lat = lat[::-1]
    horizontal = ("longitude", "latitude") if lon_first else ("latitude", "longitude")
    variables = {}
    for name in names:
        long, units = LONG[name]
        on = [None] if name in SURFACE else list(levels)
        planes = np.stack([np.stack([field(name, p, lat, lon, hour, noise) for p in on]) for hour in hours])
        planes = planes.swapaxes(-1, -2) if lon_first else planes
        dims = ("time", *(() if name in SURFACE else ("level",)), *horizontal)
        values = (planes[:, 0] if name in SURFACE else planes).astype(np.float32)
        attributes = {"long_name": long.replace("_", " ").capitalize(), "short_name": name, "units": units}
        variables[long] = (dims, values, attributes)
    coordinates = {
        "latitude": ("latitude", lat[:, 0].astype(np.float32), {"long_name": "latitude", "units": "degrees_north"}),
        "longitude": ("longitude", lon[0].astype(np.float32), {"long_name": "longitude", "units": "degrees_east"}),
        "level": ("level", np.array(levels, np.int64)),
    }
    return xr.Dataset(variables, coordinates)


def _write(dataset: xr.Dataset, path: Path | str, chunks: dict[str, int], **encoding: dict[str, object]) -> Path | str:
    for name, variable in dataset.data_vars.items():
        own = tuple(chunks.get(str(dim), variable.sizes[dim]) for dim in variable.dims)
        encoding[str(name)] = {"chunks": own, "compressors": [Blosc(cname="lz4", clevel=5, shuffle=1)]}
    dataset.to_zarr(path, mode="w", zarr_format=2, consolidated=True, encoding=encoding)
    return path


def era5(
    path: Path | str, grid: LatLonGrid, hours: Sequence[float], levels: Sequence[int] = LEVELS_13,
    names: Sequence[str] = tuple(LONG),
) -> Path | str:  # fmt: skip
    """WeatherBench 2's ERA5 at the full resolution."""
    dataset = _dataset(grid, hours, levels, names, north_first=True, lon_first=False)
    dataset = dataset.assign_coords(time=START.astype("datetime64[ns]") + _timedeltas(hours))
    return _write(dataset, path, {"time": 1}, time={"units": "hours since 1959-01-01", "dtype": "int64"})


def coarse(path: Path | str, grid: LatLonGrid, hours: Sequence[float], chunk: int = 40) -> Path | str:
    """WeatherBench 2's ERA5 on a coarser grid."""
    dataset = _dataset(grid, hours, LEVELS_13, tuple(LONG), north_first=False, lon_first=True)
    dataset = dataset.assign_coords(time=START.astype("datetime64[ns]") + _timedeltas(hours))
    return _write(dataset, path, {"time": chunk}, time={"units": "hours since 1959-01-01", "dtype": "int64"})


def forecasts(
    path: Path | str, grid: LatLonGrid, starts: Sequence[float], leads: Sequence[int], *, bare: bool = False,
    names: Sequence[str] = tuple(LONG), levels: Sequence[int] = LEVELS_13,
) -> Path | str:  # fmt: skip
    """WeatherBench 2's forecasts: the truth with an error that is another one for each start."""
    parts = []
    for start in starts:
        own = []
        for lead in leads:
            seed = int(start) + 7 + lead
            one = _dataset(grid, [start + lead], levels, names, north_first=True, lon_first=False, noise=seed)
            own.append(one.isel(time=0))
        parts.append(xr.concat(own, "prediction_timedelta"))
    dataset = xr.concat(parts, "time")
    if bare:
        dataset = dataset.drop_attrs(deep=True)
    dataset = dataset.assign_coords(
        time=START.astype("datetime64[ns]") + _timedeltas(starts), prediction_timedelta=_timedeltas(leads)
    )
    encoding = {"units": "hours since 2016-01-01", "dtype": "int64"}
    lead = {"units": "hours", "dtype": "int64"}
    return _write(dataset, path, {"time": 1, "prediction_timedelta": 1}, time=encoding, prediction_timedelta=lead)


def arco(path: Path | str, grid: LatLonGrid, hours: Sequence[int], levels: Sequence[int] = LEVELS_37) -> Path | str:
    """ARCO-ERA5: hourly from the day before to the day after; only whole days between have values."""
    first, last = min(hours) - 24, max(hours) // 24 * 24 + 48
    every = np.arange(first, last)
    one = _dataset(grid, [0.0], levels, tuple(LONG), north_first=True, lon_first=False)
    root = zarr.open_group(str(path), mode="w", zarr_format=2)
    axes = {"time": every.size, "level": len(levels), "latitude": grid.shape[0], "longitude": grid.shape[1]}
    since = int((START - np.datetime64("1900-01-01T00", "h")).astype(int))

    def array(name: str, dims: tuple[str, ...], kind: str, chunks: tuple[int, ...], attributes: dict) -> zarr.Array:
        shape = tuple(axes[dim] for dim in dims)
        made = root.create_array(name, shape=shape, dtype=kind, chunks=chunks, fill_value=np.nan if kind == "f4" else 0)
        made.attrs.update({"_ARRAY_DIMENSIONS": list(dims), **attributes})
        return made

    when = {"units": "hours since 1900-01-01", "calendar": "proleptic_gregorian"}
    array("time", ("time",), "i8", (every.size,), when)[:] = every + since
    array("level", ("level",), "i8", (len(levels),), {})[:] = np.array(levels)
    for name in ("latitude", "longitude"):
        values = one[name].values
        array(name, (name,), "f4", values.shape, dict(one[name].attrs))[:] = values
    for name in LONG:
        long, units = LONG[name]
        dims = ("time", *(() if name in SURFACE else ("level",)), "latitude", "longitude")
        made = array(long, dims, "f4", (1, *(axes[d] for d in dims[1:])), {"units": units, "short_name": name})
        for hour in hours:
            values = _dataset(grid, [hour], levels, (name,), north_first=True, lon_first=False)[long].values
            made[int(hour - first)] = values[0]
    days = [str((START + np.timedelta64(int(hour), "h")).astype("datetime64[D]")) for hour in (min(hours), max(hours))]
    root.attrs.update({"valid_time_start": days[0], "valid_time_stop": days[1]})
    zarr.consolidate_metadata(str(path), zarr_format=2)
    return path


def anemoi(
    path: Path | str, latitude: np.ndarray, longitude: np.ndarray, hours: Sequence[float],
    levels: Sequence[int] = LEVELS_13, missing: Sequence[int] = (),
) -> Path | str:  # fmt: skip
    """anemoi-datasets: names in ECMWF's short form, in their own order, with forcings between; missing: hours without
    values.
    """
    short = {"t2m": "2t", "u10": "10u", "v10": "10v"}
    names = [(short.get(n, n), n, None) for n in ("u10", "v10", "t2m")] + [
        ("cos_latitude", "", None),
        ("lsm", "", None),
    ]
    names += [("msl", "msl", None)] + [(f"{n}_{p}", n, p) for n in ("q", "t", "u", "v", "w", "z") for p in levels]
    data = np.full((len(hours), len(names), 1, latitude.size), np.nan, np.float32)
    for row, hour in enumerate(hours):
        for column, (written, name, p) in enumerate(names):
            if hour in missing:
                continue
            if name in LONG:
                data[row, column, 0] = field(name, p, latitude, longitude, hour)
            else:
                data[row, column, 0] = np.cos(np.radians(latitude)) if written == "cos_latitude" else 0.1
    root = zarr.open_group(str(path), mode="w", zarr_format=2)
    when = START + _hours(hours)
    arrays = {
        "data": (data, ("time", "variable", "ensemble", "cell"), (1, *data.shape[1:])),
        "dates": (when.astype("datetime64[s]").astype(np.int64), ("time",), (len(hours),)),
        "latitudes": (latitude.astype(np.float32), ("cell",), latitude.shape),
        "longitudes": (longitude.astype(np.float32), ("cell",), longitude.shape),
        "mean": (data[0].mean(axis=(1, 2)).astype(np.float64), ("variable",), (len(names),)),
    }
    for name, (values, dims, chunks) in arrays.items():
        made = root.create_array(name, data=values, chunks=chunks)
        made.attrs["_ARRAY_DIMENSIONS"] = list(dims)
    gone = [str(when[list(hours).index(hour)].astype("datetime64[s]")) for hour in missing]
    root.attrs.update(
        {
            "variables": [written for written, _, _ in names],
            "missing_dates": gone,
            "frequency": "6h",
            "resolution": "o8",
            "start_date": str(when[0]),
            "end_date": str(when[-1]),
            "ensemble_dimension": 2,
            "flatten_grid": True,
            "version": "0.30",
            "description": "Our own fields",
        }
    )
    return path


def octahedral(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Latitudes and longitudes (point,) of a reduced Gaussian grid with 20, 24, 28 … points a row, from the north."""
    latitudes = np.array(LatLonGrid.gaussian(2 * rows).latitudes)[::-1]
    counts = [20 + 4 * min(row, 2 * rows - 1 - row) for row in range(2 * rows)]
    return np.repeat(latitudes, counts), np.concatenate([np.arange(count) * 360.0 / count for count in counts])


def _hours(values: Sequence[float]) -> np.ndarray:
    return np.array([np.timedelta64(int(value), "h") for value in values])


def _timedeltas(values: Sequence[float]) -> np.ndarray:
    return _hours(values).astype("timedelta64[ns]")
