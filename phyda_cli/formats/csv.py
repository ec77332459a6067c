"""Observations as text: tables (comma-, semicolon- or tab-separated), and what `text_formats.py` knows.

UTF-8, plain or gzip, whatever the suffix.

The table is long (columns for variable and value) or wide (one column for each variable); `columns.py` has the names
and units accepted. What is wrong with the whole file is an error that names it; with a row, a flag on that row.
"""

from __future__ import annotations

import csv
import gzip
import io
import logging
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TextIO

import numpy as np
import pandas as pd

from phyda_cli.errors import BadDataError, InputMissingError
from phyda_cli.formats.columns import ROLES, normalise
from phyda_cli.formats.entries import observations_from_table
from phyda_cli.formats.station_lists import station_list
from phyda_cli.formats.stations import Stations, fill_places, stations_of
from phyda_cli.formats.text_formats import find_text_format
from phyda_cli.observations.table import Observations

_logger = logging.getLogger(__name__)

_MAGIC: Final = {
    b"GRIB": "a GRIB file",
    b"BUFR": "a BUFR file",
    b"\x89HDF": "a NetCDF or HDF5 file",
    b"CDF": "a NetCDF file",
    b"PK": "a zip archive",
    b"PAR1": "a Parquet file",
    b"\xff\xffODA": "an ODB file",
}


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
    text = _read_text(source, label) if isinstance(source, Path) else source.read()
    if not text.strip():
        raise BadDataError(f"{label}: is empty; expected a header line and one line for each observation")
    known = find_text_format(text)
    if known is not None:
        return known.read(text, label=label, reference_time=reference_time, stations=stations or {})
    table = _with_units(_parse(text, label), units or {}, label)
    return observations_from_table(fill_places(table, stations or {}), label, reference_time, units=units)


def read_stations(path: Path) -> Stations:
    """Read a table of stations. Raises InputMissingError and BadDataError as `read_csv` does."""
    label = str(path)
    text = _read_text(path, label)
    table = station_list(text)
    return stations_of(_parse(text, label) if table is None else table, label)


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


def _read_text(path: Path, label: str) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputMissingError(f"{label}: no such file") from None
    except IsADirectoryError:
        raise InputMissingError(f"{label}: is a directory; name a file") from None
    except OSError as error:
        raise InputMissingError(f"{label}: cannot be read: {error.strerror}") from None
    if data.startswith(b"\x1f\x8b"):
        try:
            data = gzip.decompress(data)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise BadDataError(f"{label}: the gzip file is damaged or cut off; fetch it again") from None
    kind = next((kind for magic, kind in _MAGIC.items() if data.startswith(magic)), None)
    if kind is None and b"\0" in data[:65536]:
        kind = "binary"
    if kind is not None:
        raise BadDataError(f"{label}: is {kind}, not a text table of observations; convert it to CSV")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadDataError(
            f"{label}: line {line} holds byte 0x{data[error.start]:02x}, which is not UTF-8; save the table as UTF-8"
        ) from None


def _parse(text: str, label: str) -> pd.DataFrame:
    """The table with every cell as text, its columns by their own names. Raises BadDataError for a bad shape."""
    header = text.lstrip().split("\n", 1)[0]
    separator = max(",;\t", key=header.count)
    if separator not in header:
        raise BadDataError(f"{label}: the first line is not a header with columns: {header.strip()[:60]!r}")
    _check_shape(text, separator, label)
    # The header is read as a row, so that pandas takes no column for an index.
    try:
        table = pd.read_csv(
            io.StringIO(text), sep=separator, header=None, dtype=str, keep_default_na=False, na_values=[], engine="c"
        )
    except pd.errors.ParserError as error:  # stricter than `csv`, such as for a quotation mark that stays open
        reason = str(error).removeprefix("Error tokenizing data. C error: ").strip()
        raise BadDataError(f"{label}: the table cannot be parsed ({reason}); is a quotation mark open?") from None
    names = [str(name).strip() for name in table.iloc[0]]
    table = table.iloc[1:].reset_index(drop=True)
    table.columns = pd.Index(names)
    return table


def _check_shape(text: str, separator: str, label: str) -> None:
    """Raise BadDataError for the first row whose number of fields is not the header's; pandas would fill it up."""
    expected = row = 0
    try:
        for fields in csv.reader(io.StringIO(text), delimiter=separator):
            if not fields or (len(fields) == 1 and not fields[0].strip()):
                continue
            expected = expected or len(fields)
            if len(fields) != expected:
                raise BadDataError(
                    f"{label}: row {row} has {len(fields)} fields, expected {expected}; the table is ragged or cut off"
                )
            row += 1
    except csv.Error as error:
        raise BadDataError(f"{label}: row {row} cannot be parsed: {error}") from None
