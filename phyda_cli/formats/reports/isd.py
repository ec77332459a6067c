"""Surface reports of NOAA's Integrated Surface Database: ISD, its CSV (global hourly) and ISD-Lite, one report a line.

ISD has fixed columns. Positions 1 to 60 tell the station, time, place and report type, 61 to 105 are the mandatory
data: wind from degrees and in 0.1 m/s, temperature and dew point in 0.1 °C, sea-level pressure in 0.1 hPa, each with a
quality code. The group MA1 of the additional data holds the station's pressure. Codes 2, 3, 6 and 7 (suspect or
erroneous) reject a value, which stays in the table with its reason. Source: NOAA NCEI, isd-format-document, parts 2 to
4 and the group MA1.

ISD-Lite has one hour a line, twelve numbers, −9999 for a missing one:

    2020 01 01 00   -28   -39 10225   270    31     2 -9999 -9999
    year month day hour, t and td [0.1 °C], msl [0.1 hPa], wind from [degree] and speed [0.1 m/s], sky, precipitation

The file tells no station: it is the beginning of the file's name (725080-14740-2020), and its place is that of a table
of stations (`stations.py`), such as NOAA's isd-history.csv. Source: NOAA NCEI, isd-lite-format.

The CSV has a cell for each element, inside of which numbers, scales and quality codes are those of ISD:

    "STATION","DATE",…,"LATITUDE","LONGITUDE","ELEVATION",…,"REPORT_TYPE",…,"WND","…","TMP","DEW","SLP",…,"MA1"
    "72508014740","2020-01-01T11:51:00",…,"270,5,N,0051,5",…,"+0050,5","-0022,5","10132,5",…,"99999,9,10001,5"
"""

from __future__ import annotations

import csv
import io
import re
from pathlib import PurePath
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phyda_cli.constants import ZERO_CELSIUS
from phyda_cli.errors import BadDataError
from phyda_cli.formats.reports.build import Given, Reports
from phyda_cli.formats.reports.cells import Floats, Lines, Texts, numbers, scaled, texts_of
from phyda_cli.formats.reports.level_rows import Levels, Quantity, observations_from_levels
from phyda_cli.formats.reports.stations import elevations_of, places_of
from phyda_cli.observations.table import Flag

REJECTING: Final = ("2", "3", "6", "7")
"""Quality codes of what is suspect (2, 6) or erroneous (3, 7)."""

REPORT_TYPES: Final = {
    "FM-12": "synop", "FM-13": "ship", "FM-14": "synop", "FM-15": "metar", "FM-16": "metar", "FM-18": "buoy",
}  # fmt: skip
"""ISD's report types that phyda names otherwise; all others are surface reports too."""

_RECORD: Final = re.compile(r"\d{4}[A-Z0-9]{6}\d{5}\d{12}.[+-]\d{5}[+-]\d{6}.{5}[+-]\d{4}")
_PRESSURE: Final = re.compile(r"MA1\d{5}\w(\d{5})(\w)")
_LEAST: Final = 105


def is_isd(text: str) -> bool:
    """Return whether a text begins with a record of the ISD."""
    return _RECORD.match(text) is not None


def read_isd(text: str, label: str, given: Given) -> Reports:
    """Return the observations of a file of the ISD, one row for each report. A line that is no record has no time."""
    del given  # a record tells its time and place in full
    held = [line for line in text.splitlines() if line.strip()]
    lines = Lines([line if len(line) >= _LEAST and _RECORD.match(line) else "" for line in held])
    station = lines.texts(5, 10) + np.full(len(lines), "-", dtype=object) + lines.texts(11, 15)
    found = [_PRESSURE.search(line, _LEAST) for line in held]
    station_pressure = np.array([np.nan if match is None else float(match[1]) for match in found])
    of_pressure = np.array(["" if match is None else match[2] for match in found], dtype=object)
    quantities = [
        _wind_direction(lines.numbers(61, 63), lines.texts(64, 64), lines.texts(65, 65), lines.numbers(66, 69)),
        _wind_speed(lines.numbers(66, 69), lines.texts(70, 70)),
        _temperature("t", lines.numbers(88, 92), lines.texts(93, 93)),
        _temperature("td", lines.numbers(94, 98), lines.texts(99, 99)),
        _pressure("msl", lines.numbers(100, 104), lines.texts(105, 105)),
        _pressure("sp", station_pressure, of_pressure),
    ]
    latitude, longitude = lines.numbers(29, 34), lines.numbers(35, 41)
    place = (
        scaled(latitude, 1e-3, (99999.0,)), scaled(longitude, 1e-3, (999999.0,)),
        scaled(lines.numbers(47, 51), 1.0, (9999.0,)),
    )  # fmt: skip
    time, report = _times(lines.texts(16, 23), lines.texts(24, 27)), _report_types(lines.texts(42, 46))
    return _reports(place, time, station, report, quantities, label)


def _times(date: Texts, clock: Texts) -> NDArray[np.datetime64]:
    """UTC of YYYYMMDD and HHMM, NaT where it is none."""
    both = pd.Series(date, dtype=object).astype(str) + pd.Series(clock, dtype=object).astype(str)
    parsed = pd.to_datetime(both, format="%Y%m%d%H%M", errors="coerce")
    return np.asarray(parsed.to_numpy().astype("datetime64[s]"))


def _report_types(codes: Texts) -> Texts:
    return np.array([REPORT_TYPES.get(str(code), "surface") for code in codes], dtype=object)


def _wind_direction(direction: Floats, quality: Texts, kind: Texts, speed: Floats) -> Quantity:
    """Degrees the wind comes from: 0 in a calm (type C), which has none; missing where it is variable."""
    calm = (speed == 0) & np.isin(kind, ["C", "9", ""])
    known = scaled(direction, 1.0, (999.0,))
    return _judged("wind_direction", np.where(calm & ~np.isfinite(known), 0.0, known), quality)


def _wind_speed(speed: Floats, quality: Texts) -> Quantity:
    """m s-1 of tenths."""
    return _judged("wind_speed", scaled(speed, 0.1, (9999.0,)), quality)


def _temperature(name: str, tenths: Floats, quality: Texts) -> Quantity:
    """K of tenths of °C."""
    return _judged(name, scaled(tenths, 0.1, (9999.0,), ZERO_CELSIUS), quality)


def _pressure(name: str, tenths: Floats, quality: Texts) -> Quantity:
    """Pa of tenths of hPa."""
    return _judged(name, scaled(tenths, 10.0, (99999.0,)), quality)


def _judged(name: str, value: Floats, quality: Texts) -> Quantity:
    """Return a quantity whose values with a rejecting code are flagged."""
    bad = np.isin(quality, REJECTING)
    reason = np.where(bad, "ISD quality code " + quality, "").astype(object)
    return Quantity(name, value, np.full(value.size, np.nan), np.where(bad, Flag.PRE_QC, 0).astype(np.int16), reason)


def _reports(
    place: tuple[Floats, Floats, Floats],
    time: NDArray[np.datetime64],
    station: Texts,
    report: Texts,
    quantities: list[Quantity],
    label: str,
) -> Reports:
    """Return one row for each surface report, none with a pressure level. place: latitude, longitude, elevation."""
    latitude, longitude, elevation = place
    levels = Levels(latitude, longitude, np.full(time.size, np.nan), elevation, time, station, report)
    return observations_from_levels(levels, quantities, label)


_LINE: Final = re.compile(r"\d{4} \d\d \d\d \d\d(?:[ ]+-?\d+){8}[ \t]*")
_STATION: Final = re.compile(r"(?P<station>[A-Z0-9]{6}-\d{5})(?:-\d{4})?", re.IGNORECASE)
_MISSING: Final = -9999.0


def is_isd_lite(text: str) -> bool:
    """Return whether the first line has the layout."""
    return _LINE.fullmatch(text.split("\n", 1)[0].rstrip("\r")) is not None


def read_isd_lite(text: str, label: str, given: Given) -> Reports:
    """Return the observations of a file of ISD-Lite, one row for each hour; the station is that of the file's name."""
    held = [line for line in text.splitlines() if line.strip()]
    lines = Lines([line if _LINE.fullmatch(line) else "" for line in held])
    found = _STATION.match(PurePath(label).name)
    station = np.full(len(lines), "" if found is None else found["station"].upper(), dtype=object)
    unjudged = np.full(len(lines), "", dtype=object)

    def column(start: int, end: int) -> Floats:
        return scaled(lines.numbers(start, end), 1.0, (_MISSING,))

    speed = column(38, 43)
    quantities = [
        _wind_direction(column(32, 37), unjudged, unjudged, speed),
        _wind_speed(speed, unjudged),
        _temperature("t", column(14, 19), unjudged),
        _temperature("td", column(20, 25), unjudged),
        _pressure("msl", column(26, 31), unjudged),
    ]
    date, hour = lines.texts(1, 4) + lines.texts(6, 7) + lines.texts(9, 10), lines.texts(12, 13)
    time = _times(date, hour + np.where(hour == "", "", "00").astype(object))
    place = (*places_of(station, given.stations), elevations_of(station, given.stations))
    return _reports(place, time, station, np.full(len(lines), "surface", dtype=object), quantities, label)


_NEEDED: Final = ("STATION", "DATE", "LATITUDE", "LONGITUDE", "ELEVATION", "WND", "TMP", "DEW", "SLP")
_OPTIONAL: Final = ("REPORT_TYPE", "MA1")


def is_isd_csv(text: str) -> bool:
    """Return whether the first line names the columns of the ISD."""
    header = text[: text.find("\n")] if "\n" in text else text
    if "STATION" not in header or "WND" not in header:
        return False
    return set(_NEEDED) <= {name.strip() for name in next(csv.reader([header]), [])}


def read_isd_csv(text: str, label: str, given: Given) -> Reports:
    """Return the observations of a table of the ISD, one row for each report."""
    del given  # a report tells its time and place in full
    try:
        table = pd.read_csv(
            io.StringIO(text), dtype=str, keep_default_na=False, usecols=lambda name: name in (*_NEEDED, *_OPTIONAL)
        )
    except pd.errors.ParserError as error:
        reason = str(error).removeprefix("Error tokenizing data. C error: ").strip()
        raise BadDataError(f"{label}: the table is cut off or damaged ({reason}); fetch the file again") from None
    direction, direction_quality, kind, speed, speed_quality = _parts(table["WND"], 5)
    t, t_quality = _parts(table["TMP"], 2)
    td, td_quality = _parts(table["DEW"], 2)
    msl, msl_quality = _parts(table["SLP"], 2)
    quantities = [
        _wind_direction(numbers(direction), direction_quality, kind, numbers(speed)),
        _wind_speed(numbers(speed), speed_quality),
        _temperature("t", numbers(t), t_quality),
        _temperature("td", numbers(td), td_quality),
        _pressure("msl", numbers(msl), msl_quality),
    ]
    if "MA1" in table:
        _, _, sp, sp_quality = _parts(table["MA1"], 4)
        quantities.append(_pressure("sp", numbers(sp), sp_quality))
    report = table["REPORT_TYPE"] if "REPORT_TYPE" in table else pd.Series([""] * len(table), dtype=object)
    time = pd.to_datetime(table["DATE"], format="%Y-%m-%dT%H:%M:%S", errors="coerce").to_numpy("datetime64[s]")
    latitude, longitude, elevation = (
        scaled(numbers(texts_of(table[name])), 1.0, missing)
        for name, missing in (
            ("LATITUDE", (99.999, 99999.0)), ("LONGITUDE", (999.999, 999999.0)), ("ELEVATION", (9999.0, 9999.9)),
        )
    )  # fmt: skip
    place, station = (latitude, longitude, elevation), texts_of(table["STATION"])
    return _reports(place, time, station, _report_types(texts_of(report)), quantities, label)


def _parts(column: pd.Series[str], count: int) -> list[Texts]:
    """Return the parts of the cells of a column, "" where a cell has fewer."""
    split = column.str.split(",", expand=True).reindex(columns=range(count)).fillna("")
    return [texts_of(split[number].astype(str)) for number in range(count)]
