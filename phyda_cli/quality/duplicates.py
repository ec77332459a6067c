"""Duplicate observations: the same variable of the same station at the same place, pressure and time, given twice.

Two rows are duplicates when their latitudes and longitudes differ by at most 0.02° (positions are often rounded to one
hundredth), their pressures by at most 0.5 hPa and 0.2 % (high up the levels of a sounding are closer than 0.5 hPa),
their times by at most 30 minutes, their variables are equal, and one of these holds: their stations are equal; one has
no name and their times are within one minute; their values are equal but for rounding (5 % of σ_o), since one report
may come in two files, under the station's number and under its call sign.
Of duplicates the better one stays: smaller error first, then closer in time to the analysis, then by the row's own
content. Rows are kept in that order unless one kept before is a duplicate of them; so the result does not depend on the
order of the rows.

Where windows of cycles overlap, the same report arrives twice (`check_history`). Two rows are the same observation when
variable, station, place, pressure and time are, rounded to 10⁻⁴ degree, 1 Pa and 1 s; a corrected value is no second
observation. Its key is a 64-bit digest of these: among a million keys and a million observations the chance of one
false match is 5·10⁻⁸.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.observations.settings import Duplicates
from phyda_cli.observations.table import Flag, Observations
from phyda_cli.quality.crowded_duplicates import Rows, Tolerances, greedy
from phyda_cli.quality.groups import codes, ranked

Integers = NDArray[np.int64]

DUPLICATE: Final = "duplicate"
"""How the reasons of this check begin."""
_SAME_VALUE: Final = 0.05
_SAME_PRESSURE: Final = 0.002
_SAME_TIME: Final = np.timedelta64(1, "m")
_ROUNDING: Final = 1e-9
_LONGEST: Final = 24
"""Rows near in pressure and time that each is compared with; a place with more is crowded."""
_DEFAULT: Final = Duplicates()


def check_duplicates(observations: Observations, time: np.datetime64, settings: Duplicates = _DEFAULT) -> Observations:
    """THINNED: rows that repeat a better one; the reason names the row that stays."""
    rows = np.flatnonzero(observations.used)
    if rows.size < 2 or not settings.enabled:
        return observations
    table = observations.take(rows)
    preference = _preference(table, time)
    first, second, crowded = _pairs(table, settings)
    better = _resolve(first, second, preference)
    if crowded.size:
        own = greedy(_compared(table.take(crowded), preference[crowded]), _tolerances(settings))
        better[crowded] = np.where(own >= 0, crowded[own], -1)
    mask = np.zeros(len(observations), dtype=bool)
    mask[rows[better >= 0]] = True
    kept = np.full(len(observations), -1, dtype=np.int64)
    kept[rows] = np.where(better >= 0, rows[better], -1)
    o = observations

    def describe(i: int) -> str:
        source = o.sources[int(o.source[kept[i]])] if len(o.sources) > 1 else ""
        return f"{DUPLICATE} of row {o.row[kept[i]]}" + (f" of {source}" if source else "")

    return o.reject(mask, Flag.THINNED, describe)


def _preference(table: Observations, time: np.datetime64) -> Integers:
    """Return the rank of each row, 0 the best; rows of equal content are interchangeable."""
    away = np.abs(table.time - time.astype("datetime64[ns]")).astype(np.int64)
    return ranked((
        np.nan_to_num(table.error, nan=np.inf), away, table.station.astype(str) == "", table.value,
        np.nan_to_num(table.pressure, nan=-1.0), table.time.astype(np.int64), table.latitude, table.longitude,
        codes(table.station), codes(table.report), np.nan_to_num(table.elevation, nan=-1e9), table.source, table.row,
    ))  # fmt: skip


def _compared(table: Observations, preference: Integers) -> Rows:
    return Rows(
        variable=codes(_seen(table)), station=codes(table.station), named=table.station.astype(str) != "",
        latitude=table.latitude, longitude=np.mod(table.longitude, 360.0),
        pressure=np.nan_to_num(table.pressure, nan=-1.0), time=table.time.astype("datetime64[ns]").astype(np.int64),
        value=table.value, error=np.nan_to_num(table.error), rank=preference,
    )  # fmt: skip


def _seen(table: Observations) -> NDArray[np.object_]:
    """(n,) variables, of a layer with its top: two layers with one lower end are no duplicates."""
    layer = np.isfinite(table.top)
    result = table.variable.copy()
    result[layer] = [f"{name} {top:.0f}" for name, top in zip(table.variable[layer], table.top[layer], strict=True)]
    return result


def _tolerances(settings: Duplicates) -> Tolerances:
    return Tolerances(
        degrees=settings.degrees, pressure=100.0 * settings.hpa, pressure_part=_SAME_PRESSURE,
        time=round(60e9 * settings.minutes), unnamed_time=int(_SAME_TIME / np.timedelta64(1, "ns")),
        value_part=_SAME_VALUE, rounding=_ROUNDING,
    )  # fmt: skip


def _pairs(table: Observations, settings: Duplicates) -> tuple[Integers, Integers, Integers]:
    """Return all pairs of duplicates, but for those among crowded rows; and these.

    Places are sorted into cells of twice the tolerance, in four layouts shifted by half a cell, so that any two rows
    within the tolerance share a cell in at least one. Within a cell and variable rows are ordered by pressure and time
    and compared with the next, the next but one and so on, until none of them is near enough in pressure or, at the
    same pressure, in time. Rows that still have company after `_LONGEST` steps are crowded, and so are all that share
    a cell with a crowded row in any layout: no pair joins a crowded row and another one.
    """
    variable, station, named, latitude, longitude, pressure, _, value, error, _ = _compared(
        table, np.arange(len(table))
    )
    reach = np.timedelta64(round(60e9 * settings.minutes), "ns")
    around = max(1, int(180.0 / settings.degrees))
    cell = 360.0 / around
    found: list[Integers] = []
    layouts: list[Integers] = []
    crowded = np.zeros(len(table), dtype=bool)
    for south, west in product((0.0, 0.5), repeat=2):
        row = np.floor((latitude + 90.0) / cell + south).astype(np.int64)
        column = np.mod(np.floor(longitude / cell + west).astype(np.int64), around)
        bucket = (row * around + column) * (int(variable.max()) + 1) + variable
        layouts.append(bucket)
        order = np.lexsort((table.time.astype(np.int64), pressure, bucket))
        bucket, sorted_pressure, sorted_time = bucket[order], pressure[order], table.time[order]
        for step in range(1, order.size):
            deeper = sorted_pressure[step:] - sorted_pressure[:-step]
            near = (bucket[step:] == bucket[:-step]) & (deeper <= 100.0 * settings.hpa + _ROUNDING)
            near &= (deeper > 0.0) | (sorted_time[step:] - sorted_time[:-step] <= reach)
            if not near.any():
                break
            first, second = order[:-step][near], order[step:][near]
            if step > _LONGEST:
                crowded[first] = True
                crowded[second] = True
                break
            gap = np.abs(longitude[first] - longitude[second])
            apart = np.abs(table.time[first] - table.time[second])
            same = (
                (np.abs(latitude[first] - latitude[second]) <= settings.degrees + _ROUNDING)
                & (np.minimum(gap, 360.0 - gap) <= settings.degrees + _ROUNDING)
                & (apart <= reach)
                & (np.abs(pressure[first] - pressure[second]) <= _SAME_PRESSURE * np.abs(pressure[first]) + _ROUNDING)
                & (
                    (station[first] == station[second])
                    | ((~named[first] | ~named[second]) & (apart <= _SAME_TIME))
                    | (np.abs(value[first] - value[second]) <= _SAME_VALUE * np.minimum(error[first], error[second]))
                )
            )
            found.append(np.stack([first[same], second[same]]))
    pairs = np.concatenate(found, axis=1) if found else np.empty((2, 0), dtype=np.int64)
    crowded = _with_neighbours(crowded, layouts)
    apart_from_crowds = ~crowded[pairs[0]]
    return pairs[0][apart_from_crowds], pairs[1][apart_from_crowds], np.flatnonzero(crowded)


def _with_neighbours(mask: NDArray[np.bool_], layouts: list[Integers]) -> NDArray[np.bool_]:
    """Return the rows of a mask, and all that are joined to them by shared cells in any of the layouts."""
    while mask.any():
        wider = mask
        for bucket in layouts:
            wider = wider | np.isin(bucket, np.unique(bucket[wider]))
        if np.array_equal(wider, mask):
            break
        mask = wider
    return mask


def _resolve(first: Integers, second: Integers, preference: Integers) -> Integers:
    """For each row the kept row that it repeats, or −1 where it is kept itself.

    The same as going through the rows from the best on: in each round, rows that no undecided better row repeats stay,
    and their duplicates go.
    """
    n = preference.size
    by_rank = np.argsort(preference)
    swap = preference[first] > preference[second]
    best, worse = np.where(swap, second, first), np.where(swap, first, second)
    better = np.full(n, -1, dtype=np.int64)
    while best.size:
        challenged = np.zeros(n, dtype=bool)
        challenged[worse] = True
        winner = ~challenged[best]
        rank = np.full(n, n, dtype=np.int64)
        np.minimum.at(rank, worse[winner], preference[best[winner]])
        lost = rank < n
        better[lost] = by_rank[rank[lost]]
        open_pairs = ~lost[best] & ~lost[worse]
        best, worse = best[open_pairs], worse[open_pairs]
    return better


def keys(observations: Observations) -> NDArray[np.str_]:
    """(n,) keys of 16 hexadecimal digits, independent of the order of the rows and of the file's format."""
    o = observations
    latitude, longitude = np.round(o.latitude, 4) + 0.0, np.mod(np.round(o.longitude, 4), 360.0)  # + 0: no minus zero
    pressure = np.round(o.pressure)
    # to the nearest second; NaT stays what it is
    seconds = (o.time + np.timedelta64(500, "ms")).astype("datetime64[s]").astype(np.int64)
    columns = zip(_seen(o), o.station, latitude, longitude, pressure, seconds, strict=True)
    found = [
        blake2b(f"{name}|{station}|{lat:.4f}|{lon:.4f}|{p:.0f}|{time}".encode(), digest_size=8).hexdigest()
        for name, station, lat, lon, p, time in columns
    ]
    return np.array(found, dtype="U16")


def was_used(observations: Observations) -> NDArray[np.bool_]:
    """(n,) the rows that an analysis has heard: those used, what a superob stands for, what a used row repeats."""
    o = observations
    again = (o.flag == Flag.THINNED) & o.reason_begins(DUPLICATE)
    return np.asarray(o.used | (o.flag == Flag.SUPEROB) | again, dtype=bool)


def check_history(observations: Observations, earlier: Mapping[np.datetime64, NDArray[np.str_]]) -> Observations:
    """HISTORY: rows that a cycle has used, `earlier` being the keys of each by its valid time (UTC)."""
    own = keys(observations)
    for time, used in sorted(earlier.items()):
        label = np.datetime_as_string(time, unit="m")
        observations = observations.reject(np.isin(own, used), Flag.HISTORY, f"used by the analysis of {label}Z")
    return observations
