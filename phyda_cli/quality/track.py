"""The checks of a platform's reports along time: the track, and an instrument that is stuck.

Track: a platform cannot be where its other reports do not let it be in time.

    v_ij = max(d_ij − δx, 0) / (|t_i − t_j| + δt),      report i rejected where  #(v_ij > v_max) / #(j) > ½

j runs over the nearest reports of the same platform before and after i; δx and δt are the rounding of positions and
times, v_max is that of the family of report types. The worst reports of a platform go first, and the others are then
judged without them. A name that more than a third of its reports would lose for is not one platform's (call signs such
as SHIP are shared): its reports are not judged. Source: the tests of UFO's Track Check, whose outcomes this one shares.

Stuck: an instrument that repeats one value has stopped measuring. A run is what a station reports of one variable, in
order of time, with one value throughout. It is rejected where

    (reports in the run > N)  and  (its length in time > T  or  the run is all that the station reports)

as by UFO's Stuck Check. Reports at one time count once, so the levels of a sounding are no run. Wind components of zero
are calm weather, not a fault.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.fields.variables import EASTWARD, NORTHWARD
from phyda_cli.grids.places import chord_distance, unit_vectors
from phyda_cli.observations.kinds import families, of_each
from phyda_cli.observations.settings import Selection, Stuck, Track
from phyda_cli.observations.table import Flag, Observations
from phyda_cli.quality.groups import group
from phyda_cli.quality.selection import select

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_SHARED: Final = frozenset({"", "ship", "plat", "rigg", "buoy", "maskstid", "xx999", "xxxx", "test"})
"""Names (lower case) under which reports are sent whose sender is not told."""
_LARGEST_PART: Final = 1 / 3
"""A platform that would lose more of its reports than this is no single platform."""


def check_track(observations: Observations, settings: Track) -> Observations:
    """TRACK: rows of reports that are too far from the platform's other reports for the time between."""
    o = observations
    limit = _speed_limit(o, settings)
    rows = np.flatnonzero(o.used & np.isfinite(limit) & _has_own_name(o))
    if not settings.enabled or rows.size == 0:
        return o
    table = o.take(rows)
    platform = group([families(table.report), table.station])
    report = group([platform, table.time, table.latitude, np.mod(table.longitude, 360.0)])
    _, first = np.unique(report, return_index=True)
    bad = _bad_reports(
        platform[first],
        table.time[first].astype(np.int64) / 1e9,
        unit_vectors(table.latitude[first], table.longitude[first]),
        limit[rows][first],
        settings,
    )
    mask = np.zeros(len(o), dtype=bool)
    mask[rows] = bad[report]
    return o.reject(
        mask,
        Flag.TRACK,
        lambda i: f"{o.station[i]} would have to move faster than {limit[i]:g} m/s to and from its other reports",
    )


def _has_own_name(observations: Observations) -> Mask:
    """(n,) whether the station's name is one platform's: not empty, shared by custom, or that of the report type."""
    own = of_each(observations.station, lambda name: name.casefold() not in _SHARED)
    return np.asarray(own & (observations.station != observations.report))


def _speed_limit(observations: Observations, settings: Track) -> Floats:
    """(n,) v_max of the report type, NaN for what does not move."""
    speed, untold = settings.speed, settings.default_speed
    return of_each(families(observations.report), lambda name: speed.get(name, np.nan if name else untold), np.float64)


def _bad_reports(platform: NDArray[np.int64], time: Floats, place: Floats, limit: Floats, settings: Track) -> Mask:
    """(m,) the reports to reject; they come sorted by platform and time. time [s], place: unit vectors (m, 3)."""
    bad = np.zeros(platform.size, dtype=bool)
    size = np.bincount(platform)
    suspected = np.ones(size.size, dtype=bool)
    while suspected.any():
        rows = np.flatnonzero(~bad & suspected[platform])
        part = _failed_part(platform[rows], time[rows], place[rows], limit[rows], settings)
        worst = np.zeros(size.size)
        np.maximum.at(worst, platform[rows], part)
        suspected = worst > settings.fraction
        bad[rows[(part == worst[platform[rows]]) & suspected[platform[rows]]]] = True
        shared = np.bincount(platform, bad, size.size) > _LARGEST_PART * size
        suspected &= ~shared
    return bad & ~shared[platform]


def _failed_part(platform: NDArray[np.int64], time: Floats, place: Floats, limit: Floats, settings: Track) -> Floats:
    """(m,) the part of each report's comparisons that fails; 0 without any."""
    failed, total = np.zeros(platform.size), np.zeros(platform.size)
    for step in range(1, min(settings.neighbours, platform.size - 1) + 1):
        same = platform[step:] == platform[:-step]
        way = np.maximum(chord_distance(place[step:], place[:-step]) - 1000.0 * settings.kilometres, 0.0)
        duration = np.abs(time[step:] - time[:-step]) + 60.0 * settings.minutes
        fails = same & (way > limit[step:] * duration)
        for side in (slice(step, None), slice(None, -step)):
            total[side] += same
            failed[side] += fails
    return np.asarray(failed / np.maximum(total, 1.0))


_WINDS: Final = EASTWARD + NORTHWARD
_HOUR: Final = 3.6e12


def check_stuck(observations: Observations, settings: Stuck) -> Observations:
    """TRACK: rows of a station that holds one value for too long."""
    o = observations
    judged = o.used & (o.station.astype(str) != "") & select(o, Selection(variable=settings.variable))
    rows = np.flatnonzero(judged)
    if not settings.enabled or rows.size <= settings.reports:
        return o
    table = o.take(rows)
    series = group([families(table.report), table.station, table.variable])
    time = table.time.astype(np.int64)
    order = np.lexsort((table.value, time, series))
    series, time, value = series[order], time[order], table.value[order]
    begins = np.append(True, (np.diff(series) != 0) | (np.diff(value) != 0))
    run = np.cumsum(begins) - 1
    start = np.flatnonzero(begins)
    end = np.append(start[1:], series.size) - 1
    reports = np.bincount(run, np.append(True, (np.diff(time) != 0) | begins[1:]))
    hours = (time[end] - time[start]) / _HOUR
    whole = np.bincount(series)[series[start]] == end - start + 1
    calm = np.isin(table.variable[order][start].astype(str), _WINDS) & (value[start] == 0.0)
    bad = (reports > settings.reports) & ((hours > settings.hours) | whole) & ~calm
    mask = np.zeros(len(o), dtype=bool)
    number = np.zeros(len(o), dtype=np.int64)
    mask[rows[order]] = bad[run]
    number[rows[order]] = reports[run].astype(np.int64)
    return o.reject(
        mask, Flag.TRACK, lambda i: f"{o.station[i]} repeats {o.variable[i]} {o.value[i]:g} in {number[i]} reports"
    )
