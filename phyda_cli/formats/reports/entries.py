"""A table of text → observations in SI: one entry for each row (long table) or each filled cell (wide table).

Cells are parsed here and only here. A cell that cannot be read flags its entry and says what stands there; nothing is
dropped, so every row of the file is found again in the result.

The user may say more beside it: units of columns and places of stations (`read_table`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from phyda_cli.errors import BadDataError
from phyda_cli.formats.reports.build import Given, Reports, report_numbers
from phyda_cli.formats.reports.cells import Floats, Mask, Texts, is_any_fill, is_empty, is_fill, numbers, texts_of
from phyda_cli.formats.reports.columns import ROLES, UNIX_TIME, normalise, split_unit, with_known_units
from phyda_cli.formats.reports.stations import fill_places
from phyda_cli.formats.reports.table_cells import (
    Cells,
    is_profile,
    is_surface,
    long_cells,
    refuse_heights,
    wide_cells,
    with_station_pressure,
)
from phyda_cli.formats.reports.table_roles import (
    Roles,
    column_unit,
    heights_of,
    listed,
    log_unread,
    pressure_unit,
    refuse_repeated,
    roles_of,
    si_conversion,
)
from phyda_cli.formats.reports.table_times import times_of
from phyda_cli.observations.table import Flag, Observations, Use
from phyda_cli.quality.checks import PRESSURE_BOUNDS, QUANTITY_BOUNDS

_logger = logging.getLogger(__name__)

_SEPARATOR: Final = "\x1f"
"""Between a variable's name and its unit where both make one key; pandas may cut a text off at a NUL."""
_OF_LONG: Final = ("variable", "value", "unit", "error")
"""Roles that only a long table's columns have."""
_MOST_USES: Final = 8
_HEIGHTS: Final = (-600.0, 6e4)
"""Geopotential heights [m] that can be; −999 is none."""
_LOWEST, _HIGHEST = -430.0, 8_850.0
"""Land lies between these elevations [m]."""


def observations_from_table(
    table: pd.DataFrame, label: str, reference_time: np.datetime64 | None, *, units: Mapping[str, str] | None = None
) -> Reports:
    """Return the rows of a table whose cells are all text.

    label: the file's name for messages. reference_time: for tables with hours relative to the analysis. units: by the
    names of a long table's variables; they go before those of the table.
    Raises BadDataError when columns that are needed are not there or are there twice, and for units that cannot be.
    """
    table = with_known_units(table, label)
    roles = roles_of(table, label)
    long = {"value", "variable"} <= roles.columns.keys()
    cells = long_cells(table, roles.columns, units or {}, label) if long else wide_cells(table, roles, label)
    (pressure, top), elevation = _pressures(table, roles, cells, label), _elevations(table, roles)
    if roles.pressure is None:
        # Without any pressure there can only be what is measured at the surface, or a profile by height
        at_surface = "report" not in roles.columns and not is_profile(table, roles, cells)
        if at_surface:
            refuse_heights(table, cells, roles, label)
    else:
        at_surface = not long and is_surface(table, roles, cells, pressure, elevation, label)
    if at_surface:
        cells = with_station_pressure(cells, table, roles, pressure, label)
    of_long = () if long else (roles.columns[role] for role in _OF_LONG if role in roles.columns)
    log_unread(table, (roles.taken - set(of_long)) | cells.columns, label)
    places = _Places(pressure[cells.row], top[cells.row], elevation[cells.row], at_surface)
    observations = _build(table, roles, cells, places, label, reference_time)
    return Reports(observations, report_numbers(observations) if long else cells.row)


class _Places(NamedTuple):
    """pressure, top [Pa], elevation [m]: (n,) of the entries, NaN for none.

    at_surface: whether all are surface reports.
    """

    pressure: Floats
    top: Floats
    elevation: Floats
    at_surface: bool


def _build(
    table: pd.DataFrame, roles: Roles, cells: Cells, places: _Places, label: str, reference_time: np.datetime64 | None
) -> Observations:
    """Return the entries with place, time, value and error in SI, and a flag on each that could not be read."""
    rows, columns = cells.row, roles.columns
    n = rows.size

    def text(role: str) -> Texts:
        return texts_of(table[columns[role]])[rows] if role in columns else np.full(n, "", dtype=object)

    latitude_text, longitude_text = text("latitude"), text("longitude")
    error_text = np.where(is_empty(cells.error), "", cells.error)
    error_text = np.where(is_any_fill(numbers(error_text)) & np.isfinite(numbers(error_text)), "", error_text).astype(
        object
    )
    longitude = numbers(longitude_text)
    pressure_text = None if roles.pressure is None else texts_of(table[roles.pressure.column])[rows]
    unix = normalise(columns.get("time", "")) == UNIX_TIME
    times, time_texts = times_of(table, columns, label, reference_time, unix=unix)
    time, time_text = times[rows], time_texts[rows]
    result = Observations.build(
        label,
        variable=cells.name.copy(),
        latitude=numbers(latitude_text),
        longitude=longitude,
        pressure=places.pressure,
        value=numbers(cells.value),
        error=numbers(error_text),
        time=time,
        station=text("station"),
        report=np.full(n, "surface", dtype=object) if places.at_surface else text("report"),
        elevation=places.elevation,
        top=places.top,
        use=_uses(text("use"), columns.get("use", ""), label),
        row=rows + 1,
    )
    unknown = ~np.isin(result.use, [use.value for use in Use])
    result = result.reject(unknown, Flag.PRE_QC, lambda i: f"use {result.use[i]!r} is not one of {', '.join(Use)}")
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
        result = result.reject(
            filled & ~np.isfinite(numbers(pressure_text)),
            Flag.MISSING,
            lambda i: f"pressure {pressure_text[i]!r} is not a number",
        )
    result = result.reject(is_fill(result.value), Flag.MISSING, lambda i: f"value {cells.value[i]} is a fill value")
    bad_error = (error_text != "") & ~(np.isfinite(result.error) & (result.error > 0))
    result = result.reject(bad_error, Flag.BOUNDS, lambda i: f"error {error_text[i]!r} is not a positive number")
    result = result.reject(cells.mark != "", Flag.PRE_QC, lambda i: str(cells.mark[i]))
    return _to_si(result, cells, label)


def _reject_unread(observations: Observations, name: str, texts: Texts, values: Floats, kind: str) -> Observations:
    def describe(i: int) -> str:
        return f"{name} is missing" if is_empty(texts[i : i + 1])[0] else f"{name} {texts[i]!r} is not {kind}"

    return observations.reject(~np.isfinite(values), Flag.MISSING, describe)


def _to_si(observations: Observations, cells: Cells, label: str) -> Observations:
    """Return name the quantities and convert their units by whole columns; unknown variables and units are flagged."""
    key = pd.Series(cells.name).astype(str) + _SEPARATOR + pd.Series(cells.unit).astype(str)
    codes, kinds = pd.factorize(key)
    codes = np.asarray(codes, dtype=np.int64)
    variable = observations.variable.copy()
    value, scale = observations.value.copy(), np.ones(len(observations))
    result, unknown, assumed = observations, [], []
    for code, kind in enumerate(kinds):
        name, _, unit = str(kind).partition(_SEPARATOR)
        quantity, own_unit = split_unit(name)
        rows = codes == code
        if not quantity:
            unknown += [name] * (name != "")
            result = result.reject(rows, Flag.H_FAILED, f"unknown variable {name}")
            continue
        values, pressures = observations.value[rows], observations.pressure[rows]
        found = column_unit(quantity, values, pressures, unit or own_unit, name=name, label=label)
        if found is not None and not (unit or own_unit) and found.unit == si_conversion(quantity):
            assumed.append(f"{name} in {found.unit.label}")
        if found is None:
            variable[rows] = quantity
            result = result.reject(rows, Flag.BOUNDS, f"unit {unit or own_unit} is not known for {quantity}")
            continue
        variable[rows], scale[rows] = found.quantity, found.unit.scale
        value[rows] = found.unit.to_si(values)
    if assumed:
        _logger.info("%s: without a unit, taken as SI: %s", label, listed(assumed))
    if unknown:
        _logger.warning("%s: variables that are not known and not read: %s", label, listed(unknown))
    with np.errstate(over="ignore"):
        result = replace(result, variable=variable, value=value, error=scale * result.error)
    fill = is_any_fill(observations.value) & ~_can_be(result)
    return result.reject(fill, Flag.MISSING, lambda i: f"value {cells.value[i]} is a fill value")


def _can_be(observations: Observations) -> Mask:
    """Return where a value is within the bounds of its quantity."""
    low, high = np.full((2, len(observations)), np.nan)
    for name, limits in (QUANTITY_BOUNDS | {"gh": _HEIGHTS}).items():
        rows = observations.variable == name
        low[rows], high[rows] = limits
    return np.asarray(~((observations.value < low) | (observations.value > high)))


def _pressures(table: pd.DataFrame, roles: Roles, cells: Cells, label: str) -> tuple[Floats, Floats]:
    """(rows of the table,) pressures and upper ends of layers, in the same unit, [Pa]; NaN for none and fill values."""
    if roles.pressure is None:
        return np.full(len(table), np.nan), np.full(len(table), np.nan)
    written = numbers(texts_of(table[roles.pressure.column]))
    heights = np.full(len(table), np.nan)
    for name in set(cells.name.tolist()):
        quantity, unit = split_unit(str(name))
        if quantity in ("z", "gh"):
            at = cells.name == name
            heights[cells.row[at]] = heights_of(quantity, numbers(cells.value[at]), unit or str(cells.unit[at][0]))
    known = pressure_unit(roles.pressure, written, heights, label=label)

    def pascal(values: Floats) -> Floats:
        converted = known.to_si(values)
        can_be = (converted >= PRESSURE_BOUNDS[0]) & (converted <= PRESSURE_BOUNDS[1])
        return np.where(is_any_fill(values) & ~can_be, np.nan, converted)

    column = roles.columns.get("top")
    upper = np.full(len(table), np.nan) if column is None else numbers(texts_of(table[column]))
    return pascal(written), pascal(upper)


def _elevations(table: pd.DataFrame, roles: Roles) -> Floats:
    """(rows of the table,) elevations [m], NaN for none and for fill values."""
    if roles.elevation is None:
        return np.full(len(table), np.nan)
    written = numbers(texts_of(table[roles.elevation.column]))
    metres = roles.elevation.unit.to_si(written)
    return np.where(is_any_fill(written) & ((metres < _LOWEST) | (metres > _HIGHEST)), np.nan, metres)


def _uses(texts: Texts, column: str, label: str) -> Texts:
    """Uses in lower case; a cell without one is to be assimilated.

    Raises BadDataError when the column holds something, and no use anywhere.
    """
    codes, distinct = pd.factorize(texts)
    meant = np.array([str(text).casefold() or Use.ASSIMILATE.value for text in distinct], dtype=object)
    written = [str(text) for text in distinct if text]
    if written and not {text.casefold() for text in written} & {use.value for use in Use}:
        raise BadDataError(
            f"{label}: column {column!r} holds no use: {', '.join(repr(text[:20]) for text in written[:_MOST_USES])}; "
            f"write one of {', '.join(Use)}, or rename the column to leave it out"
        )
    return meant[codes] if distinct.size else np.asarray(texts)


_MOST_NAMED: Final = 5


def read_table(table: pd.DataFrame, label: str, given: Given) -> Reports:
    """Return the rows of a table whose cells are all text. label: the file's name for messages.

    Raises BadDataError as `observations_from_table` does.
    """
    refuse_repeated(table, label)
    placed = fill_places(_with_units(table, given.units, label), given.stations)
    result = observations_from_table(placed, label, given.reference_time, units=given.units)
    log_placeless(result.observations, label)
    return result


def log_placeless(observations: Observations, label: str) -> None:
    """Say once how many rows have no place, and what helps."""
    o = observations
    rows = np.isnan(o.latitude) | np.isnan(o.longitude)
    names = sorted(set(o.station[rows].tolist()) - {""})
    if names:
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        listed_names = ", ".join(names[:_MOST_NAMED]) + more
        _logger.warning(
            "%s: %d of %d rows have no place, of %s; --stations FILE gives the places of stations",
            label, rows.sum(), len(o), listed_names,
        )  # fmt: skip


def _with_units(table: pd.DataFrame, units: Mapping[str, str], label: str) -> pd.DataFrame:
    """Return the table with the units in brackets after the names of these columns."""
    named = {normalise(name): unit for name, unit in units.items()}
    columns = {normalise(str(column)): str(column) for column in table.columns}
    variables = {text for role in ROLES["variable"] if role in columns for text in table[columns[role]].str.strip()}
    for name in units:
        if normalise(name) not in columns and name not in variables:
            _logger.warning("%s: no column or variable %s, whose unit is given", label, name)
    held = {str(column): named.get(normalise(str(column))) for column in table.columns}
    return table.rename(columns={name: f"{name} [{unit}]" for name, unit in held.items() if unit is not None})
