"""Superobbing: the observations of one variable in a cell become one, with a smaller error.

    d̄ = Σ wᵢ dᵢ / Σ wᵢ,   wᵢ = 1/σᵢ²,   dᵢ = yᵢ − H(x_b)ᵢ          y_s = H(x_b)_s + d̄
    σ_s² = σ̄² (ρ + (1 − ρ)/n),           σ̄² = n / Σ wᵢ

It stands at the place of the member nearest to the members' mean place (weights wᵢ, also in ln p and time).
Departures are averaged, not values: the background carries the slope of the field between the places. ρ is the
correlation of the errors within a cell; √ρ σ̄ is the floor below which no number of members brings σ_s.

The row of that member carries the superob (its value and error; its reason says what it was), all other members are
flagged: every input row stays, once. Sources: Purser, Parrish & Masutani (2000), Meteorological observational data
compression; UFO's Superob filter, which carries the mean departure to a reference place in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.constants import EARTH_RADIUS
from phyda_cli.grids.places import unit_vectors
from phyda_cli.observations.settings import Superob
from phyda_cli.observations.table import Flag, Observations
from phyda_cli.quality.groups import content_rank
from phyda_cli.quality.selection import claimed
from phyda_cli.quality.thinning import place as place_in_cells

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_HOUR: Final = 3.6e12
_DEPTH: Final = 1.0e6
"""Metres that count as much as one unit of ln p where members are compared with their mean place."""
_PACE: Final = 1.0e5
"""Metres that count as much as one hour."""
_ROUNDING: Final = 1e-3
"""Distances from the mean place [m] that differ by less are equal."""


def superob(
    observations: Observations,
    background_equivalent: Floats,
    rules: Sequence[Superob],
    *,
    time: np.datetime64,
    window: np.timedelta64,
) -> Observations:
    """SUPEROB: members of a cell that another row stands for; that row has the superob's value and error.

    background_equivalent: H(x_b) (n,), SI. A row belongs to the first rule whose selection it fits; only rows that are
    assimilated take part. time: of the analysis. window: half the length of the window.
    """
    result = observations
    for rule, rows in claimed(observations, rules):
        result = _merge(result, rows, background_equivalent[rows], rule, time, window)
    return result


def _merge(
    observations: Observations,
    rows: Integers,
    equivalent: Floats,
    rule: Superob,
    time: np.datetime64,
    window: np.timedelta64,
) -> Observations:
    table = observations.take(rows)
    cell = place_in_cells(table, rule, time, window).cell
    count = np.bincount(cell)
    # Sums run in the order of content, so that rounding is the same whatever the order of rows.
    order = np.argsort(content_rank(table))

    def total(values: Floats) -> Floats:
        return np.asarray(np.bincount(cell[order], values[order], count.size), dtype=np.float64)

    weight = 1.0 / table.error**2
    weights = total(weight)
    departure = total(weight * (table.value - equivalent)) / weights
    error = np.sqrt(count / weights * (rule.correlation + (1.0 - rule.correlation) / count))
    carrier = _carrier(table, cell, weight / weights[cell], total)

    merged = count >= rule.minimum
    stands = rows[carrier]
    value, sigma, reasons = observations.value.copy(), observations.error.copy(), observations.reason.copy()
    value[stands[merged]] = (equivalent[carrier] + departure)[merged]
    sigma[stands[merged]] = error[merged]
    for number in np.flatnonzero(merged):
        own = observations.value[stands[number]]
        reasons[stands[number]] = f"superob of {count[number]} rows; its own value was {own:.6g}"
    result = replace(observations, value=value, error=sigma, reason=reasons)
    leader = np.arange(len(observations))
    leader[rows] = np.where(merged[cell], stands[cell], rows)
    return result.reject(
        leader != np.arange(len(observations)),
        Flag.SUPEROB,
        lambda i: f"is part of the superob of row {observations.row[leader[i]]}",
    )


def _carrier(table: Observations, cell: Integers, share: Floats, total: Callable[[Floats], Floats]) -> Integers:
    """(cells,) the row of each cell that is nearest to the mean place. share: weights that add up to 1 in each cell."""
    log_pressure = np.log(np.where(np.isfinite(table.pressure), table.pressure, 1.0))
    hours = (table.time - table.time.min()).astype(np.int64) / _HOUR
    sphere = EARTH_RADIUS * unit_vectors(table.latitude, table.longitude)
    place = np.column_stack([sphere, _DEPTH * log_pressure, _PACE * hours])
    mean = np.column_stack([total(share * axis) for axis in place.T])
    away = np.round(np.linalg.norm(place - mean[cell], axis=1) / _ROUNDING)
    order = np.lexsort((content_rank(table), away, cell))
    first = np.append(True, np.diff(cell[order]) != 0)
    return np.asarray(order[first], dtype=np.int64)
