"""Geometric height and geopotential: by the gravity of the WGS84 ellipsoid, which depends on latitude and height.

    Φ(φ, h) = γ(φ) R h / (R + h),      γ(φ) = γ_e (1 + k sin²φ) / √(1 − e² sin²φ)  (Somigliana)
    R(φ) = a / (1 + f + m − 2 f sin²φ),      e² = f (2 − f)

so that gravity at height h is γ R²/(R + h)², to second order in h that of the ellipsoid. Heights are those above mean
sea level. Standard gravity at all latitudes would put an observation at 20 km some 50 m too high in the tropics and as
much too low at the poles, and make refractivity wrong by half a per cent and more.
Source: Mahoney (2001), A discussion of various measures of altitude; NIMA TR8350.2 for WGS84.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phyda_cli.constants import (
    WGS84_AXIS,
    WGS84_CENTRIFUGAL,
    WGS84_EQUATOR_GRAVITY,
    WGS84_FLATTENING,
    WGS84_SOMIGLIANA,
)

Floats = NDArray[np.float64]

_ECCENTRICITY_SQUARED: Final = WGS84_FLATTENING * (2.0 - WGS84_FLATTENING)


def surface_gravity(latitude: ArrayLike) -> Floats:
    """γ [m s-2] on the ellipsoid at latitudes [degree]."""
    squared = np.sin(np.radians(latitude)) ** 2
    return np.asarray(
        WGS84_EQUATOR_GRAVITY * (1.0 + WGS84_SOMIGLIANA * squared) / np.sqrt(1.0 - _ECCENTRICITY_SQUARED * squared)
    )


def gravity_at(height: ArrayLike, latitude: ArrayLike) -> Floats:
    """G [m s-2] at geometric heights [m] above mean sea level at latitudes [degree]."""
    radius = _radius(latitude)
    return np.asarray(surface_gravity(latitude) * (radius / (radius + np.asarray(height, dtype=np.float64))) ** 2)


def geopotential_of_height(height: ArrayLike, latitude: ArrayLike) -> Floats:
    """Φ [m2 s-2] of geometric heights [m] above mean sea level at latitudes [degree]."""
    h, radius = np.asarray(height, dtype=np.float64), _radius(latitude)
    return np.asarray(surface_gravity(latitude) * radius * h / (radius + h))


def _radius(latitude: ArrayLike) -> Floats:
    squared = np.sin(np.radians(latitude)) ** 2
    flattening = WGS84_FLATTENING
    return np.asarray(WGS84_AXIS / (1.0 + flattening + WGS84_CENTRIFUGAL - 2.0 * flattening * squared))
