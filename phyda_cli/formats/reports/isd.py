"""Surface reports of NOAA's Integrated Surface Database (ISD), one report a line in fixed columns.

Positions 1 to 60 tell the station, time, place and report type, 61 to 105 are the mandatory data: wind from degrees and
in 0.1 m/s, temperature and dew point in 0.1 °C, sea-level pressure in 0.1 hPa, each with a quality code. The group MA1
of the additional data holds the station's pressure. Codes 2, 3, 6 and 7 (suspect or erroneous) reject a value, which
stays in the table with its reason. Source: NOAA NCEI, isd-format-document, parts 2 to 4 and the group MA1.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phyda_cli.constants import ZERO_CELSIUS
from phyda_cli.formats.reports.build import Given, Reports
from phyda_cli.formats.reports.cells import Floats, Texts
from phyda_cli.formats.reports.fixed_columns import Lines, scaled
from phyda_cli.formats.reports.level_rows import Levels, Quantity, observations_from_levels
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
    """Whether a text begins with a record of the ISD."""
    return _RECORD.match(text) is not None


def read_isd(text: str, label: str, given: Given) -> Reports:
    """The observations of a file of the ISD, one row for each report. A line that is no record has no time."""
    del given  # a record tells its time and place in full
    held = [line for line in text.splitlines() if line.strip()]
    lines = Lines([line if len(line) >= _LEAST and _RECORD.match(line) else "" for line in held])
    station = lines.texts(5, 10) + np.full(len(lines), "-", dtype=object) + lines.texts(11, 15)
    station_pressure = [_PRESSURE.search(line, _LEAST) for line in held]
    return surface_observations(
        time=times(lines.texts(16, 23), lines.texts(24, 27)),
        latitude=scaled(lines.numbers(29, 34), 1e-3, (99999.0,)),
        longitude=scaled(lines.numbers(35, 41), 1e-3, (999999.0,)),
        elevation=scaled(lines.numbers(47, 51), 1.0, (9999.0,)),
        station=station,
        report=report_types(lines.texts(42, 46)),
        quantities=[
            wind_direction(lines.numbers(61, 63), lines.texts(64, 64), lines.texts(65, 65), lines.numbers(66, 69)),
            wind_speed(lines.numbers(66, 69), lines.texts(70, 70)),
            temperature("t", lines.numbers(88, 92), lines.texts(93, 93)),
            temperature("td", lines.numbers(94, 98), lines.texts(99, 99)),
            pressure("msl", lines.numbers(100, 104), lines.texts(105, 105)),
            pressure(
                "sp",
                np.array([np.nan if found is None else float(found[1]) for found in station_pressure]),
                np.array(["" if found is None else found[2] for found in station_pressure], dtype=object),
            ),
        ],
        label=label,
    )


def times(date: Texts, clock: Texts) -> NDArray[np.datetime64]:
    """UTC of YYYYMMDD and HHMM, NaT where it is none."""
    both = pd.Series(date, dtype=object).astype(str) + pd.Series(clock, dtype=object).astype(str)
    parsed = pd.to_datetime(both, format="%Y%m%d%H%M", errors="coerce")
    return np.asarray(parsed.to_numpy().astype("datetime64[s]"))


def report_types(codes: Texts) -> Texts:
    """phyda's report types of ISD's."""
    return np.array([REPORT_TYPES.get(str(code), "surface") for code in codes], dtype=object)


def wind_direction(direction: Floats, quality: Texts, kind: Texts, speed: Floats) -> Quantity:
    """Degrees the wind comes from: 0 in a calm (type C), which has none; missing where it is variable."""
    calm = (speed == 0) & np.isin(kind, ["C", "9", ""])
    known = scaled(direction, 1.0, (999.0,))
    return judged("wind_direction", np.where(calm & ~np.isfinite(known), 0.0, known), quality)


def wind_speed(speed: Floats, quality: Texts) -> Quantity:
    """m s-1 of tenths."""
    return judged("wind_speed", scaled(speed, 0.1, (9999.0,)), quality)


def temperature(name: str, tenths: Floats, quality: Texts) -> Quantity:
    """K of tenths of °C."""
    return judged(name, scaled(tenths, 0.1, (9999.0,), ZERO_CELSIUS), quality)


def pressure(name: str, tenths: Floats, quality: Texts) -> Quantity:
    """Pa of tenths of hPa."""
    return judged(name, scaled(tenths, 10.0, (99999.0,)), quality)


def judged(name: str, value: Floats, quality: Texts) -> Quantity:
    """A quantity whose values with a rejecting code are flagged."""
    bad = np.isin(quality, REJECTING)
    reason = np.where(bad, "ISD quality code " + quality, "").astype(object)
    return Quantity(name, value, np.full(value.size, np.nan), np.where(bad, Flag.PRE_QC, 0).astype(np.int16), reason)


def surface_observations(
    *,
    time: NDArray[np.datetime64],
    latitude: Floats,
    longitude: Floats,
    elevation: Floats,
    station: Texts,
    report: Texts,
    quantities: list[Quantity],
    label: str,
) -> Reports:
    """The observations of surface reports without a pressure level, one row for each."""
    n = time.size
    levels = Levels(
        latitude=latitude,
        longitude=longitude,
        pressure=np.full(n, np.nan),
        elevation=elevation,
        time=time,
        station=station,
        report=report,
    )
    return observations_from_levels(levels, quantities, label)
