"""A report that gives its pressure at the station and at sea level has measured it once.

Both rows stay, for either may be the one that a background can use, each with √2 of its error: two values with the same
error, taken for independent, then weigh as much as one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from phyda_cli.observations.table import Observations
from phyda_cli.quality.groups import group


def pressure_once(observations: Observations) -> Observations:
    """Return the rows with larger errors where sp and msl of a report are both in use."""
    o = observations
    rows = np.flatnonzero(o.used & np.isin(o.variable.astype(str), ("sp", "msl")))
    if not rows.size:
        return o
    own = o.take(rows)
    report = group([own.source, own.station, own.report, own.latitude, own.longitude, own.time])
    both = np.bincount(report, own.variable == "sp") * np.bincount(report, own.variable == "msl") > 0
    error = o.error.copy()
    error[rows] *= np.where(both[report], np.sqrt(2.0), 1.0)
    return replace(o, error=error)
