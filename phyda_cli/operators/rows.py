"""H as rows of weights: each observation is a weighted sum of k numbers of the fields.

    (H x)_i = Σ_k w_ik x[index_ik],        (Hᵀ y)[j] = Σ_{i,k: index_ik = j} w_ik y_i

The index counts through (channel, point) of one grid and one stack of channels. Hᵀ is the exact transpose.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import pad

from phyda_cli.fields.state import Channel
from phyda_cli.grids.base import Grid


@dataclass(frozen=True)
class Rows:
    """H of n observations on one grid and one stack of channels.

    indices: (n, k) into the flattened (channel, lat, lon). weights: (n, k), float64.
    defined: (n,) True where H exists; elsewhere all weights are zero, so H x is 0 there and Hᵀ takes nothing from it.
    """

    grid: Grid
    channels: tuple[Channel, ...]
    indices: torch.Tensor
    weights: torch.Tensor
    defined: NDArray[np.bool_]

    def __len__(self) -> int:
        return int(self.weights.shape[0])

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """H x: values (…, channel, lat, lon) → (…, n) of the same floating type, differentiable."""
        return self._gather(values, self.weights)

    def of_spread(self, values: torch.Tensor) -> torch.Tensor:
        """|H| x of a standard deviation (…, channel, lat, lon) → (…, n), as if all its errors were one."""
        return self._gather(values, self.weights.abs())

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Hᵀ y: (…, n) → (…, channel, lat, lon)."""
        spread = (y[..., None] * self.weights.to(y)).reshape(*y.shape[:-1], -1)
        shape = (len(self.channels), *self.grid.shape)
        flat = y.new_zeros(*y.shape[:-1], math.prod(shape))
        return flat.index_add(-1, self.indices.reshape(-1).to(y.device), spread).reshape(*y.shape[:-1], *shape)

    def by_channel(self, values: torch.Tensor) -> torch.Tensor:
        """H x before the sum over channels: (channel, lat, lon) → (n, channel)."""
        terms = values.reshape(-1)[self.indices] * self.weights
        result = terms.new_zeros(len(self), len(self.channels))
        return result.scatter_add(1, self.indices // math.prod(self.grid.shape), terms)

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> Rows:
        """Return the rows of an index or mask, in that order."""
        chosen = torch.from_numpy(np.arange(len(self))[index])
        return replace(self, indices=self.indices[chosen], weights=self.weights[chosen], defined=self.defined[index])

    def _gather(self, values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        flat = values.reshape(*values.shape[:-3], -1)
        corners = flat.index_select(-1, self.indices.reshape(-1).to(values.device))
        return (corners.reshape(*values.shape[:-3], *self.indices.shape) * weights.to(values)).sum(-1)


def combined(parts: Sequence[Rows], slopes: Sequence[NDArray[np.float64]]) -> Rows:
    """Σ_m slope_m H_m: the rows of a function of several inputs, linearised. parts: at least one; slopes: (n,) each.

    Weights of zero, which most rows have of most inputs, are left out as far as the widest row allows.
    """
    scaled = [part.weights * torch.from_numpy(slope)[:, None] for part, slope in zip(parts, slopes, strict=True)]
    indices, weights = torch.cat([part.indices for part in parts], 1), torch.cat(scaled, 1)
    nothing = weights == 0
    width = max(int((~nothing).sum(1).max()) if len(weights) else 0, 1)
    kept = torch.argsort(nothing.to(torch.uint8), dim=1, stable=True)[:, :width]
    return replace(parts[0], indices=indices.gather(1, kept), weights=weights.gather(1, kept))


def stacked(parts: Sequence[Rows]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return indices and weights (Σ n, k) of several sets of rows, the shorter ones filled with weights of zero."""
    width = max(part.indices.shape[1] for part in parts)
    filled = [
        (pad(part.indices, (0, missing)), pad(part.weights, (0, missing)))
        for part in parts
        for missing in [width - part.indices.shape[1]]
    ]
    indices, weights = zip(*filled, strict=True)
    return torch.cat(indices), torch.cat(weights)
