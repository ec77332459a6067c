"""The horizontal grid of a GRIB message: its axes as stored, its values as (lat, lon), and what phyda refuses.

The axes come from the corners and the number of points, since increments are often rounded, missing or wrong:
λ_i = λ_first + i·360/Ni when that meets the stated corner, else evenly between the corners; regular Gaussian latitudes
are the Gauss–Legendre nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.grids.latlon import LatLonGrid

Array = NDArray[np.float64]

_CORNER_TOLERANCE: Final = 2e-3
"""GRIB 1 writes corners in thousandths of a degree [degree]."""

_MOST: Final = 65_535
"""No row or column has as many points, which is how GRIB 1 writes that their number is missing."""

_REMEDIES: Final = {
    "reduced_gg": "a reduced Gaussian grid: make it regular first, for example with cdo -setgridtype,regular",
    "reduced_ll": "a reduced latitude-longitude grid: make it regular first, for example with cdo -setgridtype,regular",
    "sh": "spectral (spherical harmonics): transform it to a grid first, for example with cdo sp2gpl",
    "lambert": "on a Lambert projection, not a global latitude-longitude grid",
    "polar_stereographic": "on a polar stereographic projection, not a global latitude-longitude grid",
    "mercator": "on a Mercator projection, not a global latitude-longitude grid",
}


def refuse_grid(where: str, header: Mapping[str, Any]) -> None:
    """Raise BadDataError when the grid is not a regular latitude-longitude or regular Gaussian one."""
    kind = str(header["gridType"])
    if kind not in ("regular_ll", "regular_gg"):
        says = _REMEDIES.get(kind, f"on a grid of type {kind}: interpolate it first, for example with cdo remapbil")
        raise BadDataError(f"{where} is {says}")
    corners = [header[key] for key in header if key.endswith("GridPointInDegrees")]
    sizes = [int(header[key] or 0) for key in ("Nj", "Ni")]
    if not all(0 < size < _MOST for size in sizes) or None in (header["numberOfDataPoints"], *corners):
        raise BadDataError(
            f"{where} has a grid of {sizes[0]} × {sizes[1]} points, or none at known places: its grid "
            "description is damaged; fetch the file again, or repair it, for example with grib_set"
        )
    points, rows, columns = (int(header[key]) for key in ("numberOfDataPoints", "Nj", "Ni"))
    if rows * columns != points:
        raise BadDataError(
            f"{where} contradicts itself: {rows} rows of {columns} points, but {points} values; "
            "repair its grid description, for example with grib_set"
        )


def axes(header: Mapping[str, Any]) -> tuple[Array, Array]:
    """Latitudes (Nj,) and longitudes (Ni,) [degree] in the order in which `field` gives the values."""
    rows, columns = int(header["Nj"]), int(header["Ni"])
    south, north = sorted(
        (float(header["latitudeOfFirstGridPointInDegrees"]), float(header["latitudeOfLastGridPointInDegrees"]))
    )
    latitudes = np.linspace(south, north, rows)
    if header["gridType"] == "regular_gg" and rows == 2 * int(header["N"]):
        latitudes = np.asarray(LatLonGrid.gaussian(rows).latitudes)
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


def field(values: Array, header: Mapping[str, Any]) -> Array:
    """(Nj, Ni) of a message's values, whatever its scanning mode; rows and columns run as `axes` says."""
    rows, columns = int(header["Nj"]), int(header["Ni"])
    by_column = bool(header["jPointsAreConsecutive"])
    lines = values.reshape((columns, rows) if by_column else (rows, columns))
    if header["alternativeRowScanning"]:
        lines = lines.copy()
        lines[1::2] = lines[1::2, ::-1]
    return lines.T if by_column else lines
