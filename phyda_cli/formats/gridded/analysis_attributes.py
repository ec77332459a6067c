"""What an output of the background's kind says of itself: names, units and axes by CF-1.11, discovery by ACDD-1.3.

The fields that phyda knows get the names and units of its own table (`fields/variables.py`), all others keep theirs.
Every gridded field gets an axis of time of length one, so that files can be joined along it; of the background's own
times none but the valid one is kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phyda_cli import __version__
from phyda_cli.fields.variables import VARIABLES, Variable
from phyda_cli.formats.gridded.contents import OF_MEMBERS
from phyda_cli.formats.gridded.ground_heights import with_heights
from phyda_cli.formats.gridded.layout import WINDS, Background, Conversion, FieldLayout, has_axes, missing
from phyda_cli.formats.gridded.valid_time import VALID_TIME, times_beside
from phyda_cli.formats.units import candidates, udunits

_QUANTITY: Final = {
    Conversion.HEIGHT: "gh",
    Conversion.RELATIVE_HUMIDITY: "r",
    Conversion.DEWPOINT: "td",
    Conversion.SCREEN_HUMIDITY: "r2m",
}
_KEPT: Final = ("long_name", "cell_methods", "grid_mapping")
"""Attributes of an analysed field that stay as the background has them; ranges and the like are no longer true."""
_GLOBAL_KEPT: Final = ("institution", "references", "license")


def known_names(background: Background) -> list[str]:
    """Return the names of the fields that phyda knows, in the file."""
    return list(places(background))


def names_with_missing(background: Background) -> set[str]:
    """Return the fields with missing values, and their spreads."""
    held = {name for name in known_names(background) if bool(missing(background.dataset[name].values).any())}
    return held | {f"{name}_spread" for name in held}


def places(background: Background) -> dict[str, tuple[Variable, FieldLayout]]:
    """Return what each field of the file that phyda knows holds, with the place of one of its levels."""
    pairs = (*background.layout.items(), *background.companions)
    return {p.name: (VARIABLES[_QUANTITY.get(p.conversion, channel.variable)], p) for channel, p in pairs}


def units_of(variable: Variable, place: FieldLayout) -> str:
    """The unit of a field as UDUNITS reads it; the table's conversion decides, whatever spelling the file had."""
    for unit in candidates(variable.units):
        if np.isclose(1.0 / unit.scale, place.scale) and np.isclose(-unit.offset / unit.scale, place.offset):
            return udunits(unit.label)
    return variable.units


def temperature_kind(units: str, kind: str) -> dict[str, str]:
    return {"units_metadata": f"temperature: {kind}"} if units in ("K", "degC") else {}


def names_of(variable: Variable, place: FieldLayout, old: Mapping[str, Any]) -> dict[str, Any]:
    """Return the names of a field; a wind in the grid's own directions keeps those that it has."""
    if place.conversion not in WINDS:
        return {"standard_name": variable.standard_name, "long_name": variable.long_name}
    axis = "x" if place.conversion is Conversion.ALONG_X else "y"
    own = str(old.get("standard_name", ""))
    return {
        "standard_name": own if own.startswith("grid_") else f"{axis}_wind",
        "long_name": f"wind along the {axis} axis of the grid",
    }


def described(dataset: xr.Dataset, background: Background) -> xr.Dataset:
    """Return the known fields with CF attributes; the others keep theirs, less what only GRIB tools read."""
    dataset = dataset.copy()
    for name in dataset.variables:
        kept = {key: value for key, value in dataset[name].attrs.items() if not str(key).startswith("GRIB_")}
        if "units" in kept:
            kept["units"] = udunits(str(kept["units"]))
            kept = temperature_kind(str(kept["units"]), "unknown") | kept
        about = {"coverage_content_type": "modelResult"} if name in dataset.data_vars else {}
        dataset[name].attrs = {"long_name": str(name)} | about | kept
    for name, (variable, place) in places(background).items():
        units, old = units_of(variable, place), dataset[name].attrs
        dataset[name].attrs = {
            **names_of(variable, place, old),
            **{key: old[key] for key in _KEPT if key in old},
            "units": units,
            "coverage_content_type": "modelResult",
            **temperature_kind(units, "on_scale"),
            **({"ancillary_variables": f"{name}_spread"} if f"{name}_spread" in dataset else {}),
        }
    return dataset


def finished(
    dataset: xr.Dataset, background: Background, title: str, attributes: Mapping[str, str], *, differences: bool = False
) -> xr.Dataset:
    """Return a dataset with its coordinates and global attributes, in the file's own layout.

    differences: as of `ModelLevels.back`.
    """
    dataset = _with_coordinates(dataset, background)
    dataset.attrs = _global_attributes(dataset, background, title, attributes)
    if background.model is not None:
        dataset = background.model.back(dataset, differences=differences)
        dataset.attrs = background.dataset.attrs | dataset.attrs
    if background.folding is not None:
        return background.folding.fold(dataset)
    known = places(background).items()
    return with_heights(dataset, {name: one.height for name, (one, _) in known if one.height is not None})


def _with_coordinates(dataset: xr.Dataset, background: Background) -> xr.Dataset:
    """Return latitude, longitude, pressure, member and the one valid time, described as CF wants them."""
    time = _time_name(dataset)
    dataset = dataset.drop_vars([name for name in times_beside(dataset) if name not in dataset.dims])
    about = {"standard_name": "time", "long_name": "valid time", "axis": "T", "units_metadata": "leap_seconds: none"}
    horizontal = {background.latitude, background.longitude}
    gridded = {n: v.expand_dims(time) for n, v in dataset.data_vars.items() if horizontal <= set(v.dims)}
    dataset = dataset.assign(gridded)
    dataset = dataset.assign_coords({time: xr.Variable((time,), [background.state.time], about)})
    names = {
        background.latitude: ("latitude", "degrees_north", "Y"),
        background.longitude: ("longitude", "degrees_east", "X"),
    }
    if not has_axes(background):
        names = {}
    for name, (standard, units, axis) in names.items():
        dataset[name].attrs = {"standard_name": standard, "long_name": standard, "units": units, "axis": axis}
    for channel, place in background.layout.items():
        if place.level_dim is not None and place.level_index is not None and channel.level is not None:
            in_file = float(dataset[place.level_dim].values[place.level_index])
            units = "hPa" if np.isclose(in_file * 100.0, channel.level) else "Pa"
            about = {"standard_name": "air_pressure", "long_name": "pressure", "units": units, "positive": "down"}
            dataset[place.level_dim].attrs = {**about, "axis": "Z"}
    if background.member is not None:
        dataset[background.member].attrs = dict(OF_MEMBERS)
    return dataset


def _time_name(dataset: xr.Dataset) -> str:
    """Return the name of the axis of time: that of the file's own valid time, `time` or, as in new CDS files, the
    other.
    """
    taken = "time" in dataset.dims or ("time" not in dataset.variables and VALID_TIME in dataset.variables)
    return VALID_TIME if taken else "time"


def _extent(axis: str, values: NDArray[np.float64], units: str) -> dict[str, Any]:
    name = f"geospatial_{axis}"
    return {f"{name}_min": float(values.min()), f"{name}_max": float(values.max()), f"{name}_units": units}


def _global_attributes(
    dataset: xr.Dataset, background: Background, title: str, attributes: Mapping[str, str]
) -> dict[str, Any]:
    old, latitudes = background.dataset.attrs, background.state.grid.coordinates[0]
    time = np.datetime_as_string(background.state.time, unit="s") + "Z"
    longitudes = background.state.grid.coordinates[1]
    if has_axes(background):
        longitudes = np.asarray(dataset[background.longitude], np.float64)
    files = ", ".join(Path(source).name for source in background.sources)
    variables = [variable.standard_name for variable, _ in places(background).values()]
    history = [attributes.get("history", ""), str(old.get("history", ""))]
    return {
        "Conventions": "CF-1.11, ACDD-1.3",
        "title": title,
        "summary": f"{title}, valid at {time}, on the grid of the background ({files}).",
        "keywords": ", ".join(sorted({re.sub("_", " ", name) for name in variables})),
        "source": f"phyda {__version__}, data assimilation",
        "processing_level": "analysis",
        "cdm_data_type": "Grid",
        "product_version": __version__,
        **_extent("lat", latitudes, "degrees_north"),
        **_extent("lon", longitudes, "degrees_east"),
        **{f"time_coverage_{end}": time for end in ("start", "end")},
        **{f"time_coverage_{length}": "PT0S" for length in ("duration", "resolution")},
        **{key: old[key] for key in _GLOBAL_KEPT if key in old},
        **attributes,
        "history": "\n".join(entry for entry in history if entry),
    }
