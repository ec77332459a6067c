"""Valid time in NetCDF and Zarr files: which variable tells it, and which index of which axis it is.

    valid time = the variable `valid_time`, or the one with standard_name `time`,
                 or forecast reference time + forecast period where a lead axis stands beside the time axis

A climatology tells none; then `--select month=1` picks the field and `--time` says what it stands for.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Final

import numpy as np
import xarray as xr

from phyda_cli.errors import BadDataError
from phyda_cli.formats.contents import choose_time, format_time

VALID_TIME: Final = "valid_time"
_LEAD_NAMES: Final = ("step", "prediction_timedelta", "lead_time", "leadtime", "lead", "forecast_period")
_UNIT_SECONDS: Final = {"day": 86400, "hour": 3600, "hr": 3600, "h": 3600, "minute": 60, "min": 60, "second": 1, "s": 1}


def select_time(
    dataset: xr.Dataset, wanted: np.datetime64 | None, relabel: bool, source: str
) -> tuple[xr.Dataset, np.datetime64 | None]:
    """The dataset at one valid time, and that time; None when the file tells none.

    relabel: the time axis was indexed by hand, so `wanted`, when given, names the valid time instead of choosing it.
    Raises BadDataError, listing what there is, when the choice is not unique.
    """
    valid = valid_times(dataset)
    if valid is None:
        return dataset, None
    if relabel and valid.ndim == 0 and wanted is not None:
        chosen, index = wanted.astype("datetime64[ns]"), {}
    else:
        chosen = choose_time([np.datetime64(t, "ns") for t in valid.values.ravel()], wanted, source)
        places = np.argwhere(valid.values.astype("datetime64[s]") == chosen.astype("datetime64[s]"))
        if len(places) > 1:
            options = {dim: dataset[dim].values[places[:, axis]] for axis, dim in enumerate(valid.dims)}
            listed = "; ".join(f"{dim} {', '.join(map(str, values))}" for dim, values in options.items())
            raise BadDataError(
                f"{source}: holds {len(places)} forecasts valid at {format_time(chosen)} ({listed}); "
                f"choose one with --select {valid.dims[-1]}={options[valid.dims[-1]][0]}"
            )
        index = {dim: int(places[0][axis]) for axis, dim in enumerate(valid.dims)}
    dataset = dataset.isel(index)
    attributes = {"standard_name": "time", "long_name": str(valid.attrs.get("long_name", "valid time"))}
    return dataset.assign_coords({str(valid.name): xr.Variable((), chosen, attributes)}), chosen


def select_indices(dataset: xr.Dataset, select: Mapping[str, str], source: str) -> tuple[xr.Dataset, frozenset[str]]:
    """Index the dimensions named in `select` by coordinate value (by position where there is no coordinate).

    Returns the dataset and the names that it has. Raises BadDataError, listing the values, when one is not there.
    """
    found = {name: value for name, value in select.items() if name in dataset.dims}
    for name, value in found.items():
        values = dataset[name].values
        decoded = decode_times(dataset[name].variable, name)
        there = [str(v) for v in (values if decoded is None else decoded.values.astype("datetime64[m]"))]
        places = [i for i, text in enumerate(there) if _same(text, value, is_time=decoded is not None)]
        if len(places) != 1:
            raise BadDataError(f"{source}: no single {name} is {value!r}; there are: {', '.join(there[:12])}")
        dataset = dataset.isel({name: places[0]})
    return dataset, frozenset(found)


def _same(text: str, wanted: str, *, is_time: bool) -> bool:
    try:
        if is_time:
            return bool(np.datetime64(text) == np.datetime64(wanted.removesuffix("Z")).astype("datetime64[m]"))
        return float(text) == float(wanted)
    except ValueError:
        return text.casefold() == wanted.casefold()


def valid_times(dataset: xr.Dataset) -> xr.DataArray | None:
    """Valid times over the file's own time axes (0, 1 or 2 of them), or None when it tells none."""
    times: dict[str, xr.DataArray] = {}
    for name, variable in dataset.variables.items():
        decoded = decode_times(variable, str(name))
        if decoded is not None and not str(name).endswith(("_bnds", "_bounds")):
            times[str(name)] = xr.DataArray(decoded, name=str(name))
    if VALID_TIME in times:
        return times[VALID_TIME]
    standard = {name: dataset[name].attrs.get("standard_name") for name in times}
    ranked = sorted(
        (name for name in times if standard[name] != "forecast_reference_time" or name in dataset.dims),
        key=lambda name: (standard[name] != "time", not name.casefold().startswith("time"), name),
    )
    references = [name for name in times if standard[name] == "forecast_reference_time"]
    if not ranked and not references:
        return None
    base = times[ranked[0] if ranked else references[0]]
    lead = _lead_times(dataset)
    if lead is None:
        return base
    own_axis = not set(lead.dims) <= set(base.dims)
    from_start = standard[str(base.name)] != "time" and (base.name in references or not references)
    if not own_axis and not from_start:
        return base
    return (base + lead).rename(VALID_TIME)


def _lead_times(dataset: xr.Dataset) -> xr.DataArray | None:
    for name, variable in dataset.variables.items():
        named = str(name) in _LEAD_NAMES or variable.attrs.get("standard_name") == "forecast_period"
        unit = str(variable.attrs.get("units", "")).strip().casefold().rstrip("s") or "s"
        if not named or variable.ndim > 1:
            continue
        if variable.dtype.kind == "m":
            return xr.DataArray(variable.astype("timedelta64[ns]"))
        if unit in _UNIT_SECONDS and variable.dtype.kind in "iuf" and "units" in variable.attrs:
            seconds = np.round(np.asarray(variable.values, np.float64) * _UNIT_SECONDS[unit])
            return xr.DataArray((seconds * 1e9).astype("timedelta64[ns]"), dims=variable.dims)
    return None


def decode_times(variable: xr.Variable, name: str) -> xr.Variable | None:
    """The variable as datetime64[ns] by its CF units ("hours since …"), or None when it is no such time."""
    if variable.dtype.kind == "M":
        return variable.astype("datetime64[ns]")
    if (
        not re.match(r"\s*[a-zA-Z]+\s+since\s", str(variable.attrs.get("units", "")))
        or variable.dtype.kind not in "iuf"
    ):
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
