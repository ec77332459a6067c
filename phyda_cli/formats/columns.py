"""The closed tables of an observation table: what its columns, variables and units may be called.

Names are compared without case, blanks counting as underscores. A unit can stand in a `unit` column, in brackets after
a column's name (`t [degC]`, `pressure (hPa)`) or as its last part (`temperature_degc`); without one values are in SI.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from phyda_cli.fields.constants import GRAVITY, KNOT, ZERO_CELSIUS
from phyda_cli.fields.variables import VARIABLES, find_variable

UNIX_TIME: Final = "unix_time"
"""Of the names of a time the one in seconds since 1970-01-01 00 UTC."""

ROLES: Final[dict[str, tuple[str, ...]]] = {
    "time": (
        "time",
        "valid_time",
        "datetime",
        "date_time",
        "valid",
        "timestamp",
        "obs_time",
        "validutc",
        "valid_utc",
        "time_utc",
        "utc",
        "datetime_utc",
        "date_utc",
        "observation_time",
        "obstime",
        "utctime",
        "time_(utc)",
        "date/time",
        "date_and_time",
        "dt",
        UNIX_TIME,
    ),
    "date": ("date", "yyyymmdd", "ymd", "obs_date"),
    "year": ("year", "yyyy", "yr"),
    "month": ("month", "mon"),
    "day": ("day",),
    "hour": ("hour", "hh", "hr", "hour_utc", "utc_hour"),
    "minute": ("minute", "min", "minutes"),
    "second": ("second", "seconds", "sec"),
    "relative_hours": ("dhr",),
    "latitude": ("lat", "latitude", "latitude_deg", "lat_deg", "latitude_degree", "latitude_degrees"),
    "longitude": (
        "lon",
        "longitude",
        "longitude_deg",
        "lon_deg",
        "long",
        "lng",
        "longitude_degree",
        "longitude_degrees",
    ),
    "value": ("observation", "value", "obsvalue", "obs_value"),
    "variable": ("variable", "varno", "parameter"),
    "error": ("error", "obs_error", "sigma_o"),
    "pressure_pa": ("pres", "pressure", "level_pa", "pressure_pa", "pres_pa", "plev", "vertco_reference_1"),
    "pressure_hpa": ("p", "pressure_hpa", "level_hpa", "plev_hpa", "pres_hpa", "p_hpa"),
    "elevation": ("elev", "elevation", "elevation_m"),
    "station": ("station", "station_id", "statid", "icao"),
    "report": ("report", "report_type", "mt", "obs_type"),
    "unit": ("unit", "units"),
    "quality": ("quality",),
    "use": ("use", "usage"),
}
"""What a column is for → the names accepted. `p` is hPa, as in tables made from TEMP and PREPBUFR."""

MARK_COLUMNS: Final = {
    "pqm": None,
    "zqm": ("z", "gh"),
    "qqm": ("q", "r"),
    "tqm": ("t", "td", "t2m", "d2m"),
    "wqm": ("u", "v", "u10", "v10", "wind_speed", "wind_direction"),
}
"""PREPBUFR quality marks of a wide table → the quantities they judge; None: all of the row."""

WORST_USED_MARK: Final = 3
"""PREPBUFR marks 0 to 3 (keep, good, neutral, suspect) are used, higher ones reject."""

ODB_NUMBERS: Final = {
    "1": "z",
    "2": "t",
    "3": "u",
    "4": "v",
    "7": "q",
    "9": "tcwv",
    "29": "r",
    "39": "t2m",
    "40": "d2m",
    "41": "u10",
    "42": "v10",
    "59": "td",
    "108": "msl",
    "110": "sp",
    "111": "wind_direction",
    "112": "wind_speed",
}
"""ECMWF ODB variable numbers (`varno`) that phyda reads."""

_QUANTITIES: Final = {
    **dict.fromkeys(("wind_speed", "windspeed", "wspd", "wind_spd", "speed", "ff"), "wind_speed"),
    **dict.fromkeys(
        ("wind_direction", "winddirection", "wdir", "wind_dir", "direction", "drct", "dd"), "wind_direction"
    ),
    **dict.fromkeys(("temp", "tmp"), "t"),
    **dict.fromkeys(("dewp", "dwpt"), "td"),
    **dict.fromkeys(("u_wind", "uwind"), "u"),
    **dict.fromkeys(("v_wind", "vwind"), "v"),
}
_WITH_UNIT: Final = {"tmpf": ("t", "degf"), "dwpf": ("td", "degf"), "sknt": ("wind_speed", "kt")}

_PRESSURE: Final = {"pa": 1.0, "hpa": 100.0, "mb": 100.0, "mbar": 100.0, "kpa": 1000.0}
_SPEED: Final = {
    **dict.fromkeys(("m/s", "ms", "m s-1", "m s**-1", "ms-1", "mps"), 1.0),
    **dict.fromkeys(("kt", "kts", "knot", "knots"), KNOT),
    "km/h": 1.0 / 3.6,
}
_RATIO: Final = {
    **dict.fromkeys(("1", "kg/kg", "kg kg-1", "kg kg**-1"), 1.0),
    **dict.fromkeys(("g/kg", "g kg-1", "gkg"), 1e-3),
    **dict.fromkeys(("%", "pct", "percent"), 1e-2),
}
_LENGTH: Final = {"m": 1.0, "gpm": 1.0, "dam": 10.0, "km": 1000.0, "ft": 0.3048}
_GEOPOTENTIAL: Final = dict.fromkeys(("m2/s2", "m2 s-2", "m**2 s**-2", "m^2/s^2", "j/kg", "j kg-1"), 1.0)
_TEMPERATURE: Final = {
    **dict.fromkeys(("k", "kelvin"), (1.0, 0.0)),
    **dict.fromkeys(("degc", "c", "°c", "celsius", "deg c"), (1.0, ZERO_CELSIUS)),
    **dict.fromkeys(("degf", "f", "°f", "fahrenheit", "deg f"), (5.0 / 9.0, ZERO_CELSIUS - 32.0 * 5.0 / 9.0)),
}


class Conversion(NamedTuple):
    """SI value = scale · value + offset; the error scales without the offset. quantity: what the result is."""

    quantity: str
    scale: float
    offset: float


def _linear(table: dict[str, float]) -> dict[str, tuple[float, float]]:
    return {unit: (scale, 0.0) for unit, scale in table.items()}


_BY_SI_UNIT: Final[dict[str, dict[str, tuple[float, float]]]] = {
    "m s-1": _linear(_SPEED),
    "K": _TEMPERATURE,
    "kg kg-1": _linear(_RATIO),
    "1": _linear(_RATIO),
    "Pa": _linear(_PRESSURE),
    "m": _linear(_LENGTH),
    "m2 s-2": _linear(_GEOPOTENTIAL),
    "kg m-2": _linear(dict.fromkeys(("kg m-2", "kg/m2", "mm"), 1.0)),
    "degree": _linear(dict.fromkeys(("degree", "degrees", "deg", "°"), 1.0)),
}
_SUFFIXES: Final = frozenset("pa hpa mb k degc degf c f kt kts ms gkg pct percent m gpm".split())  # noqa: SIM905
_BRACKETS: Final = re.compile(r"^(?P<name>.*\S)\s*[\[(]\s*(?P<unit>[^\])]+?)\s*[\])]$")


def normalise(name: str) -> str:
    """A column's name as the tables have it."""
    return re.sub(r"\s+", "_", name.strip()).casefold()


def find_quantity(name: str) -> str | None:
    """The short name, `wind_speed` or `wind_direction` that a variable's name means, or None."""
    variable = find_variable(name)
    return variable.name if variable is not None else _QUANTITIES.get(normalise(name))


def split_unit(name: str) -> tuple[str, str]:
    """A column's or variable's name → (its quantity or "", its unit or "")."""
    quantity = find_quantity(name)
    if quantity is not None:
        return quantity, ""
    if normalise(name) in _WITH_UNIT:
        return _WITH_UNIT[normalise(name)]
    bracketed = _BRACKETS.match(name.strip())
    if bracketed is not None:
        return find_quantity(bracketed["name"]) or "", bracketed["unit"].casefold()
    stem, _, suffix = normalise(name).rpartition("_")
    if suffix in _SUFFIXES and (quantity := find_quantity(stem)) is not None:
        return quantity, suffix
    return "", ""


def conversion(quantity: str, unit: str) -> Conversion | None:
    """How values of a quantity in a unit become SI, or None when the unit is not one of the quantity's.

    No unit ("") is SI. Geopotential in metres is geopotential height, and the other way round.
    """
    text = unit.strip().casefold()
    si = VARIABLES[quantity].units if quantity in VARIABLES else {"wind_speed": "m s-1"}.get(quantity, "degree")
    if not text or text == si.casefold():
        return Conversion(quantity, 1.0, 0.0)
    if quantity == "z" and text in _LENGTH:
        return Conversion("gh", _LENGTH[text], 0.0)
    if quantity == "gh" and text in _GEOPOTENTIAL:
        return Conversion("gh", 1.0 / GRAVITY, 0.0)
    known = _BY_SI_UNIT.get(si, {}).get(text)
    return None if known is None else Conversion(quantity, *known)


def pressure_scale(name: str) -> tuple[str, float] | None:
    """A pressure column with its unit in brackets → (its role, factor to Pa), or None when it is no such column."""
    bracketed = _BRACKETS.match(name.strip())
    if bracketed is None or bracketed["unit"].casefold() not in _PRESSURE:
        return None
    if normalise(bracketed["name"]) not in (*ROLES["pressure_pa"], *ROLES["pressure_hpa"]):
        return None
    return "pressure", _PRESSURE[bracketed["unit"].casefold()]
