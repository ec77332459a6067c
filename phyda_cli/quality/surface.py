"""Reports from the ground: those whose station does not fit the background's ground are refused.

δ = h_station − h_ground decides: where either height is not known, t2m and sp cannot be brought to the station
(`operators/kinds.py`) and are refused, or taken as they are if the settings say so; too large a δ is DOMAIN for every
variable measured at a station, and so is a pressure reduced to sea level from high up.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.observations.settings import Surface
from phyda_cli.observations.table import Flag, Observations

_ADJUSTED: Final = ("t2m", "sp")


def check_surface(observations: Observations, difference: NDArray[np.float64], settings: Surface) -> Observations:
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
