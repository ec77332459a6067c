"""The text of a file or stream, and a table as text → its cells.

A text may be plain, gzip, or a zip archive with one file in it, in UTF-8 or marked UTF-16. One layer of compression is
unpacked, to at most `MOST_BYTES`.

Between cells stand commas, semicolons, tabs or runs of blanks, in numbers decimal points or commas. Lines that begin
with `#` before the header are passed over, unless the last of them is the header. A table that writes both decimal
points and decimal commas is refused.

A pandas table becomes one of text (`text_cells`), so that it passes the checks of a file.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TextIO

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError, InputMissingError
from phyda_cli.formats.reports.columns import PRESSURES, ROLES, normalise, split_unit

MOST_BYTES: Final = 2**28
"""A table has some hundred bytes a row, so this is millions of rows; what unpacks to more is no table."""
_CHUNK: Final = 2**20

_GZIP: Final = b"\x1f\x8b"
_ZIP: Final = b"PK\x03\x04"
_MAGIC: Final = {
    b"GRIB": "a GRIB file", b"BUFR": "a BUFR file", b"\x89HDF": "a NetCDF or HDF5 file", b"CDF": "a NetCDF file",
    b"PK": "a zip archive", _GZIP: "a gzip file", b"PAR1": "a Parquet file", b"\xff\xffODA": "an ODB file",
    b"BZh": "a bzip2 file", b"\xfd7zXZ": "an xz file", b"\x28\xb5\x2f\xfd": "a Zstandard file",
}  # fmt: skip


def text_of(source: Path | TextIO, label: str) -> str:
    """Return the text of a file, or of an open stream.

    label: its name for messages. Raises InputMissingError when it is not there or cannot be read, BadDataError when it
    is no text, damaged, packed twice or too large once unpacked.
    """
    if isinstance(source, Path):
        data = bytes_of(source, label)
    else:
        buffer = getattr(source, "buffer", None)
        if buffer is None:
            return source.read()
        data = buffer.read()
    packed = data.startswith(_GZIP) or data.startswith(_ZIP)
    if data.startswith(_GZIP):
        data = _bounded(_gunzip(data, label), label)
    elif data.startswith(_ZIP):
        data = _bounded(_unzip(data, label), label)
    kind = next((kind for magic, kind in _MAGIC.items() if data.startswith(magic)), None)
    if kind is None and data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return _decode(data, "utf-16", label)
    if kind is None and b"\0" in data[:65536]:
        kind = "binary"
    if kind is not None:
        within = " inside" if packed else ""
        raise BadDataError(f"{label}: is {kind}{within}, not a text table of observations; convert it to CSV")
    return _decode(data, "utf-8-sig", label)


def bytes_of(path: Path, label: str) -> bytes:
    """Return the bytes of a file. Raises InputMissingError when it is not there or cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputMissingError(f"{label}: no such file") from None
    except IsADirectoryError:
        raise InputMissingError(f"{label}: is a directory; name a file") from None
    except OSError as error:
        raise InputMissingError(f"{label}: cannot be read: {error.strerror}") from None


def _decode(data: bytes, encoding: str, label: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadDataError(
            f"{label}: line {line} holds byte 0x{data[error.start]:02x}, which is not UTF-8; save the table as UTF-8"
        ) from None


def _bounded(chunks: Iterator[bytes], label: str) -> bytes:
    data = bytearray()
    for chunk in chunks:
        data += chunk
        if len(data) > MOST_BYTES:
            raise BadDataError(
                f"{label}: unpacks to more than {MOST_BYTES // 2**20} MiB; unpack it yourself if it is a table"
            )
        if len(data) == len(chunk) and b"\0" in chunk[:65536] and not chunk.startswith((b"\xff\xfe", b"\xfe\xff")):
            return bytes(chunk)  # binary, which need not be unpacked to be refused
    return bytes(data)


def _gunzip(data: bytes, label: str) -> Iterator[bytes]:
    rest = data
    try:
        while rest.startswith(_GZIP):
            member = zlib.decompressobj(wbits=31)
            while not member.eof:
                chunk = member.decompress(rest, _CHUNK)
                rest = member.unconsumed_tail
                if not chunk and not rest and not member.eof:
                    raise zlib.error("cut off")
                yield chunk
            rest = member.unused_data
    except zlib.error:
        raise BadDataError(f"{label}: the gzip file is damaged or cut off; fetch it again") from None


def _unzip(data: bytes, label: str) -> Iterator[bytes]:
    """Yield the one file of a zip archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files = [entry for entry in archive.infolist() if not entry.is_dir()]
            if len(files) != 1:
                raise BadDataError(f"{label}: is a zip archive of {len(files)} files; unpack it and name one of them")
            with archive.open(files[0]) as stream:
                while chunk := stream.read(_CHUNK):
                    yield chunk
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError):
        raise BadDataError(f"{label}: the zip archive is damaged, locked or cut off; unpack it yourself") from None


MOST_COLUMNS: Final = 2000
LARGEST_WHOLE: Final = 2.0**53
"""Above it not every whole number is a double."""
_NAMES: Final = frozenset(name for names in ROLES.values() for name in names) | PRESSURES.keys()
_COMMA: Final = r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?"
_POINT: Final = r"[+-]?\d+\.\d+(?:[eE][+-]?\d+)?"
_THOUSANDS: Final = r"[+-]?\d{1,3}(?:\.\d{3})+,\d+|[+-]?\d{1,3}(?:,\d{3})+\.\d+"
_WHOLE_THOUSANDS: Final = r"[+-]?\d{1,3}(?:,\d{3})+"


def parse_table(text: str, label: str) -> pd.DataFrame:
    """Return the table with every cell as text, its columns by their own names. Raises BadDataError for a bad shape."""
    text = _without_comments(text)
    header = text.lstrip().split("\n", 1)[0]
    separator = max(",;\t", key=header.count)
    if separator not in header:
        if _known_names(header.split()) < 2:
            raise BadDataError(f"{label}: the first line is not a header with columns: {header.strip()[:60]!r}")
        text, separator = _from_blanks(text, label), "\t"
    count = header.count(separator) + 1
    if count > MOST_COLUMNS:
        raise BadDataError(f"{label}: has {count} columns, more than {MOST_COLUMNS}; keep those of observations")
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
    return _with_points(table, separator, label)


def text_cells(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of typed cells as the text that a CSV file would hold.

    Missing values are empty cells, whole numbers have no fraction, time stamps with a zone become UTC.
    """
    texts = pd.DataFrame({number: _texts(table.iloc[:, number]) for number in range(table.shape[1])}, dtype=object)
    texts.columns = pd.Index([str(name).strip() for name in table.columns])
    return texts


def _texts(column: pd.Series[Any]) -> NDArray[np.object_]:
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    missing = column.isna().to_numpy(dtype=bool)
    if column.dtype.kind == "M":
        texts = np.datetime_as_string(column.to_numpy(dtype="datetime64[ns]"), unit="ns")
    elif column.dtype.kind == "f":
        values = column.to_numpy(dtype=column.dtype if isinstance(column.dtype, np.dtype) else np.float64)
        missing = missing | ~np.isfinite(values)
        known: NDArray[Any] = values[~missing]
        whole = bool((known == np.round(known)).all() and (np.abs(known) < LARGEST_WHOLE).all())
        texts = (np.where(missing, 0, values).astype(np.int64) if whole else values).astype(str)
    else:
        texts = np.array([str(value) for value in column], dtype=object)
    return np.where(missing, "", texts.astype(object))


def _known_names(names: list[str]) -> int:
    return sum(normalise(name) in _NAMES or bool(split_unit(name)[0]) for name in names)


def _without_comments(text: str) -> str:
    lines = text.lstrip().split("\n")
    first = next((i for i, line in enumerate(lines) if not line.lstrip().startswith("#")), len(lines))
    if first == 0:
        return text
    if first < len(lines) and _known_names(re.split(r"[,;\t]", lines[first]) or []) >= 2:
        return "\n".join(lines[first:])
    return "\n".join([lines[first - 1].lstrip().lstrip("#").strip(), *lines[first:]])


def _from_blanks(text: str, label: str) -> str:
    rows = [line.split() for line in text.splitlines() if line.strip()]
    wrong = next((i for i, row in enumerate(rows) if len(row) != len(rows[0])), None)
    if wrong is not None:
        raise BadDataError(
            f"{label}: row {wrong} has {len(rows[wrong])} fields between blanks, expected {len(rows[0])}; separate the "
            "columns with commas"
        )
    return "\n".join("\t".join(row) for row in rows) + "\n"


def _with_points(table: pd.DataFrame, separator: str, label: str) -> pd.DataFrame:
    """The table with decimal points for decimal commas. Raises BadDataError where both are, or thousands may be."""
    names = Counter(map(str, table.columns))
    texts = {name: table[name].str.strip() for name, count in names.items() if count == 1}
    commas: dict[str, pd.Series[bool]] = {}
    for name, cells in texts.items():
        if not cells.str.contains(",", regex=False).any():
            continue
        thousands = cells.str.fullmatch(_THOUSANDS)
        if thousands.any():
            raise BadDataError(
                f"{label}: {name} holds {_first(cells, thousands)!r}; write numbers without thousands marks"
            )
        found = cells.str.fullmatch(_COMMA)
        if found.any():
            commas[name] = found
    if not commas:
        return table
    name, found = next(iter(commas.items()))
    message = f"{label}: {name} holds {_first(texts[name], found)!r}"
    for cells in texts.values():
        point = cells.str.fullmatch(_POINT)
        if point.any():
            raise BadDataError(
                f"{message}, and elsewhere stands {_first(cells, point)!r}; write decimal points throughout"
            )
    if separator == "," and all(texts[c][rows].str.fullmatch(_WHOLE_THOUSANDS).all() for c, rows in commas.items()):
        raise BadDataError(f"{message}, a decimal comma or thousands; write decimal points throughout")
    result = table.copy()
    for column, rows in commas.items():
        result[column] = texts[column].str.replace(",", ".", regex=False).where(rows, texts[column])
    return result


def _first(cells: pd.Series[str], rows: pd.Series[bool]) -> str:
    return str(cells[rows].iloc[0])[:40]


def _check_shape(text: str, separator: str, label: str) -> None:
    """Raise BadDataError for the first row whose number of fields is not the header's; pandas would fill it up."""
    if _is_even(text, separator):
        return
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


def _is_even(text: str, separator: str) -> bool:
    """Return whether every row has as many fields as the header by its separators alone; no where quotes may hold some.

    It is what nearly every table is, and counting is twenty times as fast as taking rows apart.
    """
    if any(mark in text for mark in '"\r\0'):
        return False
    letters = np.frombuffer(text.encode(errors="replace"), np.uint8)
    ends = np.append(np.flatnonzero(letters == ord("\n")), letters.size)
    length = np.diff(ends, prepend=-1) - 1
    before = np.searchsorted(np.flatnonzero(letters == ord(separator)), ends)
    fields = np.diff(before, prepend=0)[length > 0]
    return bool(fields.size and (fields == fields[0]).all() and length.max() < csv.field_size_limit())
