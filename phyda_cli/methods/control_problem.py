"""The linear system of 3D-Var for a batch of cases, in packed control vectors v (size, case).

    (I + Lᵀ Hᵀ R⁻¹ H L) v = Lᵀ Hᵀ R⁻¹ d,     δ = S L v

L is the root of the background error (`Transform`), R^{-1/2} H S the weighted operator; S is what one unit of the
statistics is (`errors_b/humidity.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from phyda_cli.errors import BadDataError
from phyda_cli.methods.base import Departures
from phyda_cli.methods.conjugate_gradients import Solution, conjugate_gradients
from phyda_cli.methods.huber import Huber
from phyda_cli.methods.weighted_operator import WeightedOperator


class Transform(Protocol):
    """L between packed control vectors v ~ N(0, I) (size, case) and fields (lon, lat, channel, case), L Lᵀ = B."""

    @property
    def size(self) -> int:
        """The length of a packed control vector."""
        ...

    def forward(self, v: torch.Tensor) -> torch.Tensor:
        """L v."""
        ...

    def adjoint(self, fields: torch.Tensor) -> torch.Tensor:
        """Lᵀ of fields."""
        ...


@dataclass(frozen=True)
class ControlProblem:
    """The system of some cases.

    sizes: S (case, channel, lat, lon), None for 1. huber: the cost of observations, None for the quadratic one.
    largest: the largest σ_b, for the message of a system that cannot be solved.
    """

    transform: Transform
    observe: WeightedOperator
    cases: Sequence[Departures]
    sizes: torch.Tensor | None
    huber: Huber | None
    max_iterations: int
    largest: float

    @torch.no_grad()
    def solve(self, *, tolerance: float, guess: torch.Tensor | None = None) -> Solution:
        """Return the analysis in control space. guess: where the minimisation starts."""
        return self._solved(self.observe.departure, tolerance, guess)

    @torch.no_grad()
    def sample(self, zeta: torch.Tensor, noise: torch.Tensor, *, tolerance: float) -> tuple[torch.Tensor, Solution]:
        """Return samples (case, channel, lat, lon) of the posterior, for cases that share their observations.

        zeta: (size, case) background draws. noise: (observation, case) draws of unit variance.
        """
        target = self.observe.departure + noise - self.observe(self.transform.forward(zeta))
        solution = self._solved(target, tolerance, None)
        return self.fields(solution.x + zeta), solution

    @torch.no_grad()
    def fields(self, v: torch.Tensor) -> torch.Tensor:
        """S L v: (case, channel, lat, lon)."""
        fields = fields_of(self.transform.forward(v))
        return fields if self.sizes is None else fields * self.sizes

    @torch.no_grad()
    def residual(self, v: torch.Tensor) -> torch.Tensor:
        """(d − H L v)/σ_o (observation, column)."""
        return self.observe.departure - self.observe(self.transform.forward(v))

    @torch.no_grad()
    def cost(self, v: torch.Tensor) -> tuple[float, float]:
        """J(0) and J(v), summed over the cases."""
        before, after = (self._misfit(r.double()) for r in (self.observe.departure, self.residual(v)))
        return before, float(0.5 * v.double().square().sum()) + after

    def _misfit(self, residual: torch.Tensor) -> float:
        cost = 0.5 * residual.square() if self.huber is None else self.huber.cost(residual)
        return float(cost.sum())

    def _solved(self, target: torch.Tensor, tolerance: float, guess: torch.Tensor | None) -> Solution:
        def hessian(v: torch.Tensor) -> torch.Tensor:
            return self._gradient(self.observe(self.transform.forward(v))).add_(v)

        solution = conjugate_gradients(
            hessian,
            self._gradient(target),
            tolerance=tolerance,
            max_iterations=self.max_iterations,
            guess=guess,
        )
        if not solution.is_finite:
            raise BadDataError(self._why_not_finite())
        return solution

    def _why_not_finite(self) -> str:
        """Return what a person can change: the extremes that the minimisation had to weigh against each other."""
        smallest = min((case for case in self.cases if len(case)), key=lambda case: float(case.error.min()))
        row = int(np.argmin(smallest.error))
        return (
            f"3D-Var cannot be solved: the smallest observation error is {smallest.error[row]:.3g} (of "
            f"{smallest.variable[row]}), the largest background error {self.largest:.3g}; give observation errors that "
            "the instruments have (the column error, or --errors where there is none), or another background error "
            "(--background-error-scale, --background-error)"
        )

    def _gradient(self, y: torch.Tensor) -> torch.Tensor:
        """Lᵀ Hᵀ R^{-1/2} y."""
        return self.transform.adjoint(self.observe.adjoint(y))


def fields_of(x: torch.Tensor) -> torch.Tensor:
    """(case, channel, lat, lon) of fields as a transform makes them."""
    return x.permute(3, 2, 1, 0)
