"""What its neighbours say of an observation that is left out of its own analysis.

    d_i − d̂_i = G_kk (G⁻¹ d)_k,     its variance / σ_b² = G_kk²,     G Gᵀ = S of the neighbours and, last, of i

Cholesky's factor orders the observations: its last diagonal element squared is the variance of the last one given those
before it, and the last element of G⁻¹ d its residual in units of that. The neighbours are the nearest ones. The ratio
(d − d̂)² / variance is the statistic of the spatial consistency test of Lussana et al. (2010): the product of the
departures from the analyses with and without the observation, over σ_o².
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from phyda_cli.errors_b.surface_structure import GroundPlaces, Separation, Structure
from phyda_cli.methods.block_interpolation import GroundData
from phyda_cli.methods.threads import for_each

Floats = NDArray[np.float64]

NEIGHBOURS: Final = 30
"""Nearest observations that predict one that is left out."""
_CHUNK: Final = 100
"""Observations that are left out together."""


class LeftOut(NamedTuple):
    """residual: d − d̂ (n,). variance: what is expected of its square (n,). In units of σ_b."""

    residual: Floats
    variance: Floats


def nearest(data: GroundData, rows: torch.Tensor) -> torch.Tensor:
    """Return indices (m, k) of the nearest others of some observations (m,), the farthest first."""
    count, wanted = min(NEIGHBOURS, len(data) - 1), rows.numpy()
    positions = data.places.position.numpy()
    _, found = cKDTree(positions).query(positions[wanted], np.arange(1, count + 2))
    # itself is among them, but where more than these are at its place
    itself = found == wanted[:, None]
    itself[~itself.any(1), -1] = True
    return torch.from_numpy(found[~itself].reshape(len(wanted), count)[:, ::-1].copy())


def left_out(
    data: GroundData,
    structure: Structure,
    rows: torch.Tensor,
    neighbours: torch.Tensor,
    apart: Sequence[Separation] | None = None,
) -> LeftOut:
    """Return what the neighbours (m, k) leave of the observations `rows` (m,). apart: of `separations`, if known."""
    residual, variance = torch.zeros(len(rows)).double(), torch.ones(len(rows)).double()
    together = torch.cat([neighbours, rows[:, None]], dim=1)

    def solve(first: int) -> None:
        near = data.take(together[first : first + _CHUNK])
        part = of_last(near.matrix(structure, None if apart is None else apart[first // _CHUNK]), near.departure)
        residual[first : first + _CHUNK], variance[first : first + _CHUNK] = part

    for_each(solve, range(0, len(rows), _CHUNK))
    return LeftOut(residual.numpy(), variance.numpy())


def separations(places: GroundPlaces, rows: torch.Tensor, neighbours: torch.Tensor) -> list[Separation]:
    """Return how far the neighbours (m, k) and `rows` (m,) are from each other, for `left_out` by many structures."""
    together = torch.cat([neighbours, rows[:, None]], dim=1)
    return [Separation.between(near, near) for near in map(places.take, torch.split(together, _CHUNK))]


def of_last(matrix: torch.Tensor, departure: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return residual and variance (m,) of the last of some observations, of S (m, k, k) and d (m, k)."""
    factor = torch.linalg.cholesky(matrix)
    white = torch.linalg.solve_triangular(factor, departure[..., None], upper=False)[:, -1, 0]
    own = factor[:, -1, -1]
    return own * white, own**2
