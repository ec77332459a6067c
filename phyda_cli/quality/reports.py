"""The check of whole reports: when the departures condemn half of a report, the rest of it is not trusted either.

    rejected where  (rows of the report with FIRST_GUESS or BUDDY) / (those + the rows still used) ≥ ½

A wrong place, time or elevation spoils every value of a report, and some of them stay within the limits by chance; both
components of a single wind go together. A report is what has the same source, station, type, place and time.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.observations.table import Flag, Observations

LARGEST_REJECTED_PART: Final = 0.5
_CONDEMNED: Final = (Flag.FIRST_GUESS, Flag.BUDDY)


def check_reports(observations: Observations) -> Observations:
    """BUDDY: the rest of a report of which half or more was rejected for its departures; the reason has the counts."""
    condemned = np.isin(observations.flag, _CONDEMNED)
    if not condemned.any():
        return observations
    judged = np.flatnonzero(condemned | observations.used)
    report = _reports(observations.take(judged))
    total = np.bincount(report)
    bad = np.bincount(report, condemned[judged], total.size).astype(np.int64)
    counts = np.zeros((len(observations), 2), dtype=np.int64)
    counts[judged] = np.stack([bad, total], axis=1)[report]
    return observations.reject(
        (counts[:, 0] > 0) & (counts[:, 0] >= LARGEST_REJECTED_PART * counts[:, 1]),
        Flag.BUDDY,
        lambda i: f"{counts[i, 0]} of the {counts[i, 1]} values of its report are rejected for their departures",
    )


def _reports(table: Observations) -> NDArray[np.int64]:
    """(n,) number of the report of each row, from 0 without gaps."""
    report = np.zeros(len(table), dtype=np.int64)
    columns = (
        table.source, table.station.astype(str), table.report.astype(str), table.latitude, table.longitude,
        table.time.astype(np.int64),
    )  # fmt: skip
    for column in columns:
        values, code = np.unique(column, return_inverse=True)
        report = np.unique(report * values.size + code, return_inverse=True)[1].astype(np.int64)
    return report
