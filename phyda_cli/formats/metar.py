"""METAR and SPECI reports as they are sent: bulletins of text, each report ended by an equals sign or the next.

Read are the wind, temperature and dew point (in tenths where the remarks give them: T00221006) and the sea-level
pressure of the remarks (SLP158: 1015.8 hPa). A report gives the day of the month alone: the month is the one that lies
nearest to the analysis. It gives no place: that is a matter of a table of stations (`stations.py`).
Source: WMO-No. 306, FM 15 and FM 16; FMH-1 (1995) for the remarks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import numpy as np
import pandas as pd

from phyda_cli.errors import BadDataError
from phyda_cli.fields.constants import KNOT

_BULLETIN: Final = re.compile(r"^(METAR|SPECI)\b", re.MULTILINE)
_REPORT: Final = re.compile(
    r"(?P<kind>TAF(?:\s+(?:AMD|COR))?\s+)?(?<![A-Z0-9/])(?P<station>[A-Z][A-Z0-9]{3})\s+"
    r"(?P<day>\d\d)(?P<hour>\d\d)(?P<minute>\d\d)Z\s*(?P<body>.*?)"
    r"(?=[=\x03]|^[ \t]*(?:METAR|SPECI|TAF)\b|^[ \t]*(?:COR[ \t]+)?[A-Z][A-Z0-9]{3}\s+\d{6}Z|\Z)",
    re.DOTALL | re.MULTILINE,
)
_FORECAST: Final = re.compile(r"^\d{4}/\d{4}\b")
_WIND: Final = re.compile(r"(?<!\S)(?P<direction>\d{3}|VRB)(?P<speed>\d{2,3})(?:G\d{2,3})?(?P<unit>KT|MPS|KMH)(?!\S)")
_TEMPERATURE: Final = re.compile(r"(?<!\S)(?P<t>M?\d\d)/(?P<td>M?\d\d)?(?!\S)")
_TENTHS: Final = re.compile(r"(?<!\S)T(?P<t>[01]\d{3})(?P<td>[01]\d{3})?(?!\S)")
_SEA_LEVEL: Final = re.compile(r"(?<!\S)SLP(?P<tenths>\d{3})(?!\S)")
_SPEEDS: Final = {"KT": KNOT, "MPS": 1.0, "KMH": 1.0 / 3.6}
_HALF: Final = 500
"""Tenths of hPa: SLP500 and more is 950.0 hPa and more, below it is 1000.0 hPa and more."""
_COLUMNS: Final = ("station", "time", "t [degC]", "td [degC]", "wind_direction", "wind_speed", "msl [hPa]")


def is_metar(text: str) -> bool:
    """Whether a text is bulletins of METAR: a line begins so, and a report follows."""
    return _BULLETIN.search(text) is not None and next(_reports(text), None) is not None


def metar_table(text: str, label: str, reference_time: np.datetime64 | None) -> pd.DataFrame:
    """One row for each report, all cells as text, for `observations_from_table`.

    Raises BadDataError without a reference time (UTC): a report has no month.
    """
    if reference_time is None:
        raise BadDataError(f"{label}: METAR gives the day of the month alone; give the analysis's time")
    rows = [_row(match, reference_time) for match in _reports(text)]
    table = pd.DataFrame(rows, columns=list(_COLUMNS), dtype=object)
    return table.assign(latitude="", longitude="", elevation="", report="metar")


def _reports(text: str) -> Iterator[re.Match[str]]:
    for match in _REPORT.finditer(text):
        if match["kind"] is None and not _FORECAST.match(match["body"]):
            yield match


def _row(match: re.Match[str], reference: np.datetime64) -> tuple[str, ...]:
    body, _, remarks = match["body"].partition(" RMK")
    wind, coarse = _WIND.search(body), _TEMPERATURE.search(body)
    fine, sea_level = _TENTHS.search(remarks), _SEA_LEVEL.search(remarks)
    direction = speed = t = td = pressure = ""
    if wind is not None:
        speed = repr(int(wind["speed"]) * _SPEEDS[wind["unit"]])
        direction = "" if wind["direction"] == "VRB" else str(int(wind["direction"]))
    if fine is not None:
        t, td = (_tenths(fine[name]) for name in ("t", "td"))
    elif coarse is not None:
        t, td = ((coarse[name] or "").replace("M", "-") for name in ("t", "td"))
    if sea_level is not None:
        tenths = int(sea_level["tenths"])
        pressure = repr((tenths + (9000 if tenths >= _HALF else 10000)) / 10)
    return match["station"], _time(match, reference), t, td, direction, speed, pressure


def _tenths(digits: str | None) -> str:
    return "" if digits is None else f"{'-' if digits[0] == '1' else ''}{digits[1:3]}.{digits[3]}"


def _time(match: re.Match[str], reference: np.datetime64) -> str:
    """ISO 8601, in the month where it is nearest to the analysis; what stands there when it is no time."""
    day, hour, minute = (int(match[name]) for name in ("day", "hour", "minute"))
    month = reference.astype("datetime64[M]")
    moments = []
    for candidate in (month - 1, month, month + 1):
        moment = candidate.astype("datetime64[D]") + np.timedelta64(day - 1, "D")
        if day >= 1 and moment.astype("datetime64[M]") == candidate:
            moments.append(moment.astype("datetime64[m]") + np.timedelta64(60 * hour + minute, "m"))
    if not moments or hour > 23 or minute > 59:
        return f"{match['day']}{match['hour']}{match['minute']}Z"
    return str(min(moments, key=lambda moment: abs(moment - reference)))
