"""Statistics at another truncation: what a coarse background can hold of them, on a grid fit for it.

C(n) is cut at N; what is left keeps its size, so σ_b falls by what lay beyond: exactly for what is homogeneous, and to
a few per cent where the balance depends on the latitude. The grid has 3/2 (N + 1) rows, as models have: interpolation
from it then loses little of the shortest waves.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from phyda_cli.constants import EARTH_RADIUS
from phyda_cli.errors_b.background_error import BackgroundError
from phyda_cli.grids.base import Grid
from phyda_cli.grids.harmonics import largest_truncation
from phyda_cli.grids.latlon import LatLonGrid


def fitting_truncation(statistics: BackgroundError, grid: Grid) -> int:
    """Return the largest truncation of the statistics that fields on a background's grid have a use for."""
    if isinstance(grid, LatLonGrid):
        held = largest_truncation(grid)
    else:
        # what a global grid of these steps carries: 180°/Δ − 1
        held = int(np.pi * EARTH_RADIUS / max(grid.spacing, 1.0) * (1.0 + 1e-6)) - 1
    return max(1, min(statistics.truncation, held))


def at_truncation(statistics: BackgroundError, truncation: int) -> BackgroundError:
    """Return the statistics cut at a truncation; what they are where they have no more themselves."""
    if truncation >= statistics.truncation:
        return statistics
    rows = 2 * round(0.75 * (truncation + 1))
    cut = on_grid(statistics, LatLonGrid.equiangular(rows, 2 * rows))
    climate = None if cut.climate is None else _cut(cut.climate, truncation)
    return replace(_cut(cut, truncation), climate=climate)


def on_grid(statistics: BackgroundError, grid: LatLonGrid) -> BackgroundError:
    """Return the same statistics on the rows of another grid, linear between their own."""
    source, target = np.array(statistics.grid.latitudes), np.array(grid.latitudes)
    weights = np.array([np.interp(target, source, unit) for unit in np.eye(len(source))])

    def moved(x: torch.Tensor) -> torch.Tensor:
        return x.double() @ torch.from_numpy(weights)

    return replace(
        statistics,
        grid=grid,
        regression=moved(statistics.regression.permute(1, 2, 0)).permute(2, 0, 1).contiguous(),
        sigma_psi=moved(statistics.sigma_psi),
        sigma_unbalanced=moved(statistics.sigma_unbalanced),
        sigma=moved(statistics.sigma),
        climate=None if statistics.climate is None else on_grid(statistics.climate, grid),
    )


def _cut(statistics: BackgroundError, truncation: int) -> BackgroundError:
    """Return the statistics without the wavenumbers beyond a truncation."""
    return replace(
        statistics,
        covariance_psi=statistics.covariance_psi[: truncation + 1],
        covariance_unbalanced=statistics.covariance_unbalanced[: truncation + 1],
        sigma=_sigma(statistics, truncation),
        climate=None,
    )


def _sigma(statistics: BackgroundError, truncation: int) -> torch.Tensor:
    """σ_b (channel, lat) of what total wavenumbers up to a truncation hold.

    Of winds it is the share of Σ_n n (n + 1) (2n + 1) C(n), of unbalanced fields that of Σ_n (2n + 1) C(n), of balanced
    ones that of the sums over the levels of ψ which they follow: far from the equator Φ_b is f times ψ.
    """
    n = torch.arange(statistics.truncation + 1, dtype=torch.float64)
    wind, kept = statistics.wind_levels, slice(truncation + 1)
    area = torch.as_tensor(statistics.grid.area_weights)
    mean_psi, mean_rest = ((s.square() * area).sum(-1) for s in (statistics.sigma_psi, statistics.sigma_unbalanced))
    degeneracy = (2 * n + 1)[:, None]
    psi, rest = (
        degeneracy * covariance.diagonal(dim1=1, dim2=2)
        for covariance in (statistics.covariance_psi, statistics.covariance_unbalanced)
    )
    kinetic = (n * (n + 1))[:, None] * (psi * mean_psi + rest[:, :wind] * mean_rest[:wind])
    winds = statistics.sigma[: 2 * wind].square() * (kinetic[kept].sum(0) / kinetic.sum(0)).repeat(2)[:, None]
    follows = statistics.regression[:, wind:] * mean_psi.sqrt()
    followed = degeneracy * torch.einsum("yij,njk,yik,y->ni", follows, statistics.covariance_psi, follows, area)
    share = followed[kept].sum(0) / followed.sum(0).clamp_min(torch.finfo(torch.float64).tiny)
    local = statistics.sigma_unbalanced[wind:].square()
    balanced = (statistics.sigma[2 * wind :].square() - local * rest[:, wind:].sum(0)[:, None]).clamp_min(0.0)
    scalars = local * rest[kept, wind:].sum(0)[:, None] + balanced * share[:, None]
    return torch.cat([winds, scalars]).sqrt()
