"""The layouts in which machine-learning models and their tools take initial conditions, as NetCDF.

    earth2studio     fields(time, variable, lat, lon), variable = t2m, u500, …
    anemoi           2t(time, latitude, longitude), u_500(time, latitude, longitude), …, z, lsm
    weatherbench2    2m_temperature(time, latitude, longitude), temperature(time, level, latitude, longitude), …
    aurora           surf_2t(batch, history, latitude, longitude), atmos_t(batch, history, level, …), …, static_z
    graphcast        2m_temperature(batch, time, lat, lon), temperature(batch, time, level, lat, lon), …

They are read by earth2studio.data.DataArrayFile, the input `netcdf` of anemoi-inference, xarray,
aurora.Batch.from_netcdf and GraphCast's data_utils.

Levels are in hPa, from the top down. Latitudes run south, in GraphCast's files north.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import numpy as np
import xarray as xr

from phyda_cli.fields.state import Channel
from phyda_cli.fields.variables import VARIABLES, Variable
from phyda_cli.formats.models.inputs import LAND, OROGRAPHY, ModelInputs, in_order

_LATITUDE: Final = {"standard_name": "latitude", "long_name": "latitude", "units": "degrees_north", "axis": "Y"}
_LONGITUDE: Final = {"standard_name": "longitude", "long_name": "longitude", "units": "degrees_east", "axis": "X"}
_TIME: Final = {"standard_name": "time", "long_name": "valid time", "axis": "T"}
_LEVEL: Final = {
    "standard_name": "air_pressure", "long_name": "pressure", "units": "hPa", "positive": "down", "axis": "Z",
}  # fmt: skip
_GROUND: Final = {
    OROGRAPHY: {"long_name": "geopotential of the surface", "standard_name": "surface_geopotential", "units": "m2 s-2"},
    LAND: {"long_name": "part of land", "standard_name": "land_area_fraction", "units": "1"},
}
_CDS_GROUND: Final = {OROGRAPHY: "geopotential_at_surface", LAND: "land_sea_mask"}
LEVELS: Final = (50, 100, 150, 200, 250, 300, 400, 500, 600, 700, 850, 925, 1000)
"""Pressures [hPa] of WeatherBench, on which most models were trained."""
_SURFACE: Final = ("t2m", "u10", "v10", "msl")
_UPPER: Final = ("z", "u", "v", "t", "q")


def earth2studio(inputs: ModelInputs) -> xr.Dataset:
    """Return one array with an axis of names; relative humidity in %, as there."""
    named = {channel: VARIABLES[channel.variable].earth2studio for channel in in_order(inputs.fields)}
    names = {f"{name}{_level(channel)}": inputs.fields[channel] for channel, name in named.items() if name is not None}
    fields = (("time", "variable", "lat", "lon"), np.stack(list(names.values()), axis=1), {"long_name": "state"})
    dataset = xr.Dataset({"fields": fields}, {"variable": list(names), "time": _time(inputs)})
    return dataset.assign_coords(lat=("lat", inputs.latitudes, _LATITUDE), lon=("lon", inputs.longitudes, _LONGITUDE))


def anemoi(inputs: ModelInputs) -> xr.Dataset:
    """Return a variable for each field, with ECMWF's name and level; those of the ground at every time."""
    fields: dict[str, Any] = {}
    for channel in in_order(inputs.fields):
        variable = VARIABLES[channel.variable]
        if channel.variable != "r":
            name = variable.grib[0] if channel.level is None else f"{variable.grib[0]}_{_level(channel)}"
            fields[name] = (("time", "latitude", "longitude"), inputs.fields[channel], _about(variable))
    for name, plane in inputs.ground.items():
        same = np.broadcast_to(plane, (inputs.times.size, *plane.shape))
        fields[name] = (("time", "latitude", "longitude"), same, _GROUND[name])
    return xr.Dataset(fields, {"time": _time(inputs), **_axes(inputs)})


def weatherbench2(inputs: ModelInputs) -> xr.Dataset:
    """Return the variables of a WeatherBench 2 store by its names."""
    fields, levels = _cds_fields(inputs, ("time",))
    for name, plane in inputs.ground.items():
        fields[_CDS_GROUND[name]] = (("latitude", "longitude"), plane, _GROUND[name])
    return xr.Dataset(fields, {"time": _time(inputs), "level": ("level", levels, _LEVEL), **_axes(inputs)})


def aurora(inputs: ModelInputs) -> xr.Dataset:
    """Return a batch of one: both times along `history`, its time that of the analysis."""
    surface, upper = (
        ("batch", "history", "latitude", "longitude"),
        ("batch", "history", "level", "latitude", "longitude"),
    )
    fields: dict[str, Any] = {}
    for name in _SURFACE:
        fields[f"surf_{VARIABLES[name].grib[0]}"] = (
            surface,
            inputs.fields[Channel(name)][None],
            _about(VARIABLES[name]),
        )
    for name in _UPPER:
        planes = np.stack([inputs.fields[Channel(name, 100.0 * level)] for level in LEVELS], axis=1)
        fields[f"atmos_{name}"] = (upper, planes[None], _about(VARIABLES[name]))
    for name, plane in inputs.ground.items():
        fields[f"static_{name}"] = (("latitude", "longitude"), plane, _GROUND[name])
    coordinates = {
        "time": ("time", inputs.times[-1:], _TIME),
        "level": ("level", np.array(LEVELS, np.int64), _LEVEL),
        "rollout_step": ((), np.int64(0), {"long_name": "steps of the forecast"}),
    }
    return xr.Dataset(fields, coordinates | _axes(inputs))


def graphcast(inputs: ModelInputs) -> xr.Dataset:
    """Return a batch of one: times as leads from the analysis, and as dates beside; rows run north."""
    fields, levels = _cds_fields(inputs, ("batch", "time"))
    for name, plane in inputs.ground.items():
        fields[_CDS_GROUND[name]] = (("latitude", "longitude"), plane, _GROUND[name])
    leads = (inputs.times - inputs.times[-1]).astype("timedelta64[ns]")
    coordinates = {
        "time": ("time", leads, {"long_name": "time since the analysis"}),
        "datetime": (("batch", "time"), inputs.times[None], _TIME),
        "level": ("level", levels, _LEVEL),
    }
    dataset = xr.Dataset(fields, coordinates | _axes(inputs))
    return dataset.isel(latitude=slice(None, None, -1)).rename(latitude="lat", longitude="lon")


Maker = Callable[[ModelInputs], xr.Dataset]
LAYOUTS: Final[Mapping[str, Maker]] = {
    "earth2studio": earth2studio,
    "anemoi": anemoi,
    "weatherbench2": weatherbench2,
    "aurora": aurora,
    "graphcast": graphcast,
}
"""Layouts by their names."""


def _level(channel: Channel) -> str:
    return "" if channel.level is None else f"{channel.level / 100:g}"


def _about(variable: Variable) -> dict[str, str]:
    names = {"standard_name": variable.standard_name, "long_name": variable.long_name}
    return names | {"units": "%" if variable.name == "r" else variable.units}


def _time(inputs: ModelInputs) -> tuple[str, Any, dict[str, str]]:
    return "time", inputs.times, _TIME


def _axes(inputs: ModelInputs) -> dict[str, Any]:
    return {
        "latitude": ("latitude", inputs.latitudes, _LATITUDE),
        "longitude": ("longitude", inputs.longitudes, _LONGITUDE),
    }


def shared_levels(channels: Iterable[Channel]) -> list[float]:
    """Return the pressures [Pa] at which there are all of u, v, t, q and z that there are at any, from the top down."""
    held: dict[str, set[float]] = {}
    for name, level in channels:
        if level is not None and name in _UPPER:
            held.setdefault(name, set()).add(level)
    return sorted(set.intersection(*held.values())) if held else []


def _cds_fields(inputs: ModelInputs, leading: tuple[str, ...]) -> tuple[dict[str, Any], Any]:
    """Return the variables by the names of the Climate Data Store at the levels that all have, and these [hPa]."""
    levels = shared_levels(inputs.fields)
    fields: dict[str, Any] = {}
    for name in dict.fromkeys(channel.variable for channel in in_order(inputs.fields)):
        variable = VARIABLES[name]
        if variable.cds is None or name == "r":
            continue
        if not variable.pressure_level:
            dims, planes = (*leading, "latitude", "longitude"), inputs.fields[Channel(name)]
        elif levels and all(Channel(name, level) in inputs.fields for level in levels):
            dims = (*leading, "level", "latitude", "longitude")
            planes = np.stack([inputs.fields[Channel(name, level)] for level in levels], axis=1)
        else:
            continue
        fields[variable.cds] = (dims, planes[None] if "batch" in leading else planes, _about(variable))
    hectopascal = np.array(levels) / 100.0
    whole = np.all(hectopascal == np.round(hectopascal))
    return fields, hectopascal.astype(np.int32) if whole else hectopascal
