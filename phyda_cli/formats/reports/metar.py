"""METAR and SPECI reports as they are sent or archived: bulletins, plain lists of reports, hourly cycle files.

Read are the wind, temperature and dew point (in tenths where the remarks give them: T00221006, and agree with the
report), the sea-level pressure of the remarks (SLP158: 1015.8 hPa) and the altimeter setting (Q1016: 1016 hPa, rounded
down; A2992: 29.92 inches of mercury), which becomes the pressure at the station. A report gives the day of the month
alone: the month is the one that lies nearest to the analysis, or to the date line above the report where there is one
(`2020/01/01 11:51`, as in the cycle files of the US National Weather Service). It gives no place: that is a matter of a
table of stations (`stations.py`).

Forecasts inside a report (TEMPO, BECMG, …) are not read. A corrected report (COR, CCA, CCB, …, in the report or in the
heading of its bulletin) replaces the report of the same station and time whole. Of equal rank the fullest one counts,
since many are sent again without their remarks, and of equally full ones the last.
Source: WMO-No. 306, FM 15 and FM 16; WMO-No. 386 for headings; FMH-1 (1995) for the remarks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from phyda_cli.constants import INCH_OF_MERCURY, KNOT
from phyda_cli.errors import BadDataError
from phyda_cli.formats.reports.build import Given, Reports
from phyda_cli.formats.reports.entries import observations_from_table
from phyda_cli.formats.reports.stations import fill_places
from phyda_cli.observations.table import Flag

_BEGINNING: Final = re.compile(
    r"^[ \t]*(?:(?:METAR|SPECI)\b|(?:COR[ \t]+)?[A-Z][A-Z0-9]{3}[ \t]+\d{6}Z\b)", re.MULTILINE
)
_REPORT: Final = re.compile(
    r"(?P<kind>TAF(?:\s+(?:AMD|COR))?\s+)?(?P<before>\bCOR\s+)?"
    r"(?<![A-Z0-9/])(?P<station>[A-Z][A-Z0-9]{3})\s+"
    r"(?P<day>\d\d)(?P<hour>\d\d)(?P<minute>\d\d)Z\s*(?P<body>.*?)"
    r"(?=[=\x03]|^[ \t]*(?:METAR|SPECI|TAF)\b|^[ \t]*(?:COR[ \t]+)?[A-Z][A-Z0-9]{3}\s+\d{6}Z"
    r"|^[ \t]*\d{4}/\d\d/\d\d[ \t]+\d\d:\d\d|\Z)",
    re.DOTALL | re.MULTILINE,
)
_HEADING: Final = re.compile(
    r"^[ \t]*[A-Z]{4}\d\d[ \t]+[A-Z]{4}[ \t]+\d{6}(?:[ \t]+(?P<group>[A-Z]{3}))?[ \t\r]*$", re.MULTILINE
)
"""The abbreviated heading of a bulletin; its group CCA, CCB, … says that all its reports are corrected."""
_DATE_LINE: Final = re.compile(r"^[ \t]*(?P<date>\d{4}/\d\d/\d\d)[ \t]+(?P<time>\d\d:\d\d)[ \t\r]*$", re.MULTILINE)
_REMARKS: Final = re.compile(r"(?<!\S)RMK(?!\S)")
_FORECAST: Final = re.compile(r"^\d{4}/\d{4}\b")
_TREND: Final = re.compile(r"(?<!\S)(?:TEMPO|BECMG|INTER|NOSIG|TREND|PROB\d\d|FM\d{4,6}|TTF)(?!\S)")
_CORRECTED: Final = re.compile(r"(?:(?:AUTO|RTD)\s+)?(?P<group>COR|CC[A-Z])(?!\S)")
_WIND: Final = re.compile(r"(?<!\S)(?P<direction>\d{3}|VRB)(?P<speed>\d{2,3})(?:G\d{2,3})?(?P<unit>KT|MPS|KMH)(?!\S)")
_TEMPERATURE: Final = re.compile(r"(?<!\S)(?P<t>M?\d\d)/(?P<td>M?\d\d)?(?!\S)")
_TENTHS: Final = re.compile(r"(?<!\S)T(?P<t>[01]\d{3})(?P<td>[01]\d{3})?(?!\S)")
_ALTIMETER: Final = re.compile(r"(?<!\S)(?P<unit>[QA])(?P<digits>\d{4})(?!\S)")
_ROUNDED_DOWN: Final = 0.5
"""hPa that a setting in whole ones is below the pressure on average."""
_SEA_LEVEL: Final = re.compile(r"(?<!\S)SLP(?P<tenths>\d{3})(?!\S)")
_SPEEDS: Final = {"KT": KNOT, "MPS": 1.0, "KMH": 1.0 / 3.6}
_HALF: Final = 500
"""Tenths of hPa: SLP500 and more is 950.0 hPa and more, below it is 1000.0 hPa and more."""
_MONTH: Final = np.timedelta64(1, "M")
_ROUNDED: Final = 1.0
"""Tenths of a temperature and its whole degrees differ by no more than this; else the tenths are garbled."""
_COLUMNS: Final = ("station", "time", "t [degC]", "td [degC]", "wind_direction", "wind_speed", "msl [hPa]", "qnh [hPa]")


class _Report(NamedTuple):
    """One report: its match, the moment near which its month lies, and the rank of its correction (0: none)."""

    match: re.Match[str]
    near: np.datetime64 | None
    rank: int


def is_metar(text: str) -> bool:
    """Return whether a text is METAR: a line begins as a report does, and a report follows."""
    return _BEGINNING.search(text) is not None and next(_matches(text), None) is not None


def read_metar(text: str, label: str, given: Given) -> Reports:
    """Return the observations of a text of METAR, one row for each report; replaced reports are flagged PRE_QC.

    Raises BadDataError without the time of the analysis where a report has no date line: it has no month.
    """
    reports = [
        report if report.near is not None else report._replace(near=given.reference_time) for report in _reports(text)
    ]
    if any(report.near is None for report in reports):
        raise BadDataError(f"{label}: METAR gives the day of the month alone; give the analysis's time")
    table = pd.DataFrame([_row(report) for report in reports], columns=list(_COLUMNS), dtype=object)
    replaced = _replaced(table, [report.rank for report in reports])
    table = table.assign(latitude="", longitude="", elevation="", report="metar")
    result = observations_from_table(fill_places(table, given.stations), label, given.reference_time)
    withdrawn = np.isin(result.observations.row, 1 + np.flatnonzero(replaced))
    return result.reject(withdrawn, Flag.PRE_QC, "replaced by a later or corrected report")


def _replaced(table: pd.DataFrame, ranks: list[int]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """(report,) whether another one of the same station and time has a higher rank, or says more, or comes later.

    Reports that say the same in full are no contradiction and stay, for the check of duplicates.
    """
    order = pd.DataFrame({"station": table["station"], "time": table["time"], "rank": ranks}).reset_index()
    order["fullness"] = sum(table[column].str.len() for column in table.columns)
    best = order.sort_values(["rank", "fullness", "index"]).groupby(["station", "time"])["index"].last()
    chosen = order.merge(best.rename("best"), on=["station", "time"], how="left").sort_values("index")["best"]
    place = chosen.to_numpy(dtype=np.int64)
    alike = (table.to_numpy(dtype=object)[place] == table.to_numpy(dtype=object)).all(axis=1)
    return np.asarray((place != np.arange(len(table))) & ~alike)


def _matches(text: str) -> Iterator[re.Match[str]]:
    for match in _REPORT.finditer(text):
        if match["kind"] is None and not _FORECAST.match(match["body"]):
            yield match


def _reports(text: str) -> Iterator[_Report]:
    """Yield the reports in order, with the date line and the bulletin's correction that stand above each."""
    above = sorted([*_HEADING.finditer(text), *_DATE_LINE.finditer(text)], key=lambda found: found.start())
    place, near, of_bulletin = 0, None, 0
    for match in _matches(text):
        while place < len(above) and above[place].start() <= match.start():
            line = above[place]
            if line.re is _HEADING:
                of_bulletin = _rank(line["group"] or "")
            else:
                near = _moment(line)
            place += 1
        own = _CORRECTED.match(match["body"])
        rank = _rank(own["group"]) if own is not None else int(match["before"] is not None)
        yield _Report(match, near, max(rank, of_bulletin))


def _rank(group: str) -> int:
    """1 of COR and CCA, 2 of CCB, …; 0 of what is no correction."""
    if group == "COR":
        return 1
    return ord(group[2]) - ord("A") + 1 if re.fullmatch(r"CC[A-Z]", group) else 0


def _moment(line: re.Match[str]) -> np.datetime64 | None:
    try:
        return np.datetime64(f"{line['date'].replace('/', '-')}T{line['time']}", "m")
    except ValueError:
        return None


def _row(report: _Report) -> tuple[str, ...]:
    match = report.match
    body, *after = _REMARKS.split(match["body"], maxsplit=1)
    remarks = "".join(after)
    trend = _TREND.search(body)
    body = body if trend is None else body[: trend.start()]
    wind, coarse = _WIND.search(body), _TEMPERATURE.search(body)
    fine, sea_level, altimeter = _TENTHS.search(remarks), _SEA_LEVEL.search(remarks), _ALTIMETER.search(body)
    direction = speed = t = td = pressure = setting = ""
    if wind is not None:
        speed = repr(int(wind["speed"]) * _SPEEDS[wind["unit"]])
        direction = "" if wind["direction"] == "VRB" else str(int(wind["direction"]))
    if coarse is not None:
        t, td = ((coarse[name] or "").replace("M", "-") for name in ("t", "td"))
    if fine is not None:
        t, td = _finer(t, _tenths(fine["t"])), _finer(td, _tenths(fine["td"]))
    if sea_level is not None:
        tenths = int(sea_level["tenths"])
        pressure = repr((tenths + (9000 if tenths >= _HALF else 10000)) / 10)
    if altimeter is not None:
        number = int(altimeter["digits"])
        hectopascal = number + _ROUNDED_DOWN if altimeter["unit"] == "Q" else number / 100 * INCH_OF_MERCURY / 100
        setting = f"{hectopascal:.2f}"
    assert report.near is not None
    return match["station"], _time(match, report.near), t, td, direction, speed, pressure, setting


def _finer(whole: str, tenths: str) -> str:
    """A temperature in tenths of a degree, or in whole ones where the tenths are missing or another temperature."""
    if not tenths or (whole and abs(float(whole) - float(tenths)) > _ROUNDED):
        return whole
    return tenths


def _tenths(digits: str | None) -> str:
    return "" if digits is None else f"{'-' if digits[0] == '1' else ''}{digits[1:3]}.{digits[3]}"


def _time(match: re.Match[str], near: np.datetime64) -> str:
    """ISO 8601, in the month where it is nearest to a moment; what stands there when it is no time."""
    day, hour, minute = (int(match[name]) for name in ("day", "hour", "minute"))
    month = near.astype("datetime64[M]")
    moments = []
    for candidate in (month - _MONTH, month, month + _MONTH):
        moment = candidate.astype("datetime64[D]") + np.timedelta64(day - 1, "D")
        if day >= 1 and moment.astype("datetime64[M]") == candidate:
            moments.append(moment.astype("datetime64[m]") + np.timedelta64(60 * hour + minute, "m"))
    if not moments or hour > 23 or minute > 59:
        return f"{match['day']}{match['hour']}{match['minute']}Z"
    return str(min(moments, key=lambda moment: abs(moment - near)))
