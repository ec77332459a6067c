"""How numbers are shown to people: familiar units in place of SI, values side by side, columns that line up."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from phyda_cli.constants import GRAVITY
from phyda_cli.fields.variables import VARIABLES


class Display(NamedTuple):
    """How a variable is shown: value = factor · SI, with a name and a unit to print."""

    factor: float
    name: str
    unit: str


_UNITS: Final[dict[str, tuple[float, str]]] = {
    "Pa": (1e-2, "hPa"),
    "kg kg-1": (1e3, "g/kg"),
    "m s-1": (1.0, "m/s"),
    "m2 s-2": (1.0 / GRAVITY, "gpm"),
    "kg m-2": (1.0, "kg/m²"),
}
"""Factor and name of the familiar unit, by the unit in SI."""
ARROW: Final = " → "
_NAMES: Final = {"z": "geopotential height", "u": "zonal wind", "v": "meridional wind"}


def display(variable: str) -> Display:
    """Return how a variable is shown; in SI where nothing else is customary, or the variable is not known."""
    if variable not in VARIABLES:
        return Display(1.0, variable, "")
    entry = VARIABLES[variable]
    return Display(_UNITS.get(entry.units, (1.0,))[0], _NAMES.get(variable, entry.long_name.lower()),
                   _UNITS.get(entry.units, (1.0, entry.units))[1])  # fmt: skip


def number(value: float | None, form: str = ".4g") -> str:
    """Return a number as text, `-` for none and for NaN."""
    return "-" if value is None or math.isnan(value) else format(value, form)


def arrow(values: Iterable[float | None], form: str = ".4g") -> str:
    """Return numbers of successive states side by side, such as `1.5 → 1.2`."""
    return ARROW.join(number(value, form) for value in values)


def aligned(rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """Return rows of cells, the head first, as columns that line up: the first `left` to the left, the others to the
    right.
    """
    columns = [[head, *_arrows_below_each_other(cells)] for head, *cells in zip(*rows, strict=True)]
    widths = [max(map(len, column)) for column in columns]
    lines = []
    for row in zip(*columns, strict=True):
        padded = (
            cell.ljust(w) if i < left else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def _arrows_below_each_other(cells: Sequence[str]) -> list[str]:
    parts = [cell.split(ARROW) for cell in cells]
    if len({len(row) for row in parts}) != 1:
        return list(cells)
    widths = [max(map(len, column)) for column in zip(*parts, strict=True)]
    return [
        ARROW.join(part.rjust(w) for part, w in zip(row, widths, strict=True)) if len(row) > 1 else row[0]
        for row in parts
    ]
