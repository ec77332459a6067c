"""Which variables of a NetCDF or Zarr dataset tell the valid time and the start of a forecast.

    valid time = the variable `valid_time`
                 else start + lead where a lead axis stands beside the start, or where `time` is a start
                 else `time`, as CF has it

`time` is a start when its long name says so, or beside a `step` or `prediction_timedelta` (cfgrib, WeatherBench), or
when it lacks the standard name `time`; with that standard name and one of `forecast_period` beside it, it is the valid
time. What is told twice must agree. A file that tells a start alone tells no valid time.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import xarray as xr

from phyda_cli.errors import BadDataError
from phyda_cli.formats.cf_time import LEAD_NAMES, decode_lead, decode_times, find_lead
from phyda_cli.formats.gridded.contents import format_time

VALID_TIME: Final = "valid_time"
_STARTS: Final = ("forecast_reference_time", "init_time", "initial_time", "initialization_time", "reference_time",
                  "reftime", "analysis_time", "base_time")  # fmt: skip
_STARTS_BESIDE: Final = ("step", "prediction_timedelta")
"""Leads of layouts whose `time` is the start, whatever its standard name."""
_SAYS_START: Final = re.compile(r"\b(initial|initiali[sz]ation|reference|base|run)\b", re.I)


def valid_times(dataset: xr.Dataset, source: str) -> xr.DataArray | None:
    """Valid times over the file's own time axes (none, one or two of them), or None when it tells none.

    Raises BadDataError for a lead without a unit and for times that contradict each other.
    """
    times = _times(dataset)
    start = _start_name(dataset, times)
    lead_name = find_lead(dataset)
    base = _base_name(dataset, times)
    if VALID_TIME in times:
        if start is not None and lead_name is not None and lead_name not in dataset.dims:
            _agree(times[VALID_TIME], times[start] + decode_lead(dataset, lead_name, source), lead_name, start, source)
        if start is not None:
            _in_order(times[VALID_TIME], times[start], start, source)
        return times[VALID_TIME]
    if lead_name is None:
        return None if base is None else times[base]
    lead = decode_lead(dataset, lead_name, source)
    if base is None:
        return None if start is None else (times[start] + lead).rename(VALID_TIME)
    own_axis = not set(lead.dims) <= set(times[base].dims)
    if start is not None and start != base:
        if own_axis and not set(times[start].dims) <= set(times[base].dims):
            return (times[start] + lead).rename(VALID_TIME)
        _agree(times[base], times[start] + lead, lead_name, start, source)
        return times[base]
    if start == base or own_axis:
        return (times[base] + lead).rename(VALID_TIME)
    if dataset[lead_name].attrs.get("standard_name") == "forecast_period" or not lead.values.any():
        return times[base]
    raise BadDataError(
        f"{source}: {base!r} has the standard name time, as a valid time has, and a lead time {lead_name!r} stands "
        f"beside it: is it the valid time or the start? If the start, ncatted -a standard_name,{base},o,c,"
        f"forecast_reference_time says so; if the valid time, leave the lead out with ncks -C -x -v {lead_name}"
    )


def start_times(dataset: xr.Dataset) -> xr.DataArray | None:
    """The starts of the forecasts in a file, or None when it tells none."""
    times = _times(dataset)
    name = _start_name(dataset, times)
    return None if name is None else times[name]


def _times(dataset: xr.Dataset) -> dict[str, xr.DataArray]:
    """Every variable that is a time by its units, but for bounds."""
    return {
        str(name): xr.DataArray(decoded, name=str(name))
        for name, variable in dataset.variables.items()
        if not str(name).endswith(("_bnds", "_bounds")) and (decoded := decode_times(variable, str(name))) is not None
    }


def times_beside(dataset: xr.Dataset) -> list[str]:
    """Names of all times, bounds of times and lead times: what is no longer true of a state of another time."""
    times = [str(name) for name, variable in dataset.variables.items() if decode_times(variable, str(name)) is not None]
    bounds = [
        str(name) for name in dataset.variables if str(name).removesuffix("_bnds").removesuffix("_bounds") in times
    ]
    leads = [str(name) for name, v in dataset.variables.items() if v.attrs.get("standard_name") == "forecast_period"]
    leads += [name for name in LEAD_NAMES if name in dataset.variables]
    return list(dict.fromkeys((*times, *bounds, *leads)))


def is_start(dataset: xr.Dataset, name: str) -> bool:
    """Whether a time is that of the start of a forecast, by its own name or attributes."""
    attributes = dataset[name].attrs
    if attributes.get("standard_name") == "forecast_reference_time" or name.casefold() in _STARTS:
        return True
    return name != VALID_TIME and _SAYS_START.search(str(attributes.get("long_name", ""))) is not None


def _base_name(dataset: xr.Dataset, times: dict[str, xr.DataArray]) -> str | None:
    """What else than `valid_time` and a known start may be the time of the fields: an axis, a `time`."""
    ranked = sorted(
        (name for name in times if name != VALID_TIME and not is_start(dataset, name)),
        key=lambda name: (
            dataset[name].attrs.get("standard_name") != "time",
            not name.casefold().startswith("time"),
            name not in dataset.dims,
            name,
        ),
    )
    return ranked[0] if ranked else None


def _start_name(dataset: xr.Dataset, times: dict[str, xr.DataArray]) -> str | None:
    known = [name for name in times if is_start(dataset, name)]
    if known:
        return min(
            known, key=lambda name: (dataset[name].attrs.get("standard_name") != "forecast_reference_time", name)
        )
    base, lead = _base_name(dataset, times), find_lead(dataset)
    if base is None:
        return None
    told = VALID_TIME in times and base == "time"
    beside = lead is not None and (lead in _STARTS_BESIDE or dataset[base].attrs.get("standard_name") != "time")
    return base if told or beside else None


def _agree(valid: xr.DataArray, computed: xr.DataArray, lead: str, start: str, source: str) -> None:
    """Raises BadDataError where the valid time is not start + lead, to the second."""
    own, other = xr.broadcast(valid, computed)
    own, other = own.astype("datetime64[s]"), other.astype("datetime64[s]")
    wrong = np.argwhere(own.values != other.values)
    if len(wrong):
        place = tuple(wrong[0])
        raise BadDataError(
            f"{source}: {valid.name!r} says {format_time(own.values[place])}, but {start!r} and {lead!r} "
            f"{format_time(other.values[place])}; leave out what is wrong, for example with ncks -C -x -v {lead}"
        )


def _in_order(valid: xr.DataArray, start: xr.DataArray, name: str, source: str) -> None:
    own, begun = xr.broadcast(valid, start)
    late = np.argwhere(begun.values > own.values)
    if len(late):
        place = tuple(late[0])
        raise BadDataError(
            f"{source}: {valid.name!r} says {format_time(own.values[place])}, before the start of the forecast, "
            f"{name!r}, {format_time(begun.values[place])}; leave out what is wrong, for example with "
            f"ncks -C -x -v {name}"
        )
