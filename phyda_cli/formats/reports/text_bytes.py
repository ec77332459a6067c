"""The text of a file or stream: plain, gzip, or a zip archive with one file in it, in UTF-8 or marked UTF-16.

One layer of compression is unpacked, to at most `MOST_BYTES`.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TextIO

from phyda_cli.errors import BadDataError, InputMissingError

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
    """The text of a file, or of an open stream.

    label: its name for messages. Raises InputMissingError when it is not there or cannot be read, BadDataError when it
    is no text, damaged, packed twice or too large once unpacked.
    """
    if isinstance(source, Path):
        data = _read(source, label)
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


def _read(path: Path, label: str) -> bytes:
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
    """The members of a gzip file, one after the other."""
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
    """The one file of a zip archive."""
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
