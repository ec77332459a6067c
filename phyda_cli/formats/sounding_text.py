"""Soundings as lists of text, as the University of Wyoming prints them: one or several, each with its heading.

    72357 OUN Norman Observations at 12Z 22 May 2011
       PRES   HGHT   TEMP   DWPT   RELH   MIXR   DRCT   SKNT   THTA   THTE   THTV
    ...
    Station latitude: 35.18                                    (where the list has it)

Columns are seven characters wide. Read are pressure, height, temperature, dew point and wind; the rest follows from
them. A list without the station's place needs a table of stations (`stations.py`).
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

import pandas as pd

_HEADING: Final = re.compile(
    r"^[ \t]*(?P<station>\d{5})[ \t].*Observations at (?P<time>\d\dZ \d\d? [A-Za-z]{3} \d{4})[ \t\r]*$", re.MULTILINE
)
_WIDTH: Final = 7
_COLUMNS: Final = {
    "PRES": "pressure [hPa]", "HGHT": "gh [m]", "TEMP": "t [degC]", "DWPT": "td [degC]", "DRCT": "wind_direction",
    "SKNT": "wind_speed [kt]", "SPED": "wind_speed [m/s]",
}  # fmt: skip
_PLACE: Final = {
    "latitude": re.compile(r"Station latitude:\s*(\S+)"),
    "longitude": re.compile(r"Station longitude:\s*(\S+)"),
    "elevation": re.compile(r"Station elevation:\s*(\S+)"),
}


def is_sounding(text: str) -> bool:
    """Whether a text has such a heading."""
    return _HEADING.search(text) is not None


def sounding_table(text: str) -> pd.DataFrame:
    """One row for each level, all cells as text, for `observations_from_table`."""
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
    place = {name: found[1] if (found := pattern.search(body)) else "" for name, pattern in _PLACE.items()}
    return table.assign(station=heading["station"], time=_time(heading["time"]), report="sonde", **place)


def _time(text: str) -> str:
    """ISO 8601; what stands there when it is no time."""
    try:
        return datetime.strptime(text, "%HZ %d %b %Y").isoformat()
    except ValueError:
        return text
