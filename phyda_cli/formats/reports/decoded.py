"""Columns that a format gives as numbers → observations, numbered in the order of the file.

A reader makes the table, flags what is missing (`without_missing`) and what its format says against rows (incoming
marks, places that H cannot use), and ends with `reports_of`. Every record of the file is one row, whatever became of
it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import pandas as pd

from phyda_cli.fields.variables import VARIABLES
from phyda_cli.formats.reports.build import Reports
from phyda_cli.formats.reports.cells import Mask, Texts, is_fill
from phyda_cli.formats.reports.entries import report_numbers
from phyda_cli.observations.conversion import SURFACE_REPORTS
from phyda_cli.observations.table import Flag, Observations, Use
from phyda_cli.quality.checks import QUANTITY_BOUNDS

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
    codes, names = pd.factorize(observations.variable)
    kinds, reports = pd.factorize(observations.report)
    at_surface = np.array([str(report).casefold() in SURFACE_REPORTS for report in reports], dtype=bool)[kinds]
    upper = np.array([n in _WIND or (n in VARIABLES and VARIABLES[n].pressure_level) for n in names], dtype=bool)[codes]
    near_surface = np.isin(observations.variable, (*_WIND, "t", "td", "u", "v")) & at_surface
    return observations.reject(mask & upper & ~near_surface, Flag.H_FAILED, describe)


def reports_of(observations: Observations) -> Reports:
    """The rows with unknown variables flagged, and which of them belong to one report."""
    codes, names = pd.factorize(observations.variable)
    result = observations
    for code, name in enumerate(names):
        if name not in QUANTITY_BOUNDS:
            result = result.reject(np.asarray(codes == code), Flag.H_FAILED, f"unknown variable {name}")
    return Reports(result, report_numbers(result))
