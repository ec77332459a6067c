"""Linear balance: the geopotential that a streamfunction's wind keeps in place on a rotating sphere.

    ∇²Φ_b = ∇·(f ∇ψ),   f = 2Ω sin φ

Φ_b is the potential of the vector field f ∇ψ, so its expansion in vector harmonics gives it without a division by f:
with the fits a and b of `Tables.potential_fits`, which take f ∇ψ for a wind,

    Φ_b = (b f E − a f D) ψ        E = m P/(a cos φ),  D = (1/a) ∂P/∂φ

It has the sign of the hemisphere: a cyclone is a low on both sides of the equator.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.constants import OMEGA
from phyda_cli.grids.harmonics import SphericalHarmonics, Tables
from phyda_cli.grids.latlon import LatLonGrid


def coriolis(grid: LatLonGrid) -> NDArray[np.float64]:
    """f = 2Ω sin φ [s-1], shape (lat, 1)."""
    return np.asarray(2.0 * OMEGA * np.sin(np.radians(grid.latitudes))[:, None])


def balance_table(tables: Tables, f: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m, n, n) [s-1], from the coefficients of ψ to those of Φ_b; f (lat, 1) [s-1]."""
    same, other = tables.potential_fits()
    return np.asarray(other @ (f * tables.east) - same @ (f * tables.north))


def balanced_geopotential(transform: SphericalHarmonics, psi: torch.Tensor) -> torch.Tensor:
    """Φ_b [m² s-2] (…, lat, lon), of global mean zero, of the streamfunction's coefficients psi (…, n, m) [m² s-1]."""
    east, north = transform.gradient(psi)
    f = torch.as_tensor(coriolis(transform.grid), device=transform.device, dtype=transform.dtype)
    return transform.synthesis(transform.streamfunction_potential(f * east, f * north)[1])
