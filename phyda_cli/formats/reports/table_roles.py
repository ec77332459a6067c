"""Which column of a table is what: place, time, pressure, station, and what is left over; and in which unit.

A unit is that of a whole column: what the label says, if the numbers do not contradict it, else what they say. A label
that contradicts its whole column refuses the table. Without a label the only credible unit is taken and said; where
several are, values are in SI if they can be, and the table is refused if they cannot.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from phyda_cli.constants import GRAVITY
from phyda_cli.errors import BadDataError
from phyda_cli.formats.judgement import judge, units_of
from phyda_cli.formats.reports.cells import Floats, is_any_fill
from phyda_cli.formats.reports.columns import (
    FIRST_COUNTS,
    LEVELS,
    PRESSURES,
    ROLES,
    Conversion,
    conversion,
    normalise,
    si_unit,
    with_unit,
)
from phyda_cli.formats.units import UnitConversion, find_unit

_logger = logging.getLogger(__name__)

_MOST_NAMED: Final = 30
_METRE: Final = UnitConversion("m", "m")


@dataclass(frozen=True)
class Labelled:
    """A column with a unit. sure: whether the table says it; else it holds where the numbers do not decide."""

    column: str
    unit: UnitConversion
    sure: bool


@dataclass(frozen=True)
class Roles:
    """columns: role → column, of those in `ROLES`. pressure, elevation: None without such a column."""

    columns: dict[str, str]
    pressure: Labelled | None
    elevation: Labelled | None

    @property
    def taken(self) -> frozenset[str]:
        """Every column with a role."""
        others = (entry.column for entry in (self.pressure, self.elevation) if entry is not None)
        return frozenset((*self.columns.values(), *others))


def refuse_repeated(table: pd.DataFrame, label: str) -> None:
    """Raise BadDataError when two columns have the same name."""
    names = Counter(normalise(str(column)) for column in table.columns)
    repeated = [name for name, count in names.items() if count > 1 and name]
    if repeated:
        raise BadDataError(f"{label}: names column {repeated[0]!r} more than once; keep one")


def roles_of(table: pd.DataFrame, label: str) -> Roles:
    """Return the roles of a table's columns.

    Raises BadDataError when a column that is needed is not there, or two are the same.
    """
    present = [str(column) for column in table.columns]
    columns = {normalise(column): column for column in present}
    roles: dict[str, str] = {}
    for role, names in ROLES.items():
        found = [columns[name] for name in names if name in columns]
        if len(found) > 1 and role not in FIRST_COUNTS:
            raise BadDataError(f"{label}: columns {found[0]!r} and {found[1]!r} both give the {role}; keep one")
        if found:
            roles[role] = found[0]
    there = f"there are: {listed(present)}"
    for needed in ("latitude", "longitude"):
        if needed not in roles:
            remedy = "; --stations FILE gives the places of stations" if "station" in roles else ""
            raise BadDataError(f"{label}: no {needed} column (one of {', '.join(ROLES[needed])}); {there}{remedy}")
    if not ({"time", "date", "relative_hours"} & roles.keys() or {"year", "month", "day"} <= roles.keys()):
        raise BadDataError(f"{label}: no time column (one of {', '.join(ROLES['time'][:7])}, date); {there}")
    elevation = roles.pop("elevation", None)
    return Roles(roles, _pressure(present, label), _elevation(elevation, present))


def _pressure(present: list[str], label: str) -> Labelled | None:
    found: list[tuple[str, Labelled]] = []
    for column in present:
        named = with_unit(column, PRESSURES, "Pa")
        if named is not None:
            name, unit = named
            default = find_unit(PRESSURES[name][0], "Pa")
            assert default is not None
            found.append((name, Labelled(column, unit or default, unit is not None or PRESSURES[name][1])))
    found = [entry for entry in found if entry[0] not in LEVELS] or found
    if len(found) > 1:
        first, second = found[0][1].column, found[1][1].column
        raise BadDataError(f"{label}: columns {first!r} and {second!r} both give the pressure; keep one")
    return found[0][1] if found else None


def _elevation(plain: str | None, present: list[str]) -> Labelled | None:
    if plain is not None:
        return Labelled(plain, _METRE, sure=False)
    for column in present:
        named = with_unit(column, ROLES["elevation"], "m")
        if named is not None and named[1] is not None:
            return Labelled(column, named[1], sure=True)
    return None


def log_unread(table: pd.DataFrame, read: Iterable[str], label: str) -> None:
    """Name the columns that were not read, once."""
    known = set(read)
    unread = [name for name in map(str, table.columns) if name.strip() and name not in known]
    if unread:
        _logger.warning("%s: columns that were not read: %s", label, listed(unread))


def listed(names: list[str]) -> str:
    """Return names for a message, not too many of them."""
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(name[:60] for name in names[:_MOST_NAMED]) + more


_FEWEST_COUNTED: Final = 3
"""So many levels 1, 2, 3, … are counted, not measured."""
_DEEPEST_HPA: Final = 2_000.0
_DEEPEST_PA: Final = 10_000.0
"""The highest pressure of a table [Pa] is at least this, in hPa and in Pa."""


def column_unit(
    quantity: str, values: Floats, pressures: Floats, unit: str, *, name: str, label: str
) -> Conversion | None:
    """Return how the values of a column, or of one name in a long table, become SI; None for a unit that is not known.

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
    """Return the SI unit of a quantity as a conversion."""
    unit = si_unit(quantity)
    return find_unit(unit, unit) or UnitConversion(unit, unit)


def pressure_unit(pressure: Labelled, values: Floats, heights: Floats, *, label: str) -> UnitConversion:
    """Return the unit of a column of pressures. values (n,) as written; heights (n,) [m] of the same rows, NaN for
    none.

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
    """Return the unit's label in ASCII, as it can be typed."""
    return unit.label.replace("°", "deg") if unit.si == "K" else unit.label


def _range(values: Floats) -> str:
    finite = values[np.isfinite(values)]
    return f"{finite.min():g} to {finite.max():g}" if finite.size else "none"
