"""Localisation: how far the sample covariance of a few members is believed, horizontally and vertically.

    ρ(d, Δ ln p) = ρ_h(d/c_h) ρ_v(Δ ln p/c_v),     ρ the taper of Gaspari and Cohn (1999), eq. 4.10, zero from 2 c on

c is half the cut-off radius. On the sphere ρ_h is a sum over total wavenumbers,

    ρ_h(θ) = Σ_n (2n + 1) c_n P_n(cos θ),     c_n = ½ ∫ ρ_h(θ) P_n(cos θ) sin θ dθ ≥ 0

whose tail is cut where little is left of it, and which is then 1 at distance zero again. Compactly supported positive
definite functions of the space are so on the sphere as well (Gneiting 2013), so it is a covariance.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.constants import EARTH_RADIUS

TAIL: Final = 5e-3
"""Share of the localisation's value at distance zero that the wavenumbers beyond its truncation hold."""
_NODES: Final = 400

Array = NDArray[np.float64]


def gaspari_cohn(ratio: torch.Tensor) -> torch.Tensor:
    """Return the fifth-order taper of distances divided by the half-width c: 1 at 0, 5/24 at 1, zero from 2 on.

    Near the origin it is a Gaussian of the length L = c √(3/10).
    """
    r = ratio.abs()
    near = 1.0 + r * r * (-5.0 / 3.0 + r * (5.0 / 8.0 + r * (1.0 / 2.0 - r / 4.0)))
    s = r.clamp_min(1.0)
    far = 4.0 - 2.0 / (3.0 * s) + s * (-5.0 + s * (5.0 / 3.0 + s * (5.0 / 8.0 + s * (-1.0 / 2.0 + s / 12.0))))
    return torch.where(r <= 1.0, near, torch.where(r < 2.0, far.clamp_min(0.0), torch.zeros_like(r)))


def localisation_spectrum(radius: float, largest: int, *, tail: float = TAIL) -> Array:
    """(N+1,) c_n of the taper with a cut-off radius [m], Σ (2n + 1) c_n = 1; N the smallest that leaves `tail` out.

    largest: of N; where it is not enough, the localisation is as short as these wavenumbers can make it.
    """
    node, weight = np.polynomial.legendre.leggauss(_NODES)
    width = min(radius / EARTH_RADIUS, np.pi)
    angle = 0.5 * width * (node + 1.0)
    taper = gaspari_cohn(torch.from_numpy(angle * (2.0 * EARTH_RADIUS / radius))).numpy()
    functions = np.polynomial.legendre.legvander(np.cos(angle), largest)
    integral = (0.5 * width * weight * taper * np.sin(angle)) @ functions
    spectrum = np.maximum(0.5 * integral, 0.0)
    share = np.cumsum((2 * np.arange(largest + 1) + 1) * spectrum)
    kept = min(int(np.searchsorted(share, 1.0 - tail)), largest)
    return np.asarray(spectrum[: kept + 1] / share[kept])


def vertical_localisation(levels: Array, radius: float) -> Array:
    """(level, level) of the taper between pressures [Pa], with a cut-off radius in ln p."""
    height = torch.from_numpy(np.log(levels))
    return np.asarray(gaspari_cohn((height[:, None] - height) * (2.0 / radius)).numpy())
