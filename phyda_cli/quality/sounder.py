"""Brightness temperatures over ground that is ill known, and through clouds and rain.

    σ_g = |∂y/∂ε| σ_ε,      σ_o² ← σ_o² + σ_g²          the emissivity ε of the ground is a number or two in H
    σ_g > G                                             the ground tells more than the air
    |y − H(x_b)| > k √(σ_o² + σ_b²)                     of channel 5 or 6: both of this place are seen through a cloud

σ_ε is larger where the air at the ground is below freezing, for snow and ice have any emissivity, and where nobody says
whether the ground is land or sea. ∂y/∂ε is what H makes of the profile, the angle and the pressure at the ground, so
that the same channel counts less on a mountain.

Clouds and rain are sought in the departures, with the bias corrected, of the channels that see lowest: 2.5 times the
expected is 0.9 K in channel 6 of a good background, where NCEP's check asks for 0.8 K at sea and 0.5 K on land.
Source: McNally et al. (2000), for both ideas; UFO (HydrometeorCheckAMSUA.cc) for NCEP's numbers; Karbou et al. (2006)
for the emissivity of land.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.constants import ZERO_CELSIUS
from phyda_cli.observations.settings import Sounder
from phyda_cli.observations.table import Flag, Observations
from phyda_cli.operators.kind import Ground
from phyda_cli.quality.groups import group

Floats = NDArray[np.float64]

_LOWEST: Final = ("tb5", "tb6")


def ground_error(ground: Ground, land: Floats, settings: Sounder) -> Floats:
    """σ_g (n,) [K]. land: (n,) 1 on land, 0 at sea, NaN where nobody says."""
    if not settings.enabled:
        return np.zeros(land.shape)
    with np.errstate(invalid="ignore"):
        known = np.isfinite(land) & (ground.temperature >= ZERO_CELSIUS)
    return np.abs(ground.slope) * np.where(known, settings.emissivity, settings.frozen_emissivity)


def seen_ground(observations: Observations, of_ground: Floats) -> Observations:
    """Return the rows with the error of the ground (n,) in theirs."""
    return replace(observations, error=np.hypot(observations.error, of_ground))


def check_ground(observations: Observations, of_ground: Floats, settings: Sounder) -> Observations:
    """DOMAIN: the ground makes too large an error (n,)."""
    limit = settings.ground_k
    return observations.reject(
        of_ground > limit,
        Flag.DOMAIN,
        lambda i: f"the emissivity of the ground makes it uncertain by {of_ground[i]:.2f} K, more than {limit:g} K",
    )


def check_clouds(
    observations: Observations, equivalent: Floats, background_error: Floats, settings: Sounder
) -> Observations:
    """CLOUD: the lowest channels of a place where one of them is far from clear air.

    equivalent, background_error: (n,) H(x_b) and σ_b, NaN as 0.
    """
    o = observations
    rows = np.flatnonzero(o.used & np.isin(o.variable, list(_LOWEST)))
    if not settings.enabled or not rows.size:
        return o
    departure = (o.value - equivalent)[rows]
    size = np.abs(departure) / np.hypot(o.error, np.nan_to_num(background_error))[rows]
    own = o.take(rows)
    place = group([own.source, own.station, own.time, own.latitude, own.longitude])
    farthest = np.zeros(place.max() + 1)
    np.maximum.at(farthest, place, size)
    cloudy, largest = np.zeros(len(o), dtype=bool), np.zeros(len(o))
    cloudy[rows], largest[rows] = (farthest > settings.cloud)[place], farthest[place]
    return o.reject(
        cloudy,
        Flag.CLOUD,
        lambda i: f"cloud or rain: channels 5 and 6 depart by up to {largest[i]:.1f} times the expected",
    )
