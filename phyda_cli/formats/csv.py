"""Observations as text: tables (`table_text.py`), and what `text_formats.py` knows; plain or packed (`text_bytes.py`).

The table is long (columns for variable and value) or wide (one column for each variable); `columns.py` has the names
and units accepted. What is wrong with the whole file is an error that names it; with a row, a flag on that row.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TextIO

import numpy as np
import pandas as pd

from phyda_cli.errors import BadDataError
from phyda_cli.formats.columns import ROLES, normalise
from phyda_cli.formats.entries import observations_from_table
from phyda_cli.formats.station_lists import station_list
from phyda_cli.formats.stations import Stations, fill_places, stations_of
from phyda_cli.formats.table_text import parse_table
from phyda_cli.formats.text_bytes import text_of
from phyda_cli.formats.text_formats import find_text_format
from phyda_cli.observations.table import Observations

_logger = logging.getLogger(__name__)

_MOST_NAMED: Final = 5


def read_csv(
    source: Path | TextIO,
    *,
    name: str | None = None,
    reference_time: np.datetime64 | None = None,
    stations: Stations | None = None,
    units: Mapping[str, str] | None = None,
) -> Observations:
    """Read a table of observations.

    source: a file, or an open text stream (standard input). name: what messages and `sources` call it (default: the
    path). reference_time: UTC, for tables that give times as hours from the analysis (`dhr`) and for METAR. stations:
    the places of reports that come without one. units: of columns that do not say their own, by their names.
    Raises InputMissingError when the file is not there or cannot be read; BadDataError when it is empty, not text, cut
    off, ragged, or without the columns needed. A table with a header only has no observations, which is legal.
    """
    label = name or (str(source) if isinstance(source, Path) else "standard input")
    text = text_of(source, label)
    if not text.strip():
        raise BadDataError(f"{label}: is empty; expected a header line and one line for each observation")
    known = find_text_format(text)
    if known is not None:
        result = known.read(text, label=label, reference_time=reference_time, stations=stations or {})
    else:
        table = _with_units(parse_table(text, label), units or {}, label)
        result = observations_from_table(fill_places(table, stations or {}), label, reference_time, units=units)
    _log_placeless(result, label)
    return result


def _log_placeless(observations: Observations, label: str) -> None:
    """Say once how many rows have no place, and what helps."""
    o = observations
    rows = np.isnan(o.latitude) | np.isnan(o.longitude)
    names = sorted(set(o.station[rows].tolist()) - {""})
    if names:
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        _logger.warning(
            "%s: %d of %d rows have no place, of %s%s; --stations FILE gives the places of stations",
            label,
            rows.sum(),
            len(o),
            ", ".join(names[:_MOST_NAMED]),
            more,
        )


def read_stations(path: Path) -> Stations:
    """Read a table of stations. Raises InputMissingError and BadDataError as `read_csv` does."""
    label = str(path)
    text = text_of(path, label)
    table = station_list(text)
    return stations_of(parse_table(text, label) if table is None else table, label)


def _with_units(table: pd.DataFrame, units: Mapping[str, str], label: str) -> pd.DataFrame:
    """The table with the units in brackets after the names of these columns."""
    named = {normalise(name): unit for name, unit in units.items()}
    columns = {normalise(str(column)): str(column) for column in table.columns}
    variables = {text for role in ROLES["variable"] if role in columns for text in table[columns[role]].str.strip()}
    for name in units:
        if normalise(name) not in columns and name not in variables:
            _logger.warning("%s: no column or variable %s, whose unit is given", label, name)
    held = {str(column): named.get(normalise(str(column))) for column in table.columns}
    return table.rename(columns={name: f"{name} [{unit}]" for name, unit in held.items() if unit is not None})
