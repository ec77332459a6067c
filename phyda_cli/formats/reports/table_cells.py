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
    held = _variables(table, roles, label)
    of_rows = row_columns(table)
    whole = verdicts(table, of_rows, label)
    parts = [_column(table, column, quantity, whole, label) for column, quantity in held.items()]
    empty = np.setdiff1d(np.arange(len(table)), np.concatenate([part.row for part in parts]))
    blank = np.full(empty.size, "", dtype=object)
    return joined([*parts, Cells(empty, blank, blank, blank, blank, blank, frozenset(of_rows))])


def _variables(table: pd.DataFrame, roles: Roles, label: str) -> dict[str, str]:
    """The columns without another role that hold a quantity → that quantity."""
    free = [column for column in map(str, table.columns) if column not in roles.taken]
    held = {column: quantity for column in free if (quantity := split_unit(column)[0])}
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
    return held


def _column(table: pd.DataFrame, column: str, quantity: str, whole: Texts, label: str) -> Cells:
    """The cells of one variable that are not empty. whole: (row,) why marks reject a row."""
    value = texts_of(table[column])
    rows = np.flatnonzero(~is_empty(value))
    columns = {normalise(str(name)): str(name) for name in table.columns}
    beside = [normalise(f"{stem}{end}") for stem in (column, quantity) for end in _ERROR_ENDS]
    errors = [columns[name] for name in beside if name in columns][:1]
    marks = columns_beside(table, column, quantity)
    return Cells(
        rows,
        np.full(rows.size, column, dtype=object),
        value[rows],
        np.full(rows.size, split_unit(column)[1], dtype=object),
        texts_of(table[errors[0]])[rows] if errors else np.full(rows.size, "", dtype=object),
        np.where(whole == "", verdicts(table, marks, label), whole)[rows],
        frozenset({column, *errors, *marks}),
    )


def joined(parts: Sequence[Cells]) -> Cells:
    """Cells of several kinds as one, by the rows of the table."""
    order = np.argsort(np.concatenate([part.row for part in parts]), kind="stable")
    row, name, value, unit, error, mark = (
        np.concatenate([part[field] for part in parts])[order] for field in range(len(Cells._fields) - 1)
    )
    return Cells(row, name, value, unit, error, mark, frozenset().union(*(part.columns for part in parts)))
