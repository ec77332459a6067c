"""The buddy check: an observation must agree with what its neighbours make of the background.

Departures d of K buddies predict that of observation i by optimal interpolation, without i itself:

    d̂_i = cᵀ (C + R)⁻¹ d,     s_i² = σ_o,i² + σ_b,i² − cᵀ (C + R)⁻¹ c,     rejected where  |d_i − d̂_i| > k s_i

C and c: background-error covariances among the buddies and with i; R: their σ_o². k: that of the background check.

    C_jk = σ_b,j σ_b,k ρ(r) exp(−½ (Δ ln p / Λ)²) exp(−½ (Δt / τ)²),    r = distance / L
    scalars ρ = (1 + r) e^−r;     wind components ρ = (cos θ_j cos θ_k + (1 − r) sin θ_j sin θ_k) e^−r

The winds are those of a streamfunction with the scalars' correlation, θ the angles of the components with the great
circle from one place to the other. With one buddy N(d_i; d̂_i, s_i²) / N(d_i; 0, σ_o² + σ_b²) is the likelihood ratio
of the Met Office buddy check. Several are taken together, so that buddies that say the same count once, not K times.

Only observations that are assimilated are buddies: what is withheld or only looked at is judged, but judges nothing.
A bad observation makes its good buddies look bad. So of the suspects that are each other's buddies only the worst goes,
and the rest are judged anew without it. Sources: Lorenc (1981), A global three-dimensional multivariate statistical
interpolation scheme; Ingleby & Lorenc (1993), Bayesian quality control using multivariate normal distributions.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from phyda_cli.constants import EARTH_RADIUS
from phyda_cli.fields.variables import EASTWARD, NORTHWARD
from phyda_cli.grids.places import chord_distance, unit_vectors
from phyda_cli.observations.errors import ErrorTable
from phyda_cli.observations.kinds import families
from phyda_cli.observations.passive import is_active
from phyda_cli.observations.settings import Buddy
from phyda_cli.observations.table import Flag, Observations
from phyda_cli.quality.groups import codes, content_rank, group

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

ROUNDS: Final = 10
"""Most times that the worst suspects go; a real table needs two or three."""
_CANDIDATES: Final = 12
"""Neighbours that are looked at in each cell layout, the nearest in pressure."""
_CHUNK: Final = 20_000
"""Rows that are predicted at a time."""
_DEEPEST: Final = 2.0
"""Buddies are at most this many correlation lengths apart in ln p and in time."""


class Field(NamedTuple):
    """What covariances are computed from; all (n,) but the unit vectors (n, 3).

    place: on the sphere. axis: the direction of a wind component there; side: axis × place. wind: whether it is one.
    hours: from any moment.
    """

    place: Floats
    axis: Floats
    side: Floats
    wind: NDArray[np.bool_]
    log_pressure: Floats
    hours: Floats
    sigma: Floats
    error: Floats


class Prediction(NamedTuple):
    """estimate d̂ (n,), spread s (n,); an observation without buddies has 0 and √(σ_o² + σ_b²)."""

    estimate: Floats
    spread: Floats


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
    alive = np.ones(rows.size, dtype=bool)
    estimate, spread, number = np.zeros(rows.size), np.ones(rows.size), np.zeros(rows.size, dtype=np.int64)
    pending = np.flatnonzero((buddies >= 0).any(axis=1))
    for _ in range(ROUNDS):
        present = np.where(alive[buddies] & (buddies >= 0), buddies, -1)
        for part in np.array_split(pending, 1 + pending.size // _CHUNK):
            estimate[part], spread[part] = predict(field, departure, part, present[part], settings)
        number[pending] = (present[pending] >= 0).sum(axis=1)
        excess = np.where(alive & (number > 0), np.abs(departure - estimate) / (limit * spread), 0.0)
        suspect = excess > 1.0
        if not suspect.any():
            break
        worst = suspect & _is_worst(excess, rank, present, suspect)
        alive[worst] = False
        # Only those that had one of them as a buddy see anything new
        pending = np.flatnonzero(alive & (worst[present] & (present >= 0)).any(axis=1))
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


def describe(observations: Observations, background_error: Floats) -> Field:
    """Return the `Field` of observations with σ_b (n,)."""
    o = observations
    phi, lam = np.radians(o.latitude), np.radians(o.longitude)
    east = np.stack([-np.sin(lam), np.cos(lam), np.zeros_like(lam)], axis=-1)
    north = np.stack([-np.sin(phi) * np.cos(lam), -np.sin(phi) * np.sin(lam), np.cos(phi)], axis=-1)
    names = o.variable.astype(str)
    place = unit_vectors(o.latitude, o.longitude)
    axis = np.where(np.isin(names, EASTWARD)[:, None], east, north)
    wind = np.isin(names, (*EASTWARD, *NORTHWARD))
    log_pressure = np.log(np.where(np.isfinite(o.pressure), o.pressure, 1.0))
    hours = (o.time - o.time.min()).astype(np.int64) / 3.6e12
    return Field(place, axis, np.cross(axis, place), wind, log_pressure, hours, background_error, o.error)


def covariance(field: Field, first: Integers, second: Integers, settings: Buddy) -> Floats:
    """C between pairs of rows of one variable; first, second: indices (m,)."""
    r = chord_distance(field.place[first], field.place[second]) / (1000.0 * settings.length_km)
    fall = np.exp(-r)
    horizontal = (1.0 + r) * fall
    wind = field.wind[first]
    if wind.any():
        along, across = _products(field, first[wind], second[wind])
        horizontal[wind] = (along + (1.0 - r[wind]) * across) * fall[wind]
    depth = (field.log_pressure[first] - field.log_pressure[second]) / settings.log_pressure
    lag = (field.hours[first] - field.hours[second]) / settings.hours
    return np.asarray(field.sigma[first] * field.sigma[second] * horizontal * np.exp(-0.5 * (depth**2 + lag**2)))


def _products(field: Field, first: Integers, second: Integers) -> tuple[Floats, Floats]:
    """cos θ₁ cos θ₂ and sin θ₁ sin θ₂ of wind components with the great circle from one place to the other.

    The circle's direction at n₁ is (n₂ − n₁ cos γ) / sin γ, its normal n₁ × n₂ / sin γ; axes are normal to their n.
    """
    one, other = field.place[first], field.place[second]
    axis, other_axis = field.axis[first], field.axis[second]
    chord = _dot(one - other, one - other)
    square = chord * (1.0 - 0.25 * chord)
    apart = square > 0
    scale = np.where(apart, 1.0 / np.where(apart, square, 1.0), 0.0)
    along = -_dot(axis, other) * _dot(other_axis, one) * scale
    across = -_dot(field.side[first], other) * _dot(field.side[second], one) * scale
    return np.where(apart, along, _dot(axis, other_axis)), across


def _dot(first: Floats, second: Floats) -> Floats:
    return np.asarray(np.einsum("ij,ij->i", first, second))


def predict(field: Field, departure: Floats, rows: Integers, buddies: Integers, settings: Buddy) -> Prediction:
    """d̂ and s of `rows` (m,) from their `buddies` (m, K); −1 is no buddy. departure (n,)."""
    present = buddies >= 0
    index = np.where(present, buddies, rows[:, None])
    m, k = index.shape
    left, right = np.triu_indices(k, 1)

    def between(here: Integers, there: Integers, both: NDArray[np.bool_]) -> Floats:
        """Covariances of index arrays of one shape; 0 for an absent buddy, which thus has no share in anything."""
        values = covariance(field, here.ravel(), there.ravel(), settings).reshape(both.shape)
        return np.where(both, values, 0.0)

    c = between(np.repeat(rows[:, None], k, axis=1), index, present)
    matrix = np.zeros((m, k, k))
    matrix[:, left, right] = between(index[:, left], index[:, right], present[:, left] & present[:, right])
    matrix += matrix.transpose(0, 2, 1)
    diagonal = np.where(present, field.sigma[index] ** 2 + field.error[index] ** 2, 1.0)
    matrix[:, np.arange(k), np.arange(k)] = diagonal
    weight = np.linalg.solve(matrix, c[:, :, None])[:, :, 0]
    total = field.error[rows] ** 2 + field.sigma[rows] ** 2
    remaining = np.maximum(total - (weight * c).sum(axis=1), field.error[rows] ** 2)
    return Prediction((weight * np.where(present, departure[index], 0.0)).sum(axis=1), np.sqrt(remaining))


def find_buddies(observations: Observations, field: Field, settings: Buddy, rank: Integers) -> Integers:
    """(n, K) the best correlated (as scalars) rows of the same variable on other platforms, best first; −1: none.

    Places are sorted into cubes in eight layouts; within a cube rows are compared with those next to them in pressure.
    """
    o = observations
    n = len(o)
    variable = codes(o.variable)
    nameless = o.station.astype(str) == ""
    platform = group([families(o.report), o.station, np.where(nameless, group([o.latitude, o.longitude, o.time]), -1)])
    vectors = field.place
    chord = 2.0 * np.sin(0.5 * min(1000.0 * settings.radius_km / EARTH_RADIUS, np.pi))
    found: list[Integers] = []
    for bucket in _layouts(vectors, variable, chord):
        order = np.lexsort((rank, field.log_pressure, bucket))
        bucket, height = bucket[order], field.log_pressure[order]
        for step in range(1, min(_CANDIDATES, n - 1) + 1):
            near = (bucket[step:] == bucket[:-step]) & (
                height[step:] - height[:-step] <= _DEEPEST * settings.log_pressure
            )
            if not near.any():
                break
            first, second = order[:-step][near], order[step:][near]
            close = (
                (platform[first] != platform[second])
                & (((vectors[first] - vectors[second]) ** 2).sum(axis=1) <= chord**2)
                & (np.abs(field.hours[first] - field.hours[second]) <= _DEEPEST * settings.hours)
            )
            low, high = np.minimum(first, second)[close], np.maximum(first, second)[close]
            found.append(low * n + high)
    pairs = np.sort(np.concatenate(found)) if found else np.empty(0, dtype=np.int64)
    pairs = pairs[np.append(True, np.diff(pairs) != 0)[: pairs.size]]
    first, second = pairs // n, pairs % n
    reach = chord_distance(vectors[first], vectors[second]) / (1000.0 * settings.length_km)
    depth = (field.log_pressure[first] - field.log_pressure[second]) / settings.log_pressure
    lag = (field.hours[first] - field.hours[second]) / settings.hours
    relation = np.round((1.0 + reach) * np.exp(-reach - 0.5 * (depth**2 + lag**2)), 9)
    mine, other = np.append(first, second), np.append(second, first)
    order = np.lexsort((rank[other], -np.append(relation, relation), mine))
    order = order[is_active(o)[other[order]]]
    mine, other = mine[order], other[order]
    place = np.arange(mine.size) - np.searchsorted(mine, mine)
    result = np.full((n, settings.buddies), -1, dtype=np.int64)
    best = place < settings.buddies
    result[mine[best], place[best]] = other[best]
    return result


def _layouts(vectors: Floats, variable: Integers, chord: float) -> list[Integers]:
    """Eight numberings of cubes of twice the reach: two rows within it share a cube in at least one."""
    cube = 2.0 * chord
    around = int(np.ceil(2.0 / cube)) + 2
    result = []
    for shift in product((0.0, 0.5), repeat=3):
        x, y, z = np.floor((vectors + 1.0) / cube + np.array(shift)).astype(np.int64).T
        result.append(((variable * around + x) * around + y) * around + z)
    return result


def _is_worst(excess: Floats, rank: Integers, buddies: Integers, suspect: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(n,) whether no suspect among an observation's buddies, or of those that have it as a buddy, is worse than it."""
    mine, place = np.nonzero((buddies >= 0) & suspect[:, None])
    other = buddies[mine, place]
    both = suspect[other]
    mine, other = mine[both], other[both]
    worse = (excess[other] > excess[mine]) | ((excess[other] == excess[mine]) & (rank[other] < rank[mine]))
    result = np.ones(excess.size, dtype=bool)
    result[mine[worse]] = False
    result[other[~worse]] = False
    return result
