"""The observation operator of a batch of cases in units of the observation errors, R^{-1/2} H, and its transpose.

Fields are (lon, lat, channel, case), as the control transform makes them. Cases that share their observations, such as
members, share the operator, and its columns are the cases; otherwise the observations of all cases are one column.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import embedding_bag

from phyda_cli.fields.state import Channel
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.methods.base import Departures
from phyda_cli.operators.rows import Block, entries, stacked


class WeightedOperator:
    """R^{-1/2} H S on increments of `channels` on `grid`, for cases that are all one object or each their own.

    between: further error variance of an observation half way between two levels, relative to its own: σ_o² (1 + 4 b w
    (1 − w)) with w the larger weight of a level. Fields of few levels do not hold what lies between them.
    sizes: S (channel, lat, lon) of each case, what one unit of the fields is (`errors_b/humidity.py`); None for 1.
    departure: (observation, column) R^{-1/2} d.
    """

    def __init__(
        self,
        grid: LatLonGrid,
        channels: Sequence[Channel],
        cases: Sequence[Departures],
        sizes: Sequence[torch.Tensor] | None = None,
        *,
        between: float = 0.0,
        dtype: torch.dtype,
        device: torch.device | str,
    ) -> None:
        self.columns = len(cases) if all(case is cases[0] for case in cases) else 1
        own = cases[:1] if self.columns == len(cases) else cases
        (rows, longitudes), count = grid.shape, len(channels)
        self._shape = (longitudes, rows, count, len(cases))
        # where each point of (channel, lat, lon) stands in (lon, lat, channel)
        place = torch.arange(longitudes * rows * count).reshape(longitudes, rows, count).permute(2, 1, 0).flatten()
        counts = torch.tensor([len(case) for case in own])
        made = [case.operator.increments(grid, channels) for case in own]
        blocks = stacked(made)
        case_of = torch.repeat_interleave(torch.arange(len(own)), counts)
        size = None if sizes is None else torch.stack([one.flatten() for one in sizes[: len(own)]])
        error = torch.from_numpy(np.concatenate([case.error for case in own]))
        if between:
            everywhere = torch.ones(count, rows, longitudes, dtype=torch.float64)
            share = torch.cat([one.magnitude().by_channel(everywhere).amax(1) for one in made]).clamp(0.0, 1.0)
            error = error * (1.0 + between * 4.0 * share * (1.0 - share)).sqrt()
        self._blocks = []
        for block in blocks:
            case = case_of[block.at][:, None]
            weights = block.weights if size is None else block.weights * size[case, block.indices]
            self._blocks.append(
                Block(
                    block.at.to(device),
                    (place[block.indices] * len(own) + case).to(device),
                    (weights / error[block.at][:, None]).to(device, dtype),
                )
            )
        scaled: NDArray[np.float64] = np.concatenate([case.departure for case in own]) / error.numpy()
        self.departure = torch.as_tensor(scaled).to(device, dtype)[:, None].expand(-1, self.columns)

    def __call__(self, fields: torch.Tensor) -> torch.Tensor:
        """R^{-1/2} H x: (lon, lat, channel, case) → (observation, column)."""
        points = fields.reshape(-1, self.columns)
        parts = []
        for block in self._blocks:
            if self.columns == 1:  # faster than bags of single numbers
                near = points[:, 0].index_select(0, block.indices.flatten()).view_as(block.weights)
                parts.append((near * block.weights).sum(1, keepdim=True))
            else:
                parts.append(embedding_bag(block.indices, points, mode="sum", per_sample_weights=block.weights))
        if len(parts) == 1:  # of all observations
            return parts[0]
        result = points.new_zeros(self.departure.shape[0], self.columns)
        for block, part in zip(self._blocks, parts, strict=True):
            result.index_copy_(0, block.at, part)
        return result

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Hᵀ R^{-1/2} y: (observation, column) → (lon, lat, channel, case)."""
        if self.columns == 1:
            flat = y.new_zeros(math.prod(self._shape))
            for block in self._blocks:
                own = y if len(self._blocks) == 1 else y.index_select(0, block.at)
                flat.index_add_(0, block.indices.flatten(), (own * block.weights).flatten())
            return flat.reshape(self._shape)
        observation, bags, weights = self._transposed
        return embedding_bag(observation, y, bags, mode="sum", per_sample_weights=weights).reshape(self._shape)

    @cached_property
    def _transposed(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The entries of Hᵀ by grid point: their observations, where each point's begin, their weights."""
        row, index, weight = entries(self._blocks)
        flat, order = index.sort(stable=True)
        points = torch.arange(math.prod(self._shape[:3]), device=flat.device)
        return row[order], torch.searchsorted(flat, points), weight[order]
