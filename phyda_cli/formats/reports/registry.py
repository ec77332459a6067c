"""The formats of observations, told apart by what files hold; a suffix is never asked.

A format is one row of `FORMATS`. It claims the first bytes of a file, an open NetCDF or HDF5 file, or a text, and its
reader gets what it claimed (of bytes the path) with the file's name and what the user says:

    read(path | dataset | text, label, given) -> Reports

Readers are imported when a file of their format is met, since some need an extra. NetCDF and HDF5 files come to those
who claim them open; text that nobody claims is a table (`entries.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, Literal, Protocol, cast

from phyda_cli.formats.reports.bufr_messages import is_bufr
from phyda_cli.formats.reports.build import Given, Reports
from phyda_cli.formats.reports.igra import is_igra
from phyda_cli.formats.reports.ioda_file import is_ioda
from phyda_cli.formats.reports.isd import is_isd, is_isd_csv, is_isd_lite
from phyda_cli.formats.reports.madis import is_madis
from phyda_cli.formats.reports.metar import is_metar
from phyda_cli.formats.reports.sounding_text import is_sounding


class Reader(Protocol):
    """Reads what its format has claimed.

    Raises BadDataError when it is damaged or not what it should be, InputMissingError when it cannot be read, and
    ConfigError when an extra is not installed.
    """

    def __call__(self, source: Any, label: str, given: Given) -> Reports:
        """Return the rows of a path, open dataset or text. label: the file's name for messages."""
        ...


@dataclass(frozen=True)
class ReportFormat:
    """A format of observations.

    of: what it claims, the first bytes (`claims(bytes)`), an open file (`claims(dataset)`) or a text (`claims(text)`).
    reader: `module:function`, or the function. evidence: what an open file of this format has, for messages.
    """

    name: str
    of: Literal["bytes", "netcdf", "text"]
    claims: Callable[[Any], bool]
    reader: str | Reader
    evidence: str = ""

    def read(self, source: Any, label: str, given: Given) -> Reports:
        """Return the rows of what the format has claimed, by its reader."""
        if not isinstance(self.reader, str):
            return self.reader(source, label, given)
        module, _, function = self.reader.partition(":")
        return cast(Reader, getattr(import_module(f"{__package__}.{module}"), function))(source, label, given)


_OBS_SEQ: Final = ([b"obs_sequence"], [b"obs_type_definitions"], [b"obs_kind_definitions"])
"""The first words of a DART file; a binary one has the length of its first record before them."""


def _is_dart(head: bytes) -> bool:
    return head[4:16] == b"obs_sequence" or head.split(None, 1)[:1] in _OBS_SEQ


FORMATS: Final[tuple[ReportFormat, ...]] = (
    ReportFormat("BUFR", "bytes", is_bufr, "bufr:read_bufr"),
    ReportFormat("Parquet", "bytes", lambda head: head.startswith(b"PAR1"), "parquet:read_parquet"),
    ReportFormat("ODB-2", "bytes", lambda head: head.startswith(b"\xff\xffODA"), "odb:read_odb"),
    ReportFormat("DART obs_seq", "bytes", _is_dart, "dart:read_dart"),
    ReportFormat("MADIS", "netcdf", is_madis, "madis:read_madis", "records (recNum) of surface, aircraft or sounding"),
    ReportFormat("IODA", "netcdf", is_ioda, "ioda:read_ioda", "groups MetaData and ObsValue"),
    ReportFormat("IGRA 2", "text", is_igra, "igra:read_igra"),
    ReportFormat("ISD", "text", is_isd, "isd:read_isd"),
    ReportFormat("ISD-Lite", "text", is_isd_lite, "isd:read_isd_lite"),
    ReportFormat("ISD as CSV", "text", is_isd_csv, "isd:read_isd_csv"),
    ReportFormat("METAR", "text", is_metar, "metar:read_metar"),
    ReportFormat("soundings as lists", "text", is_sounding, "sounding_text:read_soundings"),
)
"""In the order in which they are asked: the strictest first."""


def find_format(of: str, content: Any, formats: Sequence[ReportFormat] = FORMATS) -> ReportFormat | None:
    """Return the first format that claims some content (`ReportFormat.of`), or None."""
    return next((known for known in formats if known.of == of and known.claims(content)), None)
