"""Observation files of any format, told by their first bytes; the suffix is never asked.

Each format has a reader of its own, `read(path, reference_time=…) -> Observations`; its module is imported when a file
of that format is met, since some need an extra. What no reader claims is a text table (`csv.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Final, Protocol, TextIO, cast

import numpy as np

from phyda_cli.formats.reports.bufr_messages import is_bufr
from phyda_cli.formats.reports.csv import read_csv
from phyda_cli.formats.reports.stations import Stations
from phyda_cli.formats.sniff import is_netcdf
from phyda_cli.observations.table import Observations


class Reader(Protocol):
    """Reads one file. Raises InputMissingError when it is not there, BadDataError when it is not what it should be."""

    def __call__(self, path: Path, *, reference_time: np.datetime64 | None = None) -> Observations:
        """The observations of a file; reference_time: UTC, for formats that give times from the analysis."""
        ...


@dataclass(frozen=True)
class ObservationFormat:
    """A format. claims: whether the first bytes are its. reader: `module:function`.

    table: whether its reader takes `stations` and `units` too.
    """

    name: str
    claims: Callable[[bytes], bool]
    reader: str
    table: bool = False


_OBS_SEQ: Final = ([b"obs_sequence"], [b"obs_type_definitions"], [b"obs_kind_definitions"])
"""The first words of a DART file; a binary one has the length of its first record before them."""

FORMATS: Final[tuple[ObservationFormat, ...]] = (
    ObservationFormat("BUFR", is_bufr, "phyda_cli.formats.reports.bufr:read"),
    ObservationFormat(
        "Parquet", lambda head: head.startswith(b"PAR1"), "phyda_cli.formats.reports.parquet:read_parquet", True
    ),
    ObservationFormat("ODB-2", lambda head: head.startswith(b"\xff\xffODA"), "phyda_cli.formats.reports.odb:read_odb"),
    ObservationFormat(
        "DART obs_seq",
        lambda head: head[4:16] == b"obs_sequence" or head.split(None, 1)[:1] in _OBS_SEQ,
        "phyda_cli.formats.reports.dart:read_dart",
    ),
    ObservationFormat("NetCDF", is_netcdf, "phyda_cli.formats.reports.netcdf_observations:read"),
)
"""In the order in which they are asked."""
_HEAD: Final = 4096


def read_observations(
    source: Path | TextIO,
    *,
    reference_time: np.datetime64 | None = None,
    stations: Stations | None = None,
    units: Mapping[str, str] | None = None,
) -> Observations:
    """Read a file of observations in any format that phyda knows, or text from an open stream.

    reference_time: UTC, for formats that give times from the analysis. stations, units: of tables and text
    (`read_csv`).
    Raises InputMissingError when the file is not there or cannot be read, BadDataError when it is damaged or of no
    known format, ConfigError when its format needs an extra that is not installed.
    """

    def read_text() -> Observations:
        return read_csv(source, reference_time=reference_time, stations=stations, units=units)

    if not isinstance(source, Path) or not source.is_file():
        return read_text()
    try:
        with source.open("rb") as stream:
            head = stream.read(_HEAD)
    except OSError:
        return read_text()  # which says what is wrong
    for known in FORMATS:
        if known.claims(head):
            module, _, function = known.reader.partition(":")
            reader = getattr(import_module(module), function)
            if known.table:
                reader = partial(reader, stations=stations, units=units)
            return cast(Reader, reader)(source, reference_time=reference_time)
    return read_text()
