"""Small made-up fields and the files that hold them, for the tests of readers and of what reads through them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import eccodes
import numpy as np
import xarray as xr

ROWS, COLUMNS = 7, 12
LEVELS = (85000.0, 50000.0)
TIME = np.datetime64("2020-03-01T12:00", "ns")
MEAN = {"t": 260.0, "u": 5.0, "v": -2.0, "z": 4.0e4, "q": 3e-3, "gh": 4.0e3, "r": 0.5}
UNITS = {"t": "K", "u": "m s-1", "v": "m s-1", "z": "m2 s-2", "q": "kg kg-1", "gh": "m", "r": "1"}


def latitudes() -> np.ndarray:
    """Canonical rows, south to north, with poles."""
    return np.linspace(-90.0, 90.0, ROWS)


def longitudes() -> np.ndarray:
    """Canonical columns from 0 eastward."""
    return np.arange(COLUMNS) * 360.0 / COLUMNS


def wave(name: str, level: float | None = None, member: int = 0) -> np.ndarray:
    """(lat, lon) SI, canonical: different for every variable, level and member, and for every point."""
    mean = MEAN.get(name, 100.0)
    phase = 0.3 * (ord(name[0]) % 7) + (level or 0.0) / 3e4 + 0.7 * member
    lat, lon = np.radians(latitudes())[:, None], np.radians(longitudes())[None, :]
    return mean * (1.0 + 0.01 * np.sin(lon + phase) * np.cos(lat) + 0.005 * np.sin(lat + phase) + 0.001 * lon)


def dataset(names: Sequence[str] = ("t", "u", "v", "z"), levels: Sequence[float] = LEVELS) -> xr.Dataset:
    """A canonical NetCDF layout: (time, level [hPa], latitude, longitude), SI units, one time."""
    fields = {
        name: (
            ("time", "level", "latitude", "longitude"),
            np.stack([wave(name, level) for level in levels])[None],
            {"units": UNITS[name]},
        )
        for name in names
    }
    coordinates = {
        "time": ("time", [12], {"units": "hours since 2020-03-01"}),
        "level": ("level", np.asarray(levels) / 100.0, {"units": "hPa"}),
        "latitude": ("latitude", latitudes(), {"units": "degrees_north"}),
        "longitude": ("longitude", longitudes(), {"units": "degrees_east"}),
    }
    return xr.Dataset(fields, coordinates)


def save(data: xr.Dataset, path: Path, **options: object) -> Path:
    """Write NetCDF and give the path back."""
    data.to_netcdf(path, engine="netcdf4", **options)
    return path


def message(
    name: str,
    level: float | None = None,
    *,
    edition: int = 2,
    member: int | None = None,
    step: int = 0,
    values: np.ndarray | None = None,
    keys: dict[str, object] | None = None,
) -> int:
    """An eccodes handle of one field, north to south from 0°E, 24 bits. level: [Pa], or None for `keys` to say."""
    handle = eccodes.codes_grib_new_from_samples(f"regular_ll_pl_grib{edition}")
    settings: dict[str, object] = {
        "Ni": COLUMNS,
        "Nj": ROWS,
        "latitudeOfFirstGridPointInDegrees": 90.0,
        "latitudeOfLastGridPointInDegrees": -90.0,
        "longitudeOfFirstGridPointInDegrees": 0.0,
        "longitudeOfLastGridPointInDegrees": 330.0,
        "iDirectionIncrementInDegrees": 30.0,
        "jDirectionIncrementInDegrees": 30.0,
        "dataDate": 20200301,
        "dataTime": 1200,
    }
    if member is not None:
        settings |= {"productDefinitionTemplateNumber": 1, "number": member}
    settings |= {"step": step, "shortName": name}
    if level is not None:
        settings |= {"typeOfLevel": "isobaricInhPa", "level": int(level / 100)}
    for key, value in {**settings, **(keys or {})}.items():
        eccodes.codes_set(handle, key, value)
    eccodes.codes_set(handle, "bitsPerValue", 24)
    data = wave(name, level, member or 0) if values is None else values
    factor = 100.0 if name == "r" else 1.0  # GRIB's relative humidity is in per cent
    eccodes.codes_set_values(handle, (factor * data[::-1]).ravel() if values is None else data.ravel())
    return handle


def write_grib(handles: Sequence[int], path: Path) -> Path:
    """Write messages one after the other and release them."""
    with path.open("wb") as stream:
        for handle in handles:
            eccodes.codes_write(handle, stream)
            eccodes.codes_release(handle)
    return path


def write_multi_field(handles: Sequence[int], path: Path) -> Path:
    """Write GRIB 2 fields into one message, as NCEP does with u and v."""
    multi = eccodes.codes_grib_multi_new()
    for handle in handles:
        eccodes.codes_grib_multi_append(handle, 4, multi)
        eccodes.codes_release(handle)
    with path.open("wb") as stream:
        eccodes.codes_grib_multi_write(multi, stream)
    eccodes.codes_grib_multi_release(multi)
    return path
