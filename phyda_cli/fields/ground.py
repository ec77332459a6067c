"""What lies under a background: how high its ground is, and which of it is land."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Ground:
    """height: (rows, columns) [m]. land: (rows, columns) part of land, lakes are water, 0 to 1. None: not known."""

    height: torch.Tensor | None = None
    land: torch.Tensor | None = None
