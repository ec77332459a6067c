"""Calibration of the ensemble's spread: one inflation per density and channel, fitted on validation data.

    a²(bin, channel) = ⟨(μ − δ)²⟩ / ( (N+1)/N ⟨Σ_i (δ_i − δ̄)²/(M−1)⟩ )
    δ_i ← δ̄ + a (δ_i − δ̄)                                       the mean is unchanged

⟨·⟩ is over the area and the cases of the bin, μ the reconstruction, on which the members are centred. The factor makes
the usual measure of an ensemble, √((N+1)/N) spread / error, one for N = 16 members. Bins are by ρ = (number of
observations)/(number of grid values); the first holds no observation at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch

SIZE: Final = 16
"""N, the members that an analysis has."""
EDGES: Final = (0.0, 0.002, 0.007, 0.015, 0.035, 0.07)
"""Upper ends of all bins but the last: ρ ≤ 0 is the first bin, 0 < ρ ≤ 0.002 the second, and so on."""
LIMITS: Final = (0.5, 2.0)
"""Least and largest inflation: a fit outside is a sign of too few cases."""


@dataclass(frozen=True)
class Calibration:
    """factor: (len(EDGES) + 1, channel) a."""

    factor: torch.Tensor

    @classmethod
    def none(cls, channels: int) -> Calibration:
        """No inflation."""
        return cls(torch.ones(len(EDGES) + 1, channels))

    def apply(self, members: torch.Tensor, density: torch.Tensor) -> torch.Tensor:
        """Members (case, member, C, H, W) with their spread inflated; density: ρ (case,)."""
        mean = members.mean(1, keepdim=True)
        factor = self.factor.to(members)[bins(density).to(members.device)]
        return mean + factor[:, None, :, None, None] * (members - mean)


def bins(density: torch.Tensor) -> torch.Tensor:
    """Return the bin of each density (case,)."""
    return torch.bucketize(density.double(), torch.tensor(EDGES, dtype=torch.float64, device=density.device))


@dataclass
class CalibrationSums:
    """Sums over cases, from which the inflation follows."""

    squared_error: torch.Tensor
    variance: torch.Tensor
    cases: torch.Tensor

    @classmethod
    def none(cls, channels: int) -> CalibrationSums:
        """Before the first case."""
        shape = (len(EDGES) + 1, channels)
        return cls(torch.zeros(shape).double(), torch.zeros(shape).double(), torch.zeros(shape[0]).double())

    def add(
        self, members: torch.Tensor, mean: torch.Tensor, truth: torch.Tensor, density: torch.Tensor, area: torch.Tensor
    ) -> None:
        """Add cases: members (case, M, C, H, W), μ and truth (case, C, H, W), ρ (case,), area (H, 1) of mean one."""
        error = ((mean.double() - truth.double()).square() * area).mean((-2, -1))
        variance = (members.double().var(1) * area).mean((-2, -1))
        index = bins(density)
        self.squared_error.index_add_(0, index, error)
        self.variance.index_add_(0, index, variance)
        self.cases.index_add_(0, index, torch.ones_like(density, dtype=torch.float64))

    def fit(self) -> Calibration:
        """Return the inflation; 1 for a bin without cases."""
        expected = (SIZE + 1) / SIZE * self.variance
        ratio = torch.where(self.variance > 0, self.squared_error / expected.clamp_min(1e-30), 1.0)
        return Calibration(ratio.sqrt().clamp(*LIMITS).float())
