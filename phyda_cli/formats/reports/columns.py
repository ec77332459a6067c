"""What the columns, variables and units of an observation table may be called; names of variables are in their rows.

Names are compared without case, blanks counting as underscores. A unit can stand in a `unit` column, in brackets after
a column's name (`t [degC]`, `pressure (hPa)`) or as its last part (`temperature_degC`, `wind speed_m/s`); without one
the numbers of the whole column decide, or values are in SI (`table_roles.py`).

The units of tables of some well-known tools are a matter of their documentation, not of their columns' names. Such a
layout is recognised by columns that no other table has together. Units that the user or a column's name gives stay.
Sources: the documentation of siphon (`siphon.simplewebservice`) and of Meteostat's hourly data.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import pandas as pd

from phyda_cli.fields.variables import QUANTITIES, Variable, index
from phyda_cli.formats.units import UnitConversion, find_unit

UNIX_TIME: Final = "unix_time"
"""Of the names of a time the one in seconds since 1970-01-01 00 UTC."""

ROLES: Final[dict[str, tuple[str, ...]]] = {
    role: tuple(names.split())
    for role, names in (
        ("time", "time valid_time datetime date_time valid timestamp obs_time validutc valid_utc time_utc utc "
                 "datetime_utc date_utc observation_time obstime utctime time_(utc) time(utc) time_[utc] "
                 f"datetime_(utc) valid_(utc) date/time date_and_time dt {UNIX_TIME}"),
        ("date", "date date_(utc) date(utc) yyyymmdd ymd obs_date"),
        ("year", "year yyyy yr"),
        ("month", "month mon"),
        ("day", "day"),
        ("hour", "hour hour_(utc) hour(utc) hh hr hour_utc utc_hour"),
        ("minute", "minute min minutes"),
        ("second", "second seconds sec"),
        ("relative_hours", "dhr"),
        ("latitude", "lat latitude latitude_deg lat_deg latitude_degree latitude_degrees"),
        ("longitude", "lon longitude longitude_deg lon_deg long lng longitude_degree longitude_degrees"),
        ("value", "observation value obsvalue obs_value"),
        ("variable", "variable varno parameter"),
        ("error", "error obs_error sigma_o"),
        ("elevation", "elev elevation station_elevation stn_elev selv"),
        ("top", "pressure_top top_pressure ptop p_top"),
        ("station", "station station_id statid icao stationid stid stnid stn site wmo wmo_id wmo_number station_number "
                    "station_name platform"),
        ("report", "report report_type mt obs_type"),
        ("unit", "unit units"),
        ("use", "use usage"),
    )
}  # fmt: skip
"""What a column is for → the names accepted, the best first."""

FIRST_COUNTS: Final = ("station", "elevation", "report")
"""Roles of which a table may hold several columns; of others two columns contradict each other."""

PRESSURES: Final[dict[str, tuple[str, bool]]] = {
    **dict.fromkeys(("pres", "pressure", "plev", "air_pressure"), ("Pa", False)),
    **dict.fromkeys(("p", "press", "prs", "pressure_level", "level", "lev", "plevel", "isobaric"), ("hPa", False)),
    **dict.fromkeys(("isobaricinhpa", "mb", "mbar", "hpa", "millibar", "millibars"), ("hPa", True)),
    **dict.fromkeys(("isobaricinpa", "vertco_reference_1"), ("Pa", True)),
}
"""Names of a pressure → the unit, and whether the name says it; where it does not, the numbers decide if they can."""

LEVELS: Final = ("level", "lev", "plevel", "isobaric", "pressure_level")
"""Of the names of a pressure those that do not count beside another one."""

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


class Conversion(NamedTuple):
    """How a column becomes SI. quantity: what the result is; unit: of the column."""

    quantity: str
    unit: UnitConversion


_BRACKETS: Final = re.compile(r"^(?P<name>.*\S)\s*[\[(]\s*(?P<unit>[^\])]+?)\s*[\])]$")


def normalise(name: str) -> str:
    """Return a column's name as the tables have it."""
    return re.sub(r"\s+", "_", name.strip()).casefold()


def odb_numbers(rows: Iterable[Variable]) -> dict[str, str]:
    """Short names by ODB's variable numbers (`varno`) as texts."""
    return index(lambda row: () if row.odb is None else (str(row.odb),), rows)


def table_names(rows: Iterable[Variable]) -> dict[str, str]:
    """Short names by all names of columns that tell no unit, normalised."""
    return index(lambda row: map(normalise, (row.name, *row.aliases, *row.table)), rows)


def names_with_unit(rows: Iterable[Variable]) -> dict[str, tuple[str, str]]:
    """(short name, unit) by the names of columns that tell a unit."""
    return {name: (row.name, unit) for row in rows for name, unit in row.table_units}


ODB_NUMBERS: Final = odb_numbers(QUANTITIES.values())
_NAMES: Final = table_names(QUANTITIES.values())
_WITH_UNIT: Final = names_with_unit(QUANTITIES.values())


def si_unit(quantity: str) -> str:
    """Return the SI unit of a quantity."""
    return QUANTITIES[quantity].units


def find_quantity(name: str) -> str | None:
    """Return the short name of the quantity that a variable's name means, or None."""
    return _NAMES.get(normalise(name))


def split_unit(name: str) -> tuple[str, str]:
    """Return a column's or variable's name → (its quantity or "", its unit or "")."""
    quantity = find_quantity(name)
    if quantity is not None:
        return quantity, ""
    if normalise(name) in _WITH_UNIT:
        return _WITH_UNIT[normalise(name)]
    bracketed = _BRACKETS.match(name.strip())
    if bracketed is not None:
        # What the brackets say goes before a unit within the name
        return split_unit(bracketed["name"])[0], bracketed["unit"]
    for stem, unit in _ends(name):
        quantity = find_quantity(stem)
        if quantity is not None and conversion(quantity, unit) is not None:
            return quantity, unit
    return "", ""


def _ends(name: str) -> Iterator[tuple[str, str]]:
    """Yield the ways to take a name for another name and a unit: `wind direction_degree`, `speed_m/s`."""
    for mark in re.finditer(r"[_ ]", name.strip()):
        stem, unit = name.strip()[: mark.start()], name.strip()[mark.end() :]
        if stem and unit and not unit.isdigit():
            yield stem, unit


def conversion(quantity: str, unit: str) -> Conversion | None:
    """Return how values of a quantity in a unit become SI, or None when the unit is not one of the quantity's.

    Geopotential in metres is geopotential height, and the other way round. A humidity may be in per cent.
    """
    text = unit.strip()
    if quantity in ("z", "gh"):
        height, geopotential = find_unit(text, "m"), find_unit(text, "m2 s-2")
        if height is not None:
            return Conversion("gh", height)
        return None if geopotential is None else Conversion("z", geopotential)
    found = find_unit(text, si_unit(quantity))
    return None if found is None else Conversion(quantity, found)


def with_unit(name: str, names: Collection[str], si: str) -> tuple[str, UnitConversion | None] | None:
    """Which of some names a column's name is, and the unit beside it (None: it says none); None when it is none."""
    if normalise(name) in names:
        return normalise(name), None
    bracketed = _BRACKETS.match(name.strip())
    if bracketed is not None:
        inner, unit = with_unit(bracketed["name"], names, si), find_unit(bracketed["unit"], si)
        return None if inner is None or unit is None else (inner[0], unit)
    for stem, text in _ends(name):
        found = find_unit(text, si)
        if normalise(stem) in names and found is not None:
            return normalise(stem), found
    return None


_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Layout:
    """signature: columns that tell it, where none of `without` is. units, names: by the columns they are of."""

    name: str
    signature: frozenset[str]
    units: Mapping[str, str]
    names: Mapping[str, str] = field(default_factory=dict)
    without: frozenset[str] = frozenset()


_SOUNDING: Final = frozenset(
    ("pressure", "height", "temperature", "dewpoint", "direction", "speed", "u_wind", "v_wind")
)
_OF_SOUNDING: Final = {"pressure": "hPa", "height": "m", "temperature": "degC", "dewpoint": "degC"}
_WINDS: Final = ("speed", "u_wind", "v_wind")

LAYOUTS: Final = (
    Layout(
        "siphon's IGRA 2",
        _SOUNDING | {"lvltyp1", "etime"},
        {**_OF_SOUNDING, **dict.fromkeys(_WINDS, "m/s"), "relative_humidity": "%"},
    ),
    Layout(
        "siphon's soundings of Wyoming and IEM",
        _SOUNDING,
        {**_OF_SOUNDING, **dict.fromkeys(_WINDS, "kt")},
        without=frozenset(("lvltyp1", "etime")),
    ),
    Layout(
        "siphon's buoys of NDBC",
        frozenset(("wind_speed", "wave_height", "dominant_wave_period", "pressure", "air_temperature")),
        {"wind_speed": "m/s", "air_temperature": "degC", "dewpoint": "degC", "pressure": "hPa"},
        {"pressure": "msl"},
    ),
    Layout(
        "Meteostat",
        frozenset(("temp", "dwpt", "rhum", "wspd", "wpgt", "pres")),
        {"temp": "degC", "dwpt": "degC", "rhum": "%", "wspd": "km/h", "pres": "hPa"},
        {"pres": "msl"},
    ),
)


def with_known_units(table: pd.DataFrame, label: str) -> pd.DataFrame:
    """Return the table, the columns of a known layout with their units in brackets; said in the log."""
    columns = {normalise(str(column)): str(column) for column in table.columns}
    bare = {name.partition("_[")[0] for name in columns}
    for layout in LAYOUTS:
        if layout.signature <= bare and not layout.without & bare:
            new = {
                columns[name]: f"{layout.names.get(name, columns[name])} [{unit}]"
                for name, unit in layout.units.items()
                if name in columns
            }
            _logger.warning("%s: has the columns of %s; read as %s", label, layout.name, ", ".join(new.values()))
            return table.rename(columns=new)
    return table
