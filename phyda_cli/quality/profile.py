"""The checks of a sounding by itself: lapse rate and hydrostatic balance.

Superadiabatic: of two neighbouring levels l below u the upper is colder than dry adiabatic ascent makes it,

    T_u < T_l (p_u / p_l)^κ − max(τ, k s),      κ = R_d / c_p

Hydrostatic: the thickness between two levels with height and temperature is not that of the temperature between,

    |z_u − z_l − (R_d / g) Σ ½ (T_v,k + T_v,k+1) ln(p_k / p_k+1)| > max(ε_z + ε_T (R_d / g) ln(p_l / p_u), k s)

where s is the standard deviation that observation errors σ_o, independent of each other, give the left side: errors as
large as those assumed fail neither check. The sum is over all temperature levels between, and
T_v = T (1 + (R_v/R_d − 1) q) where q is reported. Of a level
between two layers that fail the height is at fault where the residuals have opposite signs, the temperature where they
have the same. A layer that fails alone condemns the heights at both its ends, and the temperatures unless their error
would have to be more than 30 K. Temperatures of superadiabatic layers take no part in the sums, and a layer with too
wide a gap between two temperatures is not judged.
Levels are those of one source, station and report type, in order of time and pressure; a gap of more than 15 minutes or
a way of more than 15 times the height begins another sounding: a sonde may drift, an aircraft in level flight is none.
Sources: Collins (2001), The operational complex quality control of radiosonde heights and temperatures; UFO's Profile
Consistency Checks.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from phyda_cli.constants import CP_DRY, GRAVITY, R_DRY, R_VAPOUR
from phyda_cli.fields.standard_atmosphere import standard_height
from phyda_cli.grids.places import distance
from phyda_cli.observations.settings import Profile
from phyda_cli.observations.table import Flag, Observations
from phyda_cli.quality.groups import group

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

_KAPPA: Final = R_DRY / CP_DRY
_LONGEST_GAP: Final = 15 * 60.0
_DRIFT: Final = 15.0
"""Most metres along for one metre up: a wind of 75 m/s on a sonde that rises with 5 m/s."""
_ROUNDING: Final = 1000.0
_LARGEST_STEP: Final = 0.7
"""Between two temperatures in ln p; farther apart, a straight line between them is no sounding (500 to 250 hPa)."""
_LARGEST_ERROR: Final = 30.0
"""Of a layer's mean temperature [K]; what is more is an error of height."""


class _Levels(NamedTuple):
    """The levels of all soundings, upward. row_level: level of each row (−1: none); chain: sounding; the rest (m,)."""

    row_level: Integers
    chain: Integers
    pressure: Floats
    t: Floats
    q: Floats
    height: Floats
    t_error: Floats
    height_error: Floats


def check_profile(observations: Observations, settings: Profile) -> Observations:
    """PROFILE: temperatures of superadiabatic layers; temperatures and heights that are not in hydrostatic balance."""
    if not settings.enabled:
        return observations
    o = observations
    levels = _levels(o)
    if levels.chain.size < 2:
        return o
    lapse, excess = _superadiabatic(levels, settings)
    sound = levels._replace(t=np.where(lapse, np.nan, levels.t))
    heights, temperatures, residual = _unbalanced(sound, settings)
    at = levels.row_level

    def rows(bad: Mask, variables: tuple[str, ...]) -> Mask:
        return np.asarray((at >= 0) & bad[at] & np.isin(o.variable.astype(str), variables))

    result = o.reject(
        rows(lapse, ("t",)),
        Flag.PROFILE,
        lambda i: f"temperature falls {excess[at[i]]:.1f} K more than dry adiabatically",
    )
    return result.reject(
        rows(heights, ("z",)) | rows(temperatures, ("t",)),
        Flag.PROFILE,
        lambda i: f"thickness and temperature of its sounding differ by {residual[at[i]]:.0f} m",
    )


def _levels(observations: Observations) -> _Levels:
    o = observations
    names = o.variable.astype(str)
    rows = np.flatnonzero(o.used & np.isin(names, ("t", "z", "q")) & np.isfinite(o.pressure))
    row_level = np.full(len(o), -1, dtype=np.int64)
    table = o.take(rows)
    longitude = np.mod(table.longitude, 360.0)
    place = group([table.latitude, longitude, table.time])
    nameless = table.station.astype(str) == ""
    platform = group([table.source, table.station, table.report, np.where(nameless, place, -1)])
    level = group([platform, table.time, place, -table.pressure])
    row_level[rows] = level
    size = int(level.max(initial=-1)) + 1

    def column(name: str) -> Floats:
        """Return the value at each level; NaN where there is none, or several that differ."""
        mine = names[rows] == name
        low, high = np.full(size, np.inf), np.full(size, -np.inf)
        np.minimum.at(low, level[mine], table.value[mine])
        np.maximum.at(high, level[mine], table.value[mine])
        return np.where(low == high, low, np.nan)

    def largest_error(name: str) -> Floats:
        """Return the largest σ_o at each level; 0 where none is assigned."""
        mine = names[rows] == name
        errors = np.zeros(size)
        np.maximum.at(errors, level[mine], np.nan_to_num(table.error[mine]))
        return errors

    _, first = np.unique(level, return_index=True)
    pressure, latitude, longitude = table.pressure[first], table.latitude[first], longitude[first]
    seconds = table.time[first].astype(np.int64) / 1e9
    rise = np.diff(standard_height(pressure))
    way = distance(latitude[1:], longitude[1:], latitude[:-1], longitude[:-1])
    joined = (np.diff(platform[first]) == 0) & (np.diff(pressure) < 0) & (np.diff(seconds) <= _LONGEST_GAP)
    joined &= (way == 0.0) | (way <= _DRIFT * rise + _ROUNDING)
    chain = np.append(0, np.cumsum(~joined)) if size else np.empty(0, dtype=np.int64)
    return _Levels(
        row_level, chain, pressure, column("t"), column("q"), column("z") / GRAVITY, largest_error("t"),
        largest_error("z") / GRAVITY,
    )  # fmt: skip


def _superadiabatic(levels: _Levels, settings: Profile) -> tuple[Mask, Floats]:
    """Levels (m,) of superadiabatic layers, and by how much."""
    at = np.flatnonzero(np.isfinite(levels.t))
    lower, upper = at[:-1], at[1:]
    cooling = (levels.pressure[upper] / levels.pressure[lower]) ** _KAPPA
    drop = levels.t[lower] * cooling - levels.t[upper]
    expected = np.hypot(levels.t_error[lower] * cooling, levels.t_error[upper])
    limit = np.maximum(settings.superadiabatic_k, settings.errors * expected)
    bad = (levels.chain[lower] == levels.chain[upper]) & (drop > limit)
    mask, excess = np.zeros(levels.t.size, dtype=bool), np.zeros(levels.t.size)
    for end in (lower, upper):
        mask[end[bad]] = True
        np.maximum.at(excess, end[bad], drop[bad])
    return mask, excess


def _unbalanced(levels: _Levels, settings: Profile) -> tuple[Mask, Mask, Floats]:
    """Levels (m,) with a height or a temperature at fault, and the thickness residual [m] that says so."""
    moisture = 1.0 + (R_VAPOUR / R_DRY - 1.0) * np.nan_to_num(levels.q)
    at = np.flatnonzero(np.isfinite(levels.t))
    virtual, log_pressure = (levels.t * moisture)[at], np.log(levels.pressure[at])
    layer = -R_DRY / GRAVITY * 0.5 * (virtual[1:] + virtual[:-1]) * np.diff(log_pressure)
    hydrostatic = np.append(0.0, np.cumsum(layer)) if at.size else np.empty(0)
    # A temperature enters the layers on both sides of it; between two heights the sum's variance is a difference.
    t_error = R_DRY / GRAVITY * (levels.t_error * moisture)[at]
    own = (0.5 * t_error[1:] * np.diff(log_pressure)) ** 2 + (0.5 * t_error[:-1] * np.diff(log_pressure)) ** 2
    shared = 0.5 * t_error[1:-1] ** 2 * np.diff(log_pressure)[1:] * np.diff(log_pressure)[:-1]
    variance = np.append(0.0, np.cumsum(own)) if at.size else np.empty(0)
    joint = np.append([0.0, 0.0], np.cumsum(shared)) if at.size > 1 else np.zeros(at.size)

    both = np.flatnonzero(np.isfinite(levels.height[at]))
    if both.size == 0:
        nothing = np.zeros(levels.t.size, dtype=bool)
        return nothing, nothing, np.zeros(levels.t.size)
    chain, height, sums, logs = levels.chain[at][both], levels.height[at][both], hydrostatic[both], log_pressure[both]
    residual = np.diff(height) - np.diff(sums)
    limit = settings.thickness_m - settings.thickness_k * R_DRY / GRAVITY * np.diff(logs)
    lower, upper = both[:-1], both[1:]
    within = joint[upper] - joint[np.minimum(lower + 1, joint.size - 1)]
    expected = levels.height_error[at][lower] ** 2 + levels.height_error[at][upper] ** 2
    expected += variance[upper] - variance[lower] + within
    limit = np.maximum(limit, settings.errors * np.sqrt(expected))
    far = np.append(0, np.cumsum(-np.diff(log_pressure) > _LARGEST_STEP))[both]
    bad = (np.diff(chain) == 0) & (np.diff(far) == 0) & (np.abs(residual) > limit)

    failed = np.where(bad, residual, 0.0)
    below, above = np.append(0.0, failed), np.append(failed, 0.0)
    inner = (below != 0) & (above != 0)
    alone = (failed != 0) & ~inner[:-1] & ~inner[1:]
    credible = alone & (np.abs(failed) <= -_LARGEST_ERROR * R_DRY / GRAVITY * np.diff(logs))
    ends, warm = (np.append(layers, False) | np.append(False, layers) for layers in (alone, credible))
    heights, temperatures, shown = (np.zeros(levels.t.size, dtype=kind) for kind in (bool, bool, np.float64))
    heights[at[both]] = ends | (inner & (below * above < 0))
    temperatures[at[both]] = warm | (inner & (below * above > 0))
    shown[at[both]] = np.where(below != 0, below, above)
    return heights, temperatures, shown
