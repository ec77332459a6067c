"""Global latitude-longitude grids, in one canonical orientation: northward and, from 0°, eastward.

Regular (equiangular) and regular Gaussian grids are both of this kind; the poles may be grid rows or not. How the axes
of a file come here and back is `orientation.py`.

Between the points fields are bilinear in latitude and longitude, periodic. Poleward of the last row a field goes on
across the pole to the same row on the opposite meridian, φ → 180° − φ, λ → λ + 180°; wind components change sign there.

Area of a row: the cell edges lie half-way between rows, the outermost at the poles, so that
w_j = sin φ_{j+1/2} − sin φ_{j−1/2} and Σ w_j = 2 exactly on every grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from phyda_cli.constants import EARTH_RADIUS
from phyda_cli.errors import BadDataError
from phyda_cli.grids.base import Corners

Array = NDArray[np.float64]

_TOLERANCE = 1e-3
"""How far [degree] coordinates stored in single precision may lie from their exact place."""


@dataclass(frozen=True)
class LatLonGrid:
    """A global latitude-longitude grid.

    latitudes: (n_lat,) degrees north, strictly increasing, within ±90.
    longitudes: (n_lon,) degrees east in [0, 360), strictly increasing, evenly spaced around the whole circle.
    Raises BadDataError when the axes do not make such a grid.
    """

    latitudes: tuple[float, ...]
    longitudes: tuple[float, ...]

    def __post_init__(self) -> None:
        lat, lon = np.asarray(self.latitudes), np.asarray(self.longitudes)
        if lat.size < 2 or lon.size < 4:
            raise BadDataError(f"a grid of {lat.size} × {lon.size} points is too small to be a global one")
        if not (np.all(np.isfinite(lat)) and np.all(np.isfinite(lon))):
            raise BadDataError("the grid's coordinates hold NaN or infinite values")
        if np.any(np.diff(lat) <= 0) or np.any(np.abs(lat) > 90 + _TOLERANCE):
            raise BadDataError(f"latitudes must increase within ±90 degrees, found {lat[0]:g} to {lat[-1]:g}")
        spacing = 360.0 / lon.size
        if lon[0] < 0 or lon[-1] >= 360 or np.any(np.abs(np.diff(lon) - spacing) > max(_TOLERANCE, 0.02 * spacing)):
            raise BadDataError(
                f"longitudes must go round the globe in even steps, found {lon.size} from {lon[0]:g} to {lon[-1]:g}"
            )
        rows = float(np.max(np.diff(lat)))
        if 90 - lat[-1] > 1.5 * rows or lat[0] + 90 > 1.5 * rows:
            raise BadDataError(f"the grid is not global: latitudes cover {lat[0]:g} to {lat[-1]:g} degrees only")

    @classmethod
    def equiangular(cls, rows: int, columns: int) -> LatLonGrid:
        """Return the regular grid without poles: φ_j = −90 + (j + ½)·180/rows, λ_i = i·360/columns (WeatherBench's
        grids).
        """
        latitudes = -90.0 + (np.arange(rows) + 0.5) * 180.0 / rows
        return cls(tuple(latitudes.tolist()), tuple((np.arange(columns) * 360.0 / columns).tolist()))

    @classmethod
    def with_poles(cls, rows: int, columns: int) -> LatLonGrid:
        """Return the regular grid whose first and last rows are the poles (ERA5's and GFS's)."""
        return cls(
            tuple(np.linspace(-90.0, 90.0, rows).tolist()), tuple((np.arange(columns) * 360.0 / columns).tolist())
        )

    @classmethod
    def gaussian(cls, rows: int) -> LatLonGrid:
        """Return the regular Gaussian grid: sin φ_j are the Gauss–Legendre nodes, with twice as many longitudes."""
        nodes = np.polynomial.legendre.leggauss(rows)[0]
        columns = 2 * rows
        return cls(tuple(np.degrees(np.arcsin(nodes)).tolist()), tuple((np.arange(columns) * 360.0 / columns).tolist()))

    @property
    def shape(self) -> tuple[int, int]:
        """(n_lat, n_lon)."""
        return len(self.latitudes), len(self.longitudes)

    @cached_property
    def area_weights(self) -> Array:
        """(n_lat,) area of each row, scaled to Σ w = 1: the mean over the grid is Σ_j w_j · mean_i(x_ji)."""
        lat = np.asarray(self.latitudes)
        edges = np.concatenate([[-90.0], 0.5 * (lat[1:] + lat[:-1]), [90.0]])
        return np.asarray(0.5 * np.diff(np.sin(np.radians(edges))))

    @property
    def coordinates(self) -> tuple[Array, Array]:
        """Latitude and longitude [degree] of the points, (n_lat · n_lon,) each."""
        rows, columns = self.shape
        return np.repeat(np.asarray(self.latitudes), columns), np.tile(np.asarray(self.longitudes), rows)

    @property
    def area(self) -> Array:
        """(n_lat, n_lon) area that a point stands for, scaled to Σ = 1."""
        return np.broadcast_to(self.area_weights[:, None] / self.shape[1], self.shape)

    @property
    def spacing(self) -> float:
        """Distance [m] between rows, or between columns at the equator where that is larger."""
        step = max(float(np.median(np.diff(self.latitudes))), 360.0 / self.shape[1])
        return float(np.radians(step)) * EARTH_RADIUS

    @property
    def rim(self) -> None:
        """The grid goes round the globe."""
        return

    @property
    def turn(self) -> None:
        """Rows run east."""
        return

    def corners(self, latitude: Array, longitude: Array) -> Corners:
        """Return the four points around each place [degree, any longitude convention], with their bilinear weights."""
        lat = np.asarray(self.latitudes)
        last = lat.size - 1
        lower = np.clip(np.searchsorted(lat, latitude, side="right") - 1, 0, last - 1)
        fraction = (latitude - lat[lower]) / (lat[lower + 1] - lat[lower])
        north, south = latitude > lat[-1], latitude < lat[0]
        # Beyond the last row at φ_N the next row is its own mirror image at 180° − φ_N: 2(90° − φ_N) away.
        with np.errstate(divide="ignore", invalid="ignore"):
            to_north, to_south = (latitude - lat[-1]) / (2 * (90 - lat[-1])), (lat[0] - latitude) / (2 * (90 + lat[0]))
        across = north | south
        first = np.where(north, last, np.where(south, 0, lower))
        second = np.where(across, first, lower + 1)
        share = np.where(north, to_north, np.where(south, to_south, fraction))
        near = self._bracket(longitude)
        far = self._bracket(np.where(across, longitude + 180.0, longitude))
        width = self.shape[1]
        index = [first * width + near[0], first * width + near[1], second * width + far[0], second * width + far[1]]
        rest = 1.0 - share
        weight = [rest * (1.0 - near[2]), rest * near[2], share * (1.0 - far[2]), share * far[2]]
        turned = np.where(across, -1.0, 1.0)
        sign = [np.ones_like(turned), np.ones_like(turned), turned, turned]
        beyond = np.zeros(across.shape)
        return Corners(np.stack(index, axis=1), np.stack(weight, axis=1), np.stack(sign, axis=1), beyond)

    def _bracket(self, longitude: Array) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
        """Return the columns west and east of each longitude, and the weight of the eastern one."""
        meridians = np.asarray(self.longitudes)
        # np.mod of a tiny negative number rounds to 360 itself, which lies west of the first meridian as 0 does
        wrapped = np.mod(longitude, 360.0)
        west = np.mod(np.searchsorted(meridians, wrapped, side="right") - 1, meridians.size)
        east = np.mod(west + 1, meridians.size)
        width = np.mod(meridians[east] - meridians[west], 360.0)
        return west, east, np.mod(wrapped - meridians[west], 360.0) / width

    def __str__(self) -> str:
        rows, columns = self.shape
        return f"{rows}×{columns} (latitude {self.latitudes[0]:g}…{self.latitudes[-1]:g})"
