"""The adaptive physics-proxy operator K_PDE: rates of change and residuals of a state, at a chosen depth of physics.

    K(x) = M · dx/dt        M = 1 for the chosen equations, levels and latitudes, 0 elsewhere

| physics     | K(x)                                                                        | residuals                |
|-------------|-----------------------------------------------------------------------------|--------------------------|
| none        | 0                                                                           | 0                        |
| hydrostatic | 0                                                                           | hydrostatic              |
| proxy       | advection in the level, Coriolis, pressure gradient: `HorizontalProxy`      | hydrostatic, geostrophic |
| full        | the primitive equations: `PrimitiveEquations`                               | hydrostatic, geostrophic |

    hydrostatic, layer between p_k < p_{k+1}:  r = Φ_k − Φ_{k+1} − ½ R_d (T_v,k + T_v,k+1) ln(p_{k+1}/p_k)     [m² s⁻²]
    geostrophic:                               r = (∂_x Φ − f v,  ∂_y Φ + f u)                                [m s⁻²]

Neither residual is zero in true data: T_v bends within a layer, and real winds are not geostrophic. A state is to be
compared with the truth's residual, not with zero. The geostrophic residual is not divided by f.

Everything is in SI on physical fields, differentiable and batched. The operator keeps to its own precision under
autocast: in half precision a pressure gradient is lost in the size of Φ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator

from phyda_cli.constants import R_DRY
from phyda_cli.errors import ConfigError
from phyda_cli.fields.state import Channel
from phyda_cli.grids.harmonics import largest_truncation
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.physics.horizontal_proxy import HorizontalProxy
from phyda_cli.physics.level_fields import VARIABLES, LevelChannels, LevelFields
from phyda_cli.physics.pressure_column import PressureColumn
from phyda_cli.physics.primitive_equations import PrimitiveEquations
from phyda_cli.physics.spectral_filter import SpectralFilter

Depth = Literal["none", "hydrostatic", "proxy", "full"]
Equation = Literal["u", "v", "t", "q", "z"]


class PhysicsConfig(BaseModel):
    """How much physics, and where."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    physics: Depth = "full"
    """The depth of the physics."""

    equations: tuple[Equation, ...] = Field(default=VARIABLES, min_length=1)
    """Whose rates of change count."""

    levels: tuple[float, ...] | None = Field(default=None, min_length=1)
    """On which levels they and the residuals count [Pa]; None is all of them."""

    latitudes: tuple[float, float] = (0.0, 80.0)
    """Least and largest |φ| of the rows on which rates of change count [degree]; nearer to the poles none do."""

    geostrophic_from: float = Field(default=20.0, ge=0.0, lt=90.0)
    """Least |φ| at which the geostrophic residual counts [degree]."""

    condensation: bool = True
    """Whether saturated ascent condenses (`full` only)."""

    filter_fraction: float = Field(default=2 / 3, gt=0.0, le=1.0)
    """Share of the grid's truncation that is kept in the tendencies of `full` and in the geostrophic residual [1]."""

    @model_validator(mode="after")
    def _band(self) -> PhysicsConfig:
        lowest, highest = self.latitudes
        if not 0.0 <= lowest < highest <= 90.0:
            raise ValueError(f"latitudes must be an increasing pair within 0 to 90 degrees, not {self.latitudes}")
        return self


class PhysicsOperator:
    """K_PDE on one grid and one set of channels.

    channels: of the values; u, v, t, q, z on the same levels, in any order, among others that are passed over.
    dtype, device: of the computation; values are brought to the dtype.
    Raises BadDataError when the channels do not make levels (unless physics is `none`), ConfigError when a chosen level
    is not among them.
    """

    def __init__(
        self,
        config: PhysicsConfig,
        channels: Sequence[Channel],
        grid: LatLonGrid,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config = config
        self.dtype = dtype
        self.mask = torch.zeros(len(channels), grid.shape[0], 1, dtype=dtype, device=device)
        """(channel, lat, 1) M: 1 where K acts, 0 where it is zero by choice."""
        if config.physics == "none":
            return
        self._channels = LevelChannels(channels)
        pressures = self._channels.pressures
        chosen = pressures if config.levels is None else config.levels
        missing = sorted(set(chosen) - set(pressures))
        if missing:
            known = ", ".join(f"{p:g}" for p in pressures)
            raise ConfigError(f"levels: no level {missing[0]:g} Pa; choose among {known}")
        on_level = torch.tensor([p in chosen for p in pressures], device=device).to(dtype)[:, None, None]
        self._on_layer = on_level[:-1] * on_level[1:]
        distance = np.abs(np.asarray(grid.latitudes))
        lowest, highest = config.latitudes
        inside = (distance >= lowest) & (distance <= highest)
        balanced = inside & (distance >= config.geostrophic_from)
        self._geostrophic = on_level * torch.as_tensor(balanced, device=device).to(dtype)[:, None]
        self._column = PressureColumn(pressures, dtype=dtype, device=device)
        if config.physics == "hydrostatic":
            return
        counts = [c.variable in config.equations and c.level in chosen for c in channels]
        self.mask += torch.tensor(counts, device=device).to(dtype)[:, None, None]
        self.mask *= torch.as_tensor(inside, device=device).to(dtype)[:, None]
        truncation = math.floor(config.filter_fraction * largest_truncation(grid))
        self._spectral = SpectralFilter(grid, truncation, dtype=dtype, device=device)
        self._equations: HorizontalProxy | PrimitiveEquations
        if config.physics == "proxy":
            self._equations = HorizontalProxy(grid, dtype=dtype, device=device)
        else:
            self._equations = PrimitiveEquations(self._spectral, self._column, condensation=config.condensation)

    def tendency(self, values: torch.Tensor) -> torch.Tensor:
        """K(x) (…, channel, lat, lon) [SI per s] of values (…, channel, lat, lon) [SI]; zero where M is."""
        if self.config.physics in ("none", "hydrostatic"):
            return torch.zeros_like(values, dtype=self.dtype)
        with _full_precision(values):
            fields = self._channels.take(values.to(self.dtype))
            return self._channels.put(self._equations(fields)) * self.mask

    def hydrostatic_residual(self, values: torch.Tensor) -> torch.Tensor:
        """(…, level − 1, lat, lon) [m2 s-2], layers from the top down; zero where a side of the layer is not chosen.

        At every latitude, for it needs no horizontal derivative. With physics `none`: zeros (…, 1, lat, lon).
        """
        if self.config.physics == "none":
            return values.new_zeros(*values.shape[:-3], 1, *values.shape[-2:], dtype=self.dtype)
        with _full_precision(values):
            fields = self._channels.take(values.to(self.dtype))
            return hydrostatic_residual(fields, self._column) * self._on_layer

    def geostrophic_residual(self, values: torch.Tensor) -> torch.Tensor:
        """(…, 2, level, lat, lon) [m s-2], east and north, levels from the top down; zero where not chosen.

        With physics `none` or `hydrostatic`: zeros (…, 2, 1, lat, lon).
        """
        if self.config.physics in ("none", "hydrostatic"):
            return values.new_zeros(*values.shape[:-3], 2, 1, *values.shape[-2:], dtype=self.dtype)
        with _full_precision(values):
            fields = self._channels.take(values.to(self.dtype))
            return geostrophic_residual(fields, self._spectral) * self._geostrophic


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


def _full_precision(values: torch.Tensor) -> torch.autocast:
    return torch.autocast(values.device.type, enabled=False)
