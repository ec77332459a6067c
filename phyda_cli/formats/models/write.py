"""An analysis as the initial condition of a machine-learning model: checked before it is computed, then written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from phyda_cli.errors import BadDataError, UsageError
from phyda_cli.fields.ground import Ground
from phyda_cli.fields.state import State
from phyda_cli.formats.gridded.background import background_times, read_background
from phyda_cli.formats.gridded.contents import format_time
from phyda_cli.formats.gridded.output_names import is_grib_name
from phyda_cli.formats.models.inputs import LAND, OROGRAPHY, check_grid, held_channels, model_inputs
from phyda_cli.formats.models.layouts import LAYOUTS
from phyda_cli.formats.models.needs import LEAST, MODELS, missing
from phyda_cli.outputs import atomic_path


def check_layout(layout: str, path: Path, background: State, previous: State | None) -> None:
    """Check, before there is an analysis of this background, that it can be written in a layout.

    Raises UsageError or BadDataError, with what helps.
    """
    if is_grib_name(path):
        raise UsageError(f"--layout-out {path}: layouts are NetCDF; give the file a name that ends in .nc")
    check_grid(background.grid, f"--layout {layout}")
    states = [background] if previous is None else [previous, background]
    if previous is not None and previous.grid != background.grid:
        raise BadDataError(f"--previous: its grid is {previous.grid}, that of the background {background.grid}")
    if previous is not None and previous.time >= background.time:
        raise BadDataError(f"--previous: valid at {format_time(previous.time)}, not before the background")
    least = LEAST.get(layout)
    if least is not None:
        lacks = missing(least, held_channels(states), _before(states))
        if lacks:
            remedy = "; name the file with --previous" if previous is None else ""
            raise BadDataError(f"--layout {layout}: {least.name} needs {'; '.join(lacks)}{remedy}")


def readiness(layout: str, states: Sequence[State], ground: Ground) -> dict[str, list[str]]:
    """Return for each model that takes a layout what it lacks, in words, of states at one or more times."""
    held = [name for name, plane in ((OROGRAPHY, ground.height), (LAND, ground.land)) if plane is not None]
    channels, before = held_channels(states), _before(states)
    return {
        model.name: missing(model, channels, before)
        + [name for name in model.ground if name not in held]
        + list(model.besides)
        for model in MODELS
        if layout in model.layouts
    }


def _before(states: Sequence[State]) -> list[np.timedelta64]:
    """Return how long before the last of some states the others are."""
    last = max(state.time for state in states)
    return [last - state.time for state in states if state.time != last]


def read_previous(path: Path, time: np.datetime64) -> State:
    """Read the state 6 h before a time from a file that may hold several times, else its only one; an ensemble's mean.

    Raises BadDataError where it holds several others, and as `read_background` does.
    """
    wanted = time - np.timedelta64(6, "h")
    held = list(background_times([path]))
    if len(held) > 1 and wanted not in held:
        raise BadDataError(f"{path}: holds several times, but not {format_time(wanted)}, 6 h before the background")
    return read_background([path], time=wanted if wanted in held else None).ensemble_mean().state


def layout_dataset(
    layout: str, states: Sequence[State], ground: Ground, *, attributes: Mapping[str, str]
) -> xr.Dataset:
    """Return an analysis, with one before it where there is, in a layout. attributes: provenance."""
    dataset = LAYOUTS[layout](model_inputs(states, ground))
    title = f"Initial condition for machine-learning models ({layout}), analysed by data assimilation"
    return dataset.assign_attrs({"Conventions": "CF-1.11", "title": title, **attributes})


def write_layout(path: Path, dataset: xr.Dataset, *, overwrite: bool = False) -> None:
    """Write a dataset of `layout_dataset`, whole or not at all, compressed. Raises CannotWriteError."""
    for name, field in dataset.data_vars.items():
        if not bool(np.isfinite(field).all()):
            raise BadDataError(f"{path}: not written: values of {name} are not finite")
    encoding: dict[object, dict[str, object]] = {name: {"_FillValue": None} for name in dataset.variables}
    for name in dataset.data_vars:
        encoding[name] |= {"zlib": True, "complevel": 1, "shuffle": True}
    for name, variable in dataset.variables.items():
        if variable.dtype.kind == "M":
            encoding[name] |= {"units": "hours since 1970-01-01", "calendar": "standard", "dtype": "float64"}
    with atomic_path(path, overwrite=overwrite) as temporary:
        dataset.to_netcdf(temporary, engine="netcdf4", format="NETCDF4", encoding=encoding)
