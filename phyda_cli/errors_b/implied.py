"""The standard deviation σ_b of every channel that B = L Lᵀ implies, exactly.

B is the same along each row, so that the variance of a channel at a latitude is a sum over zonal wavenumbers m and
total wavenumbers n. With the matrices of one m (`control.py`) on ψ and the unbalanced fields,

    G_ψ(φ, i; n, j) = [S δ_ij + E R_ij B] σ_ψj P        σ_u² = Σ_m w_m Σ_n G_ψ C_ψ(n) G_ψᵀ + the same of χ_u

for u, and likewise for v and the scalars (R_ij B σ_ψj P and σ_u P). w_m is 1 for m = 0 and 4 else: twice, for the
cosine and the sine part, times the mean of (2 cos mλ)² along the row.
"""

from __future__ import annotations

from typing import Final

import torch

from phyda_cli.errors_b.background_error import BackgroundError
from phyda_cli.errors_b.control import row_operators

_LEAST: Final = 1e-6
"""Share of the variance of a total wavenumber below which an eigenvalue is left out."""


def implied_sigma(statistics: BackgroundError) -> torch.Tensor:
    """σ_b (channel, lat) [SI] of the statistics."""
    rows, wind = statistics.grid.shape[0], statistics.wind_levels
    others = len(statistics.channels) - wind
    operators = row_operators(statistics.grid, statistics.truncation)
    total = torch.zeros(wind + others, rows, dtype=torch.float64)
    roots = _roots(statistics.covariance_psi)
    for order in range(statistics.truncation + 1):
        synthesis = operators.synthesis[order]
        balance, slope, east = torch.split(operators.of_psi[order], rows)
        weight = 1.0 if order == 0 else 4.0
        degrees = slice(order, None)
        psi = statistics.sigma_psi[:, :, None] * synthesis[:, degrees]  # (L, lat, n)
        rest = statistics.sigma_unbalanced[:, :, None] * synthesis[:, degrees]  # (U, lat, n)
        covariance_psi, covariance_rest = (
            c[degrees] for c in (statistics.covariance_psi, statistics.covariance_unbalanced)
        )
        # balanced parts of (χ, t, q, z, msl): (U, L, lat, n)
        balanced = statistics.regression.permute(1, 2, 0)[..., None] * (balance @ psi)
        chi = [torch.einsum("jyn,njk->ynk", balanced[level], roots[degrees]) for level in range(wind)]
        for channels, own, cross in ((slice(0, wind), slope, east), (slice(wind, 2 * wind), east, slope)):
            total[channels] += weight * _variance(_applied(own, psi), covariance_psi.diagonal(dim1=1, dim2=2))
            for level in range(wind):
                of_psi = cross @ chi[level].flatten(1)
                total[channels.start + level] += weight * of_psi.square().sum(1)
            total[channels] += weight * _variance(
                _applied(cross, rest[:wind]), covariance_rest.diagonal(dim1=1, dim2=2)[:, :wind]
            )
        scalars = slice(2 * wind, None)
        total[scalars] += weight * _full(balanced[wind:], covariance_psi)
        total[scalars] += weight * _variance(rest[wind:], covariance_rest.diagonal(dim1=1, dim2=2)[:, wind:])
    return total.sqrt()


def _roots(covariance: torch.Tensor) -> torch.Tensor:
    """(n, field, k) root with root rootᵀ = C(n), without eigenvalues that are `_LEAST` of the variance or less."""
    values, vectors = torch.linalg.eigh(covariance)
    share = values.clamp_min(0.0) / values.sum(-1, keepdim=True).clamp_min(torch.finfo(values.dtype).tiny)
    count = int((share > _LEAST).sum(-1).max())
    result: torch.Tensor = vectors[..., -count:] * values[..., -count:].clamp_min(0.0).sqrt()[:, None, :]
    return result


def _applied(matrix: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return torch.einsum("yx,ixn->iyn", matrix, x)


def _variance(g: torch.Tensor, power: torch.Tensor) -> torch.Tensor:
    """Σ_n g² C_ii(n) (field, lat) of g (field, lat, n) and power (n, field)."""
    return (g.square() * power.mT[:, None, :]).sum(-1)


def _full(g: torch.Tensor, covariance: torch.Tensor) -> torch.Tensor:
    """Σ_n g_j C_jk(n) g_k (field, lat) of g (field, j, lat, n) and covariance (n, j, k)."""
    mixed = torch.einsum("ijyn,njk->ikyn", g, covariance)
    return (mixed * g).sum((1, -1))
