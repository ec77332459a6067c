"""The check against neighbours: an observation must agree with a trial analysis of all the others that are used.

    rejected where  |y − H(x_a)| > k √(σ_o² + σ_b²),     x_a a trial analysis, σ_b that of a short forecast

A background s times worse than a short forecast passes errors up to k √(σ_o² + s² σ_b²): far too many for s = 8. Where
there are neighbours x_a is far closer to the truth than x_b, and the departure from it shows the error. A lone
observation is never rejected for being alone: x_a then moves towards it, and with |y − H(x_b)| ≤ k √(σ_o² + s² σ_b²)

    |y − H(x_a)| = σ_o² / (σ_o² + s² σ_b²) · |y − H(x_b)| ≤ k σ_o² / √(σ_o² + s² σ_b²) < k σ_o

More generally y − H(x_a) has variance σ_o² (1 − S_ii) with S = ∂H(x_a)/∂y, so the departure is k σ_o only where the one
from an analysis without the observation itself is more than k of its own standard deviations: the test is on the safe
side of leaving one out. σ_b stands for what the analysis does not resolve. Sources: Lorenc (1981), A global
three-dimensional multivariate statistical interpolation scheme; Dee et al. (2001), An adaptive buddy check.

Below the scale at which this check is worth its trial analyses the buddies judge instead (`buddies.py`): the same test,
each observation against a local analysis of its neighbours, which the statistics of a short forecast make sharp. A
table is judged by one of the two, never by both.

A bad observation pulls its trial analysis and makes good neighbours look bad. So the check is repeated: each round
analyses what the round before left and judges all observations anew, also the rejected ones, until nothing changes.

The check of whole reports follows: when the departures condemn half of a report, the rest of it is not trusted either.

    rejected where  (rows of the report with FIRST_GUESS or BUDDY) / (those + the rows still used) ≥ ½

A wrong place, time or elevation spoils every value of a report, and some of them stay within the limits by chance; both
components of a single wind go together. A report is what has the same source, station, type, place and time.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.observations.errors import ErrorTable
from phyda_cli.observations.table import Flag, Observations
from phyda_cli.quality.groups import group

Floats = NDArray[np.float64]

ROUNDS: Final = 3
"""Most trial analyses; real tables change by a few rows in ten thousand after the second."""
WORTHWHILE_SCALE: Final = 1.5
"""Background-error scale above which the check is worth its trial analyses: below, the background check is as sharp."""


def check_neighbours(
    observations: Observations, trial_equivalent: Floats, background_error: Floats, table: ErrorTable
) -> Observations:
    """BUDDY: |y − H(x_a)| > k √(σ_o² + σ_b²).

    trial_equivalent, background_error (n,): H(x_a) of the trial analysis and the unscaled σ_b at the observations, SI;
    σ_b NaN counts as 0.
    """
    o = observations
    departure = o.value - trial_equivalent
    expected = np.hypot(o.error, np.nan_to_num(background_error))
    limit = table.limit(o.variable)
    return o.reject(
        np.abs(departure) > limit * expected,
        Flag.BUDDY,
        lambda i: (
            f"departure {departure[i]:.4g} from its neighbours' analysis exceeds {limit[i]:g} times {expected[i]:.4g}"
        ),
    )


LARGEST_REJECTED_PART: Final = 0.5
_CONDEMNED: Final = (Flag.FIRST_GUESS, Flag.BUDDY)


def check_reports(observations: Observations) -> Observations:
    """BUDDY: the rest of a report of which half or more was rejected for its departures; the reason has the counts."""
    condemned = np.isin(observations.flag, _CONDEMNED)
    if not condemned.any():
        return observations
    judged = np.flatnonzero(condemned | observations.used)
    o = observations.take(judged)
    report = group([o.source, o.station, o.report, o.latitude, o.longitude, o.time])
    total = np.bincount(report)
    bad = np.bincount(report, condemned[judged], total.size).astype(np.int64)
    counts = np.zeros((len(observations), 2), dtype=np.int64)
    counts[judged] = np.stack([bad, total], axis=1)[report]
    return observations.reject(
        (counts[:, 0] > 0) & (counts[:, 0] >= LARGEST_REJECTED_PART * counts[:, 1]),
        Flag.BUDDY,
        lambda i: f"{counts[i, 0]} of the {counts[i, 1]} values of its report are rejected for their departures",
    )
