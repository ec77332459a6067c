"""Conjugate gradients for a batch of symmetric positive definite systems A x = b.

    α = rᵀr / pᵀAp,  x ← x + α p,  r' = r − α A p,  β = r'ᵀr' / rᵀr,  p ← r' + β p

One α and β for each case; a case that has converged stands still while the others go on. Inner products are summed in
float64, whatever the type of the vectors, so that float32 does not stall. Source: Hestenes and Stiefel (1952).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch


class Solution(NamedTuple):
    """x: (case, …) the solution. iterations: how many were made. residual: (case,) |b − A x| / |b| at the end."""

    x: torch.Tensor
    iterations: int
    residual: torch.Tensor


def conjugate_gradients(
    apply: Callable[[torch.Tensor], torch.Tensor], b: torch.Tensor, *, tolerance: float, max_iterations: int
) -> Solution:
    """Solve A x = b from x = 0 until |r| ≤ tolerance · |b| in every case, or max_iterations are made.

    apply: x ↦ A x for (case, …) tensors. b: (case, …). A case with b = 0 has the solution 0.
    """
    x, r, p = torch.zeros_like(b), b.clone(), b.clone()
    start = rr = _dot(r, r)
    iterations = 0
    while iterations < max_iterations:
        active = rr > (tolerance**2) * start
        if not bool(active.any()):
            break
        ap = apply(p)
        alpha = torch.where(active, rr / _dot(p, ap).clamp_min(torch.finfo(torch.float64).tiny), 0.0)
        x = x + _spread(alpha, p) * p
        r = r - _spread(alpha, p) * ap
        previous, rr = rr, torch.where(active, _dot(r, r), rr)
        beta = torch.where(active, rr / previous.clamp_min(torch.finfo(torch.float64).tiny), 0.0)
        p = torch.where(_spread(active, p), r + _spread(beta, p) * p, p)
        iterations += 1
    return Solution(x, iterations, torch.sqrt(rr / start.clamp_min(torch.finfo(torch.float64).tiny)))


def _dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """(case,) inner products in float64."""
    return (a.double() * b.double()).flatten(1).sum(1)


def _spread(scalar: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A (case,) tensor shaped to multiply `like` (case, …); numbers take its type."""
    shaped = scalar.reshape(-1, *([1] * (like.dim() - 1)))
    return shaped if shaped.dtype == torch.bool else shaped.to(like.dtype)
