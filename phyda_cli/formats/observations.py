"""Observation files of any format, told by their first bytes; the suffix is never asked.

Each format has a reader of its own, `read(path, reference_time=…) -> Observations`; its module is imported when a file
of that format is met, since some need an extra. What no reader claims is a text table (`csv.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Final, Protocol, TextIO, cast

import numpy as np

from phyda_cli.formats.csv import read_csv
from phyda_cli.formats.sniff import is_netcdf
from phyda_cli.observations.table import Observations


class Reader(Protocol):
    """Reads one file. Raises InputMissingError when it is not there, BadDataError when it is not what it should be."""

    def __call__(self, path: Path, *, reference_time: np.datetime64 | None = None) -> Observations:
        """The observations of a file; reference_time: UTC, for formats that give times from the analysis."""
        ...


@dataclass(frozen=True)
class ObservationFormat:
    """A format. claims: whether the first bytes are its. reader: `module:function`."""

    name: str
    claims: Callable[[bytes], bool]
    reader: str


FORMATS: Final[tuple[ObservationFormat, ...]] = (
    ObservationFormat("IODA", is_netcdf, "phyda_cli.formats.ioda:read_ioda"),
)
"""In the order in which they are asked."""
_HEAD: Final = 4096


def read_observations(source: Path | TextIO, *, reference_time: np.datetime64 | None = None) -> Observations:
    """Read a file of observations in any format that phyda knows, or a text table from an open stream.

    reference_time: UTC, for formats that give times as hours from the analysis.
    Raises InputMissingError when the file is not there or cannot be read, BadDataError when it is damaged or of no
    known format, ConfigError when its format needs an extra that is not installed.
    """
    if not isinstance(source, Path) or not source.is_file():
        return read_csv(source, reference_time=reference_time)
    try:
        with source.open("rb") as stream:
            head = stream.read(_HEAD)
    except OSError:
        return read_csv(source, reference_time=reference_time)  # which says what is wrong
    for known in FORMATS:
        if known.claims(head):
            module, _, function = known.reader.partition(":")
            return cast(Reader, getattr(import_module(module), function))(source, reference_time=reference_time)
    return read_csv(source, reference_time=reference_time)
