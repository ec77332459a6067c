"""Names of variables in gridded files: what each means, and at which pressure level where the name tells it.

A variable is known by its name (`Variable` rows), by its GRIB short name, on pressure levels by its CF standard name,
then by its long name. NCL and THREDDS name the kind of level in the name (`TMP_P0_L100_GLL0`, `Temperature_isobaric`).
A level in the name (`t500`, `t_500` of machine-learning models, `TMP_500mb` of wgrib2) is one where the file has the
variable at two levels or more, or where hPa or mb stands beside it: `u100` alone may be the wind at 100 m.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

from phyda_cli.fields.variables import VARIABLES, Variable, find_grib_variable, find_gridded_variable

_NCL_LEVELS: Final = re.compile(r"(_p\d+_l100_g\w+|(_gds\d+|_\d+)_isbl(_\w+)?)$")
_NCL_SINGLE: Final = re.compile(r"(_p\d+_l(1|101|103)_g\w+)$")
_WITH_LEVEL: Final = re.compile(r"(?P<base>[a-z][a-z_]*?)[_-]?(?P<level>\d{1,4})(?P<unit>_?(mb|hpa))?")
_TOP_AND_BOTTOM: Final = (1.0, 1100.0)


def look_up(name: str, attributes: Mapping[Any, Any], *, on_levels: bool) -> tuple[Variable | None, int]:
    """The table's variable and how sure it is: 0 by name, 1 by GRIB short name, 2 by standard name, 3 by long name."""
    plain = name.casefold().replace("-", "_")
    known = find_gridded_variable(name) or find_gridded_variable(re.sub(r"_(isobaric|pressure|pl|plev)+$", "", plain))
    if known is None and on_levels:
        known = find_gridded_variable(_NCL_LEVELS.sub("", re.sub(r"_pressure$", "", plain)))
    if known is None and not on_levels:
        known = _ncl_single(plain, attributes)
    if known is not None:
        return known, 0
    known = find_grib_variable(str(attributes.get("GRIB_shortName", "")))
    if known is not None:
        return known, 1
    standard = attributes.get("standard_name")
    long_name = re.sub(r"\W+", "_", str(attributes.get("long_name", "")).split("(")[0].strip().casefold())
    for entry in VARIABLES.values():
        alike = entry.pressure_level == on_levels and (on_levels or entry.name in ("msl", "sp"))
        if alike and standard == entry.standard_name:
            return entry, 2
    known = find_gridded_variable(long_name) if len(long_name) > 3 else None
    if known is not None and standard is None and on_levels and known.pressure_level:
        return known, 3
    return None, 4


def _ncl_single(plain: str, attributes: Mapping[Any, Any]) -> Variable | None:
    """NCL's names of fields at the surface (L1), at sea level (L101) and above the ground (L103, with its height)."""
    kind = _NCL_SINGLE.search(plain)
    if kind is None:
        return None
    base, height = plain[: kind.start()], attributes.get("level")
    if kind[2] == "101":
        return VARIABLES["msl"] if base in ("prmsl", "mslet", "pres") else None
    if kind[2] == "1":
        return VARIABLES["sp"] if base == "pres" else None
    heights = {("tmp", 2): "t2m", ("dpt", 2): "d2m", ("ugrd", 10): "u10", ("vgrd", 10): "v10"}
    try:
        known = heights.get((base, int(float(str(height)))))
    except ValueError:
        return None
    return None if known is None else VARIABLES[known]


def levels_in_names(names: Iterable[str]) -> dict[str, tuple[Variable, float]]:
    """The names of horizontal fields that tell a pressure level: variable and pressure [Pa]."""
    found: dict[str, tuple[Variable, float]] = {}
    sure: set[str] = set()
    for name in names:
        match = _WITH_LEVEL.fullmatch(name.casefold())
        if match is None or find_gridded_variable(name) is not None:
            continue
        variable, level = find_gridded_variable(match["base"]), float(match["level"])
        if variable is not None and variable.pressure_level and _TOP_AND_BOTTOM[0] <= level <= _TOP_AND_BOTTOM[1]:
            found[name] = (variable, 100.0 * level)
            sure |= {name} if match["unit"] else set()
    counts = Counter(variable.name for variable, _ in found.values())
    return {name: entry for name, entry in found.items() if name in sure or counts[entry[0].name] > 1}
