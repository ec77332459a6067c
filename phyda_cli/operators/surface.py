"""Reports from the ground: the model equivalent brought from the background's ground to the station's height.

    t2m:  H = H(t2m) − Γ δ,      sp:  H = H(sp) (1 − Γ δ / T_s)^(g / (R_d Γ)),      δ = h_station − h_s

Γ is 6.5 K/km, h_s the height of the background's ground (its orography, or `fields/surface_height.py`) and T_s its t2m,
or the standard atmosphere's temperature at h_s. Where either height is not known, t2m and sp are refused (H_FAILED), or
taken as they are if the settings say so. Too large a δ is DOMAIN, for every variable measured at a station; so is a
pressure reduced to sea level from high up.
Source: UFO's surface operators, which bring pressure to the station in this way; ICAO (Doc 7488) for Γ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.constants import GRAVITY, LAPSE_RATE, R_DRY
from phyda_cli.fields.standard_atmosphere import standard_temperature
from phyda_cli.fields.state import Channel, State
from phyda_cli.fields.surface_height import surface_height
from phyda_cli.observations.settings import Surface
from phyda_cli.observations.table import Flag, Observations
from phyda_cli.operators.operator import ObservationOperator

Floats = NDArray[np.float64]

STATION_VARIABLES: Final = ("t2m", "d2m", "u10", "v10", "sp")
"""What is measured at a station's own height."""
_ADJUSTED: Final = ("t2m", "sp")


@dataclass(frozen=True)
class Adjustment:
    """H ← factor · H + offset (n,), SI. difference: δ (n,) [m], NaN where it cannot be told."""

    factor: Floats
    offset: Floats
    difference: Floats

    def __call__(self, equivalent: Floats) -> Floats:
        """The equivalent (n,) at the stations' heights."""
        return self.factor * equivalent + self.offset


def adjustment(state: State, observations: Observations, orography: torch.Tensor | None = None) -> Adjustment:
    """Of a background (channel, lat, lon), for observations of any kind. orography: (lat, lon) [m], if it is known."""
    o = observations
    n = len(o)
    height = surface_height(state) if orography is None else orography
    ground = np.full(n, np.nan) if height is None else _at(height, state, o)
    difference = np.where(np.isin(o.variable, STATION_VARIABLES), o.elevation - ground, np.nan)
    known = np.isfinite(difference)
    factor, offset = np.ones(n), np.zeros(n)
    rows = known & (o.variable == "t2m")
    offset[rows] = -LAPSE_RATE * difference[rows]
    rows = known & (o.variable == "sp")
    if rows.any():
        temperature = standard_temperature(ground)
        if Channel("t2m") in state.channels:
            temperature = _at(state.values[state.index(Channel("t2m"))], state, o)
        base = np.maximum(1.0 - LAPSE_RATE * difference[rows] / temperature[rows], 0.0)
        factor[rows] = base ** (GRAVITY / (R_DRY * LAPSE_RATE))
    return Adjustment(factor, offset, difference)


def check_surface(observations: Observations, difference: Floats, settings: Surface) -> Observations:
    """H_FAILED: t2m or sp without δ. DOMAIN: |δ| too large; pressure reduced to sea level over too large a height.

    difference: δ (n,) [m].
    """
    o = observations
    if not settings.enabled:
        return o
    result = o
    if settings.require_height:
        unknown = np.isin(o.variable, _ADJUSTED) & np.isnan(difference)
        result = o.reject(
            unknown,
            Flag.H_FAILED,
            lambda i: (
                "the station's elevation is not known"
                if np.isnan(o.elevation[i])
                else "the background tells no height of its ground: it needs an orography, or sp and z on levels"
            ),
        )
    result = result.reject(
        np.abs(difference) > settings.height_difference,
        Flag.DOMAIN,
        lambda i: (
            f"station is {difference[i]:+.0f} m from the background's ground, more than "
            f"{settings.height_difference:g} m"
        ),
    )
    return result.reject(
        (o.variable == "msl") & (o.elevation > settings.sea_level_elevation),
        Flag.DOMAIN,
        lambda i: (
            f"pressure reduced to sea level from {o.elevation[i]:.0f} m, more than {settings.sea_level_elevation:g} m"
        ),
    )


def _at(field: torch.Tensor, state: State, observations: Observations) -> Floats:
    """A field (lat, lon) on the state's grid at observations (n,); NaN where they have no place."""
    o, channel = observations, Channel("t2m")  # of any scalar on one level
    names = np.full(len(o), channel.variable, dtype=object)
    operator = ObservationOperator(state.grid, [channel], names, o.latitude, o.longitude, o.pressure)
    return np.where(operator.defined, operator(field[None].double()).cpu().numpy(), np.nan)
