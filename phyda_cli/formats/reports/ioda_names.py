"""The names of IODA files: what its variables are here, and what a report type number means.

The names and units are those of the JEDI conventions (the table `ObsSpace.yaml` of IODA); the older ones, with
underscores, are read as well. Report types are those of NCEP's PREPBUFR, which the group ObsType holds.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from phyda_cli.constants import GRAVITY
from phyda_cli.fields.variables import QUANTITIES, Variable


@dataclass(frozen=True)
class IodaName:
    """A variable of ObsValue.

    quantity: a key of `QUANTITIES`, or VIRTUAL. units: the convention's, which are SI. old: former names.
    near_surface: at 2 or 10 metres, as in a surface report.
    """

    name: str
    quantity: str
    units: str
    old: tuple[str, ...] = ()
    near_surface: bool = False


VIRTUAL: Final = "virtualTemperature"
"""The quantity that becomes t where the location has a specific humidity; the name stays where it has none."""

_VIRTUAL_NAMES: Final = (
    IodaName(VIRTUAL, VIRTUAL, "K", ("virtual_temperature",)),
    IodaName("virtualTemperatureAt2M", VIRTUAL, "K", (), True),
)


def ioda_names(rows: Iterable[Variable]) -> tuple[IodaName, ...]:
    """Return the names of the variables' rows in IODA, and those of virtual temperature."""
    found = []
    for row in rows:
        for names, near_surface in ((row.ioda, False), (row.ioda_near_surface, True)):
            found += [IodaName(name, row.name, row.units, names[1:], near_surface) for name in names[:1]]
    return (*found, *_VIRTUAL_NAMES)


NAMES: Final = ioda_names(QUANTITIES.values())
_BY_NAME: Final = {name.casefold(): entry for entry in NAMES for name in (entry.name, *entry.old)}
_BY_QUANTITY: Final = {entry.quantity: entry for entry in reversed(NAMES)}


def find_ioda(name: str) -> IodaName | None:
    """Return what a variable of ObsValue is, or None when phyda does not know it."""
    return _BY_NAME.get(name.casefold())


def ioda_name(quantity: str) -> tuple[str, str, float]:
    """Return a quantity → (its IODA name, the units there, scale); IODA value = scale · SI value.

    Geopotential is written as geopotential height. A name that is no quantity is one that a file brought along and
    stays, without units.
    """
    entry = _BY_QUANTITY.get("gh" if quantity == "z" else quantity)
    if entry is None:
        return _file_name(quantity), "", 1.0
    return entry.name, entry.units, 1.0 / GRAVITY if quantity == "z" else 1.0


def _file_name(name: str) -> str:
    """Return a text as a name that NetCDF allows: no slash or control character, 256 bytes, a letter or digit first,
    NFC.
    """
    name = re.sub(r"[/\x00-\x1f\x7f]", "_", unicodedata.normalize("NFC", name.strip()))[:60].strip()
    return name if re.match(r"\w", name) else f"unnamed{name}"


_TYPES: Final[dict[str, tuple[int, ...]]] = {
    "sonde": (20, 21, 22, 32),
    "profiler": (23, 24, 26, 27, 28, 29),
    "aircraft": (30, 31, 33, 34, 35),
    "satwind": tuple(range(40, 61)),
    "ship": (80, 82),
    "surface": (81, 83, 84, 87, 88),
    "scatterometer": (85, 86, 89, 90),
}
_BY_TYPE: Final = {number: name for name, numbers in _TYPES.items() for number in numbers}
_WIND_ALONE: Final = "satwind"


def report_type(number: int) -> str:
    """Return the report type of an NCEP number, 100 + n for mass and 200 + n for wind; of another one the number
    itself.
    """
    found = _BY_TYPE.get(number % 100, "") if number // 100 in (1, 2) else ""
    return str(number) if not found or (found == _WIND_ALONE and number < 200) else found
