"""Units of a table by whole columns: what the label says, if the numbers do not contradict it, else what they say.

A label that contradicts its whole column refuses the table. Without a label the only credible unit is taken and said;
where several are, values are in SI if they can be, and the table is refused if they cannot.
"""

from __future__ import annotations

import logging
from typing import Final

import numpy as np

from phyda_cli.constants import GRAVITY
from phyda_cli.errors import BadDataError
from phyda_cli.formats.judgement import judge, units_of
from phyda_cli.formats.reports.cells import Floats, is_any_fill
from phyda_cli.formats.reports.columns import LEVELS, Conversion, conversion, normalise, si_unit
from phyda_cli.formats.reports.table_roles import Labelled
from phyda_cli.formats.units import UnitConversion, find_unit

_logger = logging.getLogger(__name__)

_FEWEST_COUNTED: Final = 3
"""So many levels 1, 2, 3, … are counted, not measured."""
_DEEPEST_HPA: Final = 2_000.0
_DEEPEST_PA: Final = 10_000.0
"""The highest pressure of a table [Pa] is at least this, in hPa and in Pa."""


def column_unit(
    quantity: str, values: Floats, pressures: Floats, unit: str, *, name: str, label: str
) -> Conversion | None:
    """How the values of a column, or of one name in a long table, become SI; None for a unit that is not known.

    quantity: a short name, `wind_speed` or `wind_direction`. values (n,) as written, pressures (n,) [Pa]. unit: as
    written, "" for none. name, label: of the column and the file, for messages.
    Raises BadDataError for a unit that the numbers contradict, and where none is given and SI cannot be.
    """
    values = np.where(is_any_fill(values), np.nan, values)
    if unit:
        said = conversion(quantity, unit)
        if said is not None:
            _refuse_contradiction(quantity, values, pressures, said.unit, name=name, label=label)
        return said
    si = si_conversion(quantity)
    found = judge(quantity, values, pressures).unit
    if found is None and judge(quantity, values, pressures, si).credible is False:
        fitting = [u for u in units_of(quantity) if judge(quantity, values, pressures, u).credible is not False]
        if fitting:
            remedies = " or ".join(f"--units '{name}={_plain(u)}'" for u in fitting)
            raise BadDataError(
                f"{label}: {name} has no unit and its numbers ({_range(values)}) cannot be {si.label}; say it with "
                f"{remedies}"
            )
    if found is None or found == si:
        return Conversion(quantity, si)
    _logger.warning("%s: %s has no unit; by its numbers (%s) it is in %s", label, name, _range(values), found.label)
    named = conversion(quantity, found.label)
    assert named is not None
    return named


def si_conversion(quantity: str) -> UnitConversion:
    """The SI unit of a quantity as a conversion."""
    unit = si_unit(quantity)
    return find_unit(unit, unit) or UnitConversion(unit, unit)


def pressure_unit(pressure: Labelled, values: Floats, heights: Floats, *, label: str) -> UnitConversion:
    """The unit of a column of pressures. values (n,) as written; heights (n,) [m] of the same rows, NaN for none.

    Raises BadDataError for a unit that the numbers contradict.
    """
    values = np.where(is_any_fill(values), np.nan, values)
    none = np.full(values.shape, np.nan)
    if pressure.sure:
        verdict = judge("pressure", values, none, pressure.unit, heights=heights)
        if verdict.credible is False and verdict.unit is not None:
            raise BadDataError(
                f"{label}: {pressure.column} ({_range(values)}) cannot be in {pressure.unit.label}, it looks like "
                f"{verdict.unit.label}: --units '{pressure.column}={_plain(verdict.unit)}'"
            )
        return pressure.unit
    found = judge("pressure", values, none, heights=heights).unit
    if normalise(pressure.column) in LEVELS:
        _refuse_other_levels(pressure.column, values, found or pressure.unit, label=label)
    if found == pressure.unit:
        return found
    if found is None:
        if np.isfinite(values).any():
            _logger.warning("%s: %s has no unit and is taken as %s", label, pressure.column, pressure.unit.label)
        return pressure.unit
    _logger.info(
        "%s: %s has no unit; by its numbers (%s) it is in %s", label, pressure.column, _range(values), found.label
    )
    return found


def _refuse_other_levels(column: str, values: Floats, unit: UnitConversion, *, label: str) -> None:
    """Raise BadDataError for levels that are numbers of model levels, or heights, rather than pressures.

    A table of pressures without a unit reaches down to 20 hPa at least, in Pa to 100 hPa.
    """
    numbers = np.unique(values[np.isfinite(values)])
    if not numbers.size:
        return
    counted = numbers.size >= _FEWEST_COUNTED and np.array_equal(numbers, np.arange(1.0, numbers.size + 1.0))
    if counted or unit.scale * numbers.max() < (_DEEPEST_HPA if unit.scale > 1.0 else _DEEPEST_PA):
        raise BadDataError(
            f"{label}: {column} ({_range(numbers)}) does not say whether it is a pressure, a height or a count; "
            "name it pressure_hpa or pressure_pa, or leave it out"
        )


def heights_of(quantity: str, values: Floats, unit: str) -> Floats:
    """Heights [m], as a witness for pressures: values as written, NaN where their unit says nothing."""
    found = conversion(quantity, unit or "m") if quantity == "gh" or unit else None
    if found is None:
        return np.full(values.shape, np.nan)
    scale = found.unit.scale / (GRAVITY if found.unit.si == "m2 s-2" else 1.0)
    return np.where(is_any_fill(values), np.nan, scale * values)


def _refuse_contradiction(
    quantity: str, values: Floats, pressures: Floats, unit: UnitConversion, *, name: str, label: str
) -> None:
    verdict = judge(quantity, values, pressures, unit)
    if verdict.credible is not False:
        return
    fits = (
        "" if verdict.unit is None else f", it looks like {verdict.unit.label}: --units '{name}={_plain(verdict.unit)}'"
    )
    raise BadDataError(f"{label}: {name} ({_range(values)}) cannot be in {unit.label}{fits}")


def _plain(unit: UnitConversion) -> str:
    """The unit's label in ASCII, as it can be typed."""
    return unit.label.replace("°", "deg") if unit.si == "K" else unit.label


def _range(values: Floats) -> str:
    finite = values[np.isfinite(values)]
    return f"{finite.min():g} to {finite.max():g}" if finite.size else "none"
