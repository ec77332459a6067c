"""One background and what it says of the observations, before and between analyses.

Its departures, the first guess that the checks are given, the size of its errors by the departures, and trial analyses
by which neighbours judge.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.assimilation.options import AssimilationOptions
from phyda_cli.errors_b.error_scale import ErrorScale
from phyda_cli.fields.state import State
from phyda_cli.methods.base import Departures, EnsembleMethod, Increment, Method
from phyda_cli.methods.scale import Innovations, estimated_scale
from phyda_cli.observations.errors import ErrorTable
from phyda_cli.observations.passive import apart, is_active, set_aside
from phyda_cli.observations.predicted import Predicted
from phyda_cli.observations.table import Observations
from phyda_cli.operators.first_guess import FirstGuess
from phyda_cli.quality.neighbours import ROUNDS, check_neighbours, check_reports
from phyda_cli.quality.screening import Guess
from phyda_cli.quality.sounder import ground_error

Mask = NDArray[np.bool_]

_UNJUDGED: Final = 1e30
"""σ_b for the check against neighbours of what trial analyses do not reach."""


@dataclass(frozen=True)
class Case:
    """One background with what it says of the observations.

    first: G. equivalent: (n,) G(x_b), equivalents: (member, n) G(x_i) of an ensemble, whose members ensemble holds.
    fade: of increments (lat, lon), None for 1.
    """

    background: State
    first: FirstGuess
    equivalent: NDArray[np.float64]
    equivalents: NDArray[np.float64] | None
    ensemble: State | None
    fade: torch.Tensor | None

    @classmethod
    def of(cls, background: State, first: FirstGuess, method: Method, fade: torch.Tensor | None) -> Case:
        """Return the case of a background, of an ensemble with the H of its members."""
        if not isinstance(method, EnsembleMethod):
            return cls(background, first, first(background.values), None, None, fade)
        members = method.background_members
        equivalents = np.stack([first(values) for values in members.values])
        return cls(background, first, equivalents.mean(0), equivalents, members, fade)

    def corrected(self, bias: NDArray[np.float64]) -> Case:
        """Return the case whose G has a bias (n,) in it."""
        first = replace(self.first, tendency=self.first.tendency + bias)
        of_members = None if self.equivalents is None else self.equivalents + bias
        return replace(self, first=first, equivalent=self.equivalent + bias, equivalents=of_members)

    def analysed(self, method: Method, rows: Observations, start: torch.Tensor | None = None) -> Increment:
        """Return the increment of the rows in use. start: the `control` of an analysis of nearly the same rows."""
        if not rows.used.any():
            return method.unobserved(self.background)
        return method.increment(self.background, self.departures(rows, rows.used), start)

    def predicted(
        self, method: Method, near_ground: Mask, rows: Observations, wanted: Mask, judging: Mask
    ) -> Predicted:
        """Return the method's predictions of wanted rows from judging ones; near_ground: those that it predicts."""
        index = np.flatnonzero((wanted | judging) & near_ground)
        found = method.predicted(self.departures(rows, (wanted | judging) & near_ground), wanted[index], judging[index])
        return found.among(len(rows), index)

    def departures(self, rows: Observations, mask: Mask) -> Departures:
        """Return the departures of some of the rows."""
        held = np.flatnonzero(mask)
        operator, departure = self.first.increments.take(held), (rows.value - self.equivalent)[held]
        of_members = None if self.equivalents is None else self.equivalents[:, held]
        return Departures(operator, departure, rows.error[held], of_members)


def guess_of(
    case: Case, observations: Observations, method: Method, table: ErrorTable, options: AssimilationOptions
) -> Guess:
    """Return what the checks are told of observations before the size of the background's errors is known."""
    operator, sounder = case.first.increments, options.quality.sounder
    sigma = method.background_error_at(operator, case.background)
    return Guess(
        channels=case.background.channels,
        time=case.background.time,
        window=options.window,
        equivalent=case.equivalent,
        defined=case.first.operator.defined,
        beyond=operator.beyond(case.background.grid),
        margin=options.margin,
        surface_pressure=operator.surface_pressure,
        difference=operator.difference,
        sigma=sigma,
        scaled_sigma=sigma,
        ground_error=ground_error(case.first.operator.ground(case.background.values), operator.land, sounder),
        method=method.name,
        table=table,
        quality=options.quality,
    )


def scale_of(rows: Observations, options: AssimilationOptions, case: Case, method: Method) -> ErrorScale:
    """Return how large the background's errors are, as told or as departures of what may be assimilated say."""
    if options.background_error_scale is not None:
        return ErrorScale.uniform(options.background_error_scale)
    scaling = method.scaling
    if scaling is None:
        return ErrorScale.uniform(1.0)
    reached = scaling.background_error_at(case.first.increments, case.background) > 0
    usable = np.flatnonzero(rows.used & is_active(rows) & reached)
    operator = case.first.increments.take(usable)

    def sigma_of(scale: float) -> NDArray[np.float64]:
        return scaling.scaled(ErrorScale.uniform(scale)).background_error_at(operator, case.background)

    departure = (rows.value - case.equivalent)[usable]
    return estimated_scale(
        Innovations(rows.variable[usable], departure, rows.error[usable], sigma_of),
        otherwise=options.usual_scale,
        uniform=case.ensemble is not None,
        largest=method.largest_scale,
    )


class Judged(NamedTuple):
    """Rows as neighbours judge them.

    trials: how many analyses that took. settled: whether all converged. control: that of the last one.
    """

    rows: Observations
    trials: int
    settled: bool
    control: torch.Tensor | None


def ask_neighbours(method: Method, case: Case, candidates: Observations, guess: Guess) -> Judged:
    """Return the candidates, judged by trial analyses until nothing changes; each begins where the last one ended."""
    method, judged, trials, settled = (method.scaling or method).trial(), candidates, 0, True
    control: torch.Tensor | None = None
    active = is_active(candidates)
    reached = method.background_error_at(case.first.increments, case.background) > 0
    if guess.predicted is not None:
        reached &= ~guess.predicted
    sigma = np.where(reached, guess.sigma, _UNJUDGED)
    while trials < ROUNDS and bool((candidates.used & active).any()):
        trial = case.analysed(method, set_aside(judged), control)
        control = trial.control
        settled &= bool(trial.log.get("converged", True))
        moved = case.equivalent + trial.at(case.first.increments)
        before = judged.used
        judged = apart(check_neighbours(candidates, moved, sigma, guess.table), lambda own, _: check_reports(own))
        trials += 1
        if np.array_equal(judged.used[active], before[active]):
            break
    return Judged(judged, trials, settled, control)
