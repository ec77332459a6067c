"""3D-Var for every member of an ensemble: an ensemble of data assimilations.

    x_a,i = x_i + δ_i,     δ_i = 3D-Var of y + ε_i − H(x_i),     ε_i ~ N(0, R),     Σ_i ε_i = 0

Each member assimilates its own perturbation of the observations, so that the members' spread is that of the analysis
and not less (Burgers et al. 1998). B is that of the statistics, the ensemble does not enter it. Perturbations are
drawn for each member from the seed and the member's number, whatever the order of members and rows, then centred, and
scaled by √(N/(N − 1)) to keep their variance: the mean of the members is the 3D-Var analysis of their mean. With the
Huber cost all members have the weights of that analysis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.errors_b.error_scale import ErrorScale
from phyda_cli.fields.state import State
from phyda_cli.methods.base import Case, Increment, Log, Method
from phyda_cli.methods.huber import weights_of
from phyda_cli.methods.threedvar import ThreeDVar
from phyda_cli.operators.operator import Operator


@dataclass(frozen=True)
class EnsembleThreeDVar(Method):
    """3D-Var of every member.

    method: 3D-Var; its own members are not used. background_members: (member, channel, lat, lon) [SI].
    numbers: of the members, one each. seed: of their perturbations. Raises BadDataError for fewer than two members.
    """

    method: ThreeDVar
    background_members: State
    numbers: tuple[int, ...]
    seed: int = 0
    name: str = "3dvar"

    def __post_init__(self) -> None:
        shape = self.background_members.values.shape
        if len(shape) != 4 or not len(self.numbers) == shape[0] >= 2:
            raise BadDataError("3D-Var of an ensemble needs at least two members, each with a number")

    def scaled(self, scale: ErrorScale) -> EnsembleThreeDVar:
        """Return the same method for background errors that are larger by these factors."""
        return replace(self, method=self.method.scaled(scale))

    def trial(self) -> ThreeDVar:
        """Return the analysis of the mean alone."""
        return self.method.trial()

    @property
    def largest_scale(self) -> ErrorScale:
        """That of the statistics."""
        return self.method.largest_scale

    def background_error_at(self, operator: Operator, background: State) -> NDArray[np.float64]:
        """That of the statistics."""
        return self.method.background_error_at(operator, background)

    def unobserved(self, background: State) -> Increment:
        """No member changes."""
        own = replace(self.method, members=0).unobserved(background)
        members = torch.zeros(len(self.numbers), *own.mean.values.shape, dtype=torch.float64)
        return replace(own, members=members)

    def increments(self, cases: Sequence[Case]) -> list[Increment]:
        """Return the increments of the members from their own backgrounds, and their mean; all cases are of this
        ensemble.

        cases: with H(x_i) of every member, in the order of the ensemble. Raises BadDataError without these.
        """
        return [self.scaled(case.scale)._increment(case) for case in cases]

    def _increment(self, case: Case) -> Increment:
        if case.departures.equivalents is None:
            raise BadDataError("3D-Var of an ensemble needs the members at the observations")
        ordered, method = case.departures.canonical(), self.method
        log: Log = {}
        weights = None
        if method.huber is not None:
            whole = method.minimum([ordered], [case.background])
            ordered, log, method = whole.cases[0], whole.log, replace(method, huber=None)
            weights = weights_of(case.departures, ordered)
        assert ordered.equivalents is not None
        own = ordered.equivalents.mean(0) - ordered.equivalents
        perturbed = ordered.departure + own + ordered.error * self._perturbations(len(ordered))
        members, minimisation = method.minimise(
            [replace(ordered, departure=d, equivalents=None) for d in perturbed], [case.background] * len(perturbed)
        )
        values = members.cpu().double()
        labels = (self.method.statistics.channels, self.method.statistics.grid, case.background.time)
        log = {"ensemble": len(self.numbers), **log, **minimisation.log()}
        return Increment(State(values.mean(0), *labels), None, values, log, weights=weights)

    def _perturbations(self, count: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        """ε/σ_o (member, observation)."""
        size = len(self.numbers)
        noise = np.stack([np.random.default_rng([self.seed, n]).standard_normal(count) for n in self.numbers])
        return np.asarray((noise - noise.mean(0)) * np.sqrt(size / (size - 1)))
