"""What DART calls its observations: PLATFORM_QUANTITY → short name and report type.

The quantity is the end of the name (`ACARS_U_WIND_COMPONENT`, `METAR_U_10_METER_WIND`), the platform what stands before
it. DART's units are SI (relative humidity a fraction, pressure in Pa); quantities in other units are not in the table:
altimeter settings are hPa and no pressure at any place, precipitable water is not in one unit everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from phyda_cli.fields.variables import QUANTITIES, Variable, index


def dart_names(rows: Iterable[Variable]) -> dict[str, str]:
    """Short names by the ends of DART's names of types."""
    return index(lambda row: row.dart, rows)


_NAMES: Final = dart_names(QUANTITIES.values())

PLATFORMS: Final = {
    "": "",
    "RADIOSONDE": "sonde",
    "DROPSONDE": "dropsonde",
    "PILOT": "pilot",
    "PROFILER": "profiler",
    "VADWND": "vad",
    "AIRCRAFT": "aircraft",
    "ACARS": "aircraft",
    "AMDAR": "aircraft",
    "SAT": "satwind",
    "CIMMS_AMV": "satwind",
    "AIRS": "airs",
    "ATOV": "atovs",
    "QKSWND": "scatterometer",
    "LAND": "synop",
    "LAND_SFC": "synop",
    "SYNOP": "synop",
    "METAR": "metar",
    "MESONET": "msonet",
    "MARINE": "ship",
    "MARINE_SFC": "ship",
    "SHIP": "ship",
}
"""Begin of a type's name → report type. Others are not known: ocean and radiance types end like these."""


def find_kind(name: str) -> tuple[str, str] | None:
    """The short name and report type of a DART type, or None when it is not one that phyda knows."""
    for quantity, variable in _NAMES.items():
        platform = name.removesuffix(quantity).removesuffix("_")
        if name.endswith(quantity) and platform in PLATFORMS:
            return variable, PLATFORMS[platform]
    return None
