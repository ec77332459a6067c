"""Which column of a table is what: place, time, pressure, station, and what is left over."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import pandas as pd

from phyda_cli.errors import BadDataError
from phyda_cli.formats.reports.columns import FIRST_COUNTS, LEVELS, PRESSURES, ROLES, normalise, with_unit
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
    """The roles of a table's columns.

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
    """Names for a message, not too many of them."""
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(name[:60] for name in names[:_MOST_NAMED]) + more
