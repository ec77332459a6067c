"""The checks of radio occultations: relative departures that no weather explains, and super-refraction.

    |y − H(x_b)| > k L(z, φ) H(x_b)         L = 3 % (1.5 + cos φ)  from 11 km on,  8 % + 16 % cos φ  up to 4 km,
                                            linear between them: those of GSI without their dependence on temperature
    −dN/dz ≥ k × 157 km⁻¹  below 5 km       of the profile as observed, or of the background at its heights

Where the gradient is critical a ray has the curvature of the earth; what a receiver sees from that level down is not
what the refractivity there makes of it, and retrievals are too small (Xie et al. 2006). So the level goes with all that
are below it. The levels of a profile are those of one receiver and transmitter in one file, with less than `_PAUSE`
between them.
Source: UFO (BackgroundCheckROGSI.cc), after Cucurull et al. (2013); its super-refraction checks ask for 0.75.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.observations.settings import Refractivity
from phyda_cli.observations.table import Flag, Observations
from phyda_cli.quality.groups import group

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_NAME: Final = "refractivity"
_ALOFT, _LOW = 11_000.0, 4_000.0
"""Heights [m] between which L changes."""
_CRITICAL: Final = 0.157
"""10⁶/a: −dN/dz [m-1] at which the curvature of rays is that of the earth."""
_HIGHEST: Final = 5_000.0
"""No air higher up [m] is moist enough for such gradients."""
_STEP: Final = (10.0, 1_000.0)
"""Differences of heights [m] that make a gradient: nearer levels are noise, farther ones span a gap."""
_PAUSE: Final = np.timedelta64(10, "m")
"""Occultations of the same satellites are hours apart, each takes two minutes."""


def relative_limit(height: Floats, latitude: Floats) -> Floats:
    """L (n,) [1] at heights (n,) [m] and latitudes (n,) [degree]."""
    cosine = np.cos(np.radians(latitude))
    aloft, low = 0.03 * (1.5 + cosine), 0.08 + 0.16 * cosine
    share = np.clip((height - _LOW) / (_ALOFT - _LOW), 0.0, 1.0)
    return np.asarray(low + share * (aloft - low))


def check_occultations(observations: Observations, equivalent: Floats, settings: Refractivity) -> Observations:
    """FIRST_GUESS: relative departures; SUPER_REFRACTION: gradients. equivalent: (n,) H(x_b)."""
    o = observations
    rows = o.used & (o.variable == _NAME)
    if not settings.enabled or not rows.any():
        return o
    below = np.zeros(len(o), dtype=bool)
    judged = np.flatnonzero(rows)
    below[judged] = super_refracted(o.take(judged), equivalent[judged], settings.gradient * _CRITICAL)
    result = o.reject(below, Flag.SUPER_REFRACTION, "at or below a level of super-refraction")
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = o.value / equivalent - 1.0
    limit = settings.departure * relative_limit(o.height, o.latitude)
    return result.reject(
        rows & (np.abs(relative) > limit),
        Flag.FIRST_GUESS,
        lambda i: f"departure of {100 * relative[i]:+.1f} % exceeds {100 * limit[i]:.1f} % of the background",
    )


def super_refracted(observations: Observations, equivalent: Floats, critical: float) -> NDArray[np.bool_]:
    """(n,) whether a level is at or below one where N falls by `critical` [m-1] or more, as observed or in H(x_b)."""
    o, profile = observations, profiles(observations)
    order = np.lexsort((-o.height, profile))  # each profile from its top down
    height, same = o.height[order], np.diff(profile[order]) == 0
    step = -np.diff(height)
    result = np.zeros(len(o), dtype=bool)
    for values in (o.value, equivalent):
        with np.errstate(divide="ignore", invalid="ignore"):
            fall = np.diff(values[order]) / step
        usable = same & (step >= _STEP[0]) & (step <= _STEP[1]) & (height[:-1] <= _HIGHEST)
        steep = np.append(False, usable & (fall >= critical))  # the lower end of a step
        count = np.cumsum(steep)
        first = np.append(True, ~same)
        before = np.maximum.accumulate(np.where(first, count - steep, 0))
        result[order] |= count > before
    return result


def profiles(observations: Observations) -> Integers:
    """(n,) the number of the occultation that each level belongs to."""
    o = observations
    pair = group([o.source, o.station, o.report])
    order = np.lexsort((o.time.astype(np.int64), pair))
    later = np.diff(o.time[order]) > _PAUSE
    begins = np.append(True, (np.diff(pair[order]) != 0) | later)
    result = np.empty(len(o), dtype=np.int64)
    result[order] = np.cumsum(begins) - 1
    return result
