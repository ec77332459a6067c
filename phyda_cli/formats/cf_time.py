"""Times and leads of NetCDF variables by their CF units: "hours since 2020-01-01" and "hours".

A unit that is not in the table, or none, is no lead: it is refused with the remedy, since 12 may be hours or days.
A moment must be a date in digits: words such as "today" would be the wall clock.
"""

from __future__ import annotations

import re
import warnings
from typing import Final

import numpy as np
import xarray as xr

from phyda_cli.errors import BadDataError

LEAD_NAMES: Final = (
    "step", "prediction_timedelta", "lead_time", "leadtime", "lead", "forecast_period", "forecast_time",
    "forecast_time0", "forecast_hour",
)  # fmt: skip
"""Names of lead times; a variable with the standard name `forecast_period` is one too."""

_NANOSECONDS: Final = {
    name: count
    for count, names in (
        (7 * 86_400_000_000_000, "week"),
        (86_400_000_000_000, "d day"),
        (3_600_000_000_000, "h hr hour"),
        (60_000_000_000, "min minute"),
        (1_000_000_000, "s sec second"),
        (1_000_000, "ms msec millisec millisecond"),
        (1_000, "us µs μs usec microsec microsecond"),
        (1, "ns nsec nanosec nanosecond"),
    )
    for name in names.split()
}
_SINCE: Final = re.compile(r"\s*[a-zA-Z]+\s+since\s+[-+]?\d")
_LONGEST: Final = 2.0**63
"""More nanoseconds than this do not fit into the type of times (292 years)."""


def decode_times(variable: xr.Variable, name: str) -> xr.Variable | None:
    """The variable as datetime64[ns] by its CF units ("hours since …"), or None when it is no such time."""
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
    """The name of the variable that holds the lead time, or None: by its standard name, then by its name."""
    named = [str(name) for name, v in dataset.variables.items() if v.attrs.get("standard_name") == "forecast_period"]
    named += [name for name in LEAD_NAMES if name in dataset.variables]
    return next((name for name in named if decode_times(dataset[name].variable, name) is None), None)


def decode_lead(dataset: xr.Dataset, name: str, source: str) -> xr.DataArray:
    """A lead time as timedelta64[ns]. Raises BadDataError for a unit that is missing or none of time."""
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
