"""NetCDF files whose large fields are made one after the other as they are written, so that one is in memory at a time.

A dataset holds all that the file says, with placeholders where those fields belong: arrays of their shape that take no
memory. Each plane of rows and columns is one chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import netCDF4
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phyda_cli.formats.gridded.valid_time import VALID_TIME
from phyda_cli.outputs import atomic_path

Make = Callable[[], NDArray[Any]]
"""Makes a field in the axes of its placeholder, without that of time."""

_TIME: Final = {"units": "hours since 1970-01-01 00:00:00", "calendar": "standard", "dtype": "float64"}
_FILL: Final = 9.969209968386869e36
"""NetCDF's own default."""


def placeholder(variable: xr.Variable | xr.DataArray, dtype: np.dtype[Any] | None = None) -> xr.Variable:
    """Return a variable of the same axes and attributes without memory for its values."""
    nothing = np.broadcast_to(np.zeros((), dtype or variable.dtype), variable.shape)
    return xr.Variable(variable.dims, nothing, dict(variable.attrs))


def write_dataset(path: Path, dataset: xr.Dataset, *, overwrite: bool) -> None:
    """Write a dataset as it is. Raises CannotWriteError as `atomic_path` does."""
    with atomic_path(path, overwrite=overwrite) as temporary:
        _to_netcdf(temporary, dataset)


def write_made(
    path: Path, outline: xr.Dataset, fields: Mapping[str, Make], *, missing: Collection[str], overwrite: bool
) -> None:
    """Write a dataset with these fields in the place of its placeholders, whose first axis is time.

    missing: the fields that hold missing values. Raises CannotWriteError, and what making a field raises.
    """
    with atomic_path(path, overwrite=overwrite) as temporary:
        create(temporary, outline, list(fields), missing=missing)
        with netCDF4.Dataset(temporary, "a") as file:
            file.set_auto_maskandscale(False)
            for name, make in fields.items():
                file[name][0] = make()


def create(path: Path, outline: xr.Dataset, names: Iterable[str], *, missing: Collection[str]) -> None:
    """Write a file with all of a dataset but the values of the named fields. missing: as of `write_made`."""
    names, named = list(names), set[str]()
    _to_netcdf(path, outline.drop_vars(names))
    with netCDF4.Dataset(path, "a") as file:
        for name in names:
            field = outline[name]
            options = _options(field, missing=name in missing)
            made = file.createVariable(
                name,
                field.dtype,
                [str(dim) for dim in field.dims],
                chunksizes=[1] * (field.ndim - 2) + list(field.shape[-2:]),
                fill_value=options.pop("_FillValue") or False,
                **options,
            )
            others = {str(n): c for n, c in field.coords.items() if n not in field.dims}
            beside = " ".join(sorted(n for n, c in others.items() if set(c.dims) <= set(field.dims)))
            beside = field.encoding.get("coordinates", beside)
            named.update((beside or "").split())
            made.setncatts(field.attrs | ({"coordinates": beside} if beside else {}))
        _name_rest(file, named)


def _name_rest(file: netCDF4.Dataset, named: Collection[str]) -> None:
    """Leave in the file's own list of coordinates, which xarray makes, those that no field names."""
    if "coordinates" in file.ncattrs():
        rest = [name for name in file.coordinates.split() if name not in named]
        file.delncattr("coordinates")
        if rest:
            file.coordinates = " ".join(rest)


def _to_netcdf(path: Path, dataset: xr.Dataset) -> None:
    dataset.to_netcdf(
        path, engine="netcdf4", format="NETCDF4",
        encoding=_encoding(dataset), unlimited_dims=_record_axes(dataset),
    )  # fmt: skip


def _record_axes(dataset: xr.Dataset) -> list[str]:
    """Return the axis along which files are joined, which NCO wants to be unlimited."""
    return [name for name in ("time", VALID_TIME) if name in dataset.dims]


def _encoding(dataset: xr.Dataset) -> dict[Hashable, dict[str, Any]]:
    encoding: dict[Hashable, dict[str, Any]] = {}
    for name, variable in dataset.variables.items():
        missing = variable.dtype.kind == "f" and name not in dataset.coords and bool(np.isnan(variable.values).any())
        encoding[name] = _options(variable, missing=missing)
        if variable.dtype.kind == "M":
            encoding[name] |= _TIME
    return encoding


def _options(variable: xr.Variable | xr.DataArray, *, missing: bool) -> dict[str, Any]:
    """Return how a variable is stored; xarray and netCDF4 have the same names for it."""
    options: dict[str, Any] = {"_FillValue": variable.dtype.type(_FILL) if missing else None}
    if variable.dtype.kind in "fiu" and variable.ndim >= 2:
        options |= {"zlib": True, "complevel": 1, "shuffle": True}
    return options
