"""What a cycle asks of a forecast model, and a state as a data set that any program reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import xarray as xr

from phyda_cli.fields.state import State
from phyda_cli.fields.variables import VARIABLES
from phyda_cli.outputs import atomic_path

BACKGROUND: Final = "background.nc"
ANALYSIS: Final = "analysis.nc"
INCREMENT: Final = "increment.nc"
MEMBERS: Final = "members.nc"
"""The analysed members of a background that came as one file."""


@dataclass(frozen=True)
class Step:
    """A forecast from one cycle to the next.

    begin: valid time of the analysis (UTC). hours: length. source: directory of the cycle whose analysis is there.
    target: directory of the next cycle. increment: x_a − x_b on the background's grid [SI], of an ensemble (member,
    channel, lat, lon). member: which one of an ensemble it is.
    """

    begin: np.datetime64
    hours: int
    source: Path
    target: Path
    increment: State
    member: int = 0

    @property
    def end(self) -> np.datetime64:
        """Valid time of the forecast (UTC)."""
        return self.begin + np.timedelta64(self.hours, "h")


class Forecast(Protocol):
    """A forecast model. What it needs to go on stands in the directories of the cycles, so that a run can restart."""

    @property
    def own(self) -> bool:
        """Whether phyda itself writes its backgrounds (SI); those of another program are judged as any file."""
        ...

    def first(self, target: Path, time: np.datetime64) -> None:
        """Put the background of the first cycle, valid at `time`, into its directory."""
        ...

    def run(self, step: Step) -> None:
        """Forecast from the analysis of a cycle and put the background into the directory of the next.

        Raises BadDataError with one line where the model fails.
        """
        ...


def write_state(state: State, target: Path) -> None:
    """A state ((member,) channel, lat, lon) on a global grid as NetCDF, each variable on its own levels; whole or not
    at all.
    """
    latitude, longitude = (np.unique(x) for x in state.grid.coordinates)
    dataset = xr.Dataset(
        coords={
            "time": state.time.astype("datetime64[ns]"),
            "latitude": ("latitude", latitude, {"units": "degrees_north", "standard_name": "latitude"}),
            "longitude": ("longitude", longitude, {"units": "degrees_east", "standard_name": "longitude"}),
        }
    )
    several = ("number",) if state.values.dim() == 4 else ()
    if several:
        dataset["number"] = ("number", np.arange(state.values.shape[0], dtype=np.int32))
    for name in state.variables:
        row, levels = VARIABLES[name], state.levels(name)
        values = state.select(tuple(c for c in state.channels if c.variable == name)).values.numpy().astype(np.float32)
        attributes = {"units": row.units, "standard_name": row.standard_name, "long_name": row.long_name}
        if levels:
            axis = f"level_{name}"
            dataset[axis] = (axis, list(levels), {"units": "Pa", "standard_name": "air_pressure"})
            dataset[name] = ((*several, axis, "latitude", "longitude"), values, attributes)
        else:
            dataset[name] = ((*several, "latitude", "longitude"), values[..., 0, :, :], attributes)
    with atomic_path(target, overwrite=True) as partial:
        dataset.to_netcdf(partial, engine="netcdf4")
