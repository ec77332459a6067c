"""Grids of two axes in a plane or in another system of coordinates, and the projection between y, x and places.

Cut-outs of latitude-longitude grids are of this kind (y, x are latitude and longitude), and so are rotated
latitude-longitude grids and those on the maps of `maps.py`.

Rotated: with the north pole of the grid at (φ_p, λ_p), the point (0, 0) is at φ = 90° − φ_p, λ = λ_p + 180°, and the
true pole is on the meridian λ_g of the grid. Latitude and longitude belong to the sphere or ellipsoid of the model, so
that no datum is ever changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from phyda_cli.constants import EARTH_RADIUS
from phyda_cli.errors import BadDataError
from phyda_cli.grids.places import unit_vectors
from phyda_cli.grids.structured import Structured, bearing

Array = NDArray[np.float64]


_LONE: Final = 1e-2
"""Step of a grid of one point, in the units of its axes."""


class Projection(Protocol):
    """Between places [degree] and coordinates y, x; equal projections compare equal and hash alike."""

    def forward(self, latitude: Array, longitude: Array) -> tuple[Array, Array]:
        """y and x (n,) of places, not finite where they have none."""
        ...

    def inverse(self, y: Array, x: Array) -> tuple[Array, Array]:
        """Latitude and longitude (n,) [degree]."""
        ...

    def turn(self, y: Array, x: Array) -> Array | None:
        """Angle (n,) [radian] of the direction of x, counted from east to north; None where it is east."""
        ...

    def __hash__(self) -> int: ...


@dataclass(frozen=True)
class Geographic:
    """Latitude and longitude themselves. middle: longitudes are those within 180° of this one."""

    middle: float

    def forward(self, latitude: Array, longitude: Array) -> tuple[Array, Array]:
        return latitude, _around(longitude, self.middle)

    def inverse(self, y: Array, x: Array) -> tuple[Array, Array]:
        return y, np.mod(x, 360.0)

    def turn(self, y: Array, x: Array) -> None:
        return


@dataclass(frozen=True)
class Rotated:
    """Latitude and longitude about another pole.

    latitude, longitude: of the grid's north pole. origin: λ_g, the grid's longitude of the true north pole. middle: as
    of `Geographic`, in the grid's own longitudes. All in degrees.
    """

    latitude: float
    longitude: float
    origin: float = 0.0
    middle: float = 0.0

    def forward(self, latitude: Array, longitude: Array) -> tuple[Array, Array]:
        own = unit_vectors(latitude, longitude) @ self._axes.T
        return (
            np.degrees(np.arcsin(np.clip(own[:, 2], -1.0, 1.0))),
            _around(np.degrees(np.arctan2(own[:, 1], own[:, 0])) + self.origin, self.middle),
        )

    def inverse(self, y: Array, x: Array) -> tuple[Array, Array]:
        place = unit_vectors(y, x - self.origin) @ self._axes
        return (
            np.degrees(np.arcsin(np.clip(place[:, 2], -1.0, 1.0))),
            np.mod(np.degrees(np.arctan2(place[:, 1], place[:, 0])), 360.0),
        )

    def turn(self, y: Array, x: Array) -> Array:
        lam = np.radians(x - self.origin)
        east = np.stack([-np.sin(lam), np.cos(lam), np.zeros_like(lam)], axis=-1)
        return bearing(east @ self._axes, *self.inverse(y, x))

    @property
    def _axes(self) -> Array:
        """(3, 3) the unit vectors of the grid's system."""
        middle = unit_vectors(np.array([90.0 - self.latitude]), np.array([self.longitude + 180.0]))[0]
        pole = unit_vectors(np.array([self.latitude]), np.array([self.longitude]))[0]
        return np.stack([middle, np.cross(pole, middle), pole])


@dataclass(frozen=True)
class PlaneGrid(Structured):
    """Points at all pairs of two axes.

    y, x: strictly increasing, at least one entry each, in the units of the projection.
    Raises BadDataError when the axes do not make such a grid.
    """

    projection: Projection
    y: tuple[float, ...]
    x: tuple[float, ...]

    def __post_init__(self) -> None:
        for name, axis in (("y", np.asarray(self.y)), ("x", np.asarray(self.x))):
            if not (axis.size and np.isfinite(axis).all() and np.all(np.diff(axis) > 0)):
                raise BadDataError(f"the grid's {name} axis must hold finite numbers that increase")
        if isinstance(self.projection, Geographic) and max(map(abs, self.y)) > 90.0:
            raise BadDataError(f"latitudes must lie within ±90 degrees, found {self.y[0]:g} to {self.y[-1]:g}")

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return len(self.y), len(self.x)

    @property
    def periodic(self) -> bool:
        """Whether a band of latitudes goes round the globe."""
        x = np.asarray(self.x)
        steps = np.diff(x)
        last = x[0] + 360.0 - x[-1]
        return isinstance(self.projection, Geographic) and x.size > 3 and bool(abs(last / np.median(steps) - 1) < 0.02)

    @cached_property
    def coordinates(self) -> tuple[Array, Array]:
        """Latitude and longitude [degree] of the points, (rows · columns,) each."""
        return self.projection.inverse(*self._points)

    @cached_property
    def turn(self) -> Array | None:
        """(rows, columns) angle [radian] of the x axis, counted from east to north; None where it runs east."""
        angle = self.projection.turn(*self._points)
        return None if angle is None else angle.reshape(self.shape)

    @property
    def spacing(self) -> float:
        """Typical distance [m]; between meridians that at the equator, as of a global grid."""
        if not isinstance(self.projection, Geographic):
            return super().spacing
        steps = [float(np.median(np.diff(axis))) for axis in (self.y, self.x) if len(axis) > 1]
        return float(np.radians(max(steps, default=0.0))) * EARTH_RADIUS

    def position(self, latitude: Array, longitude: Array) -> tuple[Array, Array]:
        """Row and column of places (n,), linear between the entries of the axes and on beyond them."""
        y, x = self.projection.forward(latitude, longitude)
        return _index(np.asarray(self.y), y, self._width(self.x)), _index(np.asarray(self.x), x, self._width(self.y))

    @property
    def _points(self) -> tuple[Array, Array]:
        rows, columns = self.shape
        return np.repeat(np.asarray(self.y), columns), np.tile(np.asarray(self.x), rows)

    @staticmethod
    def _width(other: tuple[float, ...]) -> float:
        """Return the step of an axis of one entry: that of the other axis, or next to nothing."""
        return float(np.median(np.diff(other))) if len(other) > 1 else _LONE

    def __str__(self) -> str:
        latitude, longitude = self.coordinates
        west, east = (self.x[0], self.x[-1]) if isinstance(self.projection, Geographic) else _span(longitude)
        rows, columns = self.shape
        return f"{rows}×{columns} (latitude {latitude.min():g}…{latitude.max():g}, longitude {west:g}…{east:g})"


def _span(longitude: Array) -> tuple[float, float]:
    """Return the western and eastern end of longitudes: what is left of the circle without the widest gap."""
    held = np.sort(np.mod(longitude, 360.0))
    gaps = np.diff(np.append(held, held[0] + 360.0))
    first = (int(np.argmax(gaps)) + 1) % held.size
    west, east = float(held[first]), float(held[first - 1])
    return west, east + 360.0 * (east < west)


def _around(longitude: Array, middle: float) -> Array:
    """Return longitudes [degree] within 180° of a middle."""
    return np.asarray(np.mod(longitude - middle + 180.0, 360.0) + (middle - 180.0))


def _index(axis: Array, at: Array, width: float) -> Array:
    """Return where values are on an axis, counted in its entries."""
    if axis.size == 1:
        return np.asarray((at - axis[0]) / width)
    low = np.clip(np.searchsorted(axis, at, side="right") - 1, 0, axis.size - 2)
    with np.errstate(invalid="ignore"):
        return np.asarray(low + (at - axis[low]) / (axis[low + 1] - axis[low]))
