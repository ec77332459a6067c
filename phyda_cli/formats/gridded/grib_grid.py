"""The grid of a GRIB field, from its header: axes, projection or places, and how its values lie on it.

The horizontal axes come from the corners and the number of points, since increments are often rounded, missing or
wrong: λ_i = λ_first + i·360/Ni when that meets the stated corner, else evenly between the corners; regular Gaussian
latitudes are the Gauss–Legendre nodes. Axes on a map begin at the first point and go on in steps of Dx and Dy; those of
Mercator lie between the corners. Of reduced grids ecCodes gives the places.

Earth: the sphere or ellipsoid that the header names. Rotated grids: the southern pole of the grid is at (φ_s, λ_s), so
its north pole at (−φ_s, λ_s + 180°).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phyda_cli.constants import EARTH_RADIUS, IAU_AXES
from phyda_cli.errors import BadDataError
from phyda_cli.formats.gridded.contents import on_grid
from phyda_cli.formats.gridded.folding import Line
from phyda_cli.formats.gridded.grib_header import Header
from phyda_cli.formats.gridded.grib_index import grib_places
from phyda_cli.formats.gridded.grid_mapping import ROTATED, projection_of
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.grids.orientation import Orientation, along_axes, along_rows, in_plane, rotated

Array = NDArray[np.float64]

MAPPING: Final = "projection"
"""The variable that holds the grid mapping."""
_CORNER_TOLERANCE: Final = 2e-3
"""GRIB 1 writes corners in thousandths of a degree [degree]."""
_MOST: Final = 65_535
"""No row or column has as many points, which is how GRIB 1 writes that their number is missing."""
_PLAIN: Final = ("regular_ll", "regular_gg", "rotated_ll", "rotated_gg")
_REDUCED: Final = ("reduced_ll", "reduced_gg")
_ON_MAPS: Final = ("lambert", "polar_stereographic", "mercator")
_REMEDIES: Final = {
    "sh": "spectral (spherical harmonics): transform it to a grid first, for example with cdo sp2gpl",
    "unstructured_grid": "on an unstructured grid whose places are in another file: interpolate it to a regular one "
    "first, for example with cdo remapnn",
}
_AXES: Final = ("latitude", "longitude")
_SOUTH: Final = 128
"""Bit of the projection centre flag: the south pole is on the plane."""


@dataclass(frozen=True)
class GribGrid:
    """A grid with its place in a dataset.

    dims: names of the dimensions of rows and columns. coordinates: of the dataset. mapping: CF attributes of the
    projection, None without one.
    """

    orientation: Orientation
    dims: tuple[str, str]
    coordinates: Mapping[str, xr.Variable]
    mapping: Mapping[str, Any] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of the file."""
        return self.orientation.file_rows.size, self.orientation.file_columns.size


def refuse_grid(header: Header) -> None:
    """Raise BadDataError when the grid is of a kind that is not read, or its description is damaged."""
    where = f"{header.path}: message {header.index + 1} ({header.keys['shortName']})"
    keys, kind = header.keys, str(header.keys["gridType"])
    if kind not in (*_PLAIN, *_REDUCED, *_ON_MAPS):
        says = _REMEDIES.get(kind, f"on a grid of type {kind}: interpolate it first, for example with cdo remapbil")
        raise BadDataError(f"{where} is {says}")
    reduced = kind in _REDUCED
    corners = [keys[key] for key in keys if key.endswith("GridPointInDegrees") and kind in _PLAIN]
    sizes = [int(keys[key] or 0) for key in ("Nj", "Ni")]
    counted = sizes[:1] if reduced else sizes
    if not all(0 < size < _MOST for size in counted) or None in (keys["numberOfDataPoints"], *corners):
        raise BadDataError(
            f"{where} has a grid of {sizes[0]} × {sizes[1]} points, or none at known places: its grid "
            "description is damaged; fetch the file again, or repair it, for example with grib_set"
        )
    points, (rows, columns) = int(keys["numberOfDataPoints"]), sizes
    held = sum(keys["pl"]) if reduced else rows * columns
    if held != points:
        each = f"rows of {held} points in all" if reduced else f"{rows} rows of {columns} points"
        raise BadDataError(
            f"{where} contradicts itself: {each}, but {points} values; repair its grid description, for example with "
            "grib_set"
        )


def grid_of(header: Header, source: str) -> GribGrid:
    """Return the grid of a field. Raises BadDataError where its description makes none."""
    kind, keys = str(header.keys["gridType"]), header.keys
    if kind in ("regular_ll", "regular_gg"):
        lat, lon = axes(keys)
        names = {"latitude": _axis("latitude", lat), "longitude": _axis("longitude", lon)}
        return GribGrid(on_grid(source, along_axes, lat, lon), ("latitude", "longitude"), names)
    if kind in _PLAIN:
        y, x = axes(keys)
        pole = -float(keys["latitudeOfSouthernPoleInDegrees"]), float(keys["longitudeOfSouthernPoleInDegrees"]) + 180.0
        angle = float(keys["angleOfRotationInDegrees"] or 0.0)
        about = {
            "grid_mapping_name": ROTATED,
            "grid_north_pole_latitude": pole[0],
            "grid_north_pole_longitude": pole[1] % 360.0,
            "north_pole_grid_longitude": angle,
        }
        own = on_grid(source, rotated, *pole, angle, y, x)
        return _projected(own, y, x, about, ("grid_latitude", "grid_longitude"), "degrees")
    if kind in _ON_MAPS:
        try:
            about, y, x = _on_map(keys)
        except BadDataError as error:
            raise BadDataError(f"{source}: {error}") from None
        own = on_grid(source, in_plane, projection_of(about), y, x)
        return _projected(own, y, x, about, ("projection_y_coordinate", "projection_x_coordinate"), "m")
    latitude, longitude = grib_places(header)
    own = on_grid(source, along_rows, latitude, longitude)
    dims = Line.row, "values"
    return GribGrid(own, dims, _beside(dims, latitude[None], longitude[None]))


def _projected(
    orientation: Orientation, y: Array, x: Array, about: Mapping[str, Any], names: tuple[str, str], units: str
) -> GribGrid:
    grid = orientation.grid
    latitude, longitude = (
        values.reshape(grid.shape)[orientation.file_rows[:, None], orientation.file_columns]
        for values in grid.coordinates
    )
    own = {
        dim: xr.Variable((dim,), values, {"units": units, "standard_name": name, "axis": dim.upper()})
        for dim, values, name in (("y", y, names[0]), ("x", x, names[1]))
    }
    return GribGrid(orientation, ("y", "x"), own | _beside(("y", "x"), latitude, longitude), about)


def _beside(dims: tuple[str, str], latitude: Array, longitude: Array) -> dict[str, xr.Variable]:
    return {
        "latitude": xr.Variable(dims, latitude, {"units": "degrees_north", "standard_name": "latitude"}),
        "longitude": xr.Variable(dims, longitude, {"units": "degrees_east", "standard_name": "longitude"}),
    }


def _axis(name: str, values: Array) -> xr.Variable:
    return xr.Variable(
        (name,), values, {"units": f"degrees_{'north' if name == 'latitude' else 'east'}", "standard_name": name}
    )


def _on_map(keys: Mapping[str, Any]) -> tuple[dict[str, Any], Array, Array]:
    """Return the grid mapping as CF has it, and the axes y and x [m] in the order of `field`."""
    about = _about(keys)
    projection = projection_of(about)
    assert projection is not None
    ends = [
        projection.forward(*(np.array([_number(keys, f"{axis}Of{end}GridPointInDegrees")]) for axis in _AXES))
        for end in (("First", "Last") if keys["gridType"] == "mercator" else ("First",))
    ]
    rows, columns = int(keys["Nj"]), int(keys["Ni"])
    y, x = (float(value[0]) for value in ends[0])
    if len(ends) > 1:
        far = [float(value[0]) for value in ends[1]]
        return about, np.linspace(y, far[0], rows), np.linspace(x, far[1], columns)
    down, across = (1.0 if keys["jScansPositively"] else -1.0), (-1.0 if keys["iScansNegatively"] else 1.0)
    steps = [_number(keys, f"D{axis}InMetres") for axis in "yx"]
    along = [np.arange(count, dtype=np.float64) for count in (rows, columns)]
    return about, y + down * steps[0] * along[0], x + across * steps[1] * along[1]


def _about(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return the grid mapping of a header as CF has it. Raises BadDataError where a number of it is missing."""
    kind = str(keys["gridType"])
    if kind == "lambert":
        return {
            "grid_mapping_name": "lambert_conformal_conic",
            "standard_parallel": [_number(keys, f"Latin{i}InDegrees") for i in (1, 2)],
            "latitude_of_projection_origin": _number(keys, "LaDInDegrees"),
            "longitude_of_central_meridian": _number(keys, "LoVInDegrees"),
            **_earth(keys),
        }
    true_latitude = _number(keys, "LaDInDegrees")
    if kind == "mercator":
        west, east = (_number(keys, f"longitudeOf{end}GridPointInDegrees") for end in ("First", "Last"))
        west, east = (east, west) if keys["iScansNegatively"] else (west, east)
        middle = west + 0.5 * ((east - west) % 360.0)
        about = {"longitude_of_projection_origin": middle, "standard_parallel": true_latitude}
        return {"grid_mapping_name": "mercator", **about, **_earth(keys)}
    side = -1.0 if int(keys["projectionCentreFlag"] or 0) & _SOUTH else 1.0
    return {
        "grid_mapping_name": "polar_stereographic",
        "latitude_of_projection_origin": side * 90.0,
        "straight_vertical_longitude_from_pole": _number(keys, "orientationOfTheGridInDegrees"),
        "standard_parallel": side * abs(true_latitude),
        **_earth(keys),
    }


def _number(keys: Mapping[str, Any], name: str) -> float:
    if keys[name] is None:
        raise BadDataError(f"its grid description lacks {name}; repair it, for example with grib_set")
    return float(keys[name])


def _earth(keys: Mapping[str, Any]) -> dict[str, float]:
    """Return the sphere or ellipsoid of a header."""
    if keys["earthIsOblate"]:
        axes = [keys[f"earth{axis}AxisInMetres"] for axis in ("Major", "Minor")]
        major, minor = axes if all(axes) else IAU_AXES
        return {"semi_major_axis": float(major), "semi_minor_axis": float(minor)}
    return {"earth_radius": float(keys["radius"] or EARTH_RADIUS)}


def axes(header: Mapping[str, Any]) -> tuple[Array, Array]:
    """Return latitudes (Nj,) and longitudes (Ni,) [degree] in the order in which `field` gives the values."""
    rows, columns = int(header["Nj"]), int(header["Ni"])
    south, north = sorted(
        (float(header["latitudeOfFirstGridPointInDegrees"]), float(header["latitudeOfLastGridPointInDegrees"]))
    )
    latitudes = np.linspace(south, north, rows)
    if str(header["gridType"]).endswith("_gg") and header["N"]:
        latitudes = _gaussian(2 * int(header["N"]), south, north, rows, latitudes)
    if not header["jScansPositively"]:
        latitudes = latitudes[::-1].copy()
    west = float(header["longitudeOfFirstGridPointInDegrees"])
    east = float(header["longitudeOfLastGridPointInDegrees"])
    if header["iScansNegatively"]:
        west, east = east, west
    if east < west:
        east += 360.0
    longitudes = np.linspace(west, east, columns)
    if abs(west + (columns - 1) * 360.0 / columns - east) < _CORNER_TOLERANCE:
        longitudes = west + np.arange(columns) * 360.0 / columns
    if header["iScansNegatively"]:
        longitudes = longitudes[::-1].copy()
    return latitudes, longitudes


def _gaussian(order: int, south: float, north: float, rows: int, otherwise: Array) -> Array:
    """Return the Gauss–Legendre latitudes from south to north, all of them or those of a cut-out."""
    nodes = np.asarray(LatLonGrid.gaussian(order).latitudes)
    within = nodes[(nodes >= south - _GAUSSIAN_TOLERANCE) & (nodes <= north + _GAUSSIAN_TOLERANCE)]
    if rows == order:
        return nodes
    return within if within.size == rows else otherwise


_GAUSSIAN_TOLERANCE: Final = 5e-3
"""How far a corner may be from its Gaussian latitude [degree]."""


def field(values: Array, header: Mapping[str, Any]) -> Array:
    """(Nj, Ni) of a message's values, whatever its scanning mode; rows and columns run as `axes` says.

    The values of a reduced grid are one row. Raises BadDataError when there are more or fewer than points.
    """
    if header["gridType"] in _REDUCED:
        return values[None]
    rows, columns = int(header["Nj"]), int(header["Ni"])
    if rows * columns != values.size:
        raise BadDataError(f"{rows} rows of {columns} points, but {values.size} values")
    by_column = bool(header["jPointsAreConsecutive"])
    lines = values.reshape((columns, rows) if by_column else (rows, columns))
    if header["alternativeRowScanning"]:
        lines = lines.copy()
        lines[1::2] = lines[1::2, ::-1]
    return lines.T if by_column else lines


def scanned(plane: Array, header: Mapping[str, Any]) -> Array:
    """(n,) values of a message from (Nj, Ni): what `field` makes of them is the plane again."""
    if header["gridType"] in _REDUCED:
        return np.asarray(plane[0])
    lines = plane.T.copy() if header["jPointsAreConsecutive"] else plane.copy()
    if header["alternativeRowScanning"]:
        lines[1::2] = lines[1::2, ::-1]
    return np.ravel(lines)
