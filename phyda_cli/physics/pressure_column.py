"""The vertical on a few uneven pressure levels: derivative and integrals of a column, as small matrices.

Levels run from the top down, p_1 < … < p_L [Pa]. With few levels the treatment of the ends matters; it is

    derivative   ∂x/∂p = (1/p) ∂x/∂ln p, the slope of the parabola in ln p through the level and its two neighbours;
                 at the first and the last level the slope to the neighbour
    ω            −∫₀ᵖ D dp′ + (p/p_0)² ∫₀^{p_0} D dp′: trapezoids in p between the levels; above p_1 the divergence D
                 falls linearly to 0 at p = 0, below p_L its value of p_L holds down to p_0
    thickness    ∫_p^{p_m} x d ln p′ from any level p_m: trapezoids in ln p between the levels
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.physics.finite_differences import derivative_matrix

Array = NDArray[np.float64]

GROUND: Final = 1.0e5
"""p_0, where ω is taken to vanish [Pa]; the lowest level where that is deeper."""


class PressureColumn:
    """The matrices of one set of levels; fields are (…, level, lat, lon), levels from the top down.

    pressures: (L,) [Pa], increasing, two or more. Raises BadDataError otherwise.
    """

    def __init__(self, pressures: Sequence[float], *, dtype: torch.dtype, device: torch.device | str) -> None:
        p = np.asarray(pressures, dtype=np.float64)
        log = np.log(p)
        trapezoids = _trapezoids(log)

        def table(values: Array) -> torch.Tensor:
            return torch.as_tensor(values, device=device).to(dtype)

        self.pressure = table(p[:, None, None])
        """(L, 1, 1) [Pa]."""
        self.layers = table(np.diff(log)[:, None, None])
        """(L − 1, 1, 1) Δ ln p between neighbouring levels [1]."""
        self._derivative = table(derivative_matrix(log, reach=1) / p[:, None])
        self._omega = table(_omega(p))
        self._to_level = table(trapezoids[:, None] - trapezoids)

    def derivative(self, x: torch.Tensor) -> torch.Tensor:
        """∂x/∂p [x Pa-1] at the levels."""
        return _apply(self._derivative, x)

    def omega(self, divergence: torch.Tensor) -> torch.Tensor:
        """ω [Pa s-1] at the levels, of the divergence [s-1] there."""
        return _apply(self._omega, divergence)

    def from_level(self, level: int, x: torch.Tensor) -> torch.Tensor:
        """∫_p^{p_m} x d ln p′ [x] at the levels, p_m the level of that index; zero there."""
        return _apply(self._to_level[level], x)


def _apply(matrix: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """(…, i, lat, lon) = Σ_k matrix[i, k] x[…, k, lat, lon]."""
    return torch.matmul(matrix, x.flatten(-2)).reshape(x.shape)


def _omega(p: Array) -> Array:
    """(i, k) weights of D at the levels for ω at them."""
    ground = max(GROUND, p[-1])
    from_top = _trapezoids(p)
    from_top[:, 0] += 0.5 * p[0]
    whole = from_top[-1].copy()
    whole[-1] += ground - p[-1]
    return np.asarray(np.outer((p / ground) ** 2, whole) - from_top)


def _trapezoids(nodes: Array) -> Array:
    """(i, k) weights of ∫ from the first node to node i by trapezoids."""
    step = np.diff(nodes)
    weights = np.zeros((nodes.size, nodes.size))
    for i in range(1, nodes.size):
        weights[i] = weights[i - 1]
        weights[i, i - 1 : i + 1] += 0.5 * step[i - 1]
    return weights
