"""3D-Var as a row of the comparison, with factors of σ_b and of the correlation lengths of its own at each density.

B scaled by s² is the same as departures and σ_o divided by s, so that cases of different s are solved together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

import numpy as np
import torch

from phyda_cli.errors_b.background_error import BackgroundError
from phyda_cli.experiments.cases import CaseBatch
from phyda_cli.experiments.methods.base import Analyses
from phyda_cli.fields.state import Channel
from phyda_cli.methods.base import Departures
from phyda_cli.methods.threedvar import Minimisation, ThreeDVar

TOLERANCE: Final = 3e-3
"""Of the gradient norm: the increment then differs from the minimum by less than 1 % of σ_b."""

_REMEMBERED: Final = 64
"""Cases whose first guesses are kept."""

Factors = tuple[float, float]
"""Of σ_b and of the correlation lengths."""


@dataclass(frozen=True)
class VariationalMethod:
    """3D-Var. factors: by density [%]; (1, 1) where there is none."""

    statistics: BackgroundError
    identity: str
    factors: Mapping[float, Factors] = field(default_factory=dict)
    name: str = "3dvar"

    def analyse(self, batch: CaseBatch) -> Analyses:
        """The increments of the batch, solved together."""
        return Analyses(increments(self._solver(batch.density), batch))

    def _solver(self, density: float) -> ThreeDVar:
        if density not in self._solvers:
            self._solvers[density] = solver(self.statistics, self.factors.get(density, (1.0, 1.0)))
        return self._solvers[density]

    @cached_property
    def _solvers(self) -> dict[float, ThreeDVar]:
        return {}


@dataclass(frozen=True)
class RememberedThreeDVar(ThreeDVar):
    """3D-Var that remembers its last cases: several learned methods ask for the same first guesses."""

    def minimise(self, cases: Sequence[Departures]) -> tuple[torch.Tensor, Minimisation]:
        """As 3D-Var's; those cases that it does not remember are solved together, all others count as converged."""
        minimisation = Minimisation(0, 0.0, True)
        keys = [_key(case) for case in cases]
        missing = [number for number, key in enumerate(keys) if key not in self._held]
        if missing:
            solved, minimisation = super().minimise([cases[number] for number in missing])
            self._held.update(zip((keys[number] for number in missing), solved, strict=True))
        result = torch.stack([self._held[key] for key in keys])
        while len(self._held) > _REMEMBERED:
            self._held.pop(next(iter(self._held)))
        return result, minimisation

    @cached_property
    def _held(self) -> dict[bytes, torch.Tensor]:
        return {}


def _key(case: Departures) -> bytes:
    digest = hashlib.sha256()
    for column in (case.departure, case.error, case.latitude, case.longitude, case.pressure):
        digest.update(np.ascontiguousarray(column).tobytes())
    digest.update(",".join(case.variable.tolist()).encode())
    return digest.digest()


def solver(statistics: BackgroundError, factors: Factors, *, tolerance: float = TOLERANCE) -> ThreeDVar:
    """3D-Var with σ_b and the correlation lengths multiplied by the factors."""
    sigma, length = factors
    changed = statistics if length == 1.0 else statistics.stretched(length)
    return ThreeDVar(changed.scaled(sigma), tolerance=tolerance, dtype=torch.float32)


def increments(method: ThreeDVar, batch: CaseBatch) -> torch.Tensor:
    """3D-Var's increments with each case's s, on the channels of the cases; zero where nothing is observed."""
    result = torch.zeros_like(batch.background)
    observed = [number for number, case in enumerate(batch.departures) if len(case)]
    if not observed:
        return result
    scaled = []
    for number in observed:
        case, s = batch.departures[number], float(batch.scale[number])
        scaled.append(replace(case, departure=case.departure / s, error=case.error / s))
    channels: tuple[Channel, ...] = batch.withheld[0].channels
    order = [method.channels().index(channel) for channel in channels]
    solved = method.increments(scaled).float()[:, order]
    result[observed] = solved * batch.scale[observed][:, None, None, None]
    return result
