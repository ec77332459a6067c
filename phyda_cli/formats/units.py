"""The closed table of units: what a file may write and how it becomes SI, SI = scale·file + offset.

A unit that is not in the table is refused by the readers, never guessed; whether numbers fit a unit, and which one fits
where there is none, is told by `judgement.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.constants import INCH_OF_MERCURY, KNOT, ZERO_CELSIUS


@dataclass(frozen=True)
class UnitConversion:
    """SI = scale·file + offset; `si` is the SI unit, `label` a spelling for messages."""

    label: str
    si: str
    scale: float = 1.0
    offset: float = 0.0

    @property
    def is_trivial(self) -> bool:
        """Whether the file is in SI."""
        return self.scale == 1.0 and self.offset == 0.0

    def to_si(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values of a file in SI; what overflows is inf, out of all bounds."""
        with np.errstate(over="ignore"):
            return self.scale * values + self.offset


_TABLE: Final = tuple(
    (UnitConversion(label, si, scale, offset), names.split(", "))
    for label, si, scale, offset, names in (
        ("K", "K", 1.0, 0.0, "K, kelvin, degK, deg_K, degree_kelvin, degrees_kelvin, degreesK"),
        ("°C", "K", 1.0, ZERO_CELSIUS,
         "C, °C, ºC, degC, deg_C, celsius, degree_C, degrees_C, degree_celsius, degrees_celsius"),
        ("°F", "K", 5.0 / 9.0, ZERO_CELSIUS - 32.0 * 5.0 / 9.0,
         "F, °F, ºF, degF, deg_F, fahrenheit, degree_fahrenheit, degrees_fahrenheit"),
        ("m s-1", "m s-1", 1.0, 0.0,
         "m s-1, m/s, ms, ms-1, mps, m.s-1, m/sec, meter/sec, meter/second, meters/second, metres/second"),
        ("kt", "m s-1", KNOT, 0.0, "kt, kts, knot, knots"),
        ("km/h", "m s-1", 1.0 / 3.6, 0.0, "km/h, kmh, kph, km h-1, kmh-1"),
        ("kg kg-1", "kg kg-1", 1.0, 0.0, "kg kg-1, kg/kg, kg.kg-1, 1"),
        ("g kg-1", "kg kg-1", 1e-3, 0.0, "g kg-1, g/kg, g.kg-1, gkg"),
        ("m2 s-2", "m2 s-2", 1.0, 0.0, "m2 s-2, m2/s2, m2.s-2, J kg-1, J/kg"),
        ("m", "m", 1.0, 0.0, "m, gpm, meter, meters, metre, metres, geopotential_meter, geopotential_metre"),
        ("dam", "m", 10.0, 0.0, "dam, gpdam, gpdm, decameter"),
        ("km", "m", 1000.0, 0.0, "km"),
        ("ft", "m", 0.3048, 0.0, "ft, foot, feet"),
        ("Pa", "Pa", 1.0, 0.0, "Pa, pascal, pascals"),
        ("hPa", "Pa", 100.0, 0.0, "hPa, mb, mbar, mbars, millibar, millibars, hectopascal, hectopascals"),
        ("inHg", "Pa", INCH_OF_MERCURY, 0.0, "inHg, in Hg, in_hg, inches of mercury, inches_hg"),
        ("kPa", "Pa", 1000.0, 0.0, "kPa"),
        ("1", "1", 1.0, 0.0, "1, 0-1, (0-1), fraction, dimensionless, proportion"),
        ("N", "1e-6", 1.0, 0.0, "N, N unit, N units, N-unit, N-units, N_unit, N_units, 1"),
        ("%", "1", 0.01, 0.0, "%, pct, percent"),
        ("Pa s-1", "Pa s-1", 1.0, 0.0, "Pa s-1, Pa/s, Pa.s-1"),
        ("s-1", "s-1", 1.0, 0.0, "s-1, 1/s"),
        ("kg m-2", "kg m-2", 1.0, 0.0, "kg m-2, kg/m2, kg.m-2, mm"),
        ("degree", "degree", 1.0, 0.0, "degree, degrees, deg, °"),
    )
)  # fmt: skip
"""(label, SI unit, scale, offset, the spellings of files)."""
_OF_STATIONS: Final = ("°F", "inHg")
"""Written in tables of stations only, never in gridded products."""


def _key(text: str) -> str:
    return re.sub(r"\*\*|\^|\s", "", text.replace("−", "-")).casefold()


_BY_KEY: Final = {(entry.si, _key(name)): entry for entry, names in _TABLE for name in names}


def find_unit(text: str, si: str) -> UnitConversion | None:
    """Return the conversion of a unit's spelling to the SI unit `si`, or None when the table does not hold it.

    The SI unit itself is always known.
    """
    same = UnitConversion(si, si) if _key(text) == _key(si) else None
    return _BY_KEY.get((si, _key(text)), same)


_UDUNITS: Final = {"N": "1e-6", "°C": "degC", "°F": "degF", "kt": "knot", "gpm": "m", "°": "degree"}


def udunits(label: str) -> str:
    """Return a unit as UDUNITS spells it, which does not know some labels, or takes them for something else."""
    return _UDUNITS.get(label, label)


def candidates(si: str, *, gridded: bool = False) -> tuple[UnitConversion, ...]:
    """Return every unit of the table that measures the same quantity as `si`; gridded: of those that gridded products
    have.
    """
    return tuple(entry for entry, _ in _TABLE if entry.si == si and not (gridded and entry.label in _OF_STATIONS))
