"""Soundings as lists of text, as the University of Wyoming prints them: one or several, each with its heading.

    72357 OUN Norman Observations at 12Z 22 May 2011
       PRES   HGHT   TEMP   DWPT   RELH   MIXR   DRCT   SKNT   THTA   THTE   THTV
    ...
    Station latitude: 35.18                                    (where the list has it)

Columns are seven characters wide. Read are pressure, height, temperature, dew point and wind; the rest follows from
them. A list without the station's place (no line, stars, or a fill value) needs a table of stations (`stations.py`).
The page may be saved as HTML.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

import pandas as pd

from phyda_cli.formats.reports.build import Given, Reports
from phyda_cli.formats.reports.entries import observations_from_table
from phyda_cli.formats.reports.stations import fill_places

_TAG: Final = re.compile(r"</?[A-Za-z][^<>\n]{0,200}>")
_HEADING: Final = re.compile(
    r"^[ \t]*(?P<station>\d{5})[ \t].*Observations at (?P<time>\d\dZ \d\d? [A-Za-z]{3} \d{4})[ \t\r]*$", re.MULTILINE
)
_FILL: Final = -999.0
"""No latitude, longitude or elevation [m] is as low as this."""
_WIDTH: Final = 7
_COLUMNS: Final = {
    "PRES": "pressure [hPa]", "HGHT": "gh [m]", "TEMP": "t [degC]", "DWPT": "td [degC]", "DRCT": "wind_direction",
    "SKNT": "wind_speed [kt]", "SPED": "wind_speed [m/s]",
}  # fmt: skip
_PLACE: Final = {
    name: re.compile(rf"Station {name}:[ \t]*(-?\d+(?:\.\d*)?)[ \t\r]*$", re.MULTILINE)
    for name in ("latitude", "longitude", "elevation")
}


def is_sounding(text: str) -> bool:
    """Return whether a text has such a heading."""
    return _HEADING.search(_TAG.sub("", text)) is not None


def read_soundings(text: str, label: str, given: Given) -> Reports:
    """Return the observations of lists of soundings, one row for each level."""
    table = fill_places(sounding_table(_TAG.sub("", text)), given.stations)
    return observations_from_table(table, label, given.reference_time)


def sounding_table(text: str) -> pd.DataFrame:
    """Return one row for each level, all cells as text, for `observations_from_table`."""
    headings = list(_HEADING.finditer(text))
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    parts = [_sounding(heading, text[heading.end() : end]) for heading, end in zip(headings, ends, strict=True)]
    return pd.concat(parts, ignore_index=True).fillna("").astype(object)


def _sounding(heading: re.Match[str], body: str) -> pd.DataFrame:
    lines = body.splitlines()
    titles = next((line for line in lines if line.split()[:1] == ["PRES"]), "")
    names = titles.split()
    rows = []
    for line in lines:
        cells = [line[_WIDTH * place : _WIDTH * (place + 1)].strip() for place in range(len(names))]
        if cells and re.fullmatch(r"\d+\.\d+", cells[0]):
            rows.append({_COLUMNS[name]: cell for name, cell in zip(names, cells, strict=True) if name in _COLUMNS})
    table = pd.DataFrame(rows, columns=[_COLUMNS[name] for name in names if name in _COLUMNS], dtype=object)
    place = {name: _number(pattern.search(body)) for name, pattern in _PLACE.items()}
    return table.assign(station=heading["station"], time=_time(heading["time"]), report="sonde", **place)


def _number(found: re.Match[str] | None) -> str:
    """Return the number of a place as it is written; nothing where there is none or a fill value."""
    return "" if found is None or float(found[1]) <= _FILL else found[1]


def _time(text: str) -> str:
    """ISO 8601; what stands there when it is no time."""
    try:
        return datetime.strptime(text, "%HZ %d %b %Y").isoformat()
    except ValueError:
        return text
