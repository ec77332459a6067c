"""The checks of a sounding by itself: lapse rate and hydrostatic balance.

Superadiabatic: of two neighbouring levels l below u the upper is colder than dry adiabatic ascent makes it,

    T_u < T_l (p_u / p_l)^κ − τ,      κ = R_d / c_p

Hydrostatic: the thickness between two levels with height and temperature is not that of the temperature between,

    |z_u − z_l − (R_d / g) Σ ½ (T_v,k + T_v,k+1) ln(p_k / p_k+1)| > ε_z + ε_T (R_d / g) ln(p_l / p_u)

with the sum over all temperature levels between and T_v = T (1 + (R_v/R_d − 1) q) where q is reported. A level between
two layers that fail is at fault; a layer that fails alone condemns both its ends. What is at fault goes with its t and
z. Levels are those of one source, station and report type, in order of time and pressure; a gap of more than 15 minutes
or a way of more than 15 times the height begins another sounding: a sonde may drift, an aircraft in level flight is
none. Sources: Collins (2001), The operational complex quality control of radiosonde heights and temperatures; UFO's
Profile Consistency Checks.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from phyda_cli.fields.constants import CP_DRY, GRAVITY, R_DRY, R_VAPOUR
from phyda_cli.fields.standard_atmosphere import standard_height
from phyda_cli.observations.checks import reject_rows
from phyda_cli.observations.groups import group
from phyda_cli.observations.places import distance
from phyda_cli.observations.settings import Profile
from phyda_cli.observations.table import Flag, Observations

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

_KAPPA: Final = R_DRY / CP_DRY
_LONGEST_GAP: Final = 15 * 60.0
_DRIFT: Final = 15.0
"""Most metres along for one metre up: a wind of 75 m/s on a sonde that rises with 5 m/s."""
_ROUNDING: Final = 1000.0


class _Levels(NamedTuple):
    """The levels of all soundings, upward. row_level: level of each row (−1: none); chain: sounding; the rest (m,)."""

    row_level: Integers
    chain: Integers
    pressure: Floats
    t: Floats
    q: Floats
    height: Floats


def check_profile(observations: Observations, settings: Profile) -> Observations:
    """PROFILE: temperatures of superadiabatic layers; temperatures and heights that are not in hydrostatic balance."""
    if not settings.enabled:
        return observations
    o = observations
    levels = _levels(o)
    if levels.chain.size < 2:
        return o
    lapse, excess = _superadiabatic(levels, settings)
    balance, residual = _unbalanced(levels, settings)
    at = levels.row_level

    def rows(bad: Mask, variables: tuple[str, ...]) -> Mask:
        return np.asarray((at >= 0) & bad[at] & np.isin(o.variable.astype(str), variables))

    result = reject_rows(
        o,
        rows(balance, ("t", "z")),
        Flag.PROFILE,
        lambda i: f"thickness and temperature of its sounding differ by {residual[at[i]]:.0f} m",
    )
    return reject_rows(
        result,
        rows(lapse, ("t",)),
        Flag.PROFILE,
        lambda i: f"temperature falls {excess[at[i]]:.1f} K more than dry adiabatically",
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
        """The value at each level; NaN where there is none, or several that differ."""
        mine = names[rows] == name
        low, high = np.full(size, np.inf), np.full(size, -np.inf)
        np.minimum.at(low, level[mine], table.value[mine])
        np.maximum.at(high, level[mine], table.value[mine])
        return np.where(low == high, low, np.nan)

    _, first = np.unique(level, return_index=True)
    pressure, latitude, longitude = table.pressure[first], table.latitude[first], longitude[first]
    seconds = table.time[first].astype(np.int64) / 1e9
    rise = np.diff(standard_height(pressure))
    way = distance(latitude[1:], longitude[1:], latitude[:-1], longitude[:-1])
    joined = (np.diff(platform[first]) == 0) & (np.diff(pressure) < 0) & (np.diff(seconds) <= _LONGEST_GAP)
    joined &= (way == 0.0) | (way <= _DRIFT * rise + _ROUNDING)
    chain = np.append(0, np.cumsum(~joined)) if size else np.empty(0, dtype=np.int64)
    return _Levels(row_level, chain, pressure, column("t"), column("q"), column("z") / GRAVITY)


def _superadiabatic(levels: _Levels, settings: Profile) -> tuple[Mask, Floats]:
    """Levels (m,) of superadiabatic layers, and by how much."""
    at = np.flatnonzero(np.isfinite(levels.t))
    lower, upper = at[:-1], at[1:]
    adiabatic = levels.t[lower] * (levels.pressure[upper] / levels.pressure[lower]) ** _KAPPA
    drop = adiabatic - levels.t[upper]
    bad = (levels.chain[lower] == levels.chain[upper]) & (drop > settings.superadiabatic_k)
    mask, excess = np.zeros(levels.t.size, dtype=bool), np.zeros(levels.t.size)
    for end in (lower, upper):
        mask[end[bad]] = True
        np.maximum.at(excess, end[bad], drop[bad])
    return mask, excess


def _unbalanced(levels: _Levels, settings: Profile) -> tuple[Mask, Floats]:
    """Levels (m,) at fault, and the thickness residual [m] that says so."""
    moisture = 1.0 + (R_VAPOUR / R_DRY - 1.0) * np.nan_to_num(levels.q)
    at = np.flatnonzero(np.isfinite(levels.t))
    virtual, log_pressure = (levels.t * moisture)[at], np.log(levels.pressure[at])
    layer = -R_DRY / GRAVITY * 0.5 * (virtual[1:] + virtual[:-1]) * np.diff(log_pressure)
    hydrostatic = np.append(0.0, np.cumsum(layer)) if at.size else np.empty(0)

    both = np.flatnonzero(np.isfinite(levels.height[at]))
    chain, height, sums, logs = levels.chain[at][both], levels.height[at][both], hydrostatic[both], log_pressure[both]
    residual = np.diff(height) - np.diff(sums)
    limit = settings.thickness_m - settings.thickness_k * R_DRY / GRAVITY * np.diff(logs)
    bad = (np.diff(chain) == 0) & (np.abs(residual) > limit)

    below, above = np.append(False, bad), np.append(bad, False)
    inner = below & above
    alone = bad & ~inner[:-1] & ~inner[1:] if both.size else bad
    fault = inner.copy()
    fault[:-1] |= alone
    fault[1:] |= alone
    size = np.append(0.0, np.where(bad, residual, 0.0))
    size = np.where(np.abs(size) > 0, size, np.append(np.where(bad, residual, 0.0), 0.0))
    mask, shown = np.zeros(levels.t.size, dtype=bool), np.zeros(levels.t.size)
    mask[at[both]] = fault
    shown[at[both]] = size
    return mask, shown
