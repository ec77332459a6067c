"""The spread of an analysis as a State on the canonical grid: beside its fields in NetCDF, or in a file of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from phyda_cli.constants import GRAVITY
from phyda_cli.errors import BadDataError
from phyda_cli.fields.state import Channel, State
from phyda_cli.fields.variables import find_grib_variable
from phyda_cli.formats.file_safety import check_hdf5
from phyda_cli.formats.gridded.layout import LINEAR, Background, Conversion, FieldLayout, horizontal_view
from phyda_cli.formats.sniff import FileFormat, sniff
from phyda_cli.grids.orientation import Orientation

Planes = Mapping[Channel, NDArray[np.float64]]
"""(lat, lon) of the file's rows and columns turned to the canonical ones, in the unit of its field."""


def read_spread(path: Path, analysis: Background) -> State | None:
    """Return the standard deviation (channel, lat, lon) [SI] of the channels that have one, None where there are none.

    analysis: what `read_background` made of the same file.
    """
    if sniff(path) is FileFormat.GRIB or analysis.folding is not None:
        return None
    return _state(_beside(path, analysis, "_spread"), analysis)


def read_spread_file(path: Path, analysis: Background) -> State:
    """Return what `--spread-out` wrote, GRIB or NetCDF. Raises BadDataError where it is none of this analysis."""
    of_grib = sniff(path) is FileFormat.GRIB
    spread = _state(_of_messages(path, analysis) if of_grib else _beside(path, analysis, ""), analysis)
    if spread is None:
        raise BadDataError(f"{path}: holds no spread of this analysis; give what --spread-out wrote with it")
    return spread


def _beside(path: Path, analysis: Background, ending: str) -> Planes:
    """Return the fields of a NetCDF file with the names of the analysed ones and an ending."""
    check_hdf5(path)
    planes = {}
    with xr.open_dataset(path, decode_times=False) as dataset:
        for channel, place in analysis.layout.items():
            name = f"{place.name}{ending}"
            if name not in dataset or place.conversion not in LINEAR:
                continue
            variable = dataset[name].squeeze(drop=True)
            order = [place.level_dim, analysis.latitude, analysis.longitude]
            if set(variable.dims) == {name for name in order if name is not None}:
                view = horizontal_view(np.asarray(variable.values, np.float64), variable.dims, analysis, place)
                planes[channel] = _canonical(np.asarray(view, np.float64), analysis.orientation)
    return planes


def _of_messages(path: Path, analysis: Background) -> Planes:
    """Return the fields of a GRIB file at the places that their headers tell."""
    from phyda_cli.formats.gridded.grib import read_surface  # loads the GRIB library only where there is GRIB
    from phyda_cli.formats.gridded.grib_index import grib_headers

    if all(header.keys["edition"] == 2 and header.of_no_state != "ea" for header in grib_headers(path, {})):
        return {}
    dataset, dims, orientation = read_surface(path)
    if orientation.grid != analysis.orientation.grid:
        raise BadDataError(f"{path}: on another grid than the analysis")
    planes = {}
    for variable in dataset.data_vars.values():
        known = find_grib_variable(str(variable.attrs.get("GRIB_shortName")))
        others = [dim for dim in variable.dims if dim not in dims]
        if known is None or len(others) != int(known.pressure_level):
            continue
        name = "z" if known.name == "gh" else known.name
        for index in range(variable.sizes[others[0]] if others else 1):
            plane = variable.isel({others[0]: index}) if others else variable
            channel = Channel(name, float(np.round(100.0 * dataset[others[0]].values[index], 3)) if others else None)
            planes[channel] = _canonical(np.asarray(plane.transpose(*dims).values, np.float64), orientation)
    return planes


def _canonical(values: NDArray[np.float64], orientation: Orientation) -> NDArray[np.float64]:
    return values[orientation.rows[:, None], orientation.columns]


def _state(planes: Planes, analysis: Background) -> State | None:
    """Return planes in SI, those of the analysed channels that are not zero everywhere."""
    held = {
        channel: torch.from_numpy(plane / _scale(analysis.layout[channel]))
        for channel, plane in planes.items()
        if channel in analysis.layout and analysis.layout[channel].conversion in LINEAR and np.nanmax(plane) > 0
    }
    if not held:
        return None
    return replace(analysis.state, values=torch.stack(list(held.values())), channels=tuple(held))


def _scale(place: FieldLayout) -> float:
    """Return the factor from SI to the file's unit."""
    return abs(place.scale) / (GRAVITY if place.conversion is Conversion.HEIGHT else 1.0)
