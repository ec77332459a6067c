"""Geometric heights of geopotentials, h = R Φ/(γ R − Φ): the closed inverse of `geopotential_of_height`."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phyda_cli.constants import WGS84_AXIS, WGS84_CENTRIFUGAL, WGS84_FLATTENING
from phyda_cli.fields.geometric_height import surface_gravity


def height_of_geopotential(geopotential: ArrayLike, latitude: ArrayLike) -> NDArray[np.float64]:
    """Return geometric heights [m] above mean sea level of geopotentials [m2 s-2] at latitudes [degree]."""
    squared = np.sin(np.radians(latitude)) ** 2
    radius = WGS84_AXIS / (1.0 + WGS84_FLATTENING + WGS84_CENTRIFUGAL - 2.0 * WGS84_FLATTENING * squared)
    part = np.asarray(geopotential, dtype=np.float64) / surface_gravity(latitude)
    return np.asarray(radius * part / (radius - part))
