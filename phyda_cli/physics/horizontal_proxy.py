"""The simplified equations: the `proxy` operator, finite differences of what happens within one level.

    u_t = −V·∇u + f v − ∂_x Φ
    v_t = −V·∇v − f u − ∂_y Φ
    T_t = −V·∇T
    q_t = −V·∇q
    ∂_x = (1/(a cos φ)) ∂/∂λ,   ∂_y = (1/a) ∂/∂φ

Left out against the primitive equations: ω with all vertical advection and adiabatic heating, the metric terms,
condensation, any equation for Φ (its tendency is zero), and the spectral filter. Derivatives are centred over five
points, around the circle in λ and on the grid's own rows in φ.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from phyda_cli.constants import EARTH_RADIUS, OMEGA
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.physics.finite_differences import Array, derivative_matrix
from phyda_cli.physics.level_fields import LevelFields

_LEAST_COSINE = 1e-6
"""Stands for cos φ at a pole row, where an eastward derivative means nothing; the rows there are masked."""


class HorizontalProxy:
    """Rates of change of u, v, t, q by the equations above; needs no harmonics, differentiable and batched."""

    def __init__(self, grid: LatLonGrid, *, dtype: torch.dtype, device: torch.device | str) -> None:
        def table(values: Array) -> torch.Tensor:
            return torch.as_tensor(values, device=device).to(dtype)

        latitude = np.radians(grid.latitudes)[:, None]
        circle = np.zeros((grid.shape[1], grid.shape[1]))
        for offset, weight in ((-2, 1.0), (-1, -8.0), (1, 8.0), (2, -1.0)):
            circle += weight / 12.0 * np.roll(np.eye(grid.shape[1]), offset, axis=0)
        self._along_circle = table(circle * grid.shape[1] / (2.0 * math.pi))
        self._per_radian = table(1.0 / (EARTH_RADIUS * np.maximum(np.cos(latitude), _LEAST_COSINE)))
        self._north = table(derivative_matrix(latitude[:, 0], reach=2) / EARTH_RADIUS)
        self._f = table(2.0 * OMEGA * np.sin(latitude))

    def __call__(self, x: LevelFields) -> LevelFields:
        """Tendencies [per s] of fields (…, level, lat, lon); that of z is zero."""
        turning, v = x.u * self._per_radian, x.v
        u_t, v_t, t_t, q_t = (
            -torch.addcmul(turning * torch.matmul(field, self._along_circle), v, torch.matmul(self._north, field))
            for field in x[:4]
        )
        east = torch.matmul(x.z, self._along_circle) * self._per_radian
        u_t = torch.addcmul(u_t - east, self._f, v)
        v_t = torch.addcmul(v_t - torch.matmul(self._north, x.z), self._f, x.u, value=-1.0)
        return LevelFields(u_t, v_t, t_t, q_t, torch.zeros_like(x.z))
