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

from phyda_cli.fields.constants import EARTH_RADIUS, OMEGA
from phyda_cli.fields.grid import Grid
from phyda_cli.model.finite_differences import derivative_matrix
from phyda_cli.model.level_fields import LevelFields

_LEAST_COSINE = 1e-6
"""Stands for cos φ at a pole row, where an eastward derivative means nothing; the rows there are masked."""


class HorizontalProxy:
    """Rates of change of u, v, t, q by the equations above; needs no harmonics, differentiable and batched."""

    def __init__(self, grid: Grid, *, dtype: torch.dtype, device: torch.device | str) -> None:
        latitude = np.radians(grid.latitudes)
        step = 2.0 * math.pi / grid.shape[1]
        per_column = 1.0 / (EARTH_RADIUS * np.maximum(np.cos(latitude), _LEAST_COSINE) * step)
        north = derivative_matrix(latitude, reach=2) / EARTH_RADIUS
        self._per_column = torch.as_tensor(per_column[:, None], device=device).to(dtype)
        self._north = torch.as_tensor(north, device=device).to(dtype)
        self._f = torch.as_tensor(2.0 * OMEGA * np.sin(latitude)[:, None], device=device).to(dtype)

    def __call__(self, x: LevelFields) -> LevelFields:
        """Tendencies [per s] of fields (…, level, lat, lon); that of z is zero."""
        fields = torch.stack(tuple(x))
        east, north = self._east_slope(fields), torch.matmul(self._north, fields)
        u_t, v_t, t_t, q_t = (-x.u * east[:4] - x.v * north[:4]).unbind()
        return LevelFields(
            u_t + self._f * x.v - east[4], v_t - self._f * x.u - north[4], t_t, q_t, torch.zeros_like(x.z)
        )

    def _east_slope(self, x: torch.Tensor) -> torch.Tensor:
        """∂_x of fields (…, lat, lon): the centred difference of fourth order around each circle."""
        near = x.roll(-1, -1) - x.roll(1, -1)
        far = x.roll(-2, -1) - x.roll(2, -1)
        return (8.0 * near - far) / 12.0 * self._per_column
