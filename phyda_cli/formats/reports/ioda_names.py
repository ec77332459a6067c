"""The names of IODA files: what its variables are here, and what a report type number means.

The names and units are those of the JEDI conventions (the table `ObsSpace.yaml` of IODA); the older ones, with
underscores, are read as well. Report types are those of NCEP's PREPBUFR, which the group ObsType holds.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from phyda_cli.constants import GRAVITY


@dataclass(frozen=True)
class IodaName:
    """A variable of ObsValue.

    quantity: short name of `VARIABLES`, `wind_speed`, `wind_direction` or VIRTUAL.
    units: the convention's. old: former names. near_surface: at 2 or 10 metres, as in a surface report.
    """

    name: str
    quantity: str
    units: str
    old: tuple[str, ...] = ()
    near_surface: bool = False


VIRTUAL: Final = "virtualTemperature"
"""The quantity that becomes t where the location has a specific humidity; the name stays where it has none."""

NAMES: Final = (
    IodaName("airTemperature", "t", "K", ("air_temperature",)),
    IodaName("windEastward", "u", "m s-1", ("eastward_wind",)),
    IodaName("windNorthward", "v", "m s-1", ("northward_wind",)),
    IodaName("specificHumidity", "q", "kg kg-1", ("specific_humidity",)),
    IodaName("geopotentialHeight", "gh", "m", ("geopotential_height",)),
    IodaName("relativeHumidity", "r", "1", ("relative_humidity",)),
    IodaName("dewpointTemperature", "td", "K", ("dew_point_temperature", "dewpoint_temperature")),
    IodaName("windSpeed", "wind_speed", "m s-1", ("wind_speed",)),
    IodaName("windDirection", "wind_direction", "degree", ("wind_direction", "wind_from_direction")),
    IodaName(VIRTUAL, VIRTUAL, "K", ("virtual_temperature",)),
    IodaName("stationPressure", "sp", "Pa", ("surface_pressure", "station_pressure", "surfacePressure")),
    IodaName("pressureReducedToMeanSeaLevel", "msl", "Pa", ("mean_sea_level_pressure", "air_pressure_at_sea_level")),
    IodaName("airTemperatureAt2M", "t2m", "K", ("air_temperature_at_2m", "t2m")),
    IodaName("dewpointTemperatureAt2M", "d2m", "K"),
    IodaName("virtualTemperatureAt2M", VIRTUAL, "K", (), True),
    IodaName("windEastwardAt10M", "u10", "m s-1", ("uwind_at_10m", "eastward_wind_at_10m")),
    IodaName("windNorthwardAt10M", "v10", "m s-1", ("vwind_at_10m", "northward_wind_at_10m")),
    IodaName("windSpeedAt10M", "wind_speed", "m s-1", ("wind_speed_at_10m",), True),
    IodaName("windDirectionAt10M", "wind_direction", "degree", ("wind_from_direction_at_10m",), True),
    IodaName("precipitableWater", "tcwv", "kg m-2", ("precipitable_water",)),
)

_BY_NAME: Final = {name.casefold(): entry for entry in NAMES for name in (entry.name, *entry.old)}
_BY_QUANTITY: Final = {entry.quantity: entry for entry in reversed(NAMES)}


def find_ioda(name: str) -> IodaName | None:
    """What a variable of ObsValue is, or None when phyda does not know it."""
    return _BY_NAME.get(name.casefold())


def ioda_name(quantity: str) -> tuple[str, str, float]:
    """A quantity → (its IODA name, the units there, scale); IODA value = scale · SI value.

    Geopotential is written as geopotential height. A name that is no quantity is one that a file brought along and
    stays, without units.
    """
    entry = _BY_QUANTITY.get("gh" if quantity == "z" else quantity)
    if entry is None:
        return _file_name(quantity), "", 1.0
    return entry.name, entry.units, 1.0 / GRAVITY if quantity == "z" else 1.0


def _file_name(name: str) -> str:
    """A text as a name that NetCDF allows: no slash or control character, 256 bytes, a letter or digit first, NFC."""
    name = re.sub(r"[/\x00-\x1f\x7f]", "_", unicodedata.normalize("NFC", name.strip()))[:60].strip()
    return name if re.match(r"\w", name) else f"unnamed{name}"


_TYPES: Final[dict[str, tuple[int, ...]]] = {
    "sonde": (20, 21, 22, 32),
    "profiler": (23, 24, 26, 27, 28, 29),
    "aircraft": (30, 31, 33, 34, 35),
    "satwind": tuple(range(40, 61)),
    "ship": (80, 82),
    "surface": (81, 83, 84, 87, 88, *(85, 86, 89, 90)),  # the last four: scatterometers
}
_BY_TYPE: Final = {number: name for name, numbers in _TYPES.items() for number in numbers}
_WIND_ALONE: Final = "satwind"


def report_type(number: int) -> str:
    """The report type of an NCEP number, 100 + n for mass and 200 + n for wind; of another one the number itself."""
    found = _BY_TYPE.get(number % 100, "") if number // 100 in (1, 2) else ""
    return str(number) if not found or (found == _WIND_ALONE and number < 200) else found
