"""The Huber cost of observations: one that disagrees grossly pulls with a constant force, not an ever larger one.

    J_o = Σ ρ(r),    r = (y − H(x_b) − H δ) / σ_o,    ρ(r) = ½ r²  where |r| ≤ c,  c |r| − ½ c²  beyond

Its minimum is found by reweighted least squares in an outer loop: w = min(1, c/|r|) of the analysis before, then the
quadratic problem with σ_o/√w in place of σ_o, until the weights settle. J is convex and never rises from one round to
the next, and the posterior about its minimum is that of the raised errors. An observation whose own background is
uncertain is not punished for its departure: r is that from the analysis, which has had its chance to draw to it.
Source: Huber (1964), Tavolato and Isaksen (2015).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.methods.base import Departures


@dataclass(frozen=True)
class Huber:
    """The cost and how its minimum is looked for.

    transition: c [σ_o]. rounds: most reweighted problems. settled: the change of every weight that ends them.
    """

    transition: float
    rounds: int = 6
    settled: float = 0.02

    def weights(self, residual: torch.Tensor) -> torch.Tensor:
        """W of residuals r [σ_o]."""
        return (self.transition / residual.abs().double().clamp_min(self.transition)).to(residual)

    def cost(self, residual: torch.Tensor) -> torch.Tensor:
        """ρ of residuals r [σ_o]."""
        size = residual.abs()
        return torch.where(
            size <= self.transition, 0.5 * size.square(), self.transition * size - 0.5 * self.transition**2
        )


def weights_of(given: Departures, raised: Departures) -> NDArray[np.float64]:
    """(n,) w of departures, from the same in canonical order with the errors that they were given."""
    order = given.order()
    result = np.ones(len(order))
    result[order] = (given.error[order] / raised.error) ** 2
    return result


def reweighted(cases: Sequence[Departures], weights: torch.Tensor) -> list[Departures]:
    """Return the cases with σ_o/√w for σ_o. weights: (n,) of the rows of all cases, one after the other."""
    roots = torch.split(weights.double().cpu().sqrt(), [len(case) for case in cases])
    return [replace(case, error=case.error / root.numpy()) for case, root in zip(cases, roots, strict=True)]
