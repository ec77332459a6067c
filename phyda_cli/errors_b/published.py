"""A short forecast's background error from published statistics, at any truncation and on any levels.

`gfs_nmc.json` holds what the NMC method gave for the NCEP GFS (forecasts of 48 h minus those of 24 h valid at the same
time): of ψ and the unbalanced χ, T and relative humidity the standard deviation σ(p, φ), the horizontal length L(p) and
the vertical one ℓ(p) in ln p, and the standard deviation of ln p_s. On a fine axis of ln p that becomes

    C_kl(n) = Σ_j w_j [ D_jk(n) D_jl(n) ]^{1/2} exp(−½ (s_k − s_l)² / h_j²),      s(p) = ∫ d ln p / ℓ
    D_jk(n) ∝ exp(−½ n (n + 1) (h_j L_k / a)²),      Σ_n (2n + 1) D_jk(n) = 1

a sum of three Gaussians, because a single one has neither the far nor the near correlations of real errors (Wu et al.
2002; the ratios of the h_j and the w_j are the GSI's). What is wide is deep. Σ_j w_j / h_j² = 1, so that the wind of ψ
has the size that σ and L of one Gaussian would give it. The unbalanced temperature carries the geopotential: with the
matrix A of the levels of T and of the hydrostatic sum

    z_u(p) = R_d T_0 / p_0 · msl_u + R_d ∫_p^{p_0} T_u d ln p,        C_(t,z,msl) = A C_t Aᵀ + msl

so T and z belong together as a fine column has it, not as thirteen levels have it. What the statistics do not hold, the
regression of the fields on the balanced geopotential, is that of the climate's anomalies (`fit.py`), less `BALANCE`.
Errors of a forecast of 6 to
12 h are taken to be `SHORT` of those differences. Sources: Parrish and Derber (1992), Wu, Purser and Parrish (2002).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.constants import EARTH_RADIUS, R_DRY
from phyda_cli.errors_b.background_error import BackgroundError, eastward_winds
from phyda_cli.errors_b.blend import mixed
from phyda_cli.errors_b.implied import implied_sigma
from phyda_cli.fields.standard_atmosphere import SEA_LEVEL_PRESSURE
from phyda_cli.fields.state import Channel
from phyda_cli.grids.latlon import LatLonGrid

Array = NDArray[np.float64]


class Factors(NamedTuple):
    """On the table's standard deviations, horizontal and vertical lengths."""

    size: float = 1.0
    length: float = 1.0
    depth: float = 1.0


CLIMATE: Final = Factors(1.5, 2.1, 1.1)
"""Of the unbalanced temperature of the climate's anomalies, tuned at the withheld sondes of a day of December 2008."""
_AS_PUBLISHED: Final = Factors()
_MASS: Final = ("t", "z", "msl", "t2m")
SHORT: Final = 0.6
"""Standard deviation of a short forecast's errors relative to the differences of the NMC method."""
SHAPES: Final = ((2.3770, 0.45), (1.1885, 0.30), (0.59424, 0.25))
"""h_j, w_j: lengths and depths of the three Gaussians relative to L and ℓ, and their shares of the variance."""
BALANCE: Final = 0.8
"""How much of the climate's balance a short forecast's errors have: a regression explains 93 to 98 % of the variance of
the simulation's anomalies in middle latitudes, and 60 to 94 % of that of its cycled errors."""
DEPTH: Final = 1 / 0.7
"""Vertical lengths relative to the published ones, which the curvature at zero distance gives."""
_FINE: Final = SEA_LEVEL_PRESSURE * np.exp(-0.05 * np.arange(80))
"""The fine axis, from the ground to 19.5 hPa [Pa]."""
_TEN_METRES: Final = 0.75
"""The wind's error at 10 m relative to that in the lowest air of the table."""
_TWO_METRES: Final = 1.2
"""Standard deviation of the part of t2m that the air above knows nothing of, as the NMC method would have it [K]."""
_OF_MSL: Final = R_DRY * 288.15 / SEA_LEVEL_PRESSURE
"""Geopotential of 1 Pa at the ground, R_d T_0 / p_0 [m2 s-2 Pa-1]."""


@dataclass(frozen=True)
class Profile:
    """One field of the table, on the fine axis.

    std: (K, lat) at given latitudes [SI]. length: (K,) L [m]. depth: (K,) ℓ [1], as published. Both are means over the
    globe.
    """

    std: Array
    length: Array
    depth: Array


def published(field: str, latitude: Array) -> Profile:
    """Return psi, chi, t or rh of the table, at latitudes [degrees]."""
    table = _table()
    own, rows = table["fields"][field], np.array(table["latitude"], dtype=np.float64)
    axis = -np.log(100.0 * np.array(table["pressure_hpa"]))
    half = np.radians(np.diff(rows).mean() / 2)
    edges = np.clip(np.radians(rows)[:, None] + [-half, half], -np.pi / 2, np.pi / 2)
    area = np.diff(np.sin(edges))[:, 0] / 2

    def fine(numbers: Any) -> Array:
        return np.stack([np.interp(-np.log(_FINE), axis, column) for column in np.array(numbers).T], axis=1)

    std = np.stack([np.interp(latitude, rows, row) for row in fine(own["std"])])
    return Profile(std, 1e3 * fine(own["length_km"]) @ area, fine(own["depth"]) @ area)


def published_ground(latitude: Array) -> Array:
    """Standard deviation of the unbalanced surface pressure (lat,) [Pa]."""
    table = _table()
    std = np.interp(latitude, table["latitude"], table["log_surface_pressure_std"])
    return np.asarray(SEA_LEVEL_PRESSURE * std)


@lru_cache(maxsize=1)
def _table() -> dict[str, Any]:
    result: dict[str, Any] = json.loads(files("phyda_cli.errors_b").joinpath("gfs_nmc.json").read_text("utf-8"))
    return result


def published_background_error(
    grid: LatLonGrid, channels: Sequence[Channel], truncation: int, regression: torch.Tensor
) -> BackgroundError:
    """Return the statistics.

    channels: u, v on their levels and at 10 m, then any of t, q, z, msl, t2m. Humidity is relative (1).
    regression: (lat, U, L) of the same channels on this grid, of the climate's anomalies.
    """
    channels = tuple(channels)
    wind = eastward_winds(channels)
    others, latitude = channels[2 * wind :], np.array(grid.latitudes)
    winds = [(c, _TEN_METRES if c.level is None else 1.0) for c in channels[:wind]]
    at_winds = np.stack([factor * _at(c.level) for c, factor in winds])
    psi = _Part.of("psi", at_winds, latitude, truncation)
    parts = [(list(range(wind)), _Part.of("chi", at_winds, latitude, truncation))]
    mass = [k for k, c in enumerate(others) if c.variable in _MASS]
    parts.append(([wind + k for k in mass], _mass([others[k] for k in mass], latitude, truncation)))
    humid = [k for k, c in enumerate(others) if c.variable == "q"]
    if humid:
        at_humid = np.stack([_at(others[k].level) for k in humid])
        parts.append(([wind + k for k in humid], _Part.of("rh", at_humid, latitude, truncation)))
    size = wind + len(others)
    covariance, sigma = np.zeros((truncation + 1, size, size)), np.zeros((size, len(latitude)))
    for numbers, part in parts:
        index = np.array(numbers)
        covariance[:, index[:, None], index] = part.covariance
        sigma[index] = part.sigma
    statistics = BackgroundError(
        grid=grid,
        channels=channels,
        regression=BALANCE * regression.double(),
        sigma_psi=SHORT * torch.from_numpy(psi.sigma),
        sigma_unbalanced=SHORT * torch.from_numpy(sigma),
        covariance_psi=torch.from_numpy(psi.covariance),
        covariance_unbalanced=torch.from_numpy(covariance),
        sigma=torch.ones(len(channels), len(latitude), dtype=torch.float64),
        relative_humidity=bool(humid),
    )
    return replace(statistics, sigma=implied_sigma(statistics))


def with_fine_temperature(climate: BackgroundError) -> BackgroundError:
    """Return a simulated climate's statistics with the structure in the vertical that its few levels cannot have.

    An unbalanced temperature of the table's kind is added, of `CLIMATE` times a size, length and depth, and the
    geopotential that belongs to it.
    """
    wind, latitude = climate.wind_levels, np.array(climate.grid.latitudes)
    others = climate.channels[2 * wind :]
    mass = [k for k, c in enumerate(others) if c.variable in _MASS]
    part = _mass([others[k] for k in mass], latitude, climate.truncation, CLIMATE)
    size = wind + len(others)
    covariance, sigma = np.zeros((climate.truncation + 1, size, size)), np.zeros((size, len(latitude)))
    index = wind + np.array(mass)
    covariance[:, index[:, None], index], sigma[index] = part.covariance, part.sigma
    more = torch.from_numpy(covariance), torch.from_numpy(sigma)
    one = torch.ones(size, 1, dtype=torch.float64)
    added = replace(climate, covariance_unbalanced=more[0], sigma_unbalanced=more[1])
    whole = replace(
        climate,
        covariance_unbalanced=mixed(climate, added, "unbalanced", (one, one)),
        sigma_unbalanced=(climate.sigma_unbalanced.square() + more[1].square()).sqrt(),
    )
    return replace(whole, sigma=implied_sigma(whole))


class _Part(NamedTuple):
    """Control fields that belong together. covariance: (n, field, field), scaled. sigma: (field, lat) [SI]."""

    covariance: Array
    sigma: Array

    @classmethod
    def of(cls, field: str, sees: Array, latitude: Array, truncation: int) -> _Part:
        """Return sums over the fine axis, sees (field, K), of a field of the table."""
        profile = published(field, latitude)
        return cls.summed(sees, profile.std, profile.length, _distance(profile.depth), truncation)

    @classmethod
    def summed(cls, sees: Array, std: Array, length: Array, distance: Array, truncation: int) -> _Part:
        """Return sums of fields x_k with std (K, lat), length (K,) and distance s_k − s_l (K, K)."""
        scaled = np.zeros((truncation + 1, len(length), len(length)))
        for factor, share in SHAPES:
            root = np.sqrt(gaussian(factor * length, truncation))
            scaled += share * root[:, :, None] * root[:, None, :] * np.exp(-0.5 * (distance / factor) ** 2)
        degeneracy = 2 * np.arange(truncation + 1) + 1
        point = np.einsum("n,nkl->kl", degeneracy, scaled)
        weights = sees * np.sqrt(np.mean(std**2, axis=1))
        covariance = np.einsum("ik,nkl,jl->nij", weights, scaled, weights, optimize=True)
        deviation = np.sqrt(np.einsum("n,nii->i", degeneracy, covariance))
        local = sees[:, :, None] * std
        sigma = np.sqrt(np.einsum("iky,kl,ily->iy", local, point, local, optimize=True))
        return cls(covariance / (deviation[:, None] * deviation), sigma)


def _mass(channels: Sequence[Channel], latitude: Array, truncation: int, factors: Factors = _AS_PUBLISHED) -> _Part:
    """Temperatures, geopotentials, msl and t2m: sums of T on the fine axis, of msl and of what t2m has for itself."""
    profile, psi = published("t", latitude), published("psi", latitude)
    size = len(_FINE)
    std = np.concatenate([profile.std, published_ground(latitude)[None], np.full((1, len(latitude)), _TWO_METRES)])
    length = factors.length * np.concatenate([profile.length, psi.length[:1], profile.length[:1]])
    distance = np.full((size + 2, size + 2), np.inf)
    np.fill_diagonal(distance, 0.0)
    distance[:size, :size] = _distance(factors.depth * profile.depth)
    sees = np.zeros((len(channels), size + 2))
    for row, channel in zip(sees, channels, strict=True):
        if channel.variable == "z":
            row[:size], row[size] = R_DRY * _below(channel.level), _OF_MSL
        elif channel.variable == "msl":
            row[size] = 1.0
        else:
            row[:size] = _at(channel.level)
            row[size + 1] = channel.variable == "t2m"
    return _Part.summed(sees, factors.size * std, length, distance, truncation)


def _at(pressure: float | None) -> Array:
    """(K,) the weights that interpolate the fine axis to a pressure [Pa], None: the ground."""
    wanted = SEA_LEVEL_PRESSURE if pressure is None else pressure
    axis = -np.log(_FINE)
    return np.array([np.interp(-np.log(wanted), axis, unit) for unit in np.eye(len(_FINE))])


def _below(pressure: float | None) -> Array:
    """(K,) the weights of the trapezoidal sum ∫ T d ln p from a pressure [Pa] down to the ground."""
    axis = np.log(_FINE)
    result = np.zeros(len(_FINE))
    top = np.log(SEA_LEVEL_PRESSURE if pressure is None else pressure)
    for k in range(len(axis) - 1):
        upper = max(axis[k + 1], top)
        if upper >= axis[k]:
            break
        share = (axis[k] - upper) / (axis[k] - axis[k + 1])  # of this layer; T is linear in it
        step = axis[k] - upper
        result[k] += step * (1 - share / 2)
        result[k + 1] += step * share / 2
    return result


def gaussian(length: Array, truncation: int) -> Array:
    """D (N+1, level) of one Gaussian of lengths (level,) [m], so that Σ_n (2n + 1) D(n) = 1 before the truncation."""
    n = np.arange(max(truncation + 1, 1024))[:, None]
    power = np.exp(-0.5 * n * (n + 1) * (length / EARTH_RADIUS) ** 2)
    return np.asarray((power / ((2 * n + 1) * power).sum(0))[: truncation + 1])


def _distance(depth: Array) -> Array:
    """s_k − s_l (K, K) of depths ℓ (K,) on the fine axis."""
    rate = 1.0 / (DEPTH * depth)
    steps = -np.diff(np.log(_FINE))
    s = np.concatenate([[0.0], np.cumsum(steps * 0.5 * (rate[1:] + rate[:-1]))])
    return np.asarray(s[:, None] - s)
