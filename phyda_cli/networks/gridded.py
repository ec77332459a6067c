"""Observations spread to the grid by Hᵀ: what the encoder sees of them, for any number of observations.

    n = Hᵀ 1,    signal = Hᵀ(d/σ_b) / n,    noise = Hᵀ(σ_o/σ_b) / n          where n > 0, else 0
    density = 1 − exp(−n)

n counts the observations around each point by their interpolation weights; signal and noise are the weighted means
around it. An observation of a whole column, whose weights a have units of their own, counts as one in all and by its
share in the size s that the background's errors give it, if all are one,

    s = Σ_k |a_k| σ_b,k,    n_k = |a_k| σ_b,k/s,    signal_k = sign(a_k) d/s,    noise_k = σ_o/s

which is the same where σ_b is. Source: the signal and density channels of conditional neural processes (Gordon et al.
2020, "Convolutional Conditional Neural Processes"), which keep "no observation" apart from "observed zero".
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class GriddedObservations:
    """signal, noise, density: (batch, channel, lat, lon), in units of σ_b, zero where nothing is observed."""

    signal: torch.Tensor
    noise: torch.Tensor
    density: torch.Tensor

    def to(self, device: torch.device | str) -> GriddedObservations:
        """Return the same on a device."""
        return GriddedObservations(self.signal.to(device), self.noise.to(device), self.density.to(device))

    def count(self) -> torch.Tensor:
        """n at every point, from the density."""
        return -torch.log1p(-self.density.clamp_max(1.0 - 1e-6))


def grid_observations(
    departure: torch.Tensor,
    error: torch.Tensor,
    entries: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    case: torch.Tensor,
    sigma: torch.Tensor,
    column: torch.Tensor | None = None,
) -> GriddedObservations:
    """Spread the observations of a batch of cases.

    departure, error (n,): d and σ_o, SI. entries (m,): row, index and weight of H, the index into the flattened
    (channel, lat, lon) of one case; a negative weight (winds across a pole) turns the departure's sign. case (n,):
    which case of the batch each belongs to, 0 ≤ case < sigma.shape[0]. sigma (batch, channel, lat, lon): σ_b. column
    (n,): which observations see several channels at once; None: none.
    """
    row, index, weights = entries
    weights = weights.to(sigma)
    flat = index + case[row] * sigma[0].numel()
    local = sigma.reshape(-1)[flat]
    if column is not None and bool(column.any()):
        total = departure.new_zeros(departure.shape).index_add(0, row, weights.abs() * local)[row]
        total = total.clamp_min(torch.finfo(local.dtype).tiny)
        weights = torch.where(column[row], weights * local / total, weights)
        local = torch.where(column[row], total, local)
    magnitude = weights.abs()

    def spread(values: torch.Tensor) -> torch.Tensor:
        zero = torch.zeros(sigma.numel(), dtype=sigma.dtype, device=sigma.device)
        return zero.index_add(0, flat, values).reshape(sigma.shape)

    n = spread(magnitude)
    safe = n.clamp_min(1e-6)
    seen = n > 1e-6
    signal = torch.where(seen, spread(weights * (departure[row] / local)) / safe, 0.0)
    noise = torch.where(seen, spread(magnitude * (error[row] / local)) / safe, 0.0)
    return GriddedObservations(signal, noise, torch.where(seen, -torch.expm1(-n), 0.0))
