"""Conjugate gradients for a batch of symmetric positive definite systems A x = b.

    α = rᵀr / pᵀAp,  x ← x + α p,  r' = r − α A p,  β = r'ᵀr' / rᵀr,  p ← r' + β p

One α and β for each case; a case that has converged stands still while the others go on. The long sums of the inner
products are in float64, whatever the type of the vectors, so that float32 does not stall. Source: Hestenes and Stiefel
(1952).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import torch

_SELDOM: Final = 8
"""On another device than the processor, every how many iterations is asked whether all cases have converged: the answer
makes the processor wait for the device, and iterations that are too many change nothing."""
_PART: Final = 1024
"""Products that are summed before float64 takes over: few enough for float32."""


class Solution(NamedTuple):
    """x: (size, case) the solution. iterations: how many were made. residual: (case,) |b − A x| / |b| at the end.

    tolerance: what was asked of the residual.
    """

    x: torch.Tensor
    iterations: int
    residual: torch.Tensor
    tolerance: float

    @property
    def is_finite(self) -> bool:
        """Whether every case stayed finite; one that did not has no solution."""
        return bool(torch.isfinite(self.residual).all())

    @property
    def converged(self) -> bool:
        """Whether every case reached the tolerance."""
        return bool((self.residual <= self.tolerance).all())


def conjugate_gradients(
    apply: Callable[[torch.Tensor], torch.Tensor],
    b: torch.Tensor,
    *,
    tolerance: float,
    max_iterations: int,
    guess: torch.Tensor | None = None,
) -> Solution:
    """Solve A x = b until |r| ≤ tolerance · |b| in every case, or max_iterations are made.

    apply: x ↦ A x for (size, case) tensors. b: (size, case). guess: where x starts, by default at 0. A case with b = 0
    has the solution 0.
    """
    start = _dot(b, b)
    x = torch.zeros_like(b) if guess is None else guess * (start > 0).to(b.dtype)
    r = b.clone() if guess is None else b - apply(x)
    p, rr = r.clone(), _dot(r, r)
    smallest = torch.finfo(torch.float64).tiny
    iterations, looks = 0, 1 if b.device.type == "cpu" else _SELDOM
    while iterations < max_iterations:
        active = rr > (tolerance**2) * start
        if iterations % looks == 0 and not bool(active.any()):
            break
        ap = apply(p)
        # a case that has converged has α = 0: x and r stay, and p serves no more
        alpha = torch.where(active, rr / _dot(p, ap).clamp_min(smallest), 0.0)
        x.addcmul_(p, alpha.to(b.dtype))
        r.addcmul_(ap, alpha.to(b.dtype), value=-1)
        previous, rr = rr, torch.where(active, _dot(r, r), rr)
        beta = torch.where(active, rr / previous.clamp_min(smallest), 0.0)
        p.mul_(beta.to(b.dtype)).add_(r)
        iterations += 1
    residual = torch.sqrt(rr / start.clamp_min(smallest))
    broken = ~torch.isfinite(start) | ~torch.isfinite(x).all(0)
    return Solution(x, iterations, torch.where(broken, torch.nan, residual), tolerance)


def _dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """(case,) inner products: sums of at most `_PART` products in the vectors' own type, then of these in float64."""
    products = a * b
    whole = a.shape[0] // _PART * _PART
    parts = products[:whole].reshape(-1, _PART, a.shape[1]).sum(1)
    return torch.cat([parts, products[whole:].sum(0, keepdim=True)]).double().sum(0)
