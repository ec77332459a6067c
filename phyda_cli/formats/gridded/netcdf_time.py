"""The one valid time that is read of a NetCDF or Zarr file: which index of which axis it is (`valid_time` tells it).

A climatology tells none; then `--select month=1` picks the field and `--time` says what it stands for.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.formats.gridded.contents import choose_time, format_time
from phyda_cli.formats.gridded.valid_time import decode_times, is_start, valid_times


def select_time(
    dataset: xr.Dataset, wanted: np.datetime64 | None, relabel: bool, source: str
) -> tuple[xr.Dataset, np.datetime64 | None]:
    """Return the dataset at one valid time, and that time; None when the file tells none.

    relabel: the time axis was indexed by hand, so `wanted`, when given, names the valid time instead of choosing it.
    Raises BadDataError, listing what there is, when the choice is not unique.
    """
    valid = valid_times(dataset, source)
    if valid is None:
        return dataset, None
    if np.isnat(valid.values).any():
        raise BadDataError(
            f"{source}: the time {valid.name!r} has missing values; mend them, or leave it out with "
            f"ncks -C -x -v {valid.name} and say by --time what the fields stand for"
        )
    if relabel and valid.ndim == 0 and wanted is not None:
        chosen, index = wanted.astype("datetime64[ns]"), {}
    else:
        chosen = choose_time([np.datetime64(t, "ns") for t in valid.values.ravel()], wanted, source)
        places = np.argwhere(valid.values.astype("datetime64[s]") == chosen.astype("datetime64[s]"))
        if len(places) > 1:
            raise BadDataError(f"{source}: {_several(dataset, valid, chosen, places)}")
        index = {dim: int(places[0][axis]) for axis, dim in enumerate(valid.dims)}
    dataset = dataset.isel(index)
    attributes = {"standard_name": "time", "long_name": str(valid.attrs.get("long_name", "valid time"))}
    return dataset.assign_coords({str(valid.name): xr.Variable((), chosen, attributes)}), chosen


def _several(dataset: xr.Dataset, valid: xr.DataArray, chosen: np.datetime64, places: NDArray[np.int64]) -> str:
    """Return what there is valid at one time, and an option or command that chooses one of it."""
    options = {str(dim): _texts(dataset, str(dim), places[:, axis]) for axis, dim in enumerate(valid.dims)}
    listed = "; ".join(f"{dim} {', '.join(values)}" for dim, values in options.items())
    dim, values = list(options.items())[-1]
    choice = f"--select {dim}={values[0]}"
    if len(set(values)) < len(values):
        choice = f"ncks -d {dim},{places[0][-1]}"
    return f"holds {len(places)} forecasts valid at {format_time(chosen)} ({listed}); choose one with {choice}"


def _texts(dataset: xr.Dataset, dim: str, places: NDArray[np.int64]) -> list[str]:
    """Return values of a dimension's coordinate as `--select` takes them."""
    axis = dataset[dim].variable
    decoded = decode_times(axis, dim)
    values = axis.values if decoded is None else decoded.values.astype("datetime64[m]")
    return [str(value) for value in values[places]]


def align_other_axes(dataset: xr.Dataset, valid: np.datetime64, source: str) -> tuple[xr.Dataset, tuple[str, ...]]:
    """Index further time axes (THREDDS's `time1`) at the valid time; what is not valid then is left out, and said."""
    notes = []
    for dim in map(str, tuple(dataset.dims)):
        times = decode_times(dataset[dim].variable, dim) if dim in dataset.variables else None
        if times is None or is_start(dataset, dim):
            continue
        places = np.flatnonzero(times.values.astype("datetime64[s]") == valid.astype("datetime64[s]"))
        if places.size:
            dataset = dataset.isel({dim: int(places[0])}).drop_vars(dim)
            continue
        others = [str(name) for name, variable in dataset.variables.items() if dim in variable.dims]
        dataset = dataset.drop_vars(others)
        held = ", ".join(name for name in others if name != dim)
        if held:
            notes.append(f"{source}: not valid at {format_time(valid)}, left out: {held} (on {dim!r})")
    return dataset, tuple(notes)


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
