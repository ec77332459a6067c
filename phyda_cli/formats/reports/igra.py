"""Soundings of the Integrated Global Radiosonde Archive, version 2, as a station's file has them.

    #USM00072357 2011 05 22 12 1130   86 ncdc-nws ncdc-nws  351800  -974400      a sounding's heading
    21 -9999  96600B  345B  222A-9999    12   180    36                          one of its levels

Numbers stand in fixed columns: pressure in Pa, height in m, temperature and dew-point depression in 0.1 K, relative
humidity in 0.1 %, wind from degrees in 0.1 m/s; −9999 is missing, −8888 was removed by the archive's checks. A level is
valid at the release plus the time flown, where both are there, else at the sounding's nominal hour. Levels without
pressure (winds by height) are kept and flagged. The heading gives the place but no elevation.

A file of the period of record holds decades: soundings more than two days from the analysis are not read, which the log
says. Source: NOAA NCEI, igra2-data-format.txt (IGRA 2.0 to 2.2).
"""

from __future__ import annotations

import logging
import re
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.constants import ZERO_CELSIUS
from phyda_cli.errors import BadDataError
from phyda_cli.formats.reports.build import Given, Reports
from phyda_cli.formats.reports.cells import Floats, Lines, scaled
from phyda_cli.formats.reports.level_rows import Levels, observations_from_levels, quantity
from phyda_cli.formats.reports.stations import Stations, elevations_of

_logger = logging.getLogger(__name__)

REACH: Final = np.timedelta64(48, "h")
"""Soundings farther from the analysis than this are not read."""

_HEADING: Final = re.compile(
    r"^#(?P<station>[A-Z0-9]{11}) (?P<year>\d{4}) (?P<month>\d\d) (?P<day>\d\d) (?P<hour>\d\d) (?P<release>\d{4})"
    r" (?P<levels>[ \d]{4}) .{8} .{8} (?P<latitude>[ \d-]{7}) (?P<longitude>[ \d-]{8})[ \t\r]*$",
    re.MULTILINE,
)
_MISSING: Final = (-9999.0, -8888.0)
_UNPLACED: Final = (-988_888.0, -9_988_888.0, -999_999.0, -9_999_999.0)
"""Latitudes and longitudes [1e-4 degree] of a moving station, -98.8888 and -998.8888, or an unknown one."""
_NO_HOUR: Final = 99
_NO_RELEASE: Final = 9999
_HALF_DAY: Final = np.timedelta64(12, "h")
_DAY: Final = np.timedelta64(24, "h")


def is_igra(text: str) -> bool:
    """Return whether a text begins with the heading of a sounding."""
    return text.startswith("#") and _HEADING.match(text) is not None


def read_igra(text: str, label: str, given: Given) -> Reports:
    """Return the observations of the soundings near the analysis, one row for each level; all soundings without its
    time.

    given.stations: elevations, by the archive's identifier; the heading's place counts before theirs.
    Raises BadDataError when a sounding has fewer levels than its heading says.
    """
    analysis, headings = given.reference_time, list(_HEADING.finditer(text))
    moments = [_moment(heading) for heading in headings]
    near = [
        number
        for number, (nominal, _) in enumerate(moments)
        if analysis is None or np.isnat(nominal) or abs(nominal - analysis) <= REACH
    ]
    if len(near) < len(headings):
        _logger.info("%s: %d of %d soundings lie within 48 h of the analysis; the others are not read",
                     label, len(near), len(headings))  # fmt: skip
    lines, owner = [], []
    for number in near:
        held = _levels(text, headings, number, label)
        lines += held
        owner += [number] * len(held)
    return _observations(Lines(lines), np.array(owner, dtype=np.int64), headings, moments, label, given.stations)


def _levels(text: str, headings: list[re.Match[str]], number: int, label: str) -> list[str]:
    heading = headings[number]
    end = headings[number + 1].start() if number + 1 < len(headings) else len(text)
    lines = [line for line in text[heading.end() : end].splitlines() if line.strip()]
    said = int(heading["levels"])
    if len(lines) != said:
        name = f"{heading['station']} {heading['year']}-{heading['month']}-{heading['day']} {heading['hour']} UTC"
        raise BadDataError(
            f"{label}: the sounding {name} has {len(lines)} levels, its heading says {said}; "
            "the file is cut off or damaged: fetch it again"
        )
    return lines


def _moment(heading: re.Match[str]) -> tuple[Any, Any]:
    """(nominal time, release), NaT where it is not there; the release is the one nearest to the nominal hour."""
    hour, release = int(heading["hour"]), int(heading["release"])
    nothing: Any = np.datetime64("NaT", "s")
    try:
        day = np.datetime64(f"{heading['year']}-{heading['month']}-{heading['day']}", "s")
    except ValueError:
        return nothing, nothing
    nominal = nothing if hour == _NO_HOUR else day + np.timedelta64(hour, "h")
    released = nothing
    if release != _NO_RELEASE and release // 100 < 24:
        minutes = release % 100 if release % 100 < 60 else 0
        released = day + np.timedelta64(60 * (release // 100) + minutes, "m")
        if nominal - released > _HALF_DAY:
            released += _DAY
        elif released - nominal > _HALF_DAY:
            released -= _DAY
    return (released if np.isnat(nominal) else nominal), released


def _observations(
    lines: Lines,
    owner: NDArray[np.int64],
    headings: list[re.Match[str]],
    moments: list[tuple[np.datetime64, np.datetime64]],
    label: str,
    stations: Stations,
) -> Reports:
    names = np.array([heading["station"] for heading in headings], dtype=object)
    latitude, longitude = (
        scaled(np.array([float(heading[name]) for heading in headings]), 1e-4, _UNPLACED)
        for name in ("latitude", "longitude")
    )
    nominal, released = (np.array([pair[k] for pair in moments], dtype="datetime64[s]") for k in (0, 1))
    flown = lines.numbers(4, 8)  # MMMSS
    seconds = np.where(flown >= 0, 60 * (flown // 100) + flown % 100, np.nan)
    timed = np.isfinite(seconds) & ~np.isnat(released[owner])
    moment = released[owner] + np.where(timed, seconds, 0).astype("timedelta64[s]")

    def column(start: int, end: int, scale: float, offset: float = 0.0) -> Floats:
        return scaled(lines.numbers(start, end), scale, _MISSING, offset)

    t, depression = column(23, 27, 0.1, ZERO_CELSIUS), column(35, 39, 0.1)
    elevation, time = elevations_of(names, stations)[owner], np.where(timed, moment, nominal[owner])
    kind = np.full(len(lines), "sonde", dtype=object)
    levels = Levels(latitude[owner], longitude[owner], column(10, 15, 1.0), elevation, time, names[owner], kind)
    quantities = [
        quantity("gh", column(17, 21, 1.0)),
        quantity("t", t),
        quantity("td", t - depression),
        quantity("r", column(29, 33, 1e-3)),
        quantity("wind_direction", column(41, 45, 1.0)),
        quantity("wind_speed", column(47, 51, 0.1)),
    ]
    return observations_from_levels(levels, quantities, label)
