"""What a file is, told by its first bytes; the suffix is never asked.

GRIB    "GRIB" within the first bytes (a WMO bulletin header may come before it)
HDF5    \\x89HDF\\r\\n\\x1a\\n at byte 0, 512, 1024, 2048, … (NetCDF-4 is HDF5)
NetCDF  "CDF" and the version byte 1, 2 or 5
Zarr    a directory that holds zarr.json, .zmetadata or .zgroup
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Final

from phyda_cli.errors import BadDataError, InputMissingError


class FileFormat(Enum):
    """The formats of background files."""

    GRIB = "GRIB"
    NETCDF_CLASSIC = "NetCDF classic"
    HDF5 = "NetCDF-4/HDF5"
    ZARR = "Zarr"


_HEAD: Final = 4096
_HDF5_MAGIC: Final = b"\x89HDF\r\n\x1a\n"
_CLASSIC_MAGIC: Final = (b"CDF\x01", b"CDF\x02", b"CDF\x05")
_LEAST_SIZE: Final = 32
"""No file of these formats is shorter [byte]: an empty CDF-1 file has 32 bytes."""

_OTHER: Final = (
    (b"\x1f\x8b", "is compressed with gzip: unpack it first with gunzip"),
    (b"BZh", "is compressed with bzip2: unpack it first with bunzip2"),
    (b"PK\x03\x04", "is a zip archive: unpack it first with unzip"),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd: unpack it first with unzstd"),
    (b"\x0e\x03\x13\x01", "is HDF4: convert it first, for example with ncl_convert2nc"),
    (b"BUFR", "is BUFR, which holds observations, not a background"),
)


def sniff(path: Path) -> FileFormat:
    """Return the format of a background file.

    Raises InputMissingError when there is no readable file, BadDataError when it is empty, cut off after its header or
    of another kind.
    """
    if path.is_dir():
        if any((path / marker).is_file() for marker in ("zarr.json", ".zmetadata", ".zgroup")):
            return FileFormat.ZARR
        raise BadDataError(f"{path}: is a directory and no Zarr store; name the file itself")
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
            size = stream.seek(0, 2)
    except FileNotFoundError:
        raise InputMissingError(f"{path}: no such file; check the path") from None
    except OSError as error:
        raise InputMissingError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    if size == 0:
        raise BadDataError(f"{path}: the file is empty (0 bytes); fetch it again")
    found = _by_magic(head)
    if found is None:
        other = next((says for magic, says in _OTHER if head.startswith(magic)), None)
        says = other or "is neither GRIB nor NetCDF (no magic bytes of either); give a GRIB 1/2 or NetCDF file"
        raise BadDataError(f"{path}: {says} ({size} bytes)")
    if size < _LEAST_SIZE:
        raise BadDataError(f"{path}: {found.value} cut off within its header ({size} bytes); fetch it again")
    return found


def is_netcdf(head: bytes) -> bool:
    """Return whether the first bytes of a file are those of NetCDF, classic or NetCDF-4 (HDF5)."""
    return _by_magic(head) in (FileFormat.NETCDF_CLASSIC, FileFormat.HDF5)


def _by_magic(head: bytes) -> FileFormat | None:
    if head.startswith(_CLASSIC_MAGIC):
        return FileFormat.NETCDF_CLASSIC
    if any(head[offset:].startswith(_HDF5_MAGIC) for offset in (0, 512, 1024, 2048)):
        return FileFormat.HDF5
    at = head.find(b"GRIB")
    # "GRIB" in the middle of a text is no message: the edition number stands 7 bytes on.
    if at >= 0 and head[at + 7 : at + 8] in (b"\x01", b"\x02", b""):
        return FileFormat.GRIB
    return None
