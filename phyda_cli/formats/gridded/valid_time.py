"""Which variables of a NetCDF or Zarr dataset tell the valid time and the start of a forecast.

    valid time = the variable `valid_time`
                 else start + lead where a lead axis stands beside the start, or where `time` is a start
                 else `time`, as CF has it

`time` is a start when its long name says so, or beside a `step` or `prediction_timedelta` (cfgrib, WeatherBench), or
when it lacks the standard name `time`; with that standard name and one of `forecast_period` beside it, it is the valid
time. What is told twice must agree. A file that tells a start alone tells no valid time.

Times and leads go by their CF units, "hours since 2020-01-01" and "hours". A unit that is not in the table, or none, is
no lead: it is refused with the remedy, since 12 may be hours or days. A moment must be a date in digits: words such as
"today" would be the wall clock.
"""

from __future__ import annotations

import re
import warnings
from typing import Final

import numpy as np
import xarray as xr

from phyda_cli.errors import BadDataError
from phyda_cli.formats.gridded.contents import format_time

LEAD_NAMES: Final = (
    "step", "prediction_timedelta", "lead_time", "leadtime", "lead", "forecast_period", "forecast_time",
    "forecast_time0", "forecast_hour",
)  # fmt: skip
"""Names of lead times; a variable with the standard name `forecast_period` is one too."""

_NANOSECONDS: Final = {
    "week": 7 * 86_400_000_000_000,
    **dict.fromkeys(("d", "day"), 86_400_000_000_000),
    **dict.fromkeys(("h", "hr", "hour"), 3_600_000_000_000),
    **dict.fromkeys(("min", "minute"), 60_000_000_000),
    **dict.fromkeys(("s", "sec", "second"), 1_000_000_000),
    **dict.fromkeys(("ms", "msec", "millisec", "millisecond"), 1_000_000),
    **dict.fromkeys(("us", "µs", "μs", "usec", "microsec", "microsecond"), 1_000),
    **dict.fromkeys(("ns", "nsec", "nanosec", "nanosecond"), 1),
}
_SINCE: Final = re.compile(r"\s*[a-zA-Z]+\s+since\s+[-+]?\d")
_LONGEST: Final = 2.0**63
"""More nanoseconds than this do not fit into the type of times (292 years)."""


def decode_times(variable: xr.Variable, name: str) -> xr.Variable | None:
    """Return the variable as datetime64[ns] by its CF units ("hours since …"), or None when it is no such time."""
    if variable.dtype.kind == "M":
        return variable.astype("datetime64[ns]")
    if not _SINCE.match(str(variable.attrs.get("units", ""))) or variable.dtype.kind not in "iuf":
        return None
    with warnings.catch_warnings():
        # Calendars other than the standard one come as cftime objects, which are turned into dates below.
        warnings.filterwarnings("ignore", "Unable to decode time axis", xr.SerializationWarning)
        try:
            decoded = xr.decode_cf(xr.Dataset({name: variable}), decode_timedelta=False)[name].variable
            values = decoded.values
            if values.dtype.kind == "O":
                values = np.array([np.datetime64(t.isoformat()) for t in values.ravel()]).reshape(values.shape)
            return xr.Variable(variable.dims, values.astype("datetime64[ns]"), decoded.attrs)
        except (ValueError, OverflowError):
            return None


def find_lead(dataset: xr.Dataset) -> str | None:
    """Return the name of the variable that holds the lead time, or None: by its standard name, then by its name."""
    named = [str(name) for name, v in dataset.variables.items() if v.attrs.get("standard_name") == "forecast_period"]
    named += [name for name in LEAD_NAMES if name in dataset.variables]
    return next((name for name in named if decode_times(dataset[name].variable, name) is None), None)


def decode_lead(dataset: xr.Dataset, name: str, source: str) -> xr.DataArray:
    """Return a lead time as timedelta64[ns]. Raises BadDataError for a unit that is missing or none of time."""
    variable = dataset[name].variable
    if variable.dtype.kind == "m":
        return xr.DataArray(variable.astype("timedelta64[ns]"), name=name)
    text = str(variable.attrs.get("units", "")).strip()
    key = text.casefold()
    scale = _NANOSECONDS.get(key, _NANOSECONDS.get(key.removesuffix("s")))
    if scale is None or variable.dtype.kind not in "iuf":
        says = f"has the unit {text!r}, which is none of time" if text else "has no units"
        raise BadDataError(
            f"{source}: the lead time {name!r} {says}, so the valid time is unknown; "
            f"set it, for example with ncatted -a units,{name},o,c,hours"
        )
    values = np.asarray(variable.values)
    if not np.isfinite(values).all() or (np.abs(values.astype(np.float64)) * scale >= _LONGEST).any():
        raise BadDataError(
            f"{source}: the lead time {name!r} holds values that are none: {values.ravel()[:5].tolist()}"
        )
    exact = (
        values.astype(np.int64) * scale if values.dtype.kind in "iu" else np.round(values.astype(np.float64) * scale)
    )
    return xr.DataArray(exact.astype("timedelta64[ns]"), dims=variable.dims, name=name)


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


def lead_last(dataset: xr.Dataset, valid: xr.DataArray) -> xr.DataArray:
    """Return valid times with the axis of leads last, so that the states of one start follow one another."""
    lead = find_lead(dataset)
    last = [dim for dim in valid.dims if lead is not None and dim in dataset[lead].dims]
    return valid.transpose(*(dim for dim in valid.dims if dim not in last), *last)


def start_times(dataset: xr.Dataset) -> xr.DataArray | None:
    """Return the starts of the forecasts in a file, or None when it tells none."""
    times = _times(dataset)
    name = _start_name(dataset, times)
    return None if name is None else times[name]


def _times(dataset: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return every variable that is a time by its units, but for bounds."""
    return {
        str(name): xr.DataArray(decoded, name=str(name))
        for name, variable in dataset.variables.items()
        if not str(name).endswith(("_bnds", "_bounds")) and (decoded := decode_times(variable, str(name))) is not None
    }


def times_beside(dataset: xr.Dataset) -> list[str]:
    """Return names of all times, bounds of times and lead times: what is no longer true of a state of another time."""
    times = [str(name) for name, variable in dataset.variables.items() if decode_times(variable, str(name)) is not None]
    bounds = [
        str(name) for name in dataset.variables if str(name).removesuffix("_bnds").removesuffix("_bounds") in times
    ]
    leads = [str(name) for name, v in dataset.variables.items() if v.attrs.get("standard_name") == "forecast_period"]
    leads += [name for name in LEAD_NAMES if name in dataset.variables]
    return list(dict.fromkeys((*times, *bounds, *leads)))


def is_start(dataset: xr.Dataset, name: str) -> bool:
    """Return whether a time is that of the start of a forecast, by its own name or attributes."""
    attributes = dataset[name].attrs
    if attributes.get("standard_name") == "forecast_reference_time" or name.casefold() in _STARTS:
        return True
    return name != VALID_TIME and _SAYS_START.search(str(attributes.get("long_name", ""))) is not None


def _base_name(dataset: xr.Dataset, times: dict[str, xr.DataArray]) -> str | None:
    """Return what else than `valid_time` and a known start may be the time of the fields: an axis, a `time`."""
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
