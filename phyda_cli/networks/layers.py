"""Convolutions and attention on the sphere: without a seam at the dateline and without an edge at the poles.

Fields go on across the poles and round in longitude (`grids.places.pad_sphere`). Attention sees the rows of two tokens
and the difference of their longitudes only. So every layer commutes with rotations of its input by whole (coarse)
columns, exactly.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from phyda_cli.grids.places import pad_sphere


class SphereConv(nn.Module):
    """A 3 × 3 convolution on the sphere: (batch, inputs, H, W) → (batch, outputs, H, W)."""

    def __init__(self, inputs: int, outputs: int, *, zero: bool = False) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 3)
        if zero:
            nn.init.zeros_(self.convolution.weight)
            nn.init.zeros_(self.convolution.bias)  # type: ignore[arg-type]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.convolution(pad_sphere(x))
        return result


class Down(nn.Conv2d):
    """The strided convolution of a scale: each 2 × 2 block becomes one token of (outputs,) numbers."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 2, stride=2)


class Unpatch(nn.ConvTranspose2d):
    """The reverse of `Down`: one token becomes a block of 2 × 2 points; zero before training."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 2, stride=2)
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)  # type: ignore[arg-type]


class Up(nn.Module):
    """Back to the finer scale: nearest neighbour, then a convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # a 1 × 1 convolution commutes with copying, and before it there are four times fewer points
        return functional.interpolate(self.convolution(x), scale_factor=2.0, mode="nearest")


class Residual(nn.Module):
    """x + conv(SiLU(γ norm(conv(SiLU(norm x))) + β)), with γ, β from an embedding where there is one (FiLM)."""

    def __init__(self, width: int, *, embedding: int = 0) -> None:
        super().__init__()
        self.first_norm = nn.GroupNorm(_groups(width), width)
        self.first = SphereConv(width, width)
        self.second_norm = nn.GroupNorm(_groups(width), width)
        self.second = SphereConv(width, width, zero=True)
        self.modulation = nn.Linear(embedding, 2 * width) if embedding else None

    def forward(self, x: torch.Tensor, embedding: torch.Tensor | None = None) -> torch.Tensor:
        h = self.second_norm(self.first(functional.silu(self.first_norm(x))))
        if self.modulation is not None and embedding is not None:
            scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, dim=1)
            h = h * (1 + scale) + shift
        result: torch.Tensor = x + self.second(functional.silu(h))
        return result


class Attention(nn.Module):
    """x + W softmax(Q Kᵀ/√d + b) V over all tokens of a coarse map (batch, width, H, W).

    b (head, row, row′, Δcolumn) is learned: it tells places apart by latitude and by difference of longitude.
    `weights` gives softmax(…), (batch, head, token, token), for the maps of the paper's analysis of the VRE.
    """

    def __init__(self, width: int, heads: int, shape: tuple[int, int]) -> None:
        super().__init__()
        rows, columns = shape
        self.heads = heads
        self.norm = nn.GroupNorm(_groups(width), width)
        self.inputs = nn.Conv2d(width, 3 * width, 1)
        self.output = nn.Conv2d(width, width, 1)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)  # type: ignore[arg-type]
        self.bias = nn.Parameter(torch.zeros(heads, rows, rows, columns))
        row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        row, column = row.flatten(), column.flatten()
        index = (row[:, None] * rows + row[None, :]) * columns + (column[None, :] - column[:, None]) % columns
        self.register_buffer("index", index, persistent=False)
        self.index: torch.Tensor

    def _split(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        q, k, v = self.inputs(self.norm(x)).flatten(2).unflatten(1, (3, self.heads, -1)).mT.unbind(1)
        return q, k, v

    def weights(self, x: torch.Tensor) -> torch.Tensor:
        """softmax(Q Kᵀ/√d + b): (batch, head, token, token), rows sum to one."""
        q, k, _ = self._split(x)
        return torch.softmax(q @ k.mT / q.shape[-1] ** 0.5 + self.bias.flatten(1)[:, self.index], dim=-1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self._split(x)
        mask = self.bias.flatten(1)[:, self.index].to(q)[None].expand(q.shape[0], -1, -1, -1)
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        result: torch.Tensor = x + self.output(mixed.mT.reshape(x.shape))
        return result


def _groups(width: int) -> int:
    """Groups of the normalisation: as many as give eight channels each, if they divide the width."""
    return max(divisor for divisor in range(1, max(width // 8, 1) + 1) if width % divisor == 0)
