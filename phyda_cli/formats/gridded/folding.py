"""Layouts of machine-learning models as plain fields, and back: points along one axis, names along another.

    t_500(time, values), latitudes(values), longitudes(values)     anemoi: the points of a regular grid, in any order
    fields(time, variable, lat, lon), variable = t500, u850, …     Earth2Studio: names along an axis

Reading unfolds both: every name becomes a variable, and the points a grid; those that make no regular grid become one
row. Writing folds them again, so that an output has the layout of its background.

A name means a variable, and a pressure level where it tells one. A variable is known by its name (`Variable` rows), by
its GRIB short name, on pressure levels by its CF standard name, then by its long name. NCL and THREDDS name the kind of
level in the name (`TMP_P0_L100_GLL0`, `Temperature_isobaric`). A level in the name (`t500`, `t_500` of machine-learning
models, `TMP_500mb` of wgrib2) is one where the file has the variable at two levels or more, or where hPa or mb stands
beside it: `u100` alone may be the wind at 100 m.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phyda_cli.fields.variables import VARIABLES, Variable, find_grib_variable, find_gridded_variable

_NCL_LEVELS: Final = re.compile(r"(_p\d+_l100_g\w+|(_gds\d+|_\d+)_isbl(_\w+)?)$")
_NCL_SINGLE: Final = re.compile(r"(_p\d+_l(1|101|103)_g\w+)$")
_WITH_LEVEL: Final = re.compile(r"(?P<base>[a-z][a-z_]*?)[_-]?(?P<level>\d{1,4})(?P<unit>_?(mb|hpa))?")
_TOP_AND_BOTTOM: Final = (1.0, 1100.0)
ALONG_GRID: Final = {
    "x_wind": "eastward_wind", "grid_eastward_wind": "eastward_wind",
    "y_wind": "northward_wind", "grid_northward_wind": "northward_wind",
}  # fmt: skip
"""Standard names of winds in a grid's own directions, and what they are on a latitude-longitude grid."""


def look_up(name: str, attributes: Mapping[Any, Any], *, on_levels: bool) -> tuple[Variable | None, int]:
    """Return the table's variable and how sure it is: 0 by name, 1 by GRIB short name, 2 by standard name, 3 by long
    name.
    """
    plain = name.casefold().replace("-", "_")
    known = find_gridded_variable(name) or find_gridded_variable(re.sub(r"_(isobaric|pressure|pl|plev)+$", "", plain))
    if known is None and on_levels:
        known = find_gridded_variable(_NCL_LEVELS.sub("", re.sub(r"_pressure$", "", plain)))
    if known is None and not on_levels:
        known = _ncl_single(plain, attributes)
    if known is not None:
        return known, 0
    known = find_grib_variable(str(attributes.get("GRIB_shortName", "")))
    if known is not None:
        return known, 1
    standard = attributes.get("standard_name")
    standard = ALONG_GRID.get(str(standard), standard)
    long_name = re.sub(r"\W+", "_", str(attributes.get("long_name", "")).split("(")[0].strip().casefold())
    for entry in VARIABLES.values():
        alike = entry.pressure_level == on_levels and (on_levels or entry.name in ("msl", "sp"))
        if alike and standard == entry.standard_name:
            return entry, 2
    known = find_gridded_variable(long_name) if len(long_name) > 3 else None
    if known is not None and standard is None and on_levels and known.pressure_level:
        return known, 3
    return None, 4


def _ncl_single(plain: str, attributes: Mapping[Any, Any]) -> Variable | None:
    """NCL's names of fields at the surface (L1), at sea level (L101) and above the ground (L103, with its height)."""
    kind = _NCL_SINGLE.search(plain)
    if kind is None:
        return None
    base, height = plain[: kind.start()], attributes.get("level")
    if kind[2] == "101":
        return VARIABLES["msl"] if base in ("prmsl", "mslet", "pres") else None
    if kind[2] == "1":
        return VARIABLES["sp"] if base == "pres" else None
    heights = {("tmp", 2): "t2m", ("dpt", 2): "d2m", ("ugrd", 10): "u10", ("vgrd", 10): "v10"}
    try:
        known = heights.get((base, int(float(str(height)))))
    except ValueError:
        return None
    return None if known is None else VARIABLES[known]


def levels_in_names(names: Iterable[str]) -> dict[str, tuple[Variable, float]]:
    """Return the names of horizontal fields that tell a pressure level: variable and pressure [Pa]."""
    found: dict[str, tuple[Variable, float]] = {}
    sure: set[str] = set()
    for name in names:
        match = _WITH_LEVEL.fullmatch(name.casefold())
        if match is None or find_gridded_variable(name) is not None:
            continue
        variable, level = find_gridded_variable(match["base"]), float(match["level"])
        if variable is not None and variable.pressure_level and _TOP_AND_BOTTOM[0] <= level <= _TOP_AND_BOTTOM[1]:
            found[name] = (variable, 100.0 * level)
            sure |= {name} if match["unit"] else set()
    counts = Counter(variable.name for variable, _ in found.values())
    return {name: entry for name, entry in found.items() if name in sure or counts[entry[0].name] > 1}


_NAME_AXES: Final = ("variable", "channel", "variables", "channels")
_LATITUDES: Final = ("latitude", "latitudes", "lat")
_LONGITUDES: Final = ("longitude", "longitudes", "lon")
_DIGITS: Final = 3
_SPREAD: Final = "_spread"


@dataclass(frozen=True)
class Points:
    """A grid whose points lie along one axis.

    dim: the axis. rows, columns: (point,) index of each point on the grid. coordinates: as they are in the file.
    """

    dim: str
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    coordinates: Mapping[str, xr.Variable]

    def fold(self, dataset: xr.Dataset) -> xr.Dataset:
        """Return fields on the grid as fields along the axis."""
        index = {
            "latitude": xr.DataArray(self.rows, dims=self.dim),
            "longitude": xr.DataArray(self.columns, dims=self.dim),
        }
        return dataset.isel(index).drop_vars(["latitude", "longitude"]).assign_coords(self.coordinates)


@dataclass(frozen=True)
class Line:
    """Points along one axis that are no regular grid: one row of them, along an axis that the file has not."""

    row: str = "row"

    def fold(self, dataset: xr.Dataset) -> xr.Dataset:
        """Return fields with the axis of rows as fields without."""
        return dataset.isel({self.row: 0}, drop=True)


@dataclass(frozen=True)
class Names:
    """An array with one field for each name. dim: the axis of names, with its attributes; about: those of the array."""

    array: str
    dim: str
    names: tuple[str, ...]
    about: Mapping[str, Any]

    def fold(self, dataset: xr.Dataset) -> xr.Dataset:
        """Return fields by name as one array, their spreads as another, NaN where a name has none."""
        folded = {}
        for ending in ("", _SPREAD):
            held = [name for name in self.names if f"{name}{ending}" in dataset]
            if held:
                first = dataset[f"{held[0]}{ending}"]
                planes = [dataset.get(f"{name}{ending}", xr.full_like(first, np.nan)) for name in self.names]
                axis = first.ndim - (1 if "latitude" not in first.dims and "lat" not in first.dims else 2)
                values = np.stack([plane.transpose(*first.dims).values for plane in planes], axis=axis)
                dims = (*first.dims[:axis], self.dim, *first.dims[axis:])
                says = {"long_name": "analysis standard deviation"} if ending else dict(self.about)
                folded[f"{self.array}{ending}"] = xr.Variable(dims, values.astype(first.dtype), says)
        names = [f"{name}{ending}" for name in self.names for ending in ("", _SPREAD)]
        return dataset.drop_vars(names, errors="ignore").assign(folded).assign_coords({self.dim: list(self.names)})


@dataclass(frozen=True)
class Folding:
    """How a file folds plain fields."""

    points: Points | Line | None
    names: Names | None

    def fold(self, dataset: xr.Dataset) -> xr.Dataset:
        """Plain fields in the layout of the file."""
        dataset = dataset if self.points is None else self.points.fold(dataset)
        return dataset if self.names is None else self.names.fold(dataset)


def unfold(dataset: xr.Dataset) -> tuple[xr.Dataset, Folding | None]:
    """Return the dataset as plain fields on a grid, and how to fold them; None when they are."""
    dataset, points = _gridded(dataset)
    dataset, names = _named(dataset)
    return dataset, None if points is None and names is None else Folding(points, names)


def _gridded(dataset: xr.Dataset) -> tuple[xr.Dataset, Points | Line | None]:
    latitude = next((name for name in _LATITUDES if name in dataset.variables), None)
    longitude = next((name for name in _LONGITUDES if name in dataset.variables), None)
    if latitude is None or longitude is None:
        return dataset, None
    dims = dataset[latitude].dims
    if len(dims) != 1 or dims != dataset[longitude].dims:
        return dataset, None
    dim, size = str(dims[0]), dataset[latitude].size
    lat, lon = (np.asarray(dataset[name].values, np.float64) for name in (latitude, longitude))
    _, firsts, rows = np.unique(np.round(lat, _DIGITS), return_index=True, return_inverse=True)
    _, starts, columns = np.unique(
        np.round(np.mod(lon, 360.0), _DIGITS) % 360.0, return_index=True, return_inverse=True
    )
    if firsts.size * starts.size != size or np.unique(rows * starts.size + columns).size != size:
        line = Line()
        on_points = {
            name: dataset[name].expand_dims(line.row).variable
            for name, variable in dataset.variables.items()
            if dim in variable.dims and name != dim
        }
        return dataset.drop_vars(dim, errors="ignore").assign(on_points), line
    index = np.empty((firsts.size, starts.size), np.int64)
    index[rows, columns] = np.arange(size)
    coordinates = {name: dataset[name].variable for name in (latitude, longitude)}
    dataset = dataset.isel({dim: xr.DataArray(index, dims=("latitude", "longitude"))}).drop_vars([latitude, longitude])
    axes = {
        "latitude": ("latitude", lat[firsts], {"units": "degrees_north"}),
        "longitude": ("longitude", np.mod(lon[starts], 360.0), {"units": "degrees_east"}),
    }
    dataset = dataset.drop_vars(dim, errors="ignore").assign_coords(axes)
    return dataset, Points(dim, rows.astype(np.int64), columns.astype(np.int64), coordinates)


def _named(dataset: xr.Dataset) -> tuple[xr.Dataset, Names | None]:
    dim = next((name for name in _NAME_AXES if name in dataset.dims and name in dataset.variables), None)
    if dim is None or dataset[dim].dtype.kind not in "USOT":
        return dataset, None
    names = tuple(n.decode() if isinstance(n, bytes) else str(n) for n in dataset[dim].values.tolist())
    arrays = [str(name) for name, variable in dataset.data_vars.items() if dim in variable.dims and variable.ndim > 2]
    if len(arrays) != 1 or not levels_in_names(names) or len(set(names)) != len(names):
        return dataset, None
    array = dataset[arrays[0]]
    fields = {name: array.isel({dim: i}, drop=True).drop_attrs(deep=False) for i, name in enumerate(names)}
    about = Names(arrays[0], dim, names, dict(array.attrs))
    return dataset.drop_vars([arrays[0], dim]).assign(fields), about
