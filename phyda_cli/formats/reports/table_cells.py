"""The values of a table and what stands beside them: one for each row (long table) or filled cell (wide table).

Some columns judge values, by NCEP's marks, letters of MADIS or plain words. Such a column judges the whole row
(`quality`, `qc`, `flag` …), or the values beside it (`t_qc`, `temperatureDD`). Several judge together: a value is used
where all allow it. What a letter or word means must be known: a table with others is refused. Numbers are NCEP's marks
in columns of their names (`quality`, `qm`, `tqm` …). Under any other name they may be bits, or 0 for good, or 1 for
good: such a column judges nothing, and the log says so.

Source of the letters: NOAA MADIS, "MADIS QC Information", QC data descriptor values.

A wide table without a report type is one of stations at the ground, whose pressure is measured there, when it gives
elevations, no heights, one level for each station and time, and pressures that are those of the elevations. Then
temperature and wind are those at 2 and 10 metres, and the pressure is the station's (`sp`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.fields.standard_atmosphere import standard_height
from phyda_cli.formats.reports.cells import Floats, Texts, is_any_fill, is_empty, numbers, texts_of
from phyda_cli.formats.reports.columns import (
    MARK_COLUMNS,
    ODB_NUMBERS,
    ROLES,
    WORST_USED_MARK,
    normalise,
    split_unit,
    with_unit,
)
from phyda_cli.formats.reports.table_roles import Roles

LETTERS: Final[dict[str, tuple[bool, str]]] = {
    "Z": (True, "no check was made"),
    "C": (True, "coarse pass, level 1"),
    "S": (True, "screened, levels 1 and 2"),
    "V": (True, "verified, levels 1, 2 and 3"),
    "G": (True, "good by a forecaster"),
    "X": (False, "failed level 1"),
    "Q": (False, "questioned, failed level 2 or 3"),
    "B": (False, "bad by a forecaster"),
    "I": (False, "interpolated, not measured"),
    "W": (False, "wrong, replaced by an estimate"),
    "T": (True, "air temperature where the virtual one could not be computed"),
}
"""Letter → (whether the value is used, what it says)."""


_OF_ROWS: Final = (
    "quality", "qc", "quality_flag", "qc_flag", "flag", "qflag", "quality_control", "quality_mark", "qm", "qcflag",
)  # fmt: skip
_ENDS: Final = ("_qc", "_quality", "_flag", "_quality_flag", "_qc_flag", "_qm", "dd", "_dd")
_WORDS: Final = {
    **dict.fromkeys(("good", "ok", "pass", "passed", "accepted", "valid"), True),
    **dict.fromkeys(("bad", "fail", "failed", "rejected", "invalid", "suspect", "wrong", "erroneous"), False),
}
_MOST_SHOWN: Final = 8
_NCEP: Final = frozenset({"quality", "quality_mark", "qm", *MARK_COLUMNS})
"""Names of columns whose numbers are NCEP's marks; so are those that end in `_qm`."""
_logger = logging.getLogger(__name__)


def row_columns(table: pd.DataFrame) -> list[str]:
    """Return the columns that judge whole rows."""
    return [str(c) for c in table.columns if normalise(str(c)) in _OF_ROWS]


def columns_beside(table: pd.DataFrame, column: str, quantity: str) -> list[str]:
    """Return the columns that judge the values of a wide table's column, or of a quantity."""
    names = {normalise(f"{stem}{end}") for stem in (column, quantity) for end in _ENDS}
    names |= {name for name, judged in MARK_COLUMNS.items() if quantity in (judged or (quantity,))}
    return [str(c) for c in table.columns if normalise(str(c)) in names and str(c) != column]


def verdicts(table: pd.DataFrame, columns: list[str], label: str) -> Texts:
    """(rows,) why columns of marks reject a row's values; "" where they do not.

    Raises BadDataError for marks that are not known.
    """
    result = np.full(len(table), "", dtype=object)
    for column in columns:
        codes, distinct = pd.factorize(texts_of(table[column]))
        texts = np.asarray(distinct, dtype=object)
        if not texts.size:
            continue
        count, empty = numbers(texts), is_empty(texts) & (texts != "M")
        name = normalise(column)
        if name not in _NCEP and not name.endswith("_qm") and (np.isfinite(count) | empty).all():
            if np.isfinite(count).any():
                _logger.warning(
                    "%s: column %r holds numbers whose meaning is not known and judges nothing; where they are NCEP's "
                    "marks, 0 to %d for what is good, call it quality", label, column, WORST_USED_MARK,
                )  # fmt: skip
            continue
        reasons, unknown = np.full(texts.size, "", dtype=object), []
        for i, text in enumerate(texts):
            if empty[i] or (np.isfinite(count[i]) and is_any_fill(count[i : i + 1])[0]):
                continue
            if np.isfinite(count[i]):
                if count[i] > WORST_USED_MARK:
                    reasons[i] = f"quality mark {text} in the table (0 to {WORST_USED_MARK} are used)"
                continue
            used, meaning = LETTERS.get(text, (_WORDS.get(text.casefold()), text))
            if used is None:
                unknown.append(str(text))
            elif not used:
                reasons[i] = f"quality {text} in the table ({meaning})"
        if unknown:
            raise BadDataError(
                f"{label}: column {column!r} judges values by marks that are not known: "
                f"{', '.join(repr(text[:20]) for text in unknown[:_MOST_SHOWN])}; use NCEP's 0 to 15 (0 to "
                f"{WORST_USED_MARK} are used), letters of MADIS, good or bad, or rename the column to leave it out"
            )
        result = np.where(result == "", reasons[codes], result).astype(object)
    return result


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
    """Return one entry for each row. roles: those of `ROLES`; units: by the variables' names, before those of the
    table.

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
    """Return one entry for each cell that is not empty, row by row; a row without any is one entry without a value.

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
    """Return the columns without another role that hold a quantity → that quantity."""
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
    """Return the cells of one variable that are not empty. whole: (row,) why marks reject a row."""
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


_NEAR: Final = 600.0
"""A station's pressure is that of the standard atmosphere within this height [m], of 75 hPa near the sea."""
_MOST: Final = 0.9
_HIGHEST: Final = 6000.0
"""No station is higher [m]; where an aircraft is, its pressure follows the standard atmosphere too."""
_KEYS: Final = (
    "station", "latitude", "longitude", "time", "date", "year", "month", "day", "hour", "minute", "second",
    "relative_hours",
)  # fmt: skip
_AT_SURFACE: Final = frozenset(("t", "td", "u", "v", "wind_speed", "wind_direction", "r", "q"))
_IN_THE_AIR: Final = frozenset((
    "alt", "altitude", "gps_altitude", "geometric_altitude", "geometric_height", "pressure_altitude", "baro_altitude",
    "height", "height_msl", "flight_level", "flightlevel", "fl",
))  # fmt: skip
"""Columns of aircraft and sondes for where they are; `altitude` is of stations too."""


def is_surface(
    table: pd.DataFrame, roles: Roles, cells: Cells, pressure: Floats, elevation: Floats, label: str
) -> bool:
    """Return whether the wide table is of surface reports; said in the log. pressure [Pa], elevation [m]: of its rows.

    Raises BadDataError where the pressures of most rows are below the ground: reduced to sea level, or of no station.
    """
    quantities = {split_unit(str(name))[0] for name in set(cells.name.tolist())} - {""}
    if "report" in roles.columns or quantities & {"z", "gh"} or not quantities & _AT_SURFACE:
        return False
    both = np.isfinite(pressure) & np.isfinite(elevation)
    if not both.any() or np.nanmax(elevation) > _HIGHEST:
        return False
    keys = [roles.columns[role] for role in _KEYS if role in roles.columns]
    rows = table[keys].assign(_pressure=pressure)[both].drop_duplicates()
    if rows[keys].duplicated().any():
        return False
    above = standard_height(pressure[both]) - elevation[both]
    assert roles.pressure is not None
    column = roles.pressure.column
    if np.mean(above < -_NEAR) > 0.5:
        raise BadDataError(
            f"{label}: {column} is that of the air below the stations' elevations; if it is reduced to sea level, "
            "name it msl, else say what the reports are in a column report"
        )
    if np.mean(np.abs(above) < _NEAR) < _MOST:
        return False
    _logger.warning(
        "%s: one level at each station and time, at its elevation: read as surface reports, and %s as station "
        "pressure; a column report says otherwise",
        label,
        column,
    )
    return True


def is_profile(table: pd.DataFrame, roles: Roles, cells: Cells) -> bool:
    """Return whether a table without pressure has several heights at one station and time, as wind profilers have."""
    heights = np.isin([split_unit(str(name))[0] for name in cells.name.tolist()], ("z", "gh"))
    rows = np.unique(cells.row[heights])
    keys = [roles.columns[role] for role in _KEYS if role in roles.columns]
    return bool(table[keys].iloc[rows].duplicated().any())


def refuse_heights(table: pd.DataFrame, cells: Cells, roles: Roles, label: str) -> None:
    """Raise BadDataError where a table without pressure may be of the air: it has a height that is not read."""
    if not {split_unit(str(name))[0] for name in set(cells.name.tolist())} & _AT_SURFACE:
        return
    read = roles.taken | cells.columns | {str(name) for name in set(cells.name.tolist())}
    for column in map(str, table.columns):
        if column not in read and with_unit(column, _IN_THE_AIR, "m") is not None:
            raise BadDataError(
                f"{label}: no pressure, and column {column!r} may be a height in the air: give the pressure too, in a "
                "column pressure_hpa; if these are stations at the ground, name the column elevation, in metres"
            )


def with_station_pressure(cells: Cells, table: pd.DataFrame, roles: Roles, pressure: Floats, label: str) -> Cells:
    """Return the cells, and one of `sp` in each row with a pressure [Pa], unless the table gives `sp` itself."""
    if roles.pressure is None or any(split_unit(str(name))[0] == "sp" for name in set(cells.name.tolist())):
        return cells
    marks = row_columns(table) + columns_beside(table, roles.pressure.column, "sp")
    rows = np.flatnonzero(np.isfinite(pressure))

    def filled(text: str) -> Texts:
        return np.full(rows.size, text, dtype=object)

    values = np.array([repr(float(value)) for value in pressure[rows]], dtype=object)
    mark = verdicts(table, marks, label)[rows]
    own = Cells(rows, filled("sp"), values, filled("Pa"), filled(""), mark, frozenset(marks))
    return joined([cells, own])
