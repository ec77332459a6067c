"""The Physically Regularised Diffusion Objective: the score's loss plus the mismatch of physics of its estimate.

    L = L_EDM + λ(σ) [ ‖S (K(x̂) − K(x))‖² + λ_h ‖S_h (h(x̂) − h(x))‖² ]
    x̂ = x_b + s σ_b (μ + D(μ_z + σ_z r̂) − D(μ_z)),    r̂ = the denoised mean at σ
    λ(σ) = c · ramp · min((σ² + 1)/σ², cap) for σ ≤ 1, else 0

K is the physics-proxy operator (`physics`), h the hydrostatic residual; S and S_h are one over their climatological
standard deviations, for each channel. The truth x has residuals of its own (fields on pressure levels satisfy no
discrete equation exactly), so the estimate is asked for the truth's, not for none: `target = "zero"` is the paper's
‖R‖² and leaves K(x) and h(x) out. Source: paper, PRDO; λ(σ) as in Bastek et al. (2025), bounded.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from phyda_cli.fields.state import Channel
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.physics.residuals import PhysicsConfig, PhysicsOperator

_LEAST_SPREAD = 1e-30
"""Below this a channel is constant: it has no tendency, or is masked, and does not count."""


class PrdoConfig(BaseModel):
    """The physical regularisation of the score's training; `operator.physics = "none"` turns it off."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    operator: PhysicsConfig = PhysicsConfig()
    weight: float = Field(default=1e-3, ge=0)
    """c: chosen so that the physics' gradient is 10 to 20 % of the score's (`share` in the metrics)."""

    hydrostatic: float = Field(default=0.03, ge=0)
    """λ_h: small, for the residual of a layer is a small difference of large terms, and so is its spread."""

    cap: float = Field(default=20.0, ge=1)
    """Largest (σ² + 1)/σ²."""

    ramp: float = Field(default=0.2, ge=0, le=1)
    """Share of the steps over which the term grows from nothing to its full weight."""

    target: Literal["truth", "zero"] = "truth"
    """Whether the residuals are matched to the truth's or to zero."""

    @property
    def active(self) -> bool:
        """Whether there is a term at all."""
        return self.operator.physics != "none" and self.weight > 0

    def weights(self, sigma: torch.Tensor, progress: float) -> torch.Tensor:
        """λ(σ) of noise levels (batch,) after a share `progress` of the steps."""
        ramp = min(progress / self.ramp, 1.0) if self.ramp > 0 else 1.0
        bounded = (1.0 + sigma.square().reciprocal()).clamp_max(self.cap)
        return torch.where(sigma <= 1.0, self.weight * ramp * bounded, 0.0)


class PhysicsMismatch(nn.Module):
    """‖S (K(x̂) − K(x))‖² + λ_h ‖S_h (h(x̂) − h(x))‖², scaled by a sample of states."""

    def __init__(
        self,
        config: PrdoConfig,
        channels: tuple[Channel, ...],
        grid: LatLonGrid,
        area: torch.Tensor,
        states: torch.Tensor,
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        """area: (H, 1), mean one. states: (n, C, H, W) [SI], a climatological sample."""
        super().__init__()
        self.config = config
        self.operator = PhysicsOperator(config.operator, channels, grid, device=device)
        self.register_buffer("area", area.float().to(device), persistent=False)
        self.area: torch.Tensor
        with torch.no_grad():
            sample = states.to(device)
            self.register_buffer("_tendency_scale", self._inverse_spread(self.operator.tendency(sample)), False)
            self.register_buffer(
                "_balance_scale", self._inverse_spread(self.operator.hydrostatic_residual(sample)), False
            )
        self._tendency_scale: torch.Tensor
        self._balance_scale: torch.Tensor

    def forward(self, estimate: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """Return the mismatch (batch,) of states (batch, C, H, W) [SI]."""
        with torch.no_grad():
            tendency, balance = self.operator.tendency(truth), self.operator.hydrostatic_residual(truth)
            if self.config.target == "zero":
                tendency, balance = torch.zeros_like(tendency), torch.zeros_like(balance)
        total = self._mean_square((self.operator.tendency(estimate) - tendency) * self._tendency_scale)
        if self.config.hydrostatic > 0:
            difference = (self.operator.hydrostatic_residual(estimate) - balance) * self._balance_scale
            total = total + self.config.hydrostatic * self._mean_square(difference)
        return total

    def _mean_square(self, x: torch.Tensor) -> torch.Tensor:
        return (x.square() * self.area).mean((-3, -2, -1))

    def _inverse_spread(self, x: torch.Tensor) -> torch.Tensor:
        """Return one over the standard deviation (channel, 1, 1) about the mean over the sample, area-weighted."""
        variance = ((x - x.mean(0)).square() * self.area).mean((0, -2, -1))
        return torch.where(variance > _LEAST_SPREAD, variance.clamp_min(_LEAST_SPREAD).rsqrt(), 0.0)[:, None, None]
