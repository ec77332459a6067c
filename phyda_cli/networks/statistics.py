"""What the learned model knows of its training data: the pressure-level normaliser and the static fields.

    δ = (x − x_b) / (s σ_b(channel, φ))            increments; s: the background-error scale
    anomaly = (x_b − mean(channel, φ)) / std(channel, φ)
    static = [sin φ, cos φ, cos τ, sin τ, ln σ_b(v, φ, λ)/σ_b(v, φ) for v in u, t, q, z],    τ the phase of the year

A field on one level is a channel like any other. All statistics come from the training part of the store.
Source: paper, section 3 (pressure-level normaliser).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch

from phyda_cli.errors import BadDataError
from phyda_cli.fields.state import Channel
from phyda_cli.grids.latlon import LatLonGrid

MAPPED: Final = ("u", "t", "q", "z")
"""Variables whose background error is mapped in longitude too, as a mean over their levels."""

_DAYS_PER_YEAR: Final = 365.25


@dataclass(frozen=True)
class Statistics:
    """On one grid of H × W points, C channels, all SI.

    sigma_b, mean, std: (C, H), of the background error and of the states. error_maps: (len(MAPPED), H, W), the natural
    logarithm of the background error relative to its row.
    """

    channels: tuple[Channel, ...]
    grid: LatLonGrid
    sigma_b: torch.Tensor
    mean: torch.Tensor
    std: torch.Tensor
    error_maps: torch.Tensor

    def __post_init__(self) -> None:
        rows, columns = self.grid.shape
        for name in ("sigma_b", "mean", "std"):
            found = tuple(getattr(self, name).shape)
            if found != (len(self.channels), rows):
                raise BadDataError(f"model statistics: {name} has shape {found}, not {(len(self.channels), rows)}")
        if tuple(self.error_maps.shape) != (len(MAPPED), rows, columns):
            raise BadDataError(f"model statistics: error_maps has shape {tuple(self.error_maps.shape)}")
        for name in ("sigma_b", "std"):
            if not bool((getattr(self, name) > 0).all()):
                raise BadDataError(f"model statistics: {name} must be positive everywhere")

    @property
    def area(self) -> torch.Tensor:
        """(H, 1) area weights of mean one."""
        weights = torch.as_tensor(np.asarray(self.grid.area_weights))[:, None]
        return weights / weights.mean()

    def sigma(self, scale: torch.Tensor) -> torch.Tensor:
        """s σ_b as (batch, C, H, W), for scales (batch,) or (batch, C, 1)."""
        factors = scale[:, None, None] if scale.dim() == 1 else scale
        sigma = (self.sigma_b.to(scale) * factors)[..., None]
        return sigma.expand(-1, -1, -1, self.grid.shape[1]).contiguous()

    def anomaly(self, background: torch.Tensor) -> torch.Tensor:
        """Of backgrounds (batch, C, H, W) [SI], in climatological standard deviations."""
        return (background - self.mean.to(background)[:, :, None]) / self.std.to(background)[:, :, None]

    def state(self, anomaly: torch.Tensor) -> torch.Tensor:
        """Return the reverse of `anomaly`: fields (batch, C, H, W) [SI]."""
        return self.mean.to(anomaly)[:, :, None] + anomaly * self.std.to(anomaly)[:, :, None]

    def static(self, times: np.ndarray, *, dtype: torch.dtype, device: torch.device | str = "cpu") -> torch.Tensor:
        """(batch, 8, H, W) for valid times (batch,) datetime64."""
        rows, columns = self.grid.shape
        moments = np.asarray(times).astype("datetime64[s]")
        days = (moments - moments.astype("datetime64[Y]")).astype(np.float64) / 86_400.0
        phase = torch.from_numpy(2.0 * np.pi * days / _DAYS_PER_YEAR)
        latitude = torch.deg2rad(torch.as_tensor(np.asarray(self.grid.latitudes)))
        place = torch.stack([latitude.sin(), latitude.cos()])[None, :, :, None].to(device, dtype)
        season = torch.stack([phase.cos(), phase.sin()], dim=1)[:, :, None, None].to(device, dtype)
        parts = (place, season, self.error_maps[None].to(device, dtype))
        return torch.cat([part.expand(phase.numel(), -1, rows, columns) for part in parts], dim=1)

    def to(self, device: torch.device | str) -> Statistics:
        """Return the same on a device."""
        moved = {name: getattr(self, name).to(device) for name in ("sigma_b", "mean", "std", "error_maps")}
        return replace(self, **moved)


def error_maps(errors: torch.Tensor, channels: tuple[Channel, ...]) -> torch.Tensor:
    """ln of the root mean square of errors (n, C, H, W) relative to its row, a mean over the levels of each of MAPPED.

    Zero for a variable that is not among the channels.
    """
    square = errors.square().mean(0)
    ratio = 0.5 * torch.log(square / square.mean(-1, keepdim=True).clamp_min(1e-30) + 1e-6)
    maps = []
    for name in MAPPED:
        held = [i for i, channel in enumerate(channels) if channel.variable == name]
        maps.append(ratio[held].mean(0) if held else torch.zeros_like(square[0]))
    return torch.stack(maps)
