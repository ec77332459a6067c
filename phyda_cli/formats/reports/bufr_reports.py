"""WMO BUFR reports as observations: what each data category holds, by element descriptors.

    0, 1  surface    t2m, d2m, msl, sp, u10, v10
    2     sounding   gh or z, t, td, wind at each level; place and time of the level where it drifts
    4     aircraft   t, td or r or q, wind; a flight level or height is a pressure by the standard atmosphere
    3     occultation  refractivity at its height (`bufr_occultation.py`)
    5     satellite  wind at its pressure (the first of each: alternatives and components follow)

Td becomes q, speed and direction become u and v as in every format. Quality values and substituted values that a report
carries about itself (operators 222000 to 232000) are not used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.constants import GRAVITY
from phyda_cli.errors import BadDataError
from phyda_cli.fields.standard_atmosphere import standard_pressure
from phyda_cli.fields.variables import QUANTITIES, Variable
from phyda_cli.formats.reports.bufr_decode import ASIDE, Elements, decode, quiet
from phyda_cli.formats.reports.bufr_messages import Message
from phyda_cli.formats.reports.bufr_occultation import (
    CONFIDENCE,
    HEIGHT,
    QUALITY,
    TRANSMITTER,
    condemned,
    occultation_levels,
)
from phyda_cli.formats.reports.build import Reports
from phyda_cli.formats.reports.cells import Floats, Texts
from phyda_cli.formats.reports.level_rows import Levels, Quantity, first_values, observations_from_levels, quantity
from phyda_cli.observations.table import Flag

_SURFACE: Final = (0, 1)
_SOUNDING: Final = 2
_OCCULTATION: Final = 3
_AIRCRAFT: Final = 4
_SATELLITE: Final = 5
_READ: Final = (*_SURFACE, _SOUNDING, _OCCULTATION, _AIRCRAFT, _SATELLITE)
_NAMES: Final = {0: "synop", 1: "ship", 2: "sonde", 3: "gnssro", 4: "aircraft", 5: "satwind"}

_TIME: Final = (4001, 4002, 4003, 4004, 4005, 4006)
_LATITUDE: Final = (5001, 5002)
_LONGITUDE: Final = (6001, 6002)
_SHIFTS: Final = (4086, 5015, 6015)
"""Time [s], latitude and longitude of a level, from the launch."""
_ELEVATION: Final = (7030, 7001)
_BAROMETER: Final = (7031,)
_PRESSURE: Final = (7004,)
_FLIGHT_LEVEL: Final = (7010, 10070, 7002, 7007)
_DECIMALS: Final = 6
"""Of a place [degree]: one more than BUFR holds, so that the South Pole is not beyond −90 by rounding."""
_STATION: Final = tuple(1000 + entry for entry in (1, 2, 5, 7, 87, 125, 126, 127))
"""Class 1: the numbers by which a report names its station."""
_BLOCK, _NUMBER, _BUOY, _SATELLITE_ID, _BUOY_7, _SERIES, _ISSUER, _ISSUE = _STATION
_AERODROME: Final = 1063
_STATION_TEXT: Final = (1011, _AERODROME, 1008, 1006, 1128, 1015, 1110, 1019)
"""In the order in which they name a station that has no number."""
_WIND_10M: Final = {"wind_direction": 11011, "wind_speed": 11012}
"""The wind of a surface report; some give it by the elements of the wind aloft."""
_STATION_PRESSURE: Final = 10004
_N: Final = "refractivity"
_DELAY: Final = 15031
_RAY_ELEVATION: Final = 7021
_ZENITH: Final = 0.5
"""How far [degree] from 90° a ray is still that to the zenith."""
_MIXING_RATIO: Final = 13002


def bufr_elements(rows: Iterable[Variable]) -> dict[str, tuple[int, ...]]:
    """Element descriptors of each quantity that has any, the best first."""
    return {row.name: row.bufr for row in rows if row.bufr}


_ELEMENTS: Final = bufr_elements(QUANTITIES.values())
_MEASURED: Final = tuple({*(d for row in _ELEMENTS.values() for d in row), *_WIND_10M.values(), _MIXING_RATIO})
_PLACE: Final = (
    *_TIME, *_LATITUDE, *_LONGITUDE, *_SHIFTS, *_ELEVATION, *_BAROMETER, *_PRESSURE, *_FLIGHT_LEVEL, *_STATION,
    _AERODROME, TRANSMITTER, QUALITY, CONFIDENCE,
)  # fmt: skip
_WANTED: Final = np.array(sorted({*_MEASURED, *_PLACE}), np.int64)


class _Table:
    """Levels with the first value of each element: of the level itself, or for place and time of its report's head."""

    def __init__(self, values: Floats, head: Floats) -> None:
        self._values, self._head = values, head

    def own(self, *descriptors: int) -> Floats:
        """(n,) the first of these elements that the level itself has."""
        return self._first(self._values, descriptors)

    def near(self, *descriptors: int) -> Floats:
        """(n,) the same, or else of the head of its report."""
        own = self._first(self._values, descriptors)
        return np.where(np.isfinite(own), own, self._first(self._head, descriptors))

    def head(self, *descriptors: int) -> Floats:
        """(n,) the first of these elements that the head of the report has."""
        return self._first(self._head, descriptors)

    @staticmethod
    def _first(values: Floats, descriptors: tuple[int, ...]) -> Floats:
        result = np.full(values.shape[0], np.nan)
        for descriptor in descriptors:
            column = values[:, np.searchsorted(_WANTED, descriptor)]
            result = np.where(np.isfinite(result), result, column)
        return result


def read_reports(messages: list[Message | str], label: str) -> tuple[Reports, Counter[str]]:
    """Return the observations of a file of WMO messages, and how often each reason made a message unreadable.

    messages: in order; a text stands for a message that cannot be read and says why.
    """
    pieces: list[Elements] = []
    first: list[int] = []
    category: list[int] = []
    lost: dict[int, str] = {}
    why: Counter[str] = Counter()
    with quiet():
        for message in messages:
            reason, where = (message, "") if isinstance(message, str) else ("", _where(message))
            if isinstance(message, Message):
                try:
                    pieces.append(_decode(message))
                except BadDataError as error:
                    reason = str(error)
                else:
                    first.append(len(category))
                    category += [message.category] * message.subsets
                    continue
            why[reason] += 1
            lost[len(category)] = where + reason
            category.append(-1)
    levels, quantities = _observed(*_levels(pieces, first, np.array(category, np.int64)), lost)
    return observations_from_levels(levels, quantities, label), why


def _where(message: Message) -> str:
    return f"message {message.number} at byte {message.offset}: "


def _decode(message: Message) -> Elements:
    if message.category not in _READ:
        raise BadDataError(f"data category {message.category} is not read")
    elements = zenith_alone(decode(message))
    return occultation_levels(elements) if message.category == _OCCULTATION else elements


def zenith_alone(elements: Elements) -> Elements:
    """Return the elements without path delays along slant rays: those whose elevation, just before, is not 90°."""
    delay = elements.descriptor == _DELAY
    if not delay.any():
        return elements
    before, angle = np.roll(elements.descriptor, 1), np.roll(elements.value, 1)
    slant = delay & ((before != _RAY_ELEVATION) | ~(np.abs(angle - 90.0) <= _ZENITH))
    kept = ~slant
    columns = (elements.descriptor[kept], elements.value[kept], elements.report[kept], elements.level[kept])
    return Elements(*columns, elements.texts)


def _levels(
    pieces: list[Elements], first: list[int], category: NDArray[np.int64]
) -> tuple[_Table, NDArray[np.int64], NDArray[np.int64], Texts]:
    """Return the table of all levels, the report and category of each, and the stations of the reports."""
    stations = np.full(category.size, "", object)
    columns: list[list[NDArray[Any]]] = [[], [], [], []]
    for piece, start in zip(pieces, first, strict=True):
        _name(stations, piece, start)
        place = np.minimum(np.searchsorted(_WANTED, piece.descriptor), _WANTED.size - 1)
        kept = np.flatnonzero((_WANTED[place] == piece.descriptor) & (piece.level != ASIDE))
        for column, part in zip(
            columns, (place[kept], piece.value[kept], piece.report[kept] + start, piece.level[kept]), strict=True
        ):
            column.append(part)
    element, value, report, level = (np.concatenate(c) if c else np.empty(0, np.int64) for c in columns)
    size = int(level.max(initial=0)) + 1
    key = report * size + level
    measured = np.isin(_WANTED[element], _MEASURED)
    # A level is one that measures something; a report without any keeps its head as its only row.
    with_levels = np.unique(key[measured])
    without = np.setdiff1d(np.arange(category.size), with_levels // size) * size
    rows = np.sort(np.concatenate([with_levels, without]))
    at = np.minimum(np.searchsorted(rows, key), rows.size - 1)
    inside = rows[at] == key if rows.size else np.zeros(0, bool)
    values = first_values(at[inside], element[inside], value[inside], (rows.size, _WANTED.size))
    on_head = level == 0
    head = first_values(report[on_head], element[on_head], value[on_head], (category.size, _WANTED.size))
    of_row = rows // size
    return _Table(values, head[of_row]), of_row, category[of_row], _with_numbers(stations, _Table(head, head))[of_row]


def _name(stations: Texts, piece: Elements, start: int) -> None:
    """Put the texts that name the stations of a message to its reports."""
    if not piece.texts:
        return
    for descriptor in reversed(_STATION_TEXT):
        for at in np.flatnonzero((piece.descriptor == descriptor) & np.isfinite(piece.value))[::-1]:
            # ecCodes gives a text as 1000 times its number from 1 plus its length.
            index = int(piece.value[at]) // 1000 - 1
            text = piece.texts[index].strip() if 0 <= index < len(piece.texts) else ""
            if text.isprintable() and text:
                stations[start + piece.report[at]] = text


def _with_numbers(stations: Texts, head: _Table) -> Texts:
    """WMO, buoy and satellite numbers in the place of texts where a report has one."""
    result = stations.copy()
    block, number = head.own(_BLOCK), head.own(_NUMBER)
    wmo = np.isfinite(block) & np.isfinite(number)
    for kind in (_SATELLITE_ID, _BUOY, _BUOY_7):
        given = head.own(kind)
        for at in np.flatnonzero(np.isfinite(given) & (result == "")):
            result[at] = str(int(given[at]))
    for at in np.flatnonzero(wmo):
        result[at] = f"{int(block[at]):02d}{int(number[at]):03d}"
    series, issuer, issue = (head.own(entry) for entry in (_SERIES, _ISSUER, _ISSUE))
    for at in np.flatnonzero(np.isfinite(series + issuer + issue) & ~wmo & (stations != "")):
        result[at] = f"{int(series[at])}-{int(issuer[at])}-{int(issue[at])}-{stations[at]}"
    return result


def _observed(
    t: _Table, report: NDArray[np.int64], category: NDArray[np.int64], station: Texts, lost: dict[int, str]
) -> tuple[Levels, list[Quantity]]:
    """Return place, time and quantities [SI] of the levels."""
    surface, aircraft = np.isin(category, _SURFACE), category == _AIRCRAFT
    upper = np.isin(category, (_SOUNDING, _AIRCRAFT, _SATELLITE))
    sounding, satellite, occultation = (category == kind for kind in (_SOUNDING, _SATELLITE, _OCCULTATION))
    pressure = np.where(sounding | aircraft | satellite, t.near(*_PRESSURE), np.nan)
    pressure = np.where(sounding & np.isnan(pressure), t.own(_STATION_PRESSURE), pressure)
    pressure = np.where(aircraft & np.isnan(pressure), standard_pressure(t.near(*_FLIGHT_LEVEL)), pressure)
    shift = {d: np.nan_to_num(t.own(d)) for d in _SHIFTS}
    mass = upper & ~satellite

    values = {name: t.own(*descriptors) for name, descriptors in _ELEMENTS.items()}
    mixing_ratio = t.own(_MIXING_RATIO)
    values["q"] = np.where(np.isfinite(values["q"]), values["q"], mixing_ratio / (1.0 + mixing_ratio))
    values["r"] = 0.01 * values["r"]
    # A height is the same measurement as the geopotential
    values["z"] = np.where(np.isfinite(values["gh"]), GRAVITY * values.pop("gh"), values["z"])
    for name, aloft in (("t2m", "t"), ("d2m", "td")):
        values[name] = t.own(*_ELEMENTS[name], *_ELEMENTS[aloft])
    for name, near_surface in _WIND_10M.items():
        values[name] = np.where(surface, t.own(near_surface, *_ELEMENTS[name]), values[name])
    where = {"t": mass, "td": mass, "q": mass, "r": mass & ~sounding, "z": sounding, "t2m": surface, "d2m": surface}
    where |= dict.fromkeys(_WIND_10M, upper | surface)
    where[_N] = occultation
    where |= {n: upper if QUANTITIES[n].pressure_level else surface for n in values if n not in where}
    quantities = [quantity(name, np.where(rows, values[name], np.nan)) for name, rows in where.items() if name != _N]
    quantities.append(_refractivity(t, np.where(occultation, values[_N], np.nan)))
    names = np.full(category.size, "", object)
    for kind, name in _NAMES.items():
        names[category == kind] = name
    names[(category == 0) & np.isfinite(t.near(_AERODROME)) & np.isnan(t.near(_BLOCK))] = "metar"
    levels = Levels(
        latitude=np.round(t.near(*_LATITUDE) + shift[5015], _DECIMALS),
        longitude=np.round(t.near(*_LONGITUDE) + shift[6015], _DECIMALS),
        pressure=pressure,
        elevation=np.where(surface, t.near(*_BAROMETER, *_ELEVATION), t.near(*_ELEVATION)),
        time=_times(t) + np.round(shift[4086]).astype("timedelta64[s]"),
        station=_with_transmitter(station, t, occultation),
        report=names,
        height=np.where(occultation, t.own(HEIGHT), np.nan),
        lost={int(index): lost[int(report[index])] for index in np.flatnonzero(np.isin(report, list(lost)))},
    )
    return levels, quantities


def _refractivity(t: _Table, value: Floats) -> Quantity:
    """Return refractivity (n,) with the verdicts of its profile and level."""
    result = quantity(_N, value)
    of_profile = np.stack([t.head(QUALITY), t.head(CONFIDENCE)], axis=1)
    marks, which = np.unique(of_profile, axis=0, return_inverse=True, equal_nan=True)
    reasons = np.array([condemned(*mark) for mark in marks.tolist()], dtype=object)[which.ravel()]
    reasons[(reasons == "") & (t.own(CONFIDENCE) == 0)] = "no confidence in the level (0 %)"
    unnamed = np.isnan(t.head(_SATELLITE_ID))
    reasons[(reasons == "") & unnamed] = "no satellite identifier"
    bad = np.isfinite(value) & (reasons != "")
    return replace(
        result, flag=np.where(bad, Flag.PRE_QC, Flag.PASS).astype(np.int16), reason=np.where(bad, reasons, "")
    )


def _with_transmitter(station: Texts, t: _Table, occultation: NDArray[np.bool_]) -> Texts:
    """Return the stations, those of occultations as receiver-transmitter."""
    number, result = t.head(TRANSMITTER), station.copy()
    for at in np.flatnonzero(occultation & np.isfinite(number)):
        result[at] = f"{station[at]}-{int(number[at])}"
    return result


def _times(t: _Table) -> NDArray[np.datetime64]:
    """Return times of the levels; NaT without a whole date and hour, or for no day of the calendar.

    Minute and second count as 0 where they are missing.
    """
    year, month, day, hour, minute, second = (t.near(entry) for entry in _TIME)
    whole = (year >= 1678) & (year < 2262) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31) & (hour < 25)
    filled = [np.where(whole, part, 1.0).astype(np.int64) for part in (year, month, day, hour)]
    months = (12 * (filled[0] - 1970) + filled[1] - 1).astype("datetime64[M]")
    date = months.astype("datetime64[D]") + (filled[2] - 1).astype("timedelta64[D]")
    whole &= date.astype("datetime64[M]") == months  # 31 February is no day
    seconds = 3600 * filled[3] + np.nan_to_num(60.0 * minute) + np.nan_to_num(second)
    time = date.astype("datetime64[s]") + seconds.astype("timedelta64[s]")
    return np.asarray(np.where(whole, time, np.datetime64("NaT", "s")))
