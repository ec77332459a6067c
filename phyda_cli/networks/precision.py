"""bfloat16 for convolutions and products, where the device computes in it; sums and parameters stay float32.

Elsewhere it would be many times slower. What it does to members is measured by `benchmarks/evaluations.py`.
"""

from __future__ import annotations

import torch


def computes_bfloat16(device: torch.device | str) -> bool:
    """Return whether a device has instructions for bfloat16."""
    return torch.device(device).type == "cuda" or torch.cpu._is_avx512_bf16_supported()


def in_bfloat16(device: torch.device | str, *, enabled: bool) -> torch.autocast:
    """Return a context in which convolutions and products on a device are in bfloat16, or as they were."""
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=enabled)
