"""The vertical on a few uneven pressure levels: derivative and integrals of a column, as small matrices.

Levels run from the top down, p_1 < … < p_L [Pa]. With few levels the treatment of the ends matters; it is

    derivative   ∂x/∂p = (1/p) ∂x/∂ln p, the slope of the parabola in ln p through the level and its two neighbours;
                 at the first and the last level the slope to the neighbour
    from the top ∫₀ᵖ x dp′: above p_1 the value of p_1 holds up to p = 0; trapezoids in p between the levels
    thickness    ∫_p^{p_m} x d ln p′ from any level p_m: trapezoids in ln p between the levels
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.model.finite_differences import derivative_matrix

Array = NDArray[np.float64]


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
        from_top = _trapezoids(p)
        from_top[:, 0] += p[0]
        self._from_top = table(from_top)
        self._to_level = table(trapezoids[:, None] - trapezoids)

    def derivative(self, x: torch.Tensor) -> torch.Tensor:
        """∂x/∂p [x Pa-1] at the levels."""
        return _apply(self._derivative, x)

    def from_top(self, x: torch.Tensor) -> torch.Tensor:
        """∫₀ᵖ x dp′ [x Pa] at the levels."""
        return _apply(self._from_top, x)

    def from_level(self, level: int, x: torch.Tensor) -> torch.Tensor:
        """∫_p^{p_m} x d ln p′ [x] at the levels, p_m the level of that index; zero there."""
        return _apply(self._to_level[level], x)


def _apply(matrix: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """(…, i, lat, lon) = Σ_k matrix[i, k] x[…, k, lat, lon]."""
    return torch.matmul(matrix, x.flatten(-2)).reshape(x.shape)


def _trapezoids(nodes: Array) -> Array:
    """(i, k) weights of ∫ from the first node to node i by trapezoids."""
    step = np.diff(nodes)
    weights = np.zeros((nodes.size, nodes.size))
    for i in range(1, nodes.size):
        weights[i] = weights[i - 1]
        weights[i, i - 1 : i + 1] += 0.5 * step[i - 1]
    return weights
