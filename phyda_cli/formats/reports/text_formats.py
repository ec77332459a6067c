"""Text that is no table: archives and bulletins with a layout of their own, told by their content.

A format is one row of `TEXT_FORMATS`: what claims a text, and a reader that makes observations of it. What no format
claims is a table (`csv.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from phyda_cli.formats.reports.igra import is_igra, read_igra
from phyda_cli.formats.reports.isd import is_isd, read_isd
from phyda_cli.formats.reports.isd_csv import is_isd_csv, read_isd_csv
from phyda_cli.formats.reports.isd_lite import is_isd_lite, read_isd_lite
from phyda_cli.formats.reports.metar import is_metar, read_metar
from phyda_cli.formats.reports.sounding_text import is_sounding, read_soundings
from phyda_cli.formats.reports.stations import Stations
from phyda_cli.observations.table import Observations


class TextReader(Protocol):
    """Reads a text. Raises BadDataError when it is not what it should be."""

    def __call__(
        self, text: str, *, label: str, reference_time: np.datetime64 | None, stations: Stations
    ) -> Observations:
        """Return the observations of a text.

        label: the file's name. reference_time: the analysis's time, UTC. stations: places of reports without one.
        """
        ...


@dataclass(frozen=True)
class TextFormat:
    """A layout of text. claims: whether a text has it."""

    name: str
    claims: Callable[[str], bool]
    read: TextReader


TEXT_FORMATS: Final[tuple[TextFormat, ...]] = (
    TextFormat("IGRA 2", is_igra, read_igra),
    TextFormat("ISD", is_isd, read_isd),
    TextFormat("ISD-Lite", is_isd_lite, read_isd_lite),
    TextFormat("ISD as CSV", is_isd_csv, read_isd_csv),
    TextFormat("METAR", is_metar, read_metar),
    TextFormat("soundings as lists", is_sounding, read_soundings),
)
"""In the order in which they are asked: the strictest first."""


def find_text_format(text: str) -> TextFormat | None:
    """The format of a text, or None when it is no other than a table."""
    return next((known for known in TEXT_FORMATS if known.claims(text)), None)
