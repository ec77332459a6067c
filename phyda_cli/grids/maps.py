"""Conformal maps on a sphere or an ellipsoid: Lambert's cone, the stereographic plane of a pole, Mercator's cylinder.

    t(φ) = tan(π/4 − φ/2) ((1 + e sin φ)/(1 − e sin φ))^{e/2},      m(φ) = cos φ/√(1 − e² sin² φ)

    cone       x = ρ sin θ,   y = ρ_0 − ρ cos θ,   ρ = a F tⁿ,   θ = n (λ − λ_0)
               Lambert: n = ln(m_1/m_2)/ln(t_1/t_2), or sin φ_1 of one parallel, F = m_1/(n t_1ⁿ), ρ_0 = ρ(φ_0)
               stereographic: n = ±1, ρ_0 = 0
    cylinder   x = a m_1 (λ − λ_0),   y = −a m_1 ln t

The x axis runs at −θ from east, since the map keeps angles. Source: Snyder (1987), Map projections: a working manual,
USGS Professional Paper 1395, chapters 7, 15 and 21.

PROJ, the library for this, comes with ecCodes in a build of its own, beside which another one does not work in the same
process; these are the conformal maps that weather models use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError

Array = NDArray[np.float64]

_ITERATIONS = 12
"""Each takes a latitude's error to e² ≈ 0.007 of what it was."""


class Earth(NamedTuple):
    """An ellipsoid: equatorial radius a [m] and eccentricity e, 0 of a sphere."""

    radius: float
    eccentricity: float = 0.0

    @classmethod
    def of_axes(cls, equatorial: float, polar: float) -> Earth:
        """Return that of two radii [m]. Raises BadDataError unless they are an ellipsoid's."""
        if not 0.0 < polar <= equatorial < np.inf:
            raise BadDataError(f"an earth with radii of {equatorial:g} and {polar:g} m is none")
        return cls(equatorial, float(np.sqrt(1.0 - (polar / equatorial) ** 2)))


@dataclass(frozen=True)
class Cone:
    """A conformal cone, or plane where n is ±1.

    meridian: λ_0 [degree]. n. size: a F [m]. top: ρ_0 [m].
    """

    earth: Earth
    meridian: float
    n: float
    size: float
    top: float

    @classmethod
    def lambert(cls, earth: Earth, meridian: float, origin: float, first: float, second: float) -> Cone:
        """Return the cone with parallels of true scale at two latitudes, y = 0 at the latitude `origin` [degree].

        Raises BadDataError for parallels that make none.
        """
        if not (max(abs(first), abs(second)) < 90.0 and abs(first + second) > 1e-6):
            raise BadDataError(f"parallels at {first:g} and {second:g} degrees make no cone")
        t, m = _t(np.array([first, second]), earth), _m(np.array([first, second]), earth)
        n = np.sin(np.radians(first)) if abs(first - second) < 1e-9 else np.log(m[0] / m[1]) / np.log(t[0] / t[1])
        size = earth.radius * m[0] / (n * t[0] ** n)
        return cls(earth, meridian, float(n), float(size), float(size * _t(np.array(origin), earth) ** n))

    @classmethod
    def stereographic(cls, earth: Earth, meridian: float, *, north: bool, true_latitude: float) -> Cone:
        """Return the plane of a pole with true scale at a latitude on its side [degree]; ±90: at the pole."""
        n, at = (1.0 if north else -1.0), abs(true_latitude)
        if at >= 90.0 - 1e-9:
            e = earth.eccentricity
            ratio = 2.0 / np.sqrt((1.0 + e) ** (1.0 + e) * (1.0 - e) ** (1.0 - e))
        else:
            ratio = float(_m(np.array(at), earth) / _t(np.array(at), earth))
        return cls(earth, meridian, n, n * earth.radius * float(ratio), 0.0)

    def forward(self, latitude: Array, longitude: Array) -> tuple[Array, Array]:
        """y and x (n,) [m] of places, not finite where they have none."""
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            rho = self.size * _t(latitude, self.earth) ** self.n
            theta = self.n * np.radians(_beside(longitude, self.meridian))
            return self.top - rho * np.cos(theta), rho * np.sin(theta)

    def inverse(self, y: Array, x: Array) -> tuple[Array, Array]:
        """Latitude and longitude (n,) [degree]."""
        side = np.sign(self.n)
        rho, theta = side * np.hypot(x, self.top - y), np.arctan2(side * x, side * (self.top - y))
        with np.errstate(divide="ignore"):
            t = (rho / self.size) ** (1.0 / self.n)
        return _latitude(t, self.earth), np.mod(np.degrees(theta / self.n) + self.meridian, 360.0)

    def turn(self, y: Array, x: Array) -> Array:
        """Angle (n,) [radian] of the x axis, counted from east to north: −θ."""
        side = np.sign(self.n)
        return np.asarray(-np.arctan2(side * x, side * (self.top - y)))


@dataclass(frozen=True)
class Cylinder:
    """Mercator's map. meridian: λ_0 [degree]. size: a m_1 [m]."""

    earth: Earth
    meridian: float
    size: float

    @classmethod
    def mercator(cls, earth: Earth, meridian: float, true_latitude: float) -> Cylinder:
        """Return the map with true scale at a latitude [degree]."""
        return cls(earth, meridian, earth.radius * float(_m(np.array(true_latitude), earth)))

    def forward(self, latitude: Array, longitude: Array) -> tuple[Array, Array]:
        """y and x (n,) [m] of places, not finite at the poles."""
        with np.errstate(divide="ignore"):
            return -self.size * np.log(_t(latitude, self.earth)), self.size * np.radians(
                _beside(longitude, self.meridian)
            )

    def inverse(self, y: Array, x: Array) -> tuple[Array, Array]:
        """Latitude and longitude (n,) [degree]."""
        longitude = np.mod(np.degrees(x / self.size) + self.meridian, 360.0)
        return _latitude(np.exp(-y / self.size), self.earth), longitude

    def turn(self, y: Array, x: Array) -> None:
        """The x axis runs east."""
        return


def _t(latitude: Array, earth: Earth) -> Array:
    phi = np.radians(latitude)
    e, sine = earth.eccentricity, np.sin(phi)
    return np.asarray(np.tan(0.25 * np.pi - 0.5 * phi) * ((1.0 + e * sine) / (1.0 - e * sine)) ** (0.5 * e))


def _m(latitude: Array, earth: Earth) -> Array:
    phi = np.radians(latitude)
    return np.asarray(np.cos(phi) / np.sqrt(1.0 - (earth.eccentricity * np.sin(phi)) ** 2))


def _latitude(t: Array, earth: Earth) -> Array:
    """φ [degree] of t(φ)."""
    e, phi = earth.eccentricity, 0.5 * np.pi - 2.0 * np.arctan(t)
    for _ in range(_ITERATIONS if e else 0):
        sine = np.sin(phi)
        phi = 0.5 * np.pi - 2.0 * np.arctan(t * ((1.0 - e * sine) / (1.0 + e * sine)) ** (0.5 * e))
    return np.asarray(np.degrees(phi))


def _beside(longitude: Array, meridian: float) -> Array:
    """Return longitudes from a meridian, within ±180°."""
    return np.asarray(np.mod(longitude - meridian + 180.0, 360.0) - 180.0)
