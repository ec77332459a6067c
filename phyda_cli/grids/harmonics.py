"""Spherical-harmonic transforms of real fields on any canonical grid, batched in torch.

A field of triangular truncation N is

    f(λ, φ) = Σ_{n=0}^{N} [ c_n^0 P_n^0(φ) + 2 Re Σ_{m=1}^{n} c_n^m P_n^m(φ) e^{imλ} ]

with P_m^m ≥ 0 (no Condon–Shortley sign) and ½ ∫ (P_n^m)² d(sin φ) = 1, so that

    mean of f² over the sphere = Σ_n [ |c_n^0|² + 2 Σ_{m≥1} |c_n^m|² ]

The derivatives use the ladder relations of the Legendre functions, which never divide by cos φ and hold at the poles:

    ∂P_n^m/∂φ     = ½ [ √((n−m)(n+m+1)) P_n^{m+1} − √((n+m)(n−m+1)) P_n^{m−1} ]          (P_n^{−1} = −P_n^1)
    m P_n^m/cos φ = ½ √((2n+1)/(2n−1)) [ √((n+m)(n+m−1)) P_{n−1}^{m−1} + √((n−m)(n−m−1)) P_{n−1}^{m+1} ]

The analysis in latitude is, for each m, the least-squares fit of the harmonics to the rows of the grid, weighted with
the grid's interpolatory quadrature: exact for every field within the truncation on every grid, and equal to
Gauss–Legendre quadrature on the Gaussian grid. Winds are fitted with vector harmonics in the same way; the components
themselves, which are not smooth at the poles, are never expanded.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.constants import EARTH_RADIUS
from phyda_cli.errors import BadDataError
from phyda_cli.grids.latlon import LatLonGrid

Array = NDArray[np.float64]

_POLE = 1e-6
"""A row nearer to the pole than this [degree] lies on it."""
_GAUSSIAN = 1e-10
"""How far rows may be from the Gaussian ones [degree] for harmonics to be orthonormal to rounding."""
_NEARLY = 0.5
"""Largest error of a scalar product of functions that are nearly orthonormal."""


def largest_truncation(grid: LatLonGrid) -> int:
    """Return the largest N whose harmonics a grid tells apart: N ≤ n_lat − 1 − (1 with pole rows), N < n_lon / 2.

    At a pole row every harmonic with m > 0 vanishes, so two pole rows carry one row of information for them.
    """
    rows, columns = grid.shape
    on_pole = sum(90.0 - abs(latitude) < _POLE for latitude in (grid.latitudes[0], grid.latitudes[-1]))
    return min(rows - max(on_pole, 1), (columns - 1) // 2)


class Tables(NamedTuple):
    """The sums over n of a grid's rows and the fits that undo them, one float64 matrix for each zonal wavenumber m.

    A transform is one of these matrices on the Fourier coefficients of the rows, in whatever layout they are kept.
    scalar, east, north: (m, lat, n) P_n^m, m P_n^m/(a cos φ) [per m] and (1/a) ∂P_n^m/∂φ [per m].
    fit: (m, n, lat) coefficients of a scalar. fit_plus, fit_minus: (m, n, lat) [m] those of ψ + iχ from u − iv and of
    −(ψ − iχ) from u + iv.
    """

    scalar: Array
    east: Array
    north: Array
    fit: Array
    fit_plus: Array
    fit_minus: Array

    def cut(self, truncation: int) -> Tables:
        """Return the same without the harmonics beyond a smaller truncation; the fits stay those of all harmonics."""
        m = n = slice(truncation + 1)
        sums = (table[m, :, n] for table in (self.scalar, self.east, self.north))
        return Tables(*sums, *(table[m, n] for table in (self.fit, self.fit_plus, self.fit_minus)))

    def potential_fits(self) -> tuple[Array, Array]:
        """(a, b), each (m, n, lat) [m], of ψ = a u + b (−iv) and iχ = b u + a (−iv)."""
        return 0.5 * (self.fit_plus - self.fit_minus), 0.5 * (self.fit_plus + self.fit_minus)


@lru_cache(maxsize=8)
def harmonic_tables(grid: LatLonGrid, truncation: int) -> Tables:
    """Return the matrices; raises BadDataError for a truncation above `largest_truncation(grid)`."""
    largest = largest_truncation(grid)
    if not 0 <= truncation <= largest:
        raise BadDataError(f"the grid {grid} carries truncations 0 to {largest}, not {truncation}")
    order = np.arange(truncation + 1)
    latitudes = np.asarray(grid.latitudes)
    scalar, over_cos, slope = legendre(truncation, latitudes)
    weights = _quadrature(latitudes, grid.area_weights)
    norm = np.sqrt(np.maximum(order * (order + 1), 1))
    fit_plus, fit_minus = (
        _least_squares(functions / norm, weights, lowest=1) * (EARTH_RADIUS / norm)[:, None]
        for functions in (over_cos - slope, over_cos + slope)
    )
    fit = _least_squares(scalar, weights, lowest=0)
    return Tables(scalar, over_cos / EARTH_RADIUS, slope / EARTH_RADIUS, fit, fit_plus, fit_minus)


def cut_tables(grid: LatLonGrid, truncation: int) -> Tables:
    """Return the matrices up to a truncation, the fits being those of all harmonics that the grid carries.

    On Gaussian rows, where all are orthonormal, the fit of some is that of all.
    """
    rows = grid.shape[0]
    if np.allclose(grid.latitudes, LatLonGrid.gaussian(rows).latitudes, rtol=0.0, atol=_GAUSSIAN):
        return harmonic_tables(grid, truncation)
    return harmonic_tables(grid, largest_truncation(grid)).cut(truncation)


class SphericalHarmonics:
    """Transforms between a grid and triangular truncation N.

    Fields are (…, lat, lon) real tensors of `dtype` on `device`. Coefficients are (…, n, m) complex tensors with n and
    m from 0 to N and zeros where m > n. Every transform is linear and differentiable.
    Raises BadDataError when the truncation is larger than `largest_truncation(grid)`.
    """

    def __init__(
        self,
        grid: LatLonGrid,
        truncation: int,
        *,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> None:
        tables = harmonic_tables(grid, truncation)
        self.grid = grid
        self.truncation = truncation
        self.dtype = dtype
        self.device = torch.device(device)
        self._scalar, self._east, self._north = (self._table(x) for x in (tables.scalar, tables.east, tables.north))
        self._plus, self._minus = (self._table(x) for x in (tables.east - tables.north, tables.east + tables.north))
        self._fit, self._fit_plus, self._fit_minus = (
            self._table(x) for x in (tables.fit, tables.fit_plus, tables.fit_minus)
        )

        order = np.arange(truncation + 1)
        self.total_wavenumber = torch.arange(truncation + 1, device=self.device)
        """(N+1,) n of each row of the coefficients."""
        degree = torch.maximum(self.total_wavenumber[:, None], self.total_wavenumber[None, :])
        self.degree_of_real = degree.reshape(-1)
        """((N+1)²,) total wavenumber of each entry of the real packing."""
        self._multiplicity = self._table(np.where(order > 0, 2.0, 1.0))
        self._real_scale = self._table(np.where(order > 0, np.sqrt(0.5), 1.0))
        phase = np.exp(1j * order * np.radians(grid.longitudes[0]))
        self._phase = torch.as_tensor(phase, device=self.device).to(dtype.to_complex())

    def analysis(self, x: torch.Tensor) -> torch.Tensor:
        """Coefficients (…, n, m) of a field (…, lat, lon): the least-squares fit in latitude for each m."""
        return _per_order(self._fit, self._fourier(x))

    def synthesis(self, c: torch.Tensor) -> torch.Tensor:
        """Return the field (…, lat, lon) of coefficients (…, n, m)."""
        return self._field(_per_order(self._scalar, c))

    def gradient(self, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """East and north components [per m] of the gradient: (1/(a cos φ)) ∂f/∂λ and (1/a) ∂f/∂φ, each (…, lat, lon).

        At a pole row they are the limits along each meridian.
        """
        return self._field(1j * _per_order(self._east, c)), self._field(_per_order(self._north, c))

    def winds(self, psi: torch.Tensor, chi: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """u and v (…, lat, lon) [m s-1] of the streamfunction ψ and velocity potential χ (…, n, m) [m² s-1].

        u = −(1/a) ∂ψ/∂φ + (1/(a cos φ)) ∂χ/∂λ,  v = (1/(a cos φ)) ∂ψ/∂λ + (1/a) ∂χ/∂φ. With E = m P/cos φ and
        D = ∂P/∂φ the two decouple into a (u − iv) = (E − D)(ψ + iχ) and a (u + iv) = −(E + D)(ψ − iχ) for each m.
        """
        plus = _per_order(self._plus, psi + 1j * chi)
        minus = -_per_order(self._minus, psi - 1j * chi)
        return self._field(0.5 * (plus + minus)), self._field(0.5j * (plus - minus))

    def streamfunction_potential(self, u: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Coefficients of ψ and χ (…, n, m) of winds (…, lat, lon): the least-squares fit of `winds` to u and v.

        Exact for every flow within the truncation; n = 0, which moves no air, is zero.
        """
        u_m, v_m = self._fourier(u), self._fourier(v)
        plus = _per_order(self._fit_plus, u_m - 1j * v_m)
        minus = -_per_order(self._fit_minus, u_m + 1j * v_m)
        return 0.5 * (plus + minus), -0.5j * (plus - minus)

    def power(self, c: torch.Tensor) -> torch.Tensor:
        """(…, N+1) the part of the mean square over the sphere that each total wavenumber holds."""
        return (c.abs().square() * self._multiplicity).sum(-1)

    def real_from_complex(self, c: torch.Tensor) -> torch.Tensor:
        """Return the real vector (…, (N+1)²) of coefficients (…, n, m) in the orthonormal real basis.

        The basis is P_n^0, √2 P_n^m cos mλ and √2 P_n^m sin mλ: each has mean square 1, the mean of f² is |v|², and
        independent v ~ N(0, 1) make an isotropic field to whose variance degree n gives 2n + 1 at every point.
        Packing: v is a square matrix by rows; entry (n, m ≤ n) is the cosine part, entry (m − 1, n) the sine part.
        `degree_of_real` tells the n of every entry. The imaginary part of m = 0, which a real field does not have, is
        dropped.
        """
        scaled = c / self._real_scale
        sine = torch.nn.functional.pad(-scaled.imag[..., 1:], (0, 1)).mT
        return (scaled.real.tril() + sine.triu(1)).flatten(-2)

    def _table(self, values: Array) -> torch.Tensor:
        return torch.as_tensor(np.ascontiguousarray(values), device=self.device).to(self.dtype)

    def _fourier(self, x: torch.Tensor) -> torch.Tensor:
        """(…, lat, m) Fourier coefficients of each row, m = 0 … N."""
        spectrum: torch.Tensor = torch.fft.rfft(x.contiguous(), norm="forward")
        return spectrum[..., : self.truncation + 1] * self._phase.conj()

    def _field(self, rows: torch.Tensor) -> torch.Tensor:
        """(…, lat, lon) from (…, lat, m): the inverse of `_fourier`."""
        field: torch.Tensor = torch.fft.irfft(rows * self._phase, n=self.grid.shape[1], norm="forward")
        return field


@lru_cache(maxsize=8)
def spherical_harmonics(
    grid: LatLonGrid, truncation: int, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
) -> SphericalHarmonics:
    """`SphericalHarmonics`, kept for the next caller with the same arguments."""
    return SphericalHarmonics(grid, truncation, dtype=dtype, device=device)


def legendre(truncation: int, latitudes: Array) -> tuple[Array, Array, Array]:
    """P_n^m(φ), m P_n^m / cos φ and ∂P_n^m/∂φ, each (m, lat, n) with zeros where m > n; `latitudes` in degrees.

    P_m^m = √((2m+1)/(2m)) cos φ P_{m−1}^{m−1};  P_n^m = a_n^m (sin φ P_{n−1}^m − P_{n−2}^m / a_{n−1}^m),
    a_n^m = √((4n² − 1)/(n² − m²)).
    """
    sin, cos = np.sin(np.radians(latitudes)), np.cos(np.radians(latitudes))
    by_degree = np.zeros((truncation + 1, truncation + 2, latitudes.size))
    order, last = np.arange(truncation + 1)[:, None], np.zeros((truncation + 1, 1))
    for degree in range(truncation + 1):
        p, smaller = by_degree[degree], slice(degree)
        if degree:
            a = np.sqrt((4 * degree**2 - 1) / (degree**2 - order[smaller] ** 2))
            p[smaller] = a * (sin * by_degree[degree - 1, smaller] - last[smaller] * by_degree[degree - 2, smaller])
            last[smaller] = 1.0 / a
        before = by_degree[degree - 1, degree - 1]
        p[degree] = np.sqrt((2 * degree + 1) / (2 * degree)) * cos * before if degree else 1.0
    p = np.ascontiguousarray(by_degree.transpose(1, 2, 0))

    n = np.arange(truncation + 1)[None, None, :]
    m = np.arange(truncation + 1)[:, None, None]
    below = np.concatenate([-p[1:2], p[:truncation]])
    slope = 0.5 * (_root((n - m) * (n + m + 1)) * p[1:] - _root((n + m) * (n - m + 1)) * below)

    lower = np.pad(p[..., :-1], ((0, 0), (0, 0), (1, 0)))
    lower_below = np.concatenate([-lower[1:2], lower[:truncation]])
    ladder = _root((n + m) * (n + m - 1)) * lower_below + _root((n - m) * (n - m - 1)) * lower[1:]
    over_cos = 0.5 * np.sqrt((2 * n + 1) / np.maximum(2 * n - 1, 1)) * ladder
    return p[:-1], np.where((m > 0) & (m <= n), over_cos, 0.0), np.where(m <= n, slope, 0.0)


def _root(x: NDArray[np.signedinteger[Any]]) -> Array:
    return np.asarray(np.sqrt(np.maximum(x, 0)))


def _quadrature(latitudes: Array, area_weights: Array) -> Array:
    """(lat,) weights that integrate every polynomial in sin φ of degree < n_lat exactly, Σ w = 1.

    They are the Gauss–Legendre weights on a Gaussian grid, Fejér's and Clenshaw–Curtis' on the regular ones. On rows so
    uneven that some would be negative, the areas of the cells serve instead: the fit stays exact with any weights.
    """
    degrees = np.polynomial.legendre.legvander(np.sin(np.radians(latitudes)), latitudes.size - 1)
    degrees *= np.sqrt(2 * np.arange(latitudes.size) + 1)
    weights = np.linalg.lstsq(degrees.T, np.eye(latitudes.size)[0], rcond=None)[0]
    return weights if np.all(weights > 0) else area_weights


def _least_squares(functions: Array, weights: Array, *, lowest: int) -> Array:
    """(m, n, lat) weighted pseudo-inverse of functions (m, lat, n), column n from max(m, lowest) on, for each m.

    (FᵀWF)⁻¹FᵀW where the quadrature makes the functions orthonormal, as on the Gaussian grid, or nearly so, as on
    regular ones: the condition of FᵀWF is 1.5 there, and no digits are lost. On other rows singular values find it.
    """
    transposed: Array = functions.swapaxes(1, 2) * weights
    orders, size = functions.shape[0], functions.shape[2]
    n = np.arange(size)
    absent = n < np.maximum(n[:orders], lowest)[:, None]
    transposed[absent] = 0.0
    gram = transposed @ functions
    gram[absent] = 0.0
    gram.swapaxes(1, 2)[absent] = 0.0
    gram[:, n, n] += absent
    if np.abs(gram - np.eye(size)).max() < _NEARLY:
        return np.asarray(np.linalg.solve(gram, transposed))
    root = np.sqrt(weights)
    for m, first in enumerate(absent.sum(axis=1)):
        transposed[m, first:] = np.linalg.pinv(root[:, None] * functions[m, :, first:]) * root
    return transposed


def _per_order(table: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """(…, i, m) = Σ_k table[m, i, k] x[…, k, m], table real and x complex: one real matrix product for each m."""
    batch = x.shape[:-2]
    k, orders = x.shape[-2:]
    columns = torch.view_as_real(x).reshape(-1, k, orders, 2).permute(2, 1, 0, 3).reshape(orders, k, -1)
    product = torch.bmm(table, columns).reshape(orders, table.shape[1], -1, 2).permute(2, 1, 0, 3)
    return torch.view_as_complex(product.contiguous()).reshape(*batch, table.shape[1], orders)
