"""The buddy check: an observation must agree with what its neighbours make of the background.

Departures d of up to eight buddies predict that of observation i by optimal interpolation (`buddy_prediction.py`):

    rejected where  |d_i − d̂_i| > k s_i,     k that of the background check

With one buddy N(d_i; d̂_i, s_i²) / N(d_i; 0, σ_o² + σ_b²) is the likelihood ratio of the Met Office buddy check. Several
are taken together, so that buddies that say the same count once, not K times. (d_i − d̂_i)² / s_i² is a part of the
square of i and its buddies in the norm of their covariance, which is at least R. So nothing need be predicted where

    Σ d_j² / σ_o,j² ≤ k²,     j: i and its buddies

Only observations that are assimilated are buddies: what is withheld or only looked at is judged, but judges nothing.
A bad observation makes its good buddies look bad. So of the suspects that are each other's buddies only the worst goes,
and the rest are judged anew without it. Sources: Lorenc (1981), A global three-dimensional multivariate statistical
interpolation scheme; Ingleby & Lorenc (1993), Bayesian quality control using multivariate normal distributions.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.observations.errors import ErrorTable
from phyda_cli.observations.passive import is_active
from phyda_cli.observations.settings import Buddy
from phyda_cli.observations.table import Flag, Observations
from phyda_cli.quality.buddy_prediction import describe, predict
from phyda_cli.quality.buddy_search import find_buddies
from phyda_cli.quality.groups import content_rank

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

ROUNDS: Final = 10
"""Most times that the worst suspects go; a real table needs two or three."""
_CHUNK: Final = 4_000
"""Rows that are predicted at a time."""
_SAFE: Final = 0.9
"""Part of k² up to which nothing is predicted: covariances of winds on a sphere are nearly, not quite, definite."""


def check_buddies(
    observations: Observations,
    background_equivalent: Floats,
    background_error: Floats,
    table: ErrorTable,
    settings: Buddy,
) -> Observations:
    """BUDDY: |d − d̂| > k s, the worst first; active rows among themselves, then the others among those that are left.

    background_equivalent, background_error (n,): H(x_b) and σ_b at the observations, SI; rows without σ_b are not
    judged.
    """
    active = is_active(observations)
    rows = np.flatnonzero(active)
    alone = _judge(observations.take(rows), background_equivalent[rows], background_error[rows], table, settings)
    if active.all():
        return alone
    flag, reason = observations.flag.copy(), observations.reason.copy()
    flag[rows], reason[rows] = alone.flag, alone.reason
    judged = replace(observations, flag=flag, reason=reason)
    others = _judge(judged, background_equivalent, background_error, table, settings)
    flag, reason = np.where(active, flag, others.flag), np.where(active, reason, others.reason)
    return replace(observations, flag=flag.astype(np.int16), reason=reason)


def _judge(
    observations: Observations,
    background_equivalent: Floats,
    background_error: Floats,
    table: ErrorTable,
    settings: Buddy,
) -> Observations:
    """Return the check over all rows together; only active rows are buddies."""
    o = observations
    rows = np.flatnonzero(o.used & (background_error > 0) & np.isfinite(background_equivalent))
    if not settings.enabled or rows.size < 2:
        return o
    used = o.take(rows)
    field = describe(used, background_error[rows])
    departure = used.value - background_equivalent[rows]
    limit = table.limit(used.variable)
    rank = content_rank(used)
    buddies = find_buddies(used, field, settings, rank)
    own = (departure / field.error) ** 2
    alive = np.ones(rows.size, dtype=bool)
    excess, number = np.zeros(rows.size), np.zeros(rows.size, dtype=np.int64)
    estimate, spread = np.zeros(rows.size), np.ones(rows.size)
    pending = np.flatnonzero(buddies[:, 0] >= 0)
    for _ in range(ROUNDS):
        present = np.where(alive[buddies[pending]], buddies[pending], -1)
        excess[pending] = 0.0
        largest = own[pending] + np.where(present >= 0, own[present], 0.0).sum(axis=1)
        doubtful = (present >= 0).any(axis=1) & (largest > _SAFE * limit[pending] ** 2)
        pending, present = pending[doubtful], present[doubtful]
        for part in np.array_split(np.arange(pending.size), 1 + pending.size // _CHUNK):
            judged = pending[part]
            estimate[judged], spread[judged] = predict(field, departure, judged, present[part], settings)
        number[pending] = (present >= 0).sum(axis=1)
        excess[pending] = np.abs(departure - estimate)[pending] / (limit * spread)[pending]
        suspects = np.flatnonzero(alive & (excess > 1.0))
        if suspects.size == 0:
            break
        worst = suspects[_are_worst(excess, rank, buddies, suspects)]
        alive[worst] = False
        # Only those that had one of them as a buddy see anything new
        gone = np.zeros(rows.size + 1, dtype=bool)
        gone[worst] = True
        pending = np.flatnonzero(alive & gone[buddies].any(axis=1))
    mask = np.zeros(len(o), dtype=bool)
    mask[rows] = ~alive
    at = np.full(len(o), -1, dtype=np.int64)
    at[rows] = np.arange(rows.size)

    def reason(i: int) -> str:
        j = at[i]
        return (
            f"departure {departure[j]:.4g} is not the {estimate[j]:.4g} of its {number[j]} buddies: "
            f"more than {limit[j]:g} times {spread[j]:.4g} apart"
        )

    return o.reject(mask, Flag.BUDDY, reason)


def _are_worst(excess: Floats, rank: Integers, buddies: Integers, suspects: Integers) -> NDArray[np.bool_]:
    """(m,) whether no suspect among the buddies of a suspect (m,), or of those that have it as a buddy, is worse."""
    place = np.full(excess.size, -1, dtype=np.int64)
    place[suspects] = np.arange(suspects.size)
    near = buddies[suspects]
    mine, column = np.nonzero((near >= 0) & (place[near] >= 0))
    other = near[mine, column]
    here = suspects[mine]
    worse = (excess[other] > excess[here]) | ((excess[other] == excess[here]) & (rank[other] < rank[here]))
    result = np.ones(suspects.size, dtype=bool)
    result[mine[worse]] = False
    result[place[other[~worse]]] = False
    return result
