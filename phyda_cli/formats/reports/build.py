"""What a reader of observations is given and what it returns, and the one ending of all readers.

A reader returns what the file says, in SI, with the flags that the format itself calls for. Bounds and conversions come
after it, once, for every format alike: `finished`.

A reader of columns that its format gives as numbers makes the table, flags what is missing (`without_missing`) and what
its format says against rows (incoming marks, places that H cannot use), and ends with `reports_of`. Every record of the
file is one row, whatever became of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phyda_cli.fields.variables import VARIABLES
from phyda_cli.formats.reports.cells import Mask, Texts, is_fill
from phyda_cli.formats.reports.stations import Stations
from phyda_cli.observations.conversion import convert, is_surface
from phyda_cli.observations.kinds import of_each
from phyda_cli.observations.table import Flag, Observations, Use
from phyda_cli.quality.checks import QUANTITY_BOUNDS, check_bounds

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
    """Return the rows, checked against the bounds of what can be and converted to what is assimilated.

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


def report_numbers(observations: Observations) -> NDArray[np.int64]:
    """(n,) a number for each report of a table with one value a row: station, place, time and pressure together."""
    shared = ("station", "latitude", "longitude", "time", "pressure")
    keys = pd.DataFrame({name: getattr(observations, name) for name in shared})
    numbers = keys.groupby(list(keys.columns), dropna=False, sort=False).ngroup()
    return np.asarray(numbers.to_numpy(dtype=np.int64), dtype=np.int64)


_WIND: Final = ("wind_speed", "wind_direction")


def without_missing(observations: Observations) -> Observations:
    """MISSING: values that are not there, and those that files write for a missing one."""
    value = observations.value
    result = observations.reject(~np.isfinite(value), Flag.MISSING, "value is missing")
    return result.reject(is_fill(value), Flag.MISSING, lambda i: f"value {value[i]:g} is a fill value")


def uses(monitored: Mask) -> Texts:
    """(n,) what records are for, of which some are only looked at."""
    return np.where(monitored, Use.MONITOR.value, Use.ASSIMILATE.value).astype(object)


def reject_unplaced(observations: Observations, mask: Mask, describe: Callable[[int], str]) -> Observations:
    """H_FAILED: rows of `mask` (no place in pressure) whose variable needs one; `describe` takes the row's index.

    H interpolates in ln p and knows no heights. What a surface report measures at 2 and 10 metres needs no pressure.
    """

    def is_upper(name: str) -> bool:
        return name in _WIND or (name in VARIABLES and VARIABLES[name].pressure_level)

    upper = of_each(observations.variable, is_upper)
    near_surface = np.isin(observations.variable, (*_WIND, "t", "td", "u", "v")) & is_surface(observations)
    return observations.reject(mask & upper & ~near_surface, Flag.H_FAILED, describe)


def reports_of(observations: Observations) -> Reports:
    """Return the rows with unknown variables flagged, and which of them belong to one report."""
    result = observations
    for name in set(observations.variable.tolist()) - QUANTITY_BOUNDS.keys():
        result = result.reject(observations.variable == name, Flag.H_FAILED, f"unknown variable {name}")
    return Reports(result, report_numbers(result))
