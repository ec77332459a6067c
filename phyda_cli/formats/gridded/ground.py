"""What lies under a background: the height of its ground and its land, from its own file or from another one.

Both are found among the fields that phyda passes through. The height goes by many names and comes as a height [m] or as
geopotential [m² s⁻²] (ERA5's `z` on the surface); the land as the part of a grid box, 0 to 1, or in percent. A field is
taken when its name, CF standard name or GRIB parameter says that it is of the surface and its values can be: heights of
the earth's surface, −500 to 9000 m. Fields of another file are brought to the background's grid, linear between points.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from phyda_cli.constants import GRAVITY
from phyda_cli.errors import BadDataError
from phyda_cli.fields.ground import Ground
from phyda_cli.formats.gridded.layout import Background
from phyda_cli.formats.sniff import FileFormat, sniff
from phyda_cli.formats.units import find_unit
from phyda_cli.grids.orientation import Orientation

Array = NDArray[np.float64]

_HEIGHT_NAMES: Final = frozenset(
    {
        "orog", "orography", "oro", "topo", "zsfc", "zs", "hgtsfc", "hgt_surface", "surface_altitude", "phis",
        "z_surface", "surface_geopotential", "geopotential_at_surface", "geopotential_height_at_surface", "gh_surface",
        "z", "geopotential", "hsurf", "hgt",
    }
)  # fmt: skip
_HEIGHT_STANDARD: Final = frozenset({"surface_altitude", "surface_geopotential"})
_HEIGHT_GRIB: Final = frozenset({"orog", "z", "gh", "h"})
_HEIGHTS: Final = (-500.0, 9000.0)
_LAND_NAMES: Final = frozenset(
    {"lsm", "land", "landsfc", "land_surface", "land_sea_mask", "landmask", "land_mask", "sftlf", "landfrac", "frland"}
)
_LAND_STANDARD: Final = frozenset({"land_binary_mask", "land_area_fraction"})
_LAND_GRIB: Final = frozenset({"lsm", "land"})


class _Held(NamedTuple):
    """The fields of a file. latitude, longitude: names of the dimensions of rows and columns. orientation: of these."""

    dataset: xr.Dataset
    latitude: str
    longitude: str
    orientation: Orientation
    member: str | None = None


_log = logging.getLogger(__name__)


def ground_of(background: Background) -> Ground:
    """Return what a background's own file says of its ground."""
    analysed = {place.name for place in background.layout.values()} | {p.name for _, p in background.companions}
    return Ground(_height(background, analysed), _land(background, analysed))


def read_ground(background: Background, orography: Path | None, land_sea: Path | None) -> Ground:
    """Return what lies under a background by its file, or by others that are named.

    What is not known is said, with what it costs. Raises BadDataError for a file that does not hold it, or not for the
    whole grid.
    """
    own = ground_of(background)
    height = own.height if orography is None else _of_file(background, orography, _height, "height of the ground")
    land = own.land if land_sea is None else _of_file(background, land_sea, _land, "land-sea mask")
    if land is None:
        _log.info("ground: no land-sea mask: stations on land count at sea too; name a file with --land-sea")
    if height is None:
        _log.info("ground: no orography: heights count only as far as sp and z tell them; name one with --orography")
    return Ground(height, land)


def _of_file(
    background: Background,
    path: Path,
    find: Callable[[_Held | Background, set[str]], torch.Tensor | None],
    what: str,
) -> torch.Tensor:
    held = _read(path)
    found = find(held, set())
    if found is None:
        raise BadDataError(f"{path}: holds no {what}")
    grid, source = background.state.grid, held.orientation.grid
    if grid == source:
        return found
    corners = source.corners(*grid.coordinates)
    if not corners.inside.all():
        raise BadDataError(f"{path}: its {what} does not cover the background's grid")
    values = (found.numpy().reshape(-1)[corners.index] * corners.weight).sum(1)
    return torch.from_numpy(values.reshape(grid.shape))


def _read(path: Path) -> _Held:
    kind = sniff(path)
    if kind is FileFormat.GRIB:
        from phyda_cli.formats.gridded import grib  # loads the GRIB library only where there is GRIB

        dataset, dims, orientation = grib.read_surface(path)
        return _Held(dataset, *dims, orientation)
    from phyda_cli.formats.gridded import netcdf

    dataset, grid = netcdf.read_surface(path, kind)
    return _Held(dataset, grid.rows, grid.columns, grid.orientation)


def _height(held: _Held | Background, besides: set[str]) -> torch.Tensor | None:
    """Return the height (rows, columns) [m] of the surface on the canonical grid, or None."""
    for variable, values in _planes(held, besides, _HEIGHT_NAMES, _HEIGHT_STANDARD, _HEIGHT_GRIB):
        height = values * _metres(str(variable.attrs.get("units", "")).strip(), values)
        if np.isfinite(height).all() and _HEIGHTS[0] <= height.min() and height.max() <= _HEIGHTS[1]:
            return torch.from_numpy(height)
    return None


def _land(held: _Held | Background, besides: set[str]) -> torch.Tensor | None:
    """Return the part of land (rows, columns) on the canonical grid, or None."""
    for _, values in _planes(held, besides, _LAND_NAMES, _LAND_STANDARD, _LAND_GRIB):
        most = values.max()
        if np.isfinite(values).all() and values.min() >= -0.01 and most <= 100.5 and not 1.01 < most < 50.0:
            return torch.from_numpy(np.clip(values / (100.0 if most > 1.01 else 1.0), 0.0, 1.0))
    return None


def _planes(
    held: _Held | Background,
    besides: set[str],
    names: frozenset[str],
    standard_names: frozenset[str],
    grib: frozenset[str],
) -> list[tuple[xr.DataArray, Array]]:
    """Return the single planes of the surface with one of these names, on the canonical grid."""
    found = []
    for name, variable in held.dataset.data_vars.items():
        if str(name) in besides or not _is_of_surface(str(name), variable, names, standard_names, grib):
            continue
        extra = [dim for dim in variable.dims if dim not in (held.latitude, held.longitude)]
        if len(variable.dims) - len(extra) < 2 or any(variable.sizes[dim] > 1 and dim != held.member for dim in extra):
            continue
        plane = variable.isel(dict.fromkeys(extra, 0)).transpose(held.latitude, held.longitude)
        values = np.asarray(plane.values, np.float64)
        found.append((variable, values[held.orientation.rows[:, None], held.orientation.columns]))
    return found


def _is_of_surface(
    name: str, variable: xr.DataArray, names: frozenset[str], standard_names: frozenset[str], grib: frozenset[str]
) -> bool:
    short = variable.attrs.get("GRIB_shortName")
    if short is not None:
        return short in grib and variable.attrs.get("GRIB_typeOfLevel") == "surface"
    return name.casefold() in names or variable.attrs.get("standard_name") in standard_names


def _metres(units: str, values: Array) -> float:
    """Return the factor to metres; without a unit that is known, values beyond any mountain are geopotential."""
    for si, factor in (("m2 s-2", 1.0 / GRAVITY), ("m", 1.0)):
        unit = find_unit(units, si)
        if unit is not None:
            return unit.scale * factor
    return 1.0 / GRAVITY if np.nanmax(values) > _HEIGHTS[1] else 1.0
