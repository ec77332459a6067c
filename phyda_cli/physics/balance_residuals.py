"""How far a state is from the two balances of the large scales.

    hydrostatic, layer between p_k < p_{k+1}:  r = Φ_k − Φ_{k+1} − ½ R_d (T_v,k + T_v,k+1) ln(p_{k+1}/p_k)     [m² s⁻²]
    geostrophic:                               r = (∂_x Φ − f v,  ∂_y Φ + f u)                                [m s⁻²]

Neither is zero in true data: T_v bends within a layer, and real winds are not geostrophic. A state is to be compared
with the truth's residual, not with zero. The geostrophic residual is not divided by f.
"""

from __future__ import annotations

import torch

from phyda_cli.constants import R_DRY
from phyda_cli.physics.level_fields import LevelFields
from phyda_cli.physics.pressure_column import PressureColumn
from phyda_cli.physics.spectral_filter import SpectralFilter


def hydrostatic_residual(x: LevelFields, column: PressureColumn) -> torch.Tensor:
    """(…, level − 1, lat, lon) [m2 s-2], layers from the top down; at the grid points, without any filter."""
    warmth = x.virtual_temperature
    mean = 0.5 * (warmth[..., :-1, :, :] + warmth[..., 1:, :, :])
    return x.z[..., :-1, :, :] - x.z[..., 1:, :, :] - R_DRY * mean * column.layers


def geostrophic_residual(x: LevelFields, spectral: SpectralFilter) -> torch.Tensor:
    """(…, 2, level, lat, lon) [m s-2], the east and the north component, of the filtered fields."""
    u, v = spectral.winds(*spectral.potentials(x.u, x.v))
    east, north = spectral.gradient(spectral.analysis(x.z))
    return torch.stack((east - spectral.f * v, north + spectral.f * u), dim=-4)
