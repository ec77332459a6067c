"""Observation files of any format → observations in SI, checked and converted.

`registry.py` has the formats. What is wrong with a whole file is an error that names it; what is wrong with a row is a
flag on that row. Text may be packed (`table_text.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TextIO

import netCDF4
import numpy as np
import pandas as pd

from phyda_cli.errors import BadDataError
from phyda_cli.formats.file_safety import check_declared_size, check_hdf5, declared_variables
from phyda_cli.formats.reports.build import Given, Reports, finished
from phyda_cli.formats.reports.entries import log_placeless, read_table
from phyda_cli.formats.reports.registry import FORMATS, ReportFormat, find_format
from phyda_cli.formats.reports.stations import Stations
from phyda_cli.formats.reports.table_text import parse_table, text_cells, text_of
from phyda_cli.formats.sniff import is_netcdf
from phyda_cli.observations.table import Observations

_HEAD: Final = 4096
_MOST_NAMED: Final = 8


def read_observations(
    source: Path | TextIO | pd.DataFrame,
    *,
    name: str | None = None,
    reference_time: np.datetime64 | None = None,
    stations: Stations | None = None,
    units: Mapping[str, str] | None = None,
    formats: Sequence[ReportFormat] = FORMATS,
) -> Observations:
    """Read a file of observations in any format that phyda knows, text from an open stream, or a table.

    source: the columns of a table are those of a text table, its cells text, numbers or time stamps.
    name: what messages and `sources` call it (default: the path). reference_time: UTC, for formats that give times from
    the analysis. stations: the places of reports that come without one. units: of a table's columns that do not say
    their own, by their names. A table with a header only has no observations, which is legal.
    Raises InputMissingError when the file is not there or cannot be read, BadDataError when it is empty, damaged, cut
    off or of no known format, ConfigError when its format needs an extra that is not installed.
    """
    given = Given(reference_time, stations or {}, units or {})
    if isinstance(source, pd.DataFrame):
        label = name or "table"
        return finished(read_table(text_cells(source), label, given))
    label = name or (str(source) if isinstance(source, Path) else "standard input")
    return finished(_read(source, label, given, formats))


def _read(source: Path | TextIO, label: str, given: Given, formats: Sequence[ReportFormat]) -> Reports:
    head = b""
    if isinstance(source, Path) and source.is_file():
        try:
            with source.open("rb") as stream:
                head = stream.read(_HEAD)
        except OSError:
            pass  # reading it as text says what is wrong
        known = find_format("bytes", head, formats)
        if known is not None:
            return known.read(source, label, given)
        if is_netcdf(head):
            return _read_netcdf(source, label, given, formats)
    text = text_of(source, label)
    if not text.strip():
        raise BadDataError(f"{label}: is empty; expected a header line and one line for each observation")
    known = find_format("text", text.lstrip("\r\n"), formats)
    if known is None:
        return read_table(parse_table(text, label), label, given)
    result = known.read(text.lstrip("\r\n"), label, given)
    log_placeless(result.observations, label)
    return result


def _read_netcdf(path: Path, label: str, given: Given, formats: Sequence[ReportFormat]) -> Reports:
    check_hdf5(path)
    try:
        with netCDF4.Dataset(path) as dataset:
            check_declared_size(path, declared_variables(dataset))
            known = find_format("netcdf", dataset, formats)
            if known is not None:
                return known.read(dataset, label, given)
            there = [*dataset.groups, *dataset.variables]
    except (OSError, RuntimeError):
        raise BadDataError(f"{label}: cannot be read as NetCDF or HDF5; is it cut off? fetch it again") from None
    lacks = " and no ".join(f"{known.evidence} ({known.name})" for known in formats if known.of == "netcdf")
    shown = ", ".join(there[:_MOST_NAMED]) + (", …" if len(there) > _MOST_NAMED else "")
    raise BadDataError(
        f"{label}: is NetCDF or HDF5 but of no known layout of observations: it has no {lacks}; "
        f"there are: {shown or 'none'}{_what_else(set(there))}"
    )


def _what_else(names: set[str]) -> str:
    """Return what a file without observations is by the names of its variables, and where it goes."""
    if {"H_background", "o_minus_b"} <= names:
        return ". It is a feedback file of phyda: give the observations that it was made from"
    if {"latitude", "lat"} & names:
        return ". A gridded field goes to --background"
    return ""
