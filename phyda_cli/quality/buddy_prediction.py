"""What the departures of buddies say of one observation: optimal interpolation, and the covariances it needs.

    d̂_i = cᵀ (C + R)⁻¹ d,     s_i² = σ_o,i² + σ_b,i² − cᵀ (C + R)⁻¹ c

C and c: background-error covariances among the buddies and with i; R: their σ_o².

    C_jk = σ_b,j σ_b,k ρ(r) exp(−½ (Δ ln p / Λ)²) exp(−½ (Δt / τ)²),    r = distance / L
    scalars ρ = (1 + r) e^−r;     wind components ρ = (cos θ_j cos θ_k + (1 − r) sin θ_j sin θ_k) e^−r

The winds are those of a streamfunction with the scalars' correlation, θ the angles of the components with the great
circle from one place to the other. Source: Lorenc (1981), A global three-dimensional multivariate statistical
interpolation scheme.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phyda_cli.fields.variables import EASTWARD, NORTHWARD
from phyda_cli.grids.places import chord_distance, unit_vectors
from phyda_cli.observations.settings import Buddy
from phyda_cli.observations.table import Observations

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


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
