"""What a reader of observations is given and what it returns, and the one ending of all readers.

A reader returns what the file says, in SI, with the flags that the format itself calls for. Bounds and conversions come
after it, once, for every format alike: `finished`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from phyda_cli.formats.reports.stations import Stations
from phyda_cli.observations.conversion import convert
from phyda_cli.observations.table import Flag, Observations
from phyda_cli.quality.checks import check_bounds

Step = Callable[[Observations, NDArray[np.int64]], Observations]
"""A conversion of rows with the help of others of the same report: (rows, number of each row's report) → rows."""


@dataclass(frozen=True)
class Given:
    """What the user says beside a file.

    reference_time: UTC, for formats that give times from the analysis. stations: the places of reports that come
    without one. units: of columns that do not say their own, by the names of columns or variables.
    """

    reference_time: np.datetime64 | None = None
    stations: Stations = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reports:
    """The rows of a file as the file has them, some of them flagged.

    report: (n,) a number for each row, which rows of one station, place, time and pressure share.
    steps: conversions in their order; a format with quantities of its own puts theirs before `convert`.
    """

    observations: Observations
    report: NDArray[np.int64]
    steps: tuple[Step, ...] = (convert,)

    def reject(self, mask: NDArray[np.bool_], flag: Flag, reason: str) -> Reports:
        """Flag rows as `Observations.reject` does."""
        return replace(self, observations=self.observations.reject(mask, flag, reason))


def finished(reports: Reports) -> Observations:
    """The rows, checked against the bounds of what can be and converted to what is assimilated.

    Bounds are looked at once for each quantity: before a conversion, and of what a conversion makes.
    """
    before = check_bounds(reports.observations)
    result = before
    for step in reports.steps:
        result = step(result, reports.report)
    made = np.flatnonzero(result.variable != before.variable)
    if not made.size:
        return result
    judged, flag, reason = check_bounds(result.take(made)), result.flag.copy(), result.reason.copy()
    flag[made], reason[made] = judged.flag, judged.reason
    return replace(result, flag=flag, reason=reason)
