"""The grid of a NetCDF or Zarr dataset: which dimensions are its rows and columns, and where its points are.

    latitude(latitude), longitude(longitude)        axes: a global grid or a cut-out
    x(x), y(y), grid_mapping                        a projection as CF names it, or a rotated pole
    latitude(y, x), longitude(y, x)                 places alone; WRF says in global attributes how it projects
    latitude(point), longitude(point)               rows of a reduced grid (`folding.py`)

Where a projection and two-dimensional coordinates contradict each other the coordinates count, and the log says so.
Source: CF conventions 1.11, appendix F; WRF's users' guide for MAP_PROJ, TRUELAT1, STAND_LON, on its sphere.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phyda_cli.constants import WRF_RADIUS
from phyda_cli.errors import BadDataError
from phyda_cli.formats.gridded.contents import on_grid
from phyda_cli.formats.gridded.grid_mapping import ROTATED, false_origin, projection_of, rotated_pole
from phyda_cli.formats.units import find_unit
from phyda_cli.grids.orientation import Orientation, along_axes, at_points, in_plane, rotated
from phyda_cli.grids.places import distance

Array = NDArray[np.float64]

_LATITUDE: Final = (
    frozenset({"latitude", "lat", "xlat", "nav_lat", "latitudes"}),
    "latitude",
    frozenset({"degrees_north", "degree_north", "degreen"}),
)
_LONGITUDE: Final = (
    frozenset({"longitude", "lon", "xlong", "nav_lon", "longitudes"}),
    "longitude",
    frozenset({"degrees_east", "degree_east", "degreee"}),
)
_MAP_AXES: Final = (
    ("projection_y_coordinate", "projection_x_coordinate"),
    ("grid_latitude", "grid_longitude"),
)
_AGREEMENT: Final = 0.1
"""By how many steps of the grid a projection may miss the coordinates that stand beside it."""


class Horizontal(NamedTuple):
    """rows, columns: names of dimensions. coordinates: two-dimensional ones beside them."""

    rows: str
    columns: str
    orientation: Orientation
    coordinates: tuple[str, ...] = ()


def horizontal(dataset: xr.Dataset, source: str, notes: list[str]) -> Horizontal:
    """Return the grid of a dataset. Raises BadDataError where there is none that phyda knows."""
    latitudes, longitudes = (_candidates(dataset, which) for which in (_LATITUDE, _LONGITUDE))
    axes = [next((name for name in found if name in dataset.dims), None) for found in (latitudes, longitudes)]
    if axes[0] is not None and axes[1] is not None:
        lat, lon = (_numbers(dataset[name], source) for name in axes)
        return Horizontal(axes[0], axes[1], on_grid(source, along_axes, lat, lon))
    plane = next((pair for pair in _pairs(dataset, latitudes, longitudes) if dataset[pair[0]].ndim >= 2), None)
    mapped = _mapped(dataset, source, notes)
    if plane is None:
        if mapped is None:
            raise BadDataError(f"{source}: {_nowhere(dataset, latitudes, longitudes)}")
        return mapped
    lat, lon = (_flat(dataset[name], source) for name in plane)
    rows, columns = map(str, dataset[plane[0]].dims[-2:])
    projected = mapped if mapped is not None and (mapped.rows, mapped.columns) == (rows, columns) else None
    own = _wrf(dataset, lat, lon) if projected is None else projected.orientation
    if own is not None and not _agrees(own, lat, lon):
        notes.append(f"{source}: its projection contradicts {plane[0]!r} and {plane[1]!r}, which count")
        own = None
    return Horizontal(rows, columns, own or on_grid(source, at_points, lat, lon), plane)


def _candidates(dataset: xr.Dataset, which: tuple[frozenset[str], str, frozenset[str]]) -> list[str]:
    """Return the names of variables that are latitudes or longitudes, those by name first."""
    names, standard, units = which
    matches = [
        str(name)
        for name, variable in dataset.variables.items()
        if str(name).casefold() in names
        or variable.attrs.get("standard_name") == standard
        or str(variable.attrs.get("units", "")).casefold() in units
    ]
    return sorted(matches, key=lambda name: name.casefold() not in names)


def _pairs(dataset: xr.Dataset, latitudes: list[str], longitudes: list[str]) -> list[tuple[str, str]]:
    """Return the latitudes and longitudes on the same dimensions, those of the most fields first."""
    held = [
        (first, second)
        for first in latitudes
        for second in longitudes
        if dataset[first].dims == dataset[second].dims and "bnds" not in first and "bounds" not in first
    ]

    def fields(pair: tuple[str, str]) -> int:
        return -sum(set(dataset[pair[0]].dims[-2:]) <= set(v.dims) for v in dataset.data_vars.values())

    return sorted(held, key=fields)


def _numbers(variable: xr.DataArray, source: str) -> Array:
    if variable.dtype.kind not in "iuf":
        raise BadDataError(f"{source}: its coordinate {str(variable.name)!r} holds no numbers; the file is damaged")
    return np.asarray(variable.values, np.float64)


def _flat(variable: xr.DataArray, source: str) -> Array:
    """Return coordinates (rows, columns) of what may change in time too. Raises BadDataError where they move."""
    values = _numbers(variable, source)
    first = values.reshape(-1, *values.shape[-2:])[0]
    if not np.array_equal(np.broadcast_to(first, values.shape), values):
        raise BadDataError(f"{source}: its grid {str(variable.name)!r} moves in time; choose one time")
    return np.asarray(first)


def _mapped(dataset: xr.Dataset, source: str, notes: list[str]) -> Horizontal | None:
    """Return the grid of a CF grid mapping with its axes; None without one that phyda knows."""
    for name, variable in dataset.variables.items():
        about = variable.attrs
        if "grid_mapping_name" not in about:
            continue
        turned = about["grid_mapping_name"] == ROTATED
        axes = _map_axes(dataset, turned=turned)
        if axes is None:
            continue
        y, x = (_numbers(dataset[axis], source) for axis in axes)
        if turned:
            own = on_grid(source, lambda y, x, about=about: rotated(*rotated_pole(about), y, x), y, x)
            return Horizontal(*axes, own)
        projection = on_grid(source, projection_of, about)
        if projection is None:
            notes.append(f"{source}: the grid mapping {about['grid_mapping_name']!r} of {str(name)!r} is not known")
            continue
        y, x = (
            _metres(dataset[axis]) * values - shift
            for axis, values, shift in zip(axes, (y, x), false_origin(about), strict=True)
        )
        return Horizontal(*axes, on_grid(source, in_plane, projection, y, x))
    return None


def _map_axes(dataset: xr.Dataset, *, turned: bool) -> tuple[str, str] | None:
    """Return the axes y and x of a projection, or of a rotated pole; None without them."""
    found: list[str] = []
    for name, standard in zip(("rlat", "rlon") if turned else ("y", "x"), _MAP_AXES[turned], strict=True):
        axes = [str(dim) for dim in dataset.dims if dim in dataset.variables]
        named = [dim for dim in axes if dataset[dim].attrs.get("standard_name") == standard]
        named += [dim for dim in axes if dim.casefold() == name]
        found += named[:1]
    return (found[0], found[1]) if len(found) == 2 else None


def _metres(axis: xr.DataArray) -> float:
    unit = find_unit(str(axis.attrs.get("units", "m")), "m")
    return 1.0 if unit is None else unit.scale


def _wrf(dataset: xr.Dataset, latitude: Array, longitude: Array) -> Orientation | None:
    """Return the grid of WRF's global attributes, None where there are none or of another kind."""
    about = dataset.attrs
    kind = int(about.get("MAP_PROJ", 0))
    if kind not in (1, 2, 3) or not {"DX", "DY", "TRUELAT1", "TRUELAT2", "STAND_LON"} <= set(about):
        return None
    parallels = [float(about[f"TRUELAT{i}"]) for i in (1, 2)]
    pole = float(np.copysign(90.0, parallels[0]))
    mapping: dict[str, Any] = {"earth_radius": WRF_RADIUS}
    mapping |= {
        1: {"grid_mapping_name": "lambert_conformal_conic", "standard_parallel": parallels,
            "longitude_of_central_meridian": about["STAND_LON"],
            "latitude_of_projection_origin": about.get("MOAD_CEN_LAT", parallels[0])},
        2: {"grid_mapping_name": "polar_stereographic", "standard_parallel": parallels[0],
            "straight_vertical_longitude_from_pole": about["STAND_LON"], "latitude_of_projection_origin": pole},
        3: {"grid_mapping_name": "mercator", "standard_parallel": parallels[0],
            "longitude_of_projection_origin": float(longitude[0, longitude.shape[1] // 2])},
    }[kind]  # fmt: skip
    projection = projection_of(mapping)
    if projection is None:
        return None
    y, x = (float(value[0]) for value in projection.forward(latitude[:1, 0], longitude[:1, 0]))
    rows, columns = (np.arange(n, dtype=np.float64) for n in latitude.shape)
    return in_plane(projection, y + float(about["DY"]) * rows, x + float(about["DX"]) * columns)


def _agrees(orientation: Orientation, latitude: Array, longitude: Array) -> bool:
    """Return whether a projection puts the points where the coordinates (rows, columns) have them."""
    lat, lon = (x[orientation.rows[:, None], orientation.columns].ravel() for x in (latitude, longitude))
    apart = distance(*orientation.grid.coordinates, lat, lon)
    return bool(apart.max() <= _AGREEMENT * orientation.grid.spacing)


def _nowhere(dataset: xr.Dataset, latitudes: list[str], longitudes: list[str]) -> str:
    dims = ", ".join(map(str, dataset.dims)) or "none"
    missing = " and ".join(what for what, found in (("latitude", latitudes), ("longitude", longitudes)) if not found)
    if missing:
        return (
            f"has no {missing} (dimensions: {dims}), and no grid_mapping with x and y axes: nothing says where its "
            "points are; see docs/formats.md"
        )
    return f"its {latitudes[0]!r} and {longitudes[0]!r} make no grid with the dimensions {dims}; see docs/formats.md"
