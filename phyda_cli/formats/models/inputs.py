"""What a forecast model of machine learning starts from: fields of an analysis, and of one before it, by channel.

All such models take single precision on a global latitude-longitude grid. The planes here run north to south and from
0° eastward; relative humidity is added from q and T where these are, since some models want it in place of q.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.constants import GRAVITY
from phyda_cli.errors import BadDataError
from phyda_cli.fields.ground import Ground
from phyda_cli.fields.state import Channel, State
from phyda_cli.fields.thermodynamics import relative_humidity_from_specific_humidity
from phyda_cli.grids.base import Grid
from phyda_cli.grids.latlon import LatLonGrid

Planes = NDArray[np.float32]
OROGRAPHY: Final = "z"
LAND: Final = "lsm"
"""ECMWF names of the two fields of the ground: geopotential [m2 s-2] and the part of land."""


@dataclass(frozen=True)
class ModelInputs:
    """Fields at one or more times.

    times: (time,) valid times, the last is the analysis. latitudes: (lat,) southward. longitudes: (lon,) eastward.
    fields: (time, lat, lon) of each channel [SI; relative humidity %]. ground: (lat, lon) of `z` and `lsm`, if known.
    """

    times: NDArray[np.datetime64]
    latitudes: NDArray[np.float64]
    longitudes: NDArray[np.float64]
    fields: Mapping[Channel, Planes]
    ground: Mapping[str, Planes]


def held_channels(states: Sequence[State]) -> frozenset[Channel]:
    """Return the channels that all states have, with relative humidity where they have q and t."""
    common = frozenset.intersection(*(frozenset(state.channels) for state in states))
    return common | {Channel("r", level) for name, level in common if name == "q" and Channel("t", level) in common}


def check_grid(grid: Grid, what: str) -> LatLonGrid:
    """Return the grid. Raises BadDataError, naming what has it, for one that no model takes."""
    if not isinstance(grid, LatLonGrid):
        raise BadDataError(
            f"{what}: an initial condition is on a global latitude-longitude grid, not {grid}; interpolate the "
            "background first, or write GRIB (--out x.grib2)"
        )
    return grid


def model_inputs(states: Sequence[State], ground: Ground) -> ModelInputs:
    """Return states on one grid, in the order of their times, as models take them.

    Channels that not all of them have are left out. Raises BadDataError where grids differ.
    """
    ordered = sorted(states, key=lambda state: state.time)
    grid = check_grid(ordered[-1].grid, "analysis")
    if any(state.grid != grid for state in ordered):
        raise BadDataError(
            f"an initial condition has one grid, but there are {' and '.join(str(s.grid) for s in ordered)}"
        )
    fields = {}
    for channel in held_channels(ordered):
        planes = np.stack([_plane(state, channel) for state in ordered])
        fields[channel] = np.ascontiguousarray(planes[:, ::-1], np.float32)
    known = {OROGRAPHY: (ground.height, GRAVITY), LAND: (ground.land, 1.0)}
    return ModelInputs(
        times=np.array([state.time for state in ordered], "datetime64[ns]"),
        latitudes=np.asarray(grid.latitudes)[::-1],
        longitudes=np.asarray(grid.longitudes),
        fields=fields,
        ground={
            name: np.ascontiguousarray(scale * plane.numpy()[::-1], np.float32)
            for name, (plane, scale) in known.items()
            if plane is not None
        },
    )


def _plane(state: State, channel: Channel) -> NDArray[np.float64]:
    def of(one: Channel) -> NDArray[np.float64]:
        plane: NDArray[np.float64] = state.values[state.index(one)].detach().cpu().double().numpy()
        return plane

    if channel.variable == "r":
        q, t = (of(Channel(name, channel.level)) for name in ("q", "t"))
        return np.asarray(100.0 * relative_humidity_from_specific_humidity(q, t, channel.level))
    return of(channel)


def in_order(channels: Iterable[Channel]) -> list[Channel]:
    """Return fields near the ground first, then each variable from the top down."""
    names = ("u10", "v10", "t2m", "d2m", "sp", "msl", "tcwv", "u", "v", "z", "t", "q", "r", "w")
    place = {name: number for number, name in enumerate(names)}
    return sorted(channels, key=lambda one: (place.get(one.variable, len(place)), one.variable, one.level or 0.0))
