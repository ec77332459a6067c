"""A table of text → observations in SI: one entry for each row (long table) or each filled cell (wide table).

Cells are parsed here and only here. A cell that cannot be read flags its entry and says what stands there; nothing is
dropped, so every row of the file is found again in the result.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.fields.constants import GRAVITY
from phyda_cli.fields.standard_atmosphere import standard_height
from phyda_cli.formats.cells import Floats, Texts, is_empty, is_fill, numbers, texts_of
from phyda_cli.formats.columns import (
    MARK_COLUMNS,
    ODB_NUMBERS,
    ROLES,
    UNIX_TIME,
    WORST_USED_MARK,
    conversion,
    normalise,
    pressure_scale,
    split_unit,
)
from phyda_cli.formats.table_times import times_of
from phyda_cli.observations.checks import check_bounds, reject_rows
from phyda_cli.observations.conversion import convert
from phyda_cli.observations.table import Flag, Observations, Use, turned

_logger = logging.getLogger(__name__)

_SEPARATOR: Final = "\x1f"
"""Between a variable's name and its unit where both make one key; pandas may cut a text off at a NUL."""
_CLEAR_HEIGHT: Final = 3000.0
_HEIGHT_RATIO: Final = 0.4


class _Cells(NamedTuple):
    """Entries as text. row (n,): index into the table; name: variable as written; value, unit, error, mark (n,)."""

    row: NDArray[np.int64]
    name: Texts
    value: Texts
    unit: Texts
    error: Texts
    mark: Texts


def observations_from_table(table: pd.DataFrame, label: str, reference_time: np.datetime64 | None) -> Observations:
    """The observations of a table whose cells are all text.

    label: the file's name for messages. reference_time: for tables with hours relative to the analysis.
    Raises BadDataError when columns that are needed are not there or are there twice.
    """
    names = Counter(normalise(str(column)) for column in table.columns)
    repeated = [name for name, count in names.items() if count > 1]
    if repeated:
        raise BadDataError(f"{label}: names column {repeated[0]!r} more than once; keep one")
    roles = _roles(table, label)
    long = "value" in roles and "variable" in roles
    cells = _long_cells(table, roles) if long else _wide_cells(table, roles, label)
    observations = _build(table, roles, cells, label, reference_time)
    return convert(check_bounds(observations), report_numbers(observations) if long else cells.row)


def _roles(table: pd.DataFrame, label: str) -> dict[str, str]:
    """What is there: role → column. Pressure has the role of its unit, or `pressure [unit]` by its brackets."""
    columns = {normalise(str(column)): str(column) for column in table.columns}
    roles: dict[str, str] = {}
    for role, names in ROLES.items():
        found = [columns[name] for name in names if name in columns]
        if len(found) > 1:
            raise BadDataError(f"{label}: columns {found[0]!r} and {found[1]!r} both give the {role}; keep one")
        if found:
            roles[role] = found[0]
    bracketed = [str(column) for column in table.columns if pressure_scale(str(column)) is not None]
    pressures = [roles[role] for role in ("pressure_pa", "pressure_hpa") if role in roles] + bracketed
    if len(pressures) > 1:
        raise BadDataError(f"{label}: columns {pressures[0]!r} and {pressures[1]!r} both give the pressure; keep one")
    if bracketed:
        roles["pressure"] = bracketed[0]
    present = ", ".join(str(column) for column in table.columns)
    for needed in ("latitude", "longitude"):
        if needed not in roles:
            raise BadDataError(f"{label}: no {needed} column (one of {', '.join(ROLES[needed])}); there are: {present}")
    if not ({"time", "date", "relative_hours"} & roles.keys() or {"year", "month", "day"} <= roles.keys()):
        raise BadDataError(f"{label}: no time column (one of {', '.join(ROLES['time'])}, date); there are: {present}")
    return roles


def _long_cells(table: pd.DataFrame, roles: dict[str, str]) -> _Cells:
    n = len(table)

    def column(role: str) -> Texts:
        return texts_of(table[roles[role]]) if role in roles else np.full(n, "", dtype=object)

    name = column("variable")
    if normalise(roles["variable"]) == "varno":
        known = {number: ODB_NUMBERS.get(number, f"varno {number}") for number in set(name)}
        name = np.array([known[number] for number in name], dtype=object)
    return _Cells(np.arange(n), name, column("value"), column("unit"), column("error"), column("quality"))


def _wide_cells(table: pd.DataFrame, roles: dict[str, str], label: str) -> _Cells:
    """One entry for each cell that is not empty, row by row; a row without any is one entry without a value."""
    taken = set(roles.values())
    held = {str(c): quantity for c in table.columns if str(c) not in taken and (quantity := split_unit(str(c))[0])}
    for column, quantity in held.items():
        twice = [other for other, same in held.items() if same == quantity and other != column]
        if twice:
            raise BadDataError(f"{label}: columns {column!r} and {twice[0]!r} both give {quantity}; keep one")
    if not held:
        missing = "value" if "variable" in roles else "variable"
        raise BadDataError(
            f"{label}: no {missing} column (one of {', '.join(ROLES[missing])}) and no column named after a variable; "
            f"there are: {', '.join(str(column) for column in table.columns)}"
        )
    columns = {normalise(str(column)): str(column) for column in table.columns}
    n = len(table)
    nothing = np.full(n, "", dtype=object)
    marks = {name: texts_of(table[columns[name]]) for name in MARK_COLUMNS if name in columns}
    parts: list[_Cells] = []
    filled = np.zeros(n, dtype=bool)
    for column, quantity in held.items():
        value = texts_of(table[column])
        rows = np.flatnonzero(~is_empty(value))
        filled[rows] = True
        error = texts_of(table[columns[key]]) if (key := normalise(f"{column}_error")) in columns else nothing
        judged = [mark for name, mark in marks.items() if quantity in (MARK_COLUMNS[name] or (quantity,))]
        mark = texts_of(table[roles["quality"]]) if "quality" in roles else nothing
        for other in judged:
            mark = np.where(numbers(other) > np.nan_to_num(numbers(mark), nan=-1.0), other, mark)
        parts.append(
            _Cells(
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
    parts.append(_Cells(empty, blank, blank, blank, blank, blank))
    row = np.concatenate([part.row for part in parts])
    order = np.argsort(row, kind="stable")

    def joined(field: str) -> Texts:
        return np.concatenate([getattr(part, field) for part in parts])[order]

    return _Cells(row[order], joined("name"), joined("value"), joined("unit"), joined("error"), joined("mark"))


def _build(
    table: pd.DataFrame, roles: dict[str, str], cells: _Cells, label: str, reference_time: np.datetime64 | None
) -> Observations:
    """The entries with place, time, value and error in SI, and a flag on each that could not be read."""
    rows = cells.row
    n = rows.size

    def text(role: str) -> Texts:
        return texts_of(table[roles[role]])[rows] if role in roles else np.full(n, "", dtype=object)

    latitude_text, longitude_text, error_text = text("latitude"), text("longitude"), cells.error
    longitude = numbers(longitude_text)
    pressure, pressure_text = _pressure(table, roles, rows)
    unix = normalise(roles.get("time", "")) == UNIX_TIME
    times, time_texts = times_of(table, roles, label, reference_time, unix=unix)
    time, time_text = times[rows], time_texts[rows]
    # A table without any pressure can only hold what is measured at the surface.
    report = text("report") if "report" in roles or pressure_text is not None else np.full(n, "surface", dtype=object)
    result = Observations(
        variable=cells.name.copy(),
        latitude=numbers(latitude_text),
        longitude=turned(longitude),
        pressure=pressure,
        value=numbers(cells.value),
        error=numbers(error_text),
        time=time,
        station=text("station"),
        report=report,
        elevation=numbers(text("elevation")),
        use=_uses(text("use")),
        source=np.zeros(n, dtype=np.int64),
        row=rows + 1,
        flag=np.full(n, Flag.PASS, dtype=np.int16),
        reason=np.full(n, "", dtype=object),
        sources=(label,),
    )
    unknown = ~np.isin(result.use, [use.value for use in Use])
    result = reject_rows(
        result, unknown, Flag.PRE_QC, lambda i: f"use {result.use[i]!r} is not one of {', '.join(Use)}"
    )
    nameless = cells.name == ""
    result = result.reject(nameless & (cells.value == ""), Flag.MISSING, "the row holds no value")
    result = result.reject(nameless, Flag.MISSING, "the row names no variable")
    for name, texts, values in (
        ("value", cells.value, result.value),
        ("latitude", latitude_text, result.latitude),
        ("longitude", longitude_text, longitude),
    ):
        result = _reject_unread(result, name, texts, values, "a number")
    result = _reject_unread(result, "time", time_text, np.where(np.isnat(time), np.nan, 0.0), "an ISO 8601 time")
    if pressure_text is not None:
        filled = ~is_empty(pressure_text)
        result = reject_rows(
            result,
            filled & ~np.isfinite(pressure),
            Flag.MISSING,
            lambda i: f"pressure {pressure_text[i]!r} is not a number",
        )
    result = reject_rows(
        result, is_fill(result.value), Flag.MISSING, lambda i: f"value {cells.value[i]} is a fill value"
    )
    given = error_text != ""
    bad_error = given & ~(np.isfinite(result.error) & (result.error > 0))
    result = reject_rows(result, bad_error, Flag.BOUNDS, lambda i: f"error {error_text[i]!r} is not a positive number")
    marked = numbers(cells.mark) > WORST_USED_MARK
    result = reject_rows(
        result,
        marked,
        Flag.PRE_QC,
        lambda i: f"quality mark {cells.mark[i]} in the table (0 to {WORST_USED_MARK} are used)",
    )
    return _to_si(result, cells)


def _reject_unread(observations: Observations, name: str, texts: Texts, values: Floats, kind: str) -> Observations:
    def describe(i: int) -> str:
        return f"{name} is missing" if is_empty(texts[i : i + 1])[0] else f"{name} {texts[i]!r} is not {kind}"

    return reject_rows(observations, ~np.isfinite(values), Flag.MISSING, describe)


def _to_si(observations: Observations, cells: _Cells) -> Observations:
    """Name the quantities and convert their units; unknown variables and units are flagged."""
    key = pd.Series(cells.name).astype(str) + _SEPARATOR + pd.Series(cells.unit).astype(str)
    codes, kinds = pd.factorize(key)
    codes = np.asarray(codes, dtype=np.int64)
    variable = observations.variable.copy()
    scale, offset = np.ones(len(observations)), np.zeros(len(observations))
    result = observations
    for code, kind in enumerate(kinds):
        name, _, unit = str(kind).partition(_SEPARATOR)
        quantity, own_unit = split_unit(name)
        rows = codes == code
        if not quantity:
            result = result.reject(rows, Flag.H_FAILED, f"unknown variable {name}")
            continue
        unit = unit or own_unit or _unit_of_geopotential(observations, rows, quantity)
        found = conversion(quantity, unit)
        if found is None:
            variable[rows] = quantity
            result = result.reject(rows, Flag.BOUNDS, f"unit {unit} is not known for {quantity}")
            continue
        variable[rows], scale[rows], offset[rows] = found.quantity, found.scale, found.offset
    return replace(result, variable=variable, value=scale * result.value + offset, error=scale * result.error)


def _unit_of_geopotential(observations: Observations, rows: NDArray[np.bool_], quantity: str) -> str:
    """The unit of a `z` that has none: metres where 9 of 10 values are near the standard height and not g times it.

    The two differ by the factor g = 9.8 while real heights are within 20 % of the standard ones, so above 3 km there is
    no doubt; without such values z is geopotential.
    """
    if quantity != "z":
        return ""
    height = standard_height(observations.pressure[rows])
    clear = (height > _CLEAR_HEIGHT) & np.isfinite(observations.value[rows])
    ratio = observations.value[rows][clear] / (GRAVITY * height[clear])
    if ratio.size == 0 or np.mean(ratio < _HEIGHT_RATIO) < 0.9:
        return ""
    source = observations.sources[0]
    _logger.warning("%s: z has no unit and holds heights in m (not m2 s-2); read as geopotential height", source)
    return "m"


def _pressure(table: pd.DataFrame, roles: dict[str, str], rows: NDArray[np.int64]) -> tuple[Floats, Texts | None]:
    """Pressure [Pa] and its text; no text when the table has no such column."""
    for role, factor in (("pressure_pa", 1.0), ("pressure_hpa", 100.0), ("pressure", None)):
        if role in roles:
            texts = texts_of(table[roles[role]])[rows]
            named = pressure_scale(roles[role])
            return numbers(texts) * (factor if factor is not None else named[1] if named else 1.0), texts
    return np.full(rows.size, np.nan), None


def report_numbers(observations: Observations) -> NDArray[np.int64]:
    """(n,) a number for each report of a table with one value a row: station, place, time and pressure together."""
    o = observations
    keys = pd.DataFrame(
        {"station": o.station, "lat": o.latitude, "lon": o.longitude, "time": o.time, "pressure": o.pressure}
    )
    numbers = keys.groupby(list(keys.columns), dropna=False, sort=False).ngroup()
    return np.asarray(numbers.to_numpy(dtype=np.int64), dtype=np.int64)


def _uses(texts: Texts) -> Texts:
    """Uses in lower case; a cell without one is to be assimilated."""
    codes, distinct = pd.factorize(texts)
    meant = np.array([str(text).casefold() or Use.ASSIMILATE.value for text in distinct], dtype=object)
    return meant[codes] if distinct.size else np.asarray(texts)
