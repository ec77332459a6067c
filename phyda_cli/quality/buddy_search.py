"""The search for buddies: the best correlated rows of other platforms, among the next in pressure in the same cube.

    correlation = (1 + r) e^−r exp(−½ (Δ ln p / Λ)²) exp(−½ (Δt / τ)²),     r = distance / L

Cubes of twice the reach in eight layouts, each shifted by half a cube: two rows within reach share a cube in at least
one of them. Where a cube holds no more rows than are looked at, the best found are the best of all.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.constants import EARTH_RADIUS
from phyda_cli.grids.places import chord_distance
from phyda_cli.observations.kinds import families
from phyda_cli.observations.passive import is_active
from phyda_cli.observations.settings import Buddy
from phyda_cli.observations.table import Observations
from phyda_cli.quality.buddy_prediction import Field
from phyda_cli.quality.groups import codes, group

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_CANDIDATES: Final = 12
"""Neighbours that are looked at in each cell layout, the nearest in pressure."""
_DEEPEST: Final = 2.0
"""Buddies are at most this many correlation lengths apart in ln p and in time."""
_DIGITS: Final = 1_000_000_000
"""Correlations are compared to nine digits, so that rounding decides nothing."""


def find_buddies(observations: Observations, field: Field, settings: Buddy, rank: Integers) -> Integers:
    """(n, K) the best correlated (as scalars) rows of the same variable on other platforms, best first; −1: none.

    Places are sorted into cubes in eight layouts; within a cube rows are compared with those next to them in pressure.
    """
    o = observations
    n = len(o)
    variable = codes(o.variable)
    nameless = o.station.astype(str) == ""
    platform = group([families(o.report), o.station, np.where(nameless, group([o.latitude, o.longitude, o.time]), -1)])
    chord = 2.0 * np.sin(0.5 * min(1000.0 * settings.radius_km / EARTH_RADIUS, np.pi))
    # Rows that are near each other lie side by side in memory from here on: pairs are gathered from the cache
    home = np.lexsort((rank, field.log_pressure, next(_layouts(field.place, variable, chord))))
    rank, variable, platform, active = rank[home], variable[home], platform[home], is_active(o)[home]
    vectors, log_pressure, hours = field.place[home], field.log_pressure[home], field.hours[home]
    found: list[Integers] = []
    for bucket in _layouts(vectors, variable, chord):
        order = np.lexsort((rank, log_pressure, bucket))
        bucket, height, owner = bucket[order], log_pressure[order], platform[order]
        for step in range(1, min(_CANDIDATES, n - 1) + 1):
            near = (bucket[step:] == bucket[:-step]) & (
                height[step:] - height[:-step] <= _DEEPEST * settings.log_pressure
            )
            if not near.any():
                break
            pair = np.flatnonzero(near & (owner[step:] != owner[:-step]))
            first, second = order[pair], order[pair + step]
            late = np.abs(hours[first] - hours[second]) > _DEEPEST * settings.hours
            offset = vectors[first] - vectors[second]
            close = (np.einsum("ij,ij->i", offset, offset) <= chord**2) & ~late
            low, high = np.minimum(first, second)[close], np.maximum(first, second)[close]
            found.append(low * n + high)
    pairs = np.sort(np.concatenate(found)) if found else np.empty(0, dtype=np.int64)
    pairs = pairs[np.append(True, np.diff(pairs) != 0)[: pairs.size]]
    first, second = pairs // n, pairs % n
    reach = chord_distance(vectors[first], vectors[second]) / (1000.0 * settings.length_km)
    depth = (log_pressure[first] - log_pressure[second]) / settings.log_pressure
    lag = (hours[first] - hours[second]) / settings.hours
    relation = np.rint(_DIGITS * (1.0 + reach) * np.exp(-reach - 0.5 * (depth**2 + lag**2))).astype(np.int64)
    mine, other = np.append(first, second), np.append(second, first)
    order = np.lexsort((rank[other], -np.append(relation, relation), mine))
    order = order[active[other[order]]]
    mine, other = mine[order], other[order]
    place = np.arange(mine.size) - np.searchsorted(mine, mine)
    result = np.full((n, settings.buddies), -1, dtype=np.int64)
    best = place < settings.buddies
    result[home[mine[best]], place[best]] = home[other[best]]
    return result


def _layouts(vectors: Floats, variable: Integers, chord: float) -> Iterator[Integers]:
    """Eight numberings of cubes of twice the reach: two rows within it share a cube in at least one."""
    cube = 2.0 * chord
    around = int(np.ceil(2.0 / cube)) + 2
    for shift in product((0.0, 0.5), repeat=3):
        x, y, z = np.floor((vectors + 1.0) / cube + np.array(shift)).astype(np.int64).T
        yield ((variable * around + x) * around + y) * around + z
