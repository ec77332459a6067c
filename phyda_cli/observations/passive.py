"""Observations that are only looked at: withheld ones, to judge the analysis by, and monitored ones.

They pass the checks of all others, but decide nothing: each check runs over them apart from what may be assimilated, so
that neither group rejects the other, and afterwards they are PASSIVE (1). A row that a check rejects keeps its verdict.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.observations.table import Flag, Observations, Use

REASONS: Final = {Use.WITHHOLD: "withheld", Use.MONITOR: "monitored"}
"""Why such a row, which passed every check, is not assimilated."""

Rows = NDArray[np.int64]


def is_active(observations: Observations) -> NDArray[np.bool_]:
    """(n,) whether a row may be assimilated."""
    return np.asarray(observations.use == Use.ASSIMILATE.value, dtype=bool)


def apart(observations: Observations, check: Callable[[Observations, Rows], Observations]) -> Observations:
    """Return a check run over the active rows and over the others, each as if there were no others.

    check: of some rows and their indices; it may flag them and nothing else.
    """
    active = is_active(observations)
    if active.all():
        return check(observations, np.arange(len(observations)))
    flag, reason = observations.flag.copy(), observations.reason.copy()
    for group in (active, ~active):
        rows = np.flatnonzero(group)
        judged = check(observations.take(rows), rows)
        flag[rows], reason[rows] = judged.flag, judged.reason
    return replace(observations, flag=flag, reason=reason)


def set_aside(observations: Observations) -> Observations:
    """PASSIVE: what is withheld or monitored."""
    result = observations
    for use, reason in REASONS.items():
        result = result.reject(observations.use == use.value, Flag.PASSIVE, reason)
    return result


def is_set_aside(observations: Observations, use: Use) -> NDArray[np.bool_]:
    """(n,) the rows of this use that passed every check."""
    passive = (observations.flag == Flag.PASSIVE) & (observations.reason == REASONS[use])
    return np.asarray(passive & (observations.use == use.value), dtype=bool)
