"""Which rows a rule means, and the blacklist: rows that a rule names, unless an allow rule spares them.

    BLACKLIST  where  (any blacklist rule fits) and (no allow rule fits)

An allow list in the strict sense is a blacklist rule without conditions, which fits every row, beside allow rules.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from fnmatch import translate
from pathlib import PurePath
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from phyda_cli.observations.kinds import family_of, of_each
from phyda_cli.observations.passive import is_active
from phyda_cli.observations.settings import Rule, Selection
from phyda_cli.observations.table import Flag, Observations

Mask = NDArray[np.bool_]
Rows = NDArray[np.int64]
AnySelection = TypeVar("AnySelection", bound=Selection)


def select(observations: Observations, selection: Selection) -> Mask:
    """(n,) the rows that fit; a row without pressure or place does not fit limits on it."""
    o = observations
    result = np.ones(len(o), dtype=bool)
    for column, patterns in ((o.station, selection.station), (o.variable, selection.variable)):
        if patterns:
            result &= _matching(column, patterns)
    if selection.report:
        result &= _matching(o.report, selection.report, other=family_of)
    if selection.source:
        names = np.array([*o.sources, ""], dtype=object)
        result &= _matching(names, selection.source, other=lambda name: PurePath(name).name)[o.source]
    if selection.pressure_hpa is not None:
        low, high = selection.pressure_hpa
        result &= (o.pressure >= 100.0 * low) & (o.pressure <= 100.0 * high)
    if selection.latitude is not None:
        result &= (o.latitude >= selection.latitude[0]) & (o.latitude <= selection.latitude[1])
    if selection.longitude is not None:
        west, east = selection.longitude
        width = 360.0 if east - west >= 360.0 else np.mod(east - west, 360.0)
        result &= np.mod(o.longitude - west, 360.0) <= width
    return result


def claimed(observations: Observations, rules: Sequence[AnySelection]) -> Iterator[tuple[AnySelection, Rows]]:
    """Yield each rule with the indices of its rows: those that are used and assimilated and that no rule before it
    claims.
    """
    free = observations.used & is_active(observations)
    for rule in rules:
        mine = free & select(observations, rule)
        free = free & ~mine
        if mine.any():
            yield rule, np.flatnonzero(mine)


def check_blacklist(observations: Observations, rules: Sequence[Rule], allowed: Sequence[Selection]) -> Observations:
    """BLACKLIST: what a rule names and no allow rule spares; the reason is the rule's own."""
    if not rules:
        return observations
    spared = np.zeros(len(observations), dtype=bool)
    for selection in allowed:
        spared |= select(observations, selection)
    result = observations
    for number, rule in enumerate(rules, start=1):
        rows = select(result, rule) & ~spared
        result = result.reject(rows, Flag.BLACKLIST, rule.reason or f"blacklist rule {number}")
    return result


def _matching(
    column: NDArray[np.object_], patterns: Sequence[str], *, other: Callable[[str], str] = str.casefold
) -> Mask:
    """(n,) whether a name, or the other form of it, fits one of the patterns, without case."""
    fits = re.compile("|".join(translate(pattern.casefold()) for pattern in patterns)).fullmatch
    return of_each(column, lambda name: any(fits(form.casefold()) for form in (name, other(name))))
