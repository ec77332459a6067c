"""The first guess at the appropriate time and height: what any fields at the analysis time say of each observation.

    G(x) = H(x) + τ,     τ = Σ_k w_k(t) H(x_b(t_k)) − H(x_b(t_a))

H brings stations to their height (`kinds.py`). With backgrounds at several times t_k, w_k are the weights of linear
interpolation to the observation's own time, constant before the first and after the last; with one alone τ = 0. An
increment is taken as constant in time, so that the analysis differs from the background by as much as at t_a.
Source: Fisher and Andersson (2001), ECMWF Tech. Memo. 347: 3D-Var-FGAT.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.fields.refractivity import BEVIS, Coefficients
from phyda_cli.fields.standard_atmosphere import standard_temperature
from phyda_cli.fields.state import Channel, State
from phyda_cli.fields.surface_height import surface_height
from phyda_cli.observations.kinds import families
from phyda_cli.observations.table import Observations
from phyda_cli.operators.operator import Operator, StateOperator
from phyda_cli.operators.refractivity import Layer, common_levels, layer_around
from phyda_cli.operators.station_pressure import station_pressure

Floats = NDArray[np.float64]

BackgroundTimes = Mapping[np.datetime64, Callable[[], State]]
"""Valid time (UTC, ns) → reads the background at that time."""
STATION_VARIABLES = ("t2m", "d2m", "u10", "v10", "ws10", "sp", "ztd")
"""What is measured at a station's own height."""
_OF_PRESSURE = ("sp", "ztd")
"""What hangs on the pressure at the station."""
SEA_LEVEL = 1.0
"""Ground seen by a satellite up to this height [m] is the sea."""
SEA_REPORTS = ("ship", "buoy", "seawind")
"""Families of reports from the sea; those whose height is not known are at sea level."""


@dataclass(frozen=True)
class FirstGuess:
    """G for some observations.

    operator: H on the background's grid. increments: H linearised at the background, for the methods. tendency: τ (n,).
    times: t_k. outside: (n,) before or after all of them.
    """

    operator: StateOperator
    increments: Operator
    tendency: Floats
    times: tuple[np.datetime64, ...]
    outside: NDArray[np.bool_]

    def __call__(self, values: torch.Tensor) -> Floats:
        """G(x) (n,) of fields (channel, lat, lon) at the analysis time, SI; no meaning where H is not defined."""
        return self.operator(values) + self.tendency


def first_guess(
    background: State,
    observations: Observations,
    others: BackgroundTimes,
    orography: torch.Tensor | None = None,
    margin: float = 0.0,
    coefficients: Coefficients = BEVIS,
) -> FirstGuess:
    """G for a background (channel, lat, lon) and the same at other times, which are read one after the other.

    orography: (lat, lon) [m] of the background's ground, where it is known. margin, coefficients: as of `Operator`.
    Raises BadDataError where another time has another grid or lacks a channel.
    """
    seen = operator_of(background, observations, orography, margin, coefficients)
    operator = seen.states(background.grid, background.channels)
    own = background.time.astype("datetime64[ns]")
    times = sorted({own, *(time.astype("datetime64[ns]") for time in others)})
    at = np.where(np.isnat(observations.time), own, observations.time)
    seconds = (at - own) / np.timedelta64(1, "s")
    nodes = np.array([(time - own) / np.timedelta64(1, "s") for time in times])
    tendency = np.zeros(len(observations))
    if len(times) > 1:
        now = operator(background.values)
        tendency = -now
        for number, time in enumerate(times):
            weight = np.interp(seconds, nodes, np.eye(len(times))[number])
            if not weight.any():
                continue
            state = background if time == own else _fitting(others[time](), background, time)
            tendency = tendency + weight * operator(state.values)
    outside = (seconds < nodes[0]) | (seconds > nodes[-1])
    return FirstGuess(operator, operator.linearised(background.values), tendency, tuple(times), outside)


def operator_of(
    state: State,
    observations: Observations,
    orography: torch.Tensor | None = None,
    margin: float = 0.0,
    coefficients: Coefficients = BEVIS,
) -> Operator:
    """H of observations, with what a background (channel, lat, lon) says of its ground and of heights at them.

    What is placed by height gets the pressure that the background has there.

    orography: (lat, lon) [m] of the ground; else it is found from surface pressure and geopotential, if there are any.
    margin, coefficients: as of `Operator`.
    """
    o = observations
    places = Operator.at(o.variable, o.latitude, o.longitude, o.pressure, margin=margin)
    surface = Channel("sp")
    pressure = _at(state.values[state.index(surface)], state, places) if surface in state.channels else None
    of_ground = surface_height(state) if orography is None else orography
    ground = np.full(len(o), np.nan) if of_ground is None else _at(of_ground, state, places)
    relief = np.ones(len(o)) if of_ground is None else _relief(state, of_ground, places, o.elevation)
    family = families(o.report).astype(str)
    at_sea, at_station = np.isin(family, SEA_REPORTS), np.isin(o.variable, STATION_VARIABLES)
    height = np.where(at_sea & np.isnan(o.elevation), 0.0, o.elevation)
    slanting = np.isfinite(o.zenith) & np.isfinite(o.elevation)
    return replace(
        in_layers(places, o.height, state),
        surface_pressure=places.surface_pressure if pressure is None else pressure,
        difference=np.where(at_station, height - ground, np.nan),
        ground_temperature=standard_temperature(ground),
        height=np.where(at_station, height, o.height),
        land=np.select([at_sea, family == "surface", slanting], [0.0, 1.0, o.elevation > SEA_LEVEL], np.nan),
        relief=relief,
        zenith=o.zenith,
        top=o.top,
        coefficients=coefficients,
    )


def in_layers(places: Operator, height: Floats, state: State) -> Operator:
    """Return the operator with what is placed by height (n,) [m], NaN for the others, between the levels of a state
    and at the pressure that it has there.
    """
    layer = _layer(state, places, height)
    pressure = np.where(np.isfinite(layer.pressure), layer.pressure, places.pressure)
    return replace(places, pressure=pressure, height=height, below=layer.below, above=layer.above)


def _layer(state: State, places: Operator, height: Floats) -> Layer:
    """Return the levels of a state around heights (n,) [m], NaN for none, at places."""
    rows = np.flatnonzero(np.isfinite(height))
    levels = common_levels(state.channels) if rows.size else np.empty(0)
    own = places.take(rows)
    fields = [_at(state.values[state.index(Channel("z", level))], state, own) for level in levels]
    found = layer_around(height[rows], own.latitude, levels, np.array(fields).reshape(levels.size, rows.size))
    result = Layer(*(np.full(len(places), np.nan) for _ in found))
    for column, part in zip(result, found, strict=True):
        column[rows] = part
    return result


def _relief(state: State, ground: torch.Tensor, places: Operator, height: Floats) -> Floats:
    """k (n,) = Σ w p(h; p_k, T_k, h_k) / p(h; Σ w p_k, Σ w T_k, Σ w h_k) of the points around stations at heights h.

    Pressure falls with height faster than linearly: between a point at 0 and one at 2000 m the mean pressure is 5 hPa
    more than that of 1000 m.
    """
    result, pressure = np.ones(len(places)), Channel("sp")
    rows = np.flatnonzero(np.isin(places.variable, _OF_PRESSURE) & np.isfinite(height))
    if pressure not in state.channels or not rows.size:
        return result
    corners = state.grid.corners(places.latitude[rows], places.longitude[rows])

    def around(field: torch.Tensor) -> Floats:
        return field.double().cpu().numpy().reshape(-1)[corners.index]

    heights = around(ground)
    warm = Channel("t2m")
    temperatures = around(state.values[state.index(warm)]) if warm in state.channels else standard_temperature(heights)
    known = (around(state.values[state.index(pressure)]), temperatures, height[rows, None] - heights)
    each = station_pressure(*known)
    mean = station_pressure(*((corners.weight * x).sum(1) for x in known))
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (corners.weight * each).sum(1) / mean
    result[rows] = np.where(corners.inside & np.isfinite(found) & (found > 0), found, 1.0)
    return result


def _at(field: torch.Tensor, state: State, places: Operator) -> Floats:
    """Return a field (lat, lon) on the state's grid at places (n,); NaN where they have none."""
    names = np.full(len(places), "msl", dtype=object)
    anywhere = replace(places, variable=names)
    operator = anywhere.states(state.grid, (Channel("msl"),))  # any scalar on one level
    return np.where(operator.defined, operator(field[None].double().cpu()), np.nan)


def _fitting(state: State, background: State, time: np.datetime64) -> State:
    """Return the background's channels of another time. Raises BadDataError where it does not fit."""
    label = f"the background at {np.datetime_as_string(time, unit='m')}Z"
    if state.values.dim() != 3:
        raise BadDataError(f"{label} holds several members: choose one with --member")
    missing = [channel for channel in background.channels if channel not in state.channels]
    if missing:
        raise BadDataError(f"{label} lacks {missing[0]}, which the one at the analysis time has")
    if state.grid != background.grid:
        raise BadDataError(f"{label} is on another grid ({state.grid}) than the one at the analysis time")
    return state.select(background.channels)
