"""The values of a table and what stands beside them: one for each row (long table) or filled cell (wide table)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.formats.reports.cells import Texts, is_empty, texts_of
from phyda_cli.formats.reports.columns import ODB_NUMBERS, ROLES, normalise, split_unit
from phyda_cli.formats.reports.table_quality import columns_beside, row_columns, verdicts
from phyda_cli.formats.reports.table_roles import Roles

_ERROR_ENDS: Final = ("_error", "_err", "_obs_error", "_sigma_o")


class Cells(NamedTuple):
    """Entries as text. row (n,): index into the table; name: variable as written; value, unit, error (n,).

    mark: why marks of the table reject the value, "" where they do not. columns: those that were read for them.
    """

    row: NDArray[np.int64]
    name: Texts
    value: Texts
    unit: Texts
    error: Texts
    mark: Texts
    columns: frozenset[str] = frozenset()


def long_cells(table: pd.DataFrame, roles: Mapping[str, str], units: Mapping[str, str], label: str) -> Cells:
    """One entry for each row. roles: those of `ROLES`; units: by the variables' names, before those of the table.

    Raises BadDataError for quality marks that are not known.
    """
    n = len(table)

    def column(role: str) -> Texts:
        return texts_of(table[roles[role]]) if role in roles else np.full(n, "", dtype=object)

    name = column("variable")
    if normalise(roles["variable"]) == "varno":
        known = {number: ODB_NUMBERS.get(number, f"varno {number}") for number in set(name)}
        name = np.array([known[number] for number in name], dtype=object)
    unit = column("unit")
    for variable, said in units.items():
        unit = np.where(name == variable, said, unit)
    marks = row_columns(table)
    mark = verdicts(table, marks, label)
    return Cells(np.arange(n), name, column("value"), unit, column("error"), mark, frozenset(marks))


def wide_cells(table: pd.DataFrame, roles: Roles, label: str) -> Cells:
    """One entry for each cell that is not empty, row by row; a row without any is one entry without a value.

    Raises BadDataError when no column is a variable's, or two are the same variable's, and for quality
    marks that are not known.
    """
    taken = roles.taken
    held = {str(c): quantity for c in table.columns if str(c) not in taken and (quantity := split_unit(str(c))[0])}
    for column, quantity in held.items():
        twice = [other for other, same in held.items() if same == quantity and other != column]
        if twice:
            raise BadDataError(f"{label}: columns {column!r} and {twice[0]!r} both give {quantity}; keep one")
    if not held:
        missing = "value" if "variable" in roles.columns else "variable"
        raise BadDataError(
            f"{label}: no {missing} column (one of {', '.join(ROLES[missing])}) and no column named after a variable; "
            f"there are: {', '.join(str(column) for column in table.columns)}"
        )
    columns = {normalise(str(column)): str(column) for column in table.columns}
    n = len(table)
    nothing = np.full(n, "", dtype=object)
    of_rows = row_columns(table)
    whole = verdicts(table, of_rows, label)
    parts: list[Cells] = []
    read = set(of_rows)
    filled = np.zeros(n, dtype=bool)
    for column, quantity in held.items():
        value = texts_of(table[column])
        rows = np.flatnonzero(~is_empty(value))
        filled[rows] = True
        beside = [normalise(f"{stem}{end}") for stem in (column, quantity) for end in _ERROR_ENDS]
        errors = [columns[name] for name in beside if name in columns]
        error = texts_of(table[errors[0]]) if errors else nothing
        read |= {column, *errors[:1]}
        marks = columns_beside(table, column, quantity)
        read |= set(marks)
        mark = np.where(whole == "", verdicts(table, marks, label), whole)
        parts.append(
            Cells(
                rows,
                np.full(rows.size, column, dtype=object),
                value[rows],
                np.full(rows.size, split_unit(column)[1], dtype=object),
                error[rows],
                mark[rows],
            )
        )
    empty = np.flatnonzero(~filled)
    blank = np.full(empty.size, "", dtype=object)
    parts.append(Cells(empty, blank, blank, blank, blank, blank))
    return joined(parts)._replace(columns=frozenset(read))


def joined(parts: Sequence[Cells]) -> Cells:
    """Cells of several kinds as one, by the rows of the table."""
    order = np.argsort(np.concatenate([part.row for part in parts]), kind="stable")
    row, name, value, unit, error, mark = (
        np.concatenate([part[field] for part in parts])[order] for field in range(len(Cells._fields) - 1)
    )
    return Cells(row, name, value, unit, error, mark, frozenset().union(*(part.columns for part in parts)))
