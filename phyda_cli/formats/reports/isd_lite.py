"""Surface reports of ISD-Lite: one hour a line, twelve numbers, −9999 for a missing one.

    2020 01 01 00   -28   -39 10225   270    31     2 -9999 -9999
    year month day hour, t and td [0.1 °C], msl [0.1 hPa], wind from [degree] and speed [0.1 m/s], sky, precipitation

The file tells no station: it is the beginning of the file's name (725080-14740-2020), and its place is that of a table
of stations (`stations.py`), such as NOAA's isd-history.csv. Source: NOAA NCEI, isd-lite-format.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Final

import numpy as np

from phyda_cli.formats.reports.build import Given, Reports
from phyda_cli.formats.reports.cells import Floats
from phyda_cli.formats.reports.fixed_columns import Lines, scaled
from phyda_cli.formats.reports.isd import pressure, surface_observations, temperature, times, wind_direction, wind_speed
from phyda_cli.formats.reports.stations import elevations_of, places_of

_LINE: Final = re.compile(r"\d{4} \d\d \d\d \d\d(?:[ ]+-?\d+){8}[ \t]*")
_STATION: Final = re.compile(r"(?P<station>[A-Z0-9]{6}-\d{5})(?:-\d{4})?", re.IGNORECASE)
_MISSING: Final = -9999.0


def is_isd_lite(text: str) -> bool:
    """Whether the first line has the layout."""
    return _LINE.fullmatch(text.split("\n", 1)[0].rstrip("\r")) is not None


def read_isd_lite(text: str, label: str, given: Given) -> Reports:
    """The observations of a file of ISD-Lite, one row for each hour; the station is that of the file's name."""
    held = [line for line in text.splitlines() if line.strip()]
    lines = Lines([line if _LINE.fullmatch(line) else "" for line in held])
    found = _STATION.match(PurePath(label).name)
    station = np.full(len(lines), "" if found is None else found["station"].upper(), dtype=object)
    latitude, longitude = places_of(station, given.stations)
    unjudged = np.full(len(lines), "", dtype=object)

    def column(start: int, end: int) -> Floats:
        return scaled(lines.numbers(start, end), 1.0, (_MISSING,))

    speed = column(38, 43)
    return surface_observations(
        time=times(
            lines.texts(1, 4) + lines.texts(6, 7) + lines.texts(9, 10),
            lines.texts(12, 13) + np.where(lines.texts(12, 13) == "", "", "00").astype(object),
        ),
        latitude=latitude,
        longitude=longitude,
        elevation=elevations_of(station, given.stations),
        station=station,
        report=np.full(len(lines), "surface", dtype=object),
        quantities=[
            wind_direction(column(32, 37), unjudged, unjudged, speed),
            wind_speed(speed, unjudged),
            temperature("t", column(14, 19), unjudged),
            temperature("td", column(20, 25), unjudged),
            pressure("msl", column(26, 31), unjudged),
        ],
        label=label,
    )
