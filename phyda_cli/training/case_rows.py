"""Training cases as they are kept: dense fields in half precision, observations only where there are any.

    increment, first_guess, background   (n, C, H, W) float16: δ, x_g in units of s σ_b; the anomaly of x_b
    scale, density, hours                (n,): s, the network's ρ, the valid time [h since 1970-01-01 00 UTC]
    offset (n + 1,), place, signal, noise, count   the gridded observations where there are any, flattened

Points offset[k] to offset[k + 1] belong to case k.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch

from phyda_cli.networks.gridded import GriddedObservations

OF_CASES: Final = ("increment", "first_guess", "background", "scale", "density", "hours")
OF_POINTS: Final = ("place", "signal", "noise", "count")


@dataclass(frozen=True)
class Cases:
    """Some cases in memory, as the module's docstring says."""

    increment: torch.Tensor
    first_guess: torch.Tensor
    background: torch.Tensor
    scale: torch.Tensor
    density: torch.Tensor
    hours: torch.Tensor
    offset: torch.Tensor
    place: torch.Tensor
    signal: torch.Tensor
    noise: torch.Tensor
    count: torch.Tensor

    def __len__(self) -> int:
        return self.scale.numel()

    def rows(self, chosen: Sequence[int]) -> Cases:
        """Return the chosen cases, in this order."""
        points = torch.cat([torch.arange(int(self.offset[k]), int(self.offset[k + 1])) for k in chosen])
        counts = (self.offset[1:] - self.offset[:-1])[list(chosen)]
        of_cases = {name: getattr(self, name)[list(chosen)] for name in OF_CASES}
        of_points = {name: getattr(self, name)[points] for name in OF_POINTS}
        return Cases(**of_cases, **of_points, offset=torch.cat([counts.new_zeros(1), counts.cumsum(0)]))

    def observations(self) -> GriddedObservations:
        """Return the gridded observations, dense, float32."""
        device = self.place.device
        number = torch.arange(len(self), device=device)
        case = torch.repeat_interleave(number, self.offset.diff(), output_size=self.place.numel())
        place = self.place.long() + case * self.increment[0].numel()

        def dense(values: torch.Tensor) -> torch.Tensor:
            flat = torch.zeros(self.increment.numel(), device=device)
            flat[place] = values.float()
            return flat.reshape(self.increment.shape)

        return GriddedObservations(dense(self.signal), dense(self.noise), -torch.expm1(-dense(self.count)))


def sparse(gridded: Sequence[GriddedObservations]) -> tuple[torch.Tensor, ...]:
    """offset, place, signal, noise, count of the observed points."""
    counts = torch.stack([o.count() for o in gridded]).flatten(1)
    row, place = counts.nonzero(as_tuple=True)
    offset = torch.cat([torch.zeros(1, dtype=torch.long), torch.bincount(row, minlength=len(gridded)).cumsum(0)])

    def values(name: str) -> torch.Tensor:
        return torch.stack([getattr(o, name) for o in gridded]).flatten(1)[row, place].half()

    return offset, place.int(), values("signal"), values("noise"), counts[row, place].half()
