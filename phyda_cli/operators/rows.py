"""H as rows of weights: each observation is a weighted sum of k numbers of the fields.

    (H x)_i = Σ_k w_ik x[index_ik],        (Hᵀ y)[j] = Σ_{i,k: index_ik = j} w_ik y_i

The index counts through (channel, point) of one grid and one stack of channels. Hᵀ is the exact transpose. Rows of one
k stand together in a block, so that a few observations of whole columns do not make all others as wide.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.fields.state import Channel
from phyda_cli.grids.base import Grid

Index = NDArray[np.int64] | NDArray[np.bool_]


@dataclass(frozen=True)
class Block:
    """Rows of one width. at: (m,) which rows these are, increasing. indices, weights: (m, k), weights float64."""

    at: torch.Tensor
    indices: torch.Tensor
    weights: torch.Tensor

    def gathered(self, flat: torch.Tensor, weights: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
        """Σ_k w_ik x[index_ik] (…, m) of flattened fields (…, size), in their own type or another."""
        near = flat.index_select(-1, self.indices.reshape(-1).to(flat.device)).to(dtype or flat.dtype)
        return (near.reshape(*flat.shape[:-1], *self.indices.shape) * weights.to(near)).sum(-1)

    def of_spread_planes(self, plane: Callable[[int], torch.Tensor], points: int) -> torch.Tensor:
        """Σ_k |w_ik| x[index_ik] (m,) in float64 of fields (lat, lon) that come one at a time, by their place."""
        flat = self.indices.reshape(-1).numpy()
        channel = (flat // points).astype(np.uint16)  # numpy sorts so short numbers in linear time
        order = np.argsort(channel, kind="stable")
        seen = torch.empty(flat.size, dtype=torch.float64)
        for own in np.split(order, np.flatnonzero(np.diff(channel[order])) + 1):
            if own.size:
                number = int(channel[own[0]])
                values = plane(number).reshape(-1)
                seen[torch.from_numpy(own)] = values[torch.from_numpy(flat[own] - number * points)].double()
        return (seen.reshape(self.indices.shape) * self.weights.abs()).sum(-1)


@dataclass(frozen=True)
class Rows:
    """H of n observations on one grid and one stack of channels.

    blocks: every row is in one of them. defined: (n,) True where H exists; elsewhere all weights are zero, so H x is 0
    there and Hᵀ takes nothing from it.
    """

    grid: Grid
    channels: tuple[Channel, ...]
    blocks: tuple[Block, ...]
    defined: NDArray[np.bool_]

    def __len__(self) -> int:
        return int(self.defined.shape[0])

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """H x: values (…, channel, lat, lon) → (…, n) of the same floating type, differentiable."""
        return self._gather(values, [block.weights for block in self.blocks])

    def of_spread(self, values: torch.Tensor) -> torch.Tensor:
        """|H| x of a standard deviation (…, channel, lat, lon) → (…, n), as if all its errors were one."""
        return self._gather(values, [block.weights.abs() for block in self.blocks])

    def in_double(self, values: torch.Tensor) -> torch.Tensor:
        """H x (…, n) in float64, of fields of any precision."""
        return self._gather(values, [block.weights for block in self.blocks], torch.float64)

    def of_spread_planes(self, plane: Callable[[int], torch.Tensor]) -> torch.Tensor:
        """|H| x (n,) in float64 of a standard deviation whose fields come one at a time.

        plane: of a channel, by its place, (lat, lon); asked for only for channels that are seen.
        """
        result, points = torch.zeros(len(self), dtype=torch.float64), math.prod(self.grid.shape)
        for block in self.blocks:
            result[block.at] = block.of_spread_planes(plane, points)
        return result

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Hᵀ y: (…, n) → (…, channel, lat, lon)."""
        shape = (len(self.channels), *self.grid.shape)
        result = y.new_zeros(*y.shape[:-1], math.prod(shape))
        for block in self.blocks:
            own = y.index_select(-1, block.at.to(y.device))[..., None] * block.weights.to(y)
            result = result.index_add(-1, block.indices.reshape(-1).to(y.device), own.reshape(*y.shape[:-1], -1))
        return result.reshape(*y.shape[:-1], *shape)

    def by_channel(self, values: torch.Tensor) -> torch.Tensor:
        """H x before the sum over channels: (channel, lat, lon) → (n, channel)."""
        result = values.new_zeros(len(self), len(self.channels), dtype=torch.float64)
        for block in self.blocks:
            terms = (values.reshape(-1)[block.indices] * block.weights).double()
            own = terms.new_zeros(len(block.at), len(self.channels))
            channel = block.indices // math.prod(self.grid.shape)
            result[block.at] = own.scatter_add(1, channel, terms)
        return result

    def take(self, index: Index) -> Rows:
        """Return the rows of an index or mask, in that order."""
        blocks = []
        for block in self.blocks:
            held, own = map(torch.from_numpy, taken(block.at.numpy(), index, len(self)))
            if len(held):
                blocks.append(Block(held, block.indices[own], block.weights[own]))
        return replace(self, blocks=tuple(blocks), defined=self.defined[index])

    def magnitude(self) -> Rows:
        """Return the rows with weights without a sign."""
        return replace(self, blocks=tuple(replace(block, weights=block.weights.abs()) for block in self.blocks))

    def _gather(
        self, values: torch.Tensor, weights: Sequence[torch.Tensor], dtype: torch.dtype | None = None
    ) -> torch.Tensor:
        flat = values.reshape(*values.shape[:-3], -1)
        if len(self.blocks) == 1:  # of all rows
            return self.blocks[0].gathered(flat, weights[0], dtype)
        result = flat.new_zeros(*flat.shape[:-1], len(self), dtype=dtype)
        for block, own in zip(self.blocks, weights, strict=True):
            result = result.index_copy(-1, block.at.to(flat.device), block.gathered(flat, own, dtype))
        return result


def taken(at: NDArray[np.int64], index: Index, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return what an index or mask of n rows takes of those `at`: which of the new rows, and their places in `at`."""
    place = np.full(n, -1)
    place[at] = np.arange(at.size)
    own = place[index]
    held = np.flatnonzero(own >= 0)
    return held, own[held]


def combined(parts: Sequence[Rows], slopes: Sequence[NDArray[np.float64]]) -> Rows:
    """Σ_m slope_m H_m: the rows of a function of several inputs, linearised. slopes: (n,) each.

    parts: at least one, each of one block. Weights of zero, which most rows have of most inputs, are left out as far as
    the widest row allows.
    """
    blocks = [part.blocks[0] for part in parts if part.blocks]
    if not blocks:
        return parts[0]
    scaled = [own.weights * torch.from_numpy(slope)[:, None] for own, slope in zip(blocks, slopes, strict=True)]
    indices, weights = torch.cat([own.indices for own in blocks], 1), torch.cat(scaled, 1)
    nothing = weights == 0
    width = max(int((~nothing).sum(1).max()), 1)
    kept = torch.argsort(nothing.to(torch.uint8), dim=1, stable=True)[:, :width]
    return replace(parts[0], blocks=(Block(blocks[0].at, indices.gather(1, kept), weights.gather(1, kept)),))


def together(parts: Iterable[tuple[NDArray[np.int64], Rows]]) -> tuple[Block, ...]:
    """Return the blocks of rows of which each part has some, those of one width as one block.

    parts: which rows, increasing, and these rows.
    """
    widths: dict[int, list[Block]] = {}
    for at, rows in parts:
        numbers = torch.from_numpy(at)
        for block in rows.blocks:
            widths.setdefault(block.indices.shape[1], []).append(replace(block, at=numbers[block.at]))
    return tuple(map(_ordered, widths.values()))


def stacked(parts: Sequence[Rows]) -> tuple[Block, ...]:
    """Return the blocks of several sets of rows, one after the other, those of one width as one block."""
    first = np.cumsum([0, *map(len, parts)])
    numbered = [(np.arange(begin, begin + len(part)), part) for begin, part in zip(first, parts, strict=False)]
    return together(numbered)


def entries(blocks: Sequence[Block]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return row, index and weight (m,) of all that rows are made of."""
    if not blocks:
        nothing = torch.zeros(0, dtype=torch.long)
        return nothing, nothing, torch.zeros(0, dtype=torch.float64)
    rows = [block.at.repeat_interleave(block.indices.shape[1]) for block in blocks]
    return (
        torch.cat(rows),
        torch.cat([block.indices.flatten() for block in blocks]),
        torch.cat([block.weights.flatten() for block in blocks]),
    )


def _ordered(blocks: list[Block]) -> Block:
    """Return blocks of one width as one."""
    if len(blocks) == 1:
        return blocks[0]
    at, indices, weights = (torch.cat([getattr(b, name) for b in blocks]) for name in ("at", "indices", "weights"))
    order = torch.argsort(at)
    return Block(at[order], indices[order], weights[order])
