"""Observations as text: tables (`table_text.py`), and what `text_formats.py` knows; plain or packed (`text_bytes.py`).

The table is long (columns for variable and value) or wide (one column for each variable); `columns.py` has the names
and units accepted. What is wrong with the whole file is an error that names it; with a row, a flag on that row.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

import numpy as np

from phyda_cli.errors import BadDataError
from phyda_cli.formats.reports.station_lists import station_list
from phyda_cli.formats.reports.stations import Stations, stations_of
from phyda_cli.formats.reports.table import log_placeless, read_table
from phyda_cli.formats.reports.table_text import parse_table
from phyda_cli.formats.reports.text_bytes import text_of
from phyda_cli.formats.reports.text_formats import find_text_format
from phyda_cli.observations.table import Observations


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
    known = find_text_format(text.lstrip("\r\n"))
    if known is not None:
        text = text.lstrip("\r\n")
        result = known.read(text, label=label, reference_time=reference_time, stations=stations or {})
        log_placeless(result, label)
        return result
    table = parse_table(text, label)
    return read_table(table, label, reference_time=reference_time, stations=stations or {}, units=units or {})


def read_stations(path: Path) -> Stations:
    """Read a table of stations. Raises InputMissingError and BadDataError as `read_csv` does."""
    label = str(path)
    text = text_of(path, label)
    table = station_list(text)
    return stations_of(parse_table(text, label) if table is None else table, label)
