"""3D-Var: the increment δx = L v that minimises

    J(v) = ½ vᵀv + ½ (H L v − d)ᵀ R⁻¹ (H L v − d),     d = y − H(x_b),  L Lᵀ = B,  R = diag σ_o²

so (I + Lᵀ Hᵀ R⁻¹ H L) v = Lᵀ Hᵀ R⁻¹ d, solved by conjugate gradients; B^{1/2} is the preconditioner (Courtier 1997).
The spread comes from members that are samples of the posterior N(x_a, (B⁻¹ + Hᵀ R⁻¹ H)⁻¹) itself: each starts from a
random draw L ζ of the background error and assimilates observations perturbed by ε ~ N(0, R),

    δ_i = L (ζ_i + v_i),   (I + Lᵀ Hᵀ R⁻¹ H L) v_i = Lᵀ Hᵀ R⁻¹ (d + ε_i − H L ζ_i)
    σ_a² = σ_b² · ⟨(δ_i − δ)²⟩ / ⟨(L ζ_i)²⟩            means over members and over 3 × 3 grid points

The same draws stand above and below, so their sampling noise cancels where observations change little, and without
observations σ_a is σ_b exactly. Cases and members are solved as one batch. Source: Fisher and Courtier (1995), Burgers
et al. (1998), the local averaging of sampled variances Raynaud et al. (2009).

With `huber` (`huber.py`) the observations' part of J grows linearly for residuals beyond a few σ_o; the samples are
then those of the errors that its weights raise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.errors_b.background_error import BackgroundError
from phyda_cli.errors_b.control import ControlTransform
from phyda_cli.errors_b.error_scale import LARGEST, ErrorScale
from phyda_cli.errors_b.humidity import humidity_size
from phyda_cli.errors_b.resolution import at_truncation, fitting_truncation
from phyda_cli.fields.state import State
from phyda_cli.grids.places import local_mean
from phyda_cli.methods.base import Case, Departures, Increment, Log, Method, zero
from phyda_cli.methods.conjugate_gradients import Solution
from phyda_cli.methods.control_problem import ControlProblem, Transform, fields_of
from phyda_cli.methods.huber import Huber, reweighted, weights_of
from phyda_cli.methods.material import Material
from phyda_cli.methods.weighted_operator import WeightedOperator
from phyda_cli.operators.operator import Operator
from phyda_cli.settings.methods import ThreeDVarSettings

MEMBERS: Final = 8
"""Samples of an analysis."""
TOGETHER: Final = 4
"""Members whose fields are made together: those of all at once would be the most of an analysis's memory."""
BETWEEN: Final = 3.0
"""Of `ThreeDVar.between`: at withheld sondes 3 and 10 leave errors within 2 % of each other, 0 leaves more."""
_NO_TIME: Final = np.datetime64("NaT", "ns")
_TRIAL_TOLERANCE: Final = 3e-3
"""Reduction of the gradient that is enough for a trial analysis: observations are compared with it in several σ_o."""
_MEMBER_TOLERANCE: Final = 2e-2
"""Reduction of the gradient that is enough for a sample: far below its own randomness."""


class Minimisation(NamedTuple):
    """How a minimisation went: iterations, |∇J| relative to its start, and whether that is as small as was asked."""

    iterations: int
    gradient_reduction: float
    converged: bool

    @classmethod
    def of(cls, solution: Solution) -> Minimisation:
        """That of a solution, of its slowest case."""
        return cls(solution.iterations, float(solution.residual.max()), solution.converged)

    def log(self) -> Log:
        """Return the entries for the log of an analysis."""
        return dict(self._asdict())


class Minimum(NamedTuple):
    """What minimises J.

    cases: with the errors of observations that the weights raised. values: (case, channel, lat, lon) increments.
    control: v (size, case). log: how it went.
    """

    cases: list[Departures]
    values: torch.Tensor
    control: torch.Tensor
    minimisation: Minimisation
    log: Log


@dataclass(frozen=True)
class ThreeDVar(Method):
    """3D-Var with given background-error statistics.

    members: posterior samples for the spread (0: no spread). seed: of their random numbers.
    tolerance: of the gradient norm, relative to its start. between: further error variance of observations half way
    between levels, relative to their own. huber: the cost of observations, None for the quadratic one.
    dtype, device: of the minimisation.
    """

    statistics: BackgroundError
    members: int = 0
    seed: int = 0
    tolerance: float = 1e-3
    max_iterations: int = 1000
    between: float = 0.0
    huber: Huber | None = None
    dtype: torch.dtype = torch.float64
    device: torch.device | str = "cpu"
    name: str = "3dvar"

    def scaled(self, scale: ErrorScale) -> ThreeDVar:
        """Return the same method for background errors that are larger by these factors."""
        return replace(self, statistics=self.statistics.scaled(scale))

    def trial(self) -> ThreeDVar:
        """Return the same method without a spread, less exact, with one reweighting of the observations."""
        huber = None if self.huber is None else replace(self.huber, rounds=1)
        return replace(self, members=0, tolerance=max(self.tolerance, _TRIAL_TOLERANCE), huber=huber)

    @property
    def largest_scale(self) -> ErrorScale:
        """Statistics that grow into the climate's bound themselves."""
        return ErrorScale.uniform(math.inf) if self.statistics.climate is not None else LARGEST

    def background_error(self, background: State | None = None) -> State:
        """σ_b on the method's grid [SI]; that of humidity depends on the background where the statistics say so."""
        sigma = self.statistics.sigma[:, :, None].expand(-1, -1, self.statistics.grid.shape[1])
        return State(self._sized(sigma, background), self.statistics.channels, self.statistics.grid, _NO_TIME)

    def prior_members(self, background: State | None = None) -> torch.Tensor | None:
        """Return draws L ζ of the background error (member, channel, lat, lon); None without members."""
        if self.members == 0:
            return None
        shape = (len(self.statistics.channels), *self.statistics.grid.shape)
        result = torch.empty(self.members, *shape, dtype=torch.float64)
        for part, draws in zip(torch.split(result, TOGETHER), self.prior_blocks(background), strict=True):
            part.copy_(draws)
        return result

    def prior_blocks(self, background: State | None = None) -> Iterator[torch.Tensor]:
        """Return the draws of `prior_members`, `TOGETHER` of them at a time."""
        for part in torch.split(self._draws(torch.Generator().manual_seed(self.seed)), TOGETHER, dim=1):
            yield self._sized(fields_of(self._transform.forward(part.contiguous())).cpu().double(), background)

    def background_error_at(self, operator: Operator, background: State) -> NDArray[np.float64]:
        """σ_b at observations: interpolated, and of a column with the correlations of its levels."""
        grid, channels = self.statistics.grid, self.statistics.channels
        rows, sigma = operator.increments(grid, channels), self.background_error(background).values
        result = rows.of_spread(sigma).numpy()
        columns = np.flatnonzero(operator.integrates(channels))
        if columns.size:
            terms = rows.take(columns).by_channel(sigma)
            result[columns] = ((terms @ self.statistics.point_correlation) * terms).sum(-1).clamp_min(0.0).sqrt()
        return np.asarray(result)

    def unobserved(self, background: State) -> Increment:
        """σ_b, and draws of the background error."""
        return zero(self.background_error(background), background, self.prior_members(background))

    def increments(self, cases: Sequence[Case]) -> list[Increment]:
        """Return the 3D-Var increments. The backgrounds give the valid times; B does not depend on them."""
        if self.members or len(cases) == 1:
            return [self.scaled(case.scale)._increment(case) for case in cases]
        values, minimisation = self.solve(
            [case.departures for case in cases], [case.scale for case in cases], [case.background for case in cases]
        )
        return [
            Increment(
                State(own.cpu().double(), self.statistics.channels, self.statistics.grid, case.background.time),
                log=minimisation.log(),
            )
            for own, case in zip(values, cases, strict=True)
        ]

    def _increment(self, case: Case) -> Increment:
        minimum = self.minimum([case.departures.canonical()], [case.background], start=case.start)
        labels = (self.statistics.channels, self.statistics.grid, case.background.time)
        mean = State(minimum.values[0].cpu().double(), *labels)
        weights = None if self.huber is None else weights_of(case.departures, minimum.cases[0])
        if self.members == 0:
            return Increment(mean, log=minimum.log, weights=weights, control=minimum.control)
        prior, posterior = self._sample(minimum.cases[0], case.background)
        # the exact mean is known, so the samples' second moment about it is an unbiased variance
        ratio = local_mean((posterior - mean.values).square().mean(0)) / local_mean(prior.square().mean(0))
        spread = State(self.background_error(case.background).values * ratio.sqrt(), *labels)
        return Increment(mean, spread, posterior, minimum.log, weights=weights, control=minimum.control)

    def _sample(self, departures: Departures, background: State) -> tuple[torch.Tensor, torch.Tensor]:
        """Return draws L ζ of the background error and δ of the posterior, each (member, channel, lat, lon)."""
        generator = torch.Generator().manual_seed(self.seed)
        problem = self._problem([departures] * self.members, self._sizes([background] * self.members))
        prior = self._draws(generator)
        noise = torch.randn(self.members, len(departures), generator=generator, dtype=torch.float64)
        tolerance = max(self.tolerance, _MEMBER_TOLERANCE)
        posterior, _ = problem.sample(prior, noise.to(self.device, self.dtype).mT, tolerance=tolerance)
        return problem.fields(prior).cpu().double(), posterior.cpu().double()

    def _draws(self, generator: torch.Generator) -> torch.Tensor:
        """ζ (size, member) of every member."""
        zeta = torch.randn(self.members, *self._static.shape, generator=generator, dtype=torch.float64)
        return torch.cat(
            [self._static.pack(part.to(self.device, self.dtype)) for part in torch.split(zeta, TOGETHER)], dim=1
        )

    def solve(
        self, cases: Sequence[Departures], scales: Sequence[ErrorScale], backgrounds: Sequence[State] = ()
    ) -> tuple[torch.Tensor, Minimisation]:
        """Return increments (case, channel, lat, lon) for B times s² of each case, and how the slowest minimisation
        went.

        B scaled by one s² is the same as d and σ_o divided by s, so that cases of different sizes make one batch;
        factors that differ within a case, and statistics that grow, need a B of their own. Cases without observations
        get zero. backgrounds: one each, which statistics of relative humidity need.
        """
        shape = (len(cases), len(self.statistics.channels), *self.statistics.grid.shape)
        result = torch.zeros(shape, dtype=self.dtype, device=self.device)
        slowest = Minimisation(0, 0.0, True)
        observed = [number for number, case in enumerate(cases) if len(case)]
        alike = [n for n in observed if scales[n].is_uniform and self.statistics.climate is None]
        groups = [(self, alike, [scales[number].dynamics for number in alike])] if alike else []
        groups += [(self.scaled(scales[n]), [n], [1.0]) for n in observed if n not in alike]
        for method, numbers, sizes in groups:
            scaled = [
                replace(cases[n], departure=cases[n].departure / size, error=cases[n].error / size)
                for n, size in zip(numbers, sizes, strict=True)
            ]
            values, made = method.minimise(scaled, [backgrounds[n] for n in numbers] if backgrounds else ())
            result[numbers] = values * torch.tensor(sizes).to(values)[:, None, None, None]
            slowest = max(slowest, made, key=lambda one: one.gradient_reduction)
        return result, slowest

    def minimise(
        self, cases: Sequence[Departures], backgrounds: Sequence[State] = ()
    ) -> tuple[torch.Tensor, Minimisation]:
        """Return increments (case, channel, lat, lon) of many cases at once, in the method's dtype on its device.

        Raises BadDataError when the minimisation does not stay finite, or statistics of relative humidity have no
        backgrounds.
        """
        minimum = self.minimum([case.canonical() for case in cases], backgrounds)
        return minimum.values, minimum.minimisation

    def minimum(
        self, cases: Sequence[Departures], backgrounds: Sequence[State] = (), *, start: torch.Tensor | None = None
    ) -> Minimum:
        """Return the minimum of J for many cases at once, with the errors of observations that the Huber cost raised.

        start: v (size, case) near the minimum, from which the first weights come as well. J is convex: it ends at the
        same minimum from anywhere. Raises BadDataError when the minimisation does not stay finite.
        """
        sizes = self._sizes(backgrounds)
        plain = self._problem(cases, sizes)
        weights, rounds = torch.ones_like(plain.observe.departure), 0
        made, problem = list(cases), plain
        if start is not None and self.huber is not None:
            weights, rounds = self.huber.weights(plain.residual(start)), 1
            made = reweighted(cases, weights.squeeze(1))
            problem = self._problem(made, sizes)
        solution = problem.solve(tolerance=self.tolerance, guess=start)
        spent = solution.iterations
        log: Log = {}
        if self.huber is not None:
            while rounds < self.huber.rounds:
                before, weights = weights, self.huber.weights(plain.residual(solution.x))
                if not bool(((weights - before).abs() > self.huber.settled).any()):
                    break
                made = reweighted(cases, weights.squeeze(1))
                solution = self._problem(made, sizes).solve(tolerance=self.tolerance, guess=solution.x)
                spent, rounds = spent + solution.iterations, rounds + 1
            raised = [int((own.error > case.error).sum()) for own, case in zip(made, cases, strict=True)]
            log |= {"downweighted": sum(raised), "reweightings": rounds}
        cost_before, cost_after = plain.cost(solution.x)
        log |= {"cost_before": cost_before, "cost_after": cost_after}
        minimisation = Minimisation.of(solution._replace(iterations=spent))
        return Minimum(made, plain.fields(solution.x), solution.x, minimisation, minimisation.log() | log)

    def _problem(self, cases: Sequence[Departures], sizes: Sequence[torch.Tensor] | None) -> ControlProblem:
        """Return the linear system of a batch of cases. sizes: S of each, None where it is 1."""
        observe = WeightedOperator(
            self.statistics.grid,
            self.statistics.channels,
            cases,
            sizes,
            between=self.between,
            dtype=self.dtype,
            device=self.device,
        )
        stacked = None if sizes is None else torch.stack(list(sizes)).to(self.device, self.dtype)
        largest = float(self.statistics.sigma.max())
        return ControlProblem(self._transform, observe, cases, stacked, self.huber, self.max_iterations, largest)

    def _sizes(self, backgrounds: Sequence[State | None]) -> list[torch.Tensor] | None:
        """S (channel, lat, lon) of each case, or None where it is 1."""
        if not self.statistics.relative_humidity:
            return None
        grid, channels = self.statistics.grid, self.statistics.channels
        made = [humidity_size(background, grid, channels) for background in backgrounds if background is not None]
        if not made or len(made) < len(backgrounds):
            raise BadDataError("background-error statistics of relative humidity need the backgrounds of the cases")
        return made

    def _sized(self, values: torch.Tensor, background: State | None) -> torch.Tensor:
        """S x of fields (…, channel, lat, lon)."""
        sizes = self._sizes([background])
        return values if sizes is None else values * sizes[0]

    @cached_property
    def _static(self) -> ControlTransform:
        return ControlTransform(self.statistics, dtype=self.dtype, device=self.device)

    @cached_property
    def _transform(self) -> Transform:
        return self._static


def plain(
    settings: ThreeDVarSettings, material: Material, path: Path | None, *, option: str = "--weights"
) -> ThreeDVar:
    """3D-Var of one background, in single precision, with the statistics of a file or those shipped.

    They are cut at the truncation that is asked for, or the largest that the background has a use for. option: how a
    user names the file.
    """
    statistics = material.background_error(path, option=option)
    asked = settings.truncation
    truncation = fitting_truncation(statistics, material.grid) if asked == "auto" else asked
    return ThreeDVar(
        at_truncation(statistics, truncation),
        members=MEMBERS if settings.members is None else settings.members,
        seed=material.seed,
        between=BETWEEN,
        huber=Huber(settings.huber) if settings.huber else None,
        dtype=torch.float32,
        device=material.device,
    )


def for_background(method: ThreeDVar, material: Material) -> Method:
    """Return the method itself for one background, or for every member of one that is an ensemble."""
    from phyda_cli.methods.ensemble_threedvar import EnsembleThreeDVar

    if not material.numbers:
        return method
    alone = replace(method, members=0)
    return EnsembleThreeDVar(alone, material.background, material.numbers, material.seed, method.name)


def make(settings: ThreeDVarSettings, material: Material) -> Method:
    """3D-Var of one background, or of every member of an ensemble; single precision."""
    return for_background(plain(settings, material, settings.weights), material)
