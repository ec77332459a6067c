"""Observation tables in Parquet: the columns, units and roles of a text table (`columns.py`), each cell typed.

Typed cells become the text that a CSV file would hold and go through the one parser of tables (`entries.py`):

    null, NaN          → an empty cell             time stamp with a zone     → UTC
    whole number       → its digits (no ".0")      time stamp without a zone  → UTC already
    32-bit number      → its shortest text, so that 1.48 is read as 1.48 and not as 1.4800000191
"""

from __future__ import annotations

import importlib
import logging
from pathlib import Path
from typing import Any, cast

import pandas as pd

from phyda_cli.errors import BadDataError, InputMissingError, MissingExtraError
from phyda_cli.formats.reports.build import Given, Reports
from phyda_cli.formats.reports.entries import read_table
from phyda_cli.formats.reports.table_roles import listed
from phyda_cli.formats.reports.table_text import LARGEST_WHOLE

_logger = logging.getLogger(__name__)


def read_parquet(path: Path, label: str, given: Given) -> Reports:
    """Read a table of observations. Columns of lists or structures are not looked at.

    Raises MissingExtraError without pyarrow; InputMissingError when the file cannot be read; BadDataError when it is
    damaged, cut off or without the columns needed.
    """
    try:
        arrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise MissingExtraError("reading Parquet", "parquet") from None
    try:
        with path.open("rb") as stream:
            table = parquet.read_table(stream, page_checksum_verification=True)
            table.validate(full=True)
            names = [str(name) for name in table.column_names]
    except (arrow.ArrowException, UnicodeDecodeError) as error:
        raise BadDataError(
            f"{label}: the Parquet file is damaged or cut off ({_first_line(error)}); fetch it again"
        ) from None
    except OSError as error:
        # Arrow says with an OSError that a page cannot be decoded; only the system's own have a number
        if error.errno is None:
            says = _first_line(error)
            raise BadDataError(f"{label}: the Parquet file is damaged ({says}); fetch it again") from None
        raise InputMissingError(f"{label}: cannot be read: {error.strerror}") from None
    texts = {
        index: _texts(arrow, column, f"{label}: column {name!r}")
        for index, (name, column) in enumerate(zip(names, table.columns, strict=True))
        if not arrow.types.is_nested(column.type)
    }
    frame = pd.DataFrame(texts)
    frame.columns = pd.Index([names[index] for index in texts])
    nested = [name for index, name in enumerate(names) if index not in texts]
    if nested:
        _logger.warning("%s: columns of lists or structures, which are not read: %s", label, listed(nested))
    return read_table(frame, label, given)


def _texts(arrow: Any, column: Any, label: str) -> pd.Series[str]:
    """Return a column as text; label: file and column, for messages. Raises BadDataError where it cannot be text."""
    types, compute = arrow.types, importlib.import_module("pyarrow.compute")
    try:
        if types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if types.is_timestamp(column.type):
            column = column.cast(arrow.timestamp(column.type.unit))  # in UTC
        if types.is_floating(column.type):
            column = compute.if_else(compute.is_finite(column), column, None)
            if _is_whole(compute, column):
                column = column.cast(arrow.int64())
        text = compute.fill_null(column.cast(arrow.string()), "")
    except arrow.ArrowException as error:
        raise BadDataError(f"{label} of type {column.type} cannot be read as text ({_first_line(error)})") from None
    return cast("pd.Series[str]", text.to_pandas())


def _is_whole(compute: Any, column: Any) -> bool:
    """Return whether a column of floating type holds whole numbers only: dates, station numbers."""
    largest = compute.max(compute.abs(column)).as_py()
    if largest is None or largest >= LARGEST_WHOLE:
        return False
    return bool(compute.all(compute.equal(column, compute.round(column))).as_py())


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
