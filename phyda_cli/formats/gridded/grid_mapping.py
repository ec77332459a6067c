"""Grid mappings as CF names them, and the projections they are. GRIB's and WRF's descriptions are brought to this form.

Source: CF conventions 1.11, appendix F.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from phyda_cli.constants import EARTH_RADIUS
from phyda_cli.errors import BadDataError
from phyda_cli.grids.maps import Cone, Cylinder, Earth

ROTATED: Final = "rotated_latitude_longitude"
_KNOWN: Final = ("lambert_conformal_conic", "polar_stereographic", "stereographic", "mercator")
_ON_THE_POLE: Final = 1e-6
"""How far from the pole [degree] its plane may touch."""


def projection_of(about: Mapping[str, Any]) -> Cone | Cylinder | None:
    """Return the projection of a grid mapping's attributes; None for a kind that phyda does not know.

    Raises BadDataError for one that lacks what its kind needs.
    """
    kind = str(about["grid_mapping_name"])
    if kind not in _KNOWN:
        return None
    try:
        return _projection(kind, about)
    except (KeyError, TypeError, ValueError) as error:
        raise BadDataError(f"the grid mapping {kind!r} lacks {error}, or it is no number") from None


def _projection(kind: str, about: Mapping[str, Any]) -> Cone | Cylinder | None:
    earth = _earth(about)
    if kind == "lambert_conformal_conic":
        parallels = np.atleast_1d(np.asarray(about["standard_parallel"], np.float64))
        return Cone.lambert(
            earth, float(about["longitude_of_central_meridian"]), float(about["latitude_of_projection_origin"]),
            float(parallels[0]), float(parallels[-1]),
        )  # fmt: skip
    meridian = next(
        float(about[name])
        for name in ("straight_vertical_longitude_from_pole", "longitude_of_projection_origin")
        if name in about or name == "longitude_of_projection_origin"
    )
    scale = float(about.get("scale_factor_at_projection_origin", 1.0))
    if kind == "mercator":
        cylinder = Cylinder.mercator(earth, meridian, float(about.get("standard_parallel", 0.0)))
        return replace(cylinder, size=cylinder.size * scale)
    pole = float(about["latitude_of_projection_origin"])
    if abs(abs(pole) - 90.0) > _ON_THE_POLE:
        return None
    true_latitude = float(about.get("standard_parallel", 90.0))
    plane = Cone.stereographic(earth, meridian, north=pole > 0, true_latitude=true_latitude)
    return plane if "standard_parallel" in about else replace(plane, size=plane.size * scale)


def false_origin(about: Mapping[str, Any]) -> tuple[float, float]:
    """Return what a grid mapping adds to y and x [m]."""
    return float(about.get("false_northing", 0.0)), float(about.get("false_easting", 0.0))


def rotated_pole(about: Mapping[str, Any]) -> tuple[float, float, float]:
    """Return the pole of a rotated grid, latitude and longitude, and the grid's longitude of the true one [degree].

    Raises BadDataError for a grid mapping without a pole.
    """
    try:
        pole = [float(about[f"grid_north_pole_{axis}"]) for axis in ("latitude", "longitude")]
        return pole[0], pole[1], float(about.get("north_pole_grid_longitude", 0.0))
    except (KeyError, TypeError, ValueError) as error:
        raise BadDataError(f"the grid mapping {ROTATED!r} lacks {error}, or it is no number") from None


def _earth(about: Mapping[str, Any]) -> Earth:
    """Return the ellipsoid, a sphere of the usual radius where nothing is said."""
    if "semi_major_axis" in about:
        major = float(about["semi_major_axis"])
        flattening = float(about.get("inverse_flattening", 0.0))
        minor = major * (1.0 - 1.0 / flattening) if flattening else float(about.get("semi_minor_axis", major))
        return Earth.of_axes(major, minor)
    radius = float(about.get("earth_radius", EARTH_RADIUS))
    return Earth.of_axes(radius, radius)
