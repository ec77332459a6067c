"""The rows of the comparison, each with a name and an identity.

Row, LearnedRow    departures ── Method.increments ──▶ δ             s as it is known
AnalysisRow        observations ── assimilate() ──▶ x_a − x_b        s and the quality control as users have them
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np
import torch

from phyda_cli.assimilation import Analysis, AssimilationOptions, assimilate
from phyda_cli.errors_b.background_error import BackgroundError
from phyda_cli.experiments.cases import CaseBatch
from phyda_cli.fields.state import State
from phyda_cli.methods.base import Case, Increment, Method
from phyda_cli.methods.phyda import LearnedAnalysis
from phyda_cli.methods.threedvar import Minimisation, ThreeDVar
from phyda_cli.observations.errors import default_error_table
from phyda_cli.observations.table import Observations

TOLERANCE: Final = 3e-4
"""Of the gradient norm: the increment then differs from the minimum by less than 0.1 % of σ_b."""
_TOGETHER: Final = 4
"""Cases whose members are drawn together: more of them do not fit the processor's caches."""

Factors = tuple[float, float]
"""Of σ_b and of the correlation lengths."""


@dataclass(frozen=True)
class Analyses:
    """x_a − x_b of a batch, SI. mean: (case, channel, lat, lon). members: (case, member, channel, lat, lon) or None.

    used: observations of each case that passed quality control. scale: s of each case. Empty where nothing is analysed.
    """

    mean: torch.Tensor
    members: torch.Tensor | None = None
    used: Sequence[int] = ()
    scale: Sequence[float] = ()

    @classmethod
    def of(cls, increments: Sequence[Increment], batch: CaseBatch) -> Analyses:
        """Return increments on the grid of the cases, on the cases' channels, of all departures with the known s."""
        order = [increments[0].mean.channels.index(channel) for channel in batch.channels]
        mean = torch.stack([own.mean.values[order].float() for own in increments])
        members = [own.members[:, order].float() for own in increments if own.members is not None]
        used = [len(departures) for departures in batch.departures]
        drawn = torch.stack(members) if members and members[0].shape[0] else None
        return cls(mean, drawn, used, batch.scale.tolist())


class ExperimentMethod(Protocol):
    """One row of the comparison.

    It may read everything of a batch but `error` and the withheld places.
    """

    @property
    def name(self) -> str:
        """How tables call it."""
        ...

    @property
    def identity(self) -> str:
        """All that decides its analyses beside the cases (digests, factors): records of another one are made anew."""
        ...

    def analyse(self, batch: CaseBatch) -> Analyses:
        """Return the increments of the batch; a case without observations is a case like any other."""
        ...


@dataclass(frozen=True)
class Row:
    """A method of the package. method: of a density [%]; None leaves the background as it is."""

    name: str
    identity: str
    method: Callable[[float], Method | None]

    def analyse(self, batch: CaseBatch) -> Analyses:
        """Return the increments of the batch."""
        method = self.method(batch.density)
        if method is None:
            return Analyses(torch.zeros_like(batch.background))
        return Analyses.of(method.increments(batch.cases()), batch)


@dataclass(frozen=True)
class AnalysisRow:
    """A method by the path of `phyda assimilate`: checks, estimated s, limits of humidity. method: for a pair's number.

    The observations stand on the background's ground, so that no height keeps them out.
    """

    name: str
    identity: str
    method: Callable[[int], Method]

    def analyse(self, batch: CaseBatch) -> Analyses:
        """Analyses case by case; the scale is that of all variables but humidity."""
        done = [self._analysis(case) for case in batch.cases()]
        members = [
            torch.stack([own.member(number).values - own.background.values for number in range(own.member_count)])
            for own in done
            if own.member_count
        ]
        return Analyses(
            torch.stack([own.increment.values for own in done]).float(),
            torch.stack(members).float() if members else None,
            [int(own.log["used"]) for own in done],
            [float(own.log["background_error_scale"]) for own in done],
        )

    def _analysis(self, case: Case) -> Analysis:
        background = replace(case.background, values=case.background.values.double())
        return assimilate(
            background,
            _observations(case, background),
            method=self.method(case.seed),
            table=default_error_table(),
            options=AssimilationOptions(window=np.timedelta64(3, "h"), background_error_scale=None),
            orography=torch.zeros(background.grid.shape, dtype=torch.float64),
        )


def _observations(case: Case, background: State) -> Observations:
    """Return the observations of departures: H(x_b) + d, which is H(x_t) and its noise."""
    held, time = case.departures, background.time.astype("datetime64[ns]")
    equivalent = held.operator.states(background.grid, background.channels)(background.values)
    return Observations.build(
        "experiment",
        variable=held.variable,
        latitude=held.latitude,
        longitude=held.longitude,
        pressure=held.pressure,
        value=equivalent + held.departure,
        error=held.error,
        time=np.full(len(held), time),
        elevation=np.zeros(len(held)),
    )


class FirstGuesses:
    """3D-Var's increments of the batch that was asked for last: several learned methods start from them."""

    def __init__(self, method: ThreeDVar) -> None:
        self.method = method
        self._held: tuple[CaseBatch, tuple[torch.Tensor, Minimisation]] | None = None

    def __call__(self, batch: CaseBatch) -> tuple[torch.Tensor, Minimisation]:
        """Return increments (case, channel, lat, lon) with each case's s, and how their minimisation went."""
        if self._held is None or self._held[0] is not batch:
            cases = batch.cases()
            departures, scales = [case.departures for case in cases], [case.scale for case in cases]
            solved = self.method.solve(departures, scales, [case.background for case in cases])
            self._held = batch, solved
        return self._held[1]


@dataclass(frozen=True)
class LearnedRow:
    """Weights, with the first guesses that they share with others."""

    name: str
    identity: str
    analysis: LearnedAnalysis
    first_guesses: FirstGuesses

    def analyse(self, batch: CaseBatch) -> Analyses:
        """Members of the batch, a few cases at a time."""
        cases, (guesses, minimisation) = batch.cases(), self.first_guesses(batch)
        made = []
        for start in range(0, len(cases), _TOGETHER):
            own = slice(start, start + _TOGETHER)
            observed = all(len(case.departures) for case in cases[own])
            given = (guesses[own], minimisation) if observed else None
            made += self.analysis.increments(cases[own], given)
        return Analyses.of(made, batch)


def solver(statistics: BackgroundError, factors: Factors, *, tolerance: float = TOLERANCE) -> ThreeDVar:
    """3D-Var with σ_b and the correlation lengths multiplied by the factors."""
    sigma, length = factors
    changed = statistics if length == 1.0 else statistics.stretched(length)
    return ThreeDVar(changed.scaled(sigma), tolerance=tolerance, dtype=torch.float32)
