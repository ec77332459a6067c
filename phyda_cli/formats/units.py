"""The closed table of units: what a file may write and how it becomes SI, SI = scale·file + offset.

A unit that is not in the table is refused by the readers, never guessed; a missing unit is inferred only when exactly
one of the variable's units makes the field's size credible.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.fields.constants import GRAVITY, KNOT, ZERO_CELSIUS
from phyda_cli.fields.standard_atmosphere import standard_height

Array = NDArray[np.float64]


@dataclass(frozen=True)
class UnitConversion:
    """SI = scale·file + offset; `si` is the SI unit, `label` a spelling for messages."""

    label: str
    si: str
    scale: float = 1.0
    offset: float = 0.0


_TABLE: Final = (
    (UnitConversion("K", "K"), ("K", "kelvin", "degK", "deg_K", "degree_kelvin", "degrees_kelvin", "degreesK")),
    (
        UnitConversion("°C", "K", 1.0, ZERO_CELSIUS),
        ("C", "°C", "ºC", "degC", "deg_C", "celsius", "degree_C", "degrees_C", "degree_celsius", "degrees_celsius"),
    ),
    (UnitConversion("m s-1", "m s-1"), ("m s-1", "m/s", "m.s-1", "m/sec", "meters/second", "metres/second")),
    (UnitConversion("kt", "m s-1", KNOT), ("kt", "kts", "knot", "knots")),
    (UnitConversion("kg kg-1", "kg kg-1"), ("kg kg-1", "kg/kg", "kg.kg-1", "1")),
    (UnitConversion("g kg-1", "kg kg-1", 1e-3), ("g kg-1", "g/kg", "g.kg-1")),
    (UnitConversion("m2 s-2", "m2 s-2"), ("m2 s-2", "m2/s2", "m2.s-2", "J kg-1", "J/kg")),
    (
        UnitConversion("m", "m"),
        ("m", "gpm", "meter", "meters", "metre", "metres", "geopotential_meter", "geopotential_metre"),
    ),
    (UnitConversion("dam", "m", 10.0), ("dam", "gpdam", "gpdm", "decameter")),
    (UnitConversion("Pa", "Pa"), ("Pa", "pascal", "pascals")),
    (
        UnitConversion("hPa", "Pa", 100.0),
        ("hPa", "mb", "mbar", "mbars", "millibar", "millibars", "hectopascal", "hectopascals"),
    ),
    (UnitConversion("kPa", "Pa", 1000.0), ("kPa",)),
    (UnitConversion("1", "1"), ("1", "0-1", "(0-1)", "fraction", "dimensionless", "proportion")),
    (UnitConversion("%", "1", 0.01), ("%", "percent")),
    (UnitConversion("Pa s-1", "Pa s-1"), ("Pa s-1", "Pa/s", "Pa.s-1")),
    (UnitConversion("s-1", "s-1"), ("s-1", "1/s")),
    (UnitConversion("kg m-2", "kg m-2"), ("kg m-2", "kg/m2", "kg.m-2", "mm")),
)


def _key(text: str) -> str:
    return re.sub(r"\*\*|\^|\s", "", text.replace("−", "-")).casefold()


_BY_KEY: Final = {(entry.si, _key(name)): entry for entry, names in _TABLE for name in names}


def find_unit(text: str, si: str) -> UnitConversion | None:
    """The conversion of a unit's spelling to the SI unit `si`, or None when the table does not hold it."""
    return _BY_KEY.get((si, _key(text)))


def candidates(si: str) -> tuple[UnitConversion, ...]:
    """Every unit of the table that measures the same quantity as `si`."""
    return tuple(entry for entry, _ in _TABLE if entry.si == si)


def infer_unit(name: str, si: str, values: Array, pressures: Array) -> UnitConversion | None:
    """The only unit that makes a field without one credible, or None when none or several do.

    name: variable of the table; values: (level, …) in the file's unit; pressures: (level,) [Pa] or empty for a
    single-level field.
    """
    fitting = [unit for unit in candidates(si) if _credible(name, unit.scale * values + unit.offset, pressures)]
    return fitting[0] if len(fitting) == 1 else None


def _credible(name: str, values: Array, pressures: Array) -> bool:
    if name in ("t", "td", "t2m", "d2m"):
        return bool(180.0 < np.mean(values) < 320.0)
    if name in ("msl", "sp"):
        return bool(8e4 < np.mean(values) < 1.1e5)
    if name == "r":
        return bool(0.2 < np.max(values) < 2.0)
    if name == "q":
        # Only where the moist lower half of the atmosphere is present do g/kg and kg/kg differ beyond doubt.
        return bool(pressures.size and np.max(pressures) >= 5e4 and 1e-3 < np.max(values) < 0.05)
    if name in ("z", "gh") and pressures.size:
        top = int(np.argmin(pressures))
        expected = standard_height(pressures[top]) * (GRAVITY if name == "z" else 1.0)
        return bool(expected > 1e3 and 0.85 < np.mean(values[top]) / expected < 1.15)
    return False
