"""The stuck check: an instrument that repeats one value has stopped measuring.

A run is what a station reports of one variable, in order of time, with one value throughout. It is rejected where

    (reports in the run > N)  and  (its length in time > T  or  the run is all that the station reports)

as by UFO's Stuck Check. Reports at one time count once, so the levels of a sounding are no run. Wind components of zero
are calm weather, not a fault.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from phyda_cli.observations.kinds import families
from phyda_cli.observations.settings import Selection, Stuck
from phyda_cli.observations.table import Flag, Observations
from phyda_cli.quality.groups import group
from phyda_cli.quality.selection import select

_WINDS: Final = ("u", "v", "u10", "v10")
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
