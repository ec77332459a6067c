"""The height of a background's own surface, found among the fields of its file that phyda passes through.

It goes by many names and comes as a height [m] or as geopotential [m² s⁻²] (ERA5's `z` on the surface). A field is
taken when its name, CF standard name or GRIB parameter says that it is of the surface and its values can be heights of
the earth's surface, −500 to 9000 m.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
import xarray as xr

from phyda_cli.constants import GRAVITY
from phyda_cli.formats.gridded.layout import Background
from phyda_cli.formats.units import find_unit

_NAMES: Final = frozenset(
    {
        "orog", "orography", "oro", "topo", "zsfc", "zs", "hgtsfc", "hgt_surface", "surface_altitude", "phis",
        "z_surface", "surface_geopotential", "geopotential_at_surface", "geopotential_height_at_surface", "gh_surface",
        "z", "geopotential", "hsurf",
    }
)  # fmt: skip
_STANDARD_NAMES: Final = frozenset({"surface_altitude", "surface_geopotential"})
_GRIB: Final = frozenset({"orog", "z", "gh", "h"})
_CREDIBLE: Final = (-500.0, 9000.0)


def orography(background: Background) -> torch.Tensor | None:
    """The height (lat, lon) [m] of the background's surface on its canonical grid, or None where the file has none."""
    analysed = {place.name for place in background.layout.values()} | {p.name for _, p in background.companions}
    for name, variable in background.dataset.data_vars.items():
        if str(name) in analysed or not _is_surface(str(name), variable):
            continue
        extra = [dim for dim in variable.dims if dim not in (background.latitude, background.longitude)]
        if len(variable.dims) - len(extra) < 2 or any(
            variable.sizes[dim] > 1 and dim != background.member for dim in extra
        ):
            continue
        plane = variable.isel(dict.fromkeys(extra, 0)).transpose(background.latitude, background.longitude)
        values = np.asarray(plane.values, np.float64)
        values = values[background.orientation.rows[:, None], background.orientation.columns]
        height = values * _metres(str(variable.attrs.get("units", "")).strip(), values)
        if np.isfinite(height).all() and _CREDIBLE[0] <= height.min() and height.max() <= _CREDIBLE[1]:
            return torch.from_numpy(height)
    return None


def _is_surface(name: str, variable: xr.DataArray) -> bool:
    grib = variable.attrs.get("GRIB_shortName")
    if grib is not None:
        return grib in _GRIB and variable.attrs.get("GRIB_typeOfLevel") == "surface"
    return name.casefold() in _NAMES or variable.attrs.get("standard_name") in _STANDARD_NAMES


def _metres(units: str, values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    """The factor to metres; without a unit that is known, values beyond any mountain are geopotential."""
    for si, factor in (("m2 s-2", 1.0 / GRAVITY), ("m", 1.0)):
        unit = find_unit(units, si)
        if unit is not None:
            return unit.scale * factor
    return 1.0 / GRAVITY if np.nanmax(values) > _CREDIBLE[1] else 1.0
