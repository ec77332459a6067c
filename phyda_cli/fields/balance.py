"""Linear balance: the geopotential that a streamfunction's wind keeps in place on a rotating sphere.

    ∇²Φ_b = ∇·(f ∇ψ),   f = 2Ω sin φ

Φ_b is the potential of the vector field f ∇ψ, so its expansion in vector harmonics gives it without a division by f.
It has the sign of the hemisphere: a cyclone is a low on both sides of the equator.
"""

from __future__ import annotations

import numpy as np
import torch

from phyda_cli.constants import OMEGA
from phyda_cli.grids.harmonics import SphericalHarmonics


def coriolis(transform: SphericalHarmonics) -> torch.Tensor:
    """f = 2Ω sin φ [s-1], shape (lat, 1)."""
    f = 2.0 * OMEGA * np.sin(np.radians(transform.grid.latitudes))
    return torch.as_tensor(f, device=transform.device, dtype=transform.dtype)[:, None]


def balanced_geopotential(transform: SphericalHarmonics, psi: torch.Tensor) -> torch.Tensor:
    """Φ_b [m² s-2] (…, lat, lon), of global mean zero, of the streamfunction's coefficients psi (…, n, m) [m² s-1]."""
    east, north = transform.gradient(psi)
    f = coriolis(transform)
    return transform.synthesis(transform.streamfunction_potential(f * east, f * north)[1])
