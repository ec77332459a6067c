"""The learned analysis of PhyDA as a method: samples of p(x | x_b, y), their mean and spread.

    x_g = 3D-Var(d/s, σ_o/s)/σ_b       first guess; with σ_b of the model's training, s the background-error scale
    δ_i = a-calibrated members of PhyDA(Hᵀd, Hᵀσ_o, x_g, anomaly of x_b, static)            in units of s σ_b
    mean = x_g + τ (μ − x_g)           τ in [0, 1] by channel: how far the correction is to be trusted (`trust`)
    δ_i ← mean + δ_i − δ̄,              spread² = Σ_i (δ_i − δ̄)²/(M − 1)

What is added to x_g is cut to the harmonics that the grid carries (`model.band_limit`). The members are centred on the
reconstruction, which is the regression's conditional mean: what the sampler adds to it is its own bias, small where it
was trained and large against a climatology. Observations of a whole column reach the analysis through x_g: Hᵀd of the
encoder is of places.

Channels and grid are the model's own. Channels that the background lacks are shown to the model as climatology.
Without members the mean is the virtual reconstruction μ s σ_b itself: no diffusion, no spread.
Source: paper, section 3; design, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError, ConfigError
from phyda_cli.errors_b.error_scale import ErrorScale
from phyda_cli.fields.state import State
from phyda_cli.fields.variables import VARIABLES
from phyda_cli.grids.regrid import regrid
from phyda_cli.methods.base import Case, Departures, Increment, Method, zero
from phyda_cli.methods.material import Material
from phyda_cli.methods.threedvar import Minimisation, ThreeDVar
from phyda_cli.methods.trust import halves, nearest_channels, trust
from phyda_cli.networks.band_limit import BandLimit
from phyda_cli.networks.checkpoint import Checkpoint
from phyda_cli.networks.gridded import GriddedObservations, grid_observations
from phyda_cli.networks.phyda import Base
from phyda_cli.operators.operator import Operator
from phyda_cli.operators.rows import stacked
from phyda_cli.resources import LEARNED_BACKGROUND_ERROR
from phyda_cli.settings.methods import LearnedSettings

MEMBERS: Final = 16
"""Samples of an analysis."""
ANOMALY_LIMIT: Final = 5.0
"""The background's anomaly is clipped to this many climatological standard deviations."""
EVALUATIONS: Final = 12
"""Evaluations of the score network for a sample."""
TOLERANCE: Final = 3e-3
"""Of the gradient norm of the first guess: it then differs from the minimum by less than 1 % of σ_b."""
_GRID_TOLERANCE: Final = 1e-4
"""How far [degree] the same place may be in the two files."""


@dataclass(frozen=True)
class Ensemble:
    """mean: (case, C, H, W) of δ. members: (case, M, C, H, W). first_guess: of 3D-Var. All SI, on the model's grid.

    trust: τ (case, C), 1 where the correction is trusted wholly, 0 where the analysis is 3D-Var. minimisation: of the
    first guesses.
    """

    mean: torch.Tensor
    members: torch.Tensor
    first_guess: torch.Tensor
    trust: torch.Tensor
    minimisation: Minimisation


@dataclass(frozen=True)
class LearnedAnalysis(Method):
    """The learned analysis with given weights.

    first_guess: 3D-Var with the background error that the weights were trained with, on the same grid.
    members: samples M, 2 or more, or 0 for the reconstruction alone. evaluations: of the score network for each
    sample. seed: of their noise. churn: relative fresh noise before each evaluation, 0 for none. scale: s.
    judged: whether the correction is judged by observations withheld from it; False trusts it wholly.
    Raises ConfigError for one member, BadDataError when the first guess is on another grid or lacks a channel.
    """

    checkpoint: Checkpoint
    first_guess: ThreeDVar
    members: int = MEMBERS
    evaluations: int = EVALUATIONS
    seed: int = 0
    churn: float = 0.0
    scale: ErrorScale = field(default_factory=lambda: ErrorScale.uniform(1.0))
    judged: bool = True
    device: torch.device | str = "cpu"
    name: str = "phyda"

    def __post_init__(self) -> None:
        if self.members < 0 or self.members == 1:
            raise ConfigError(f"phyda: {self.members} members make no spread; take at least 2, or 0 for none")
        own, other = self.checkpoint.statistics, self.first_guess.statistics
        for name in ("latitudes", "longitudes"):
            first, second = np.asarray(getattr(own.grid, name)), np.asarray(getattr(other.grid, name))
            if first.shape != second.shape or not np.allclose(first, second, atol=_GRID_TOLERANCE):
                raise BadDataError("the weights and the background-error statistics are for different grids")
        missing = [channel for channel in own.channels if channel not in other.channels]
        if missing:
            raise BadDataError(f"the background-error statistics lack {missing[0]}, which the weights have")

    def scaled(self, scale: ErrorScale) -> LearnedAnalysis:
        """Return the same method for background errors that are larger by these factors."""
        return replace(self, scale=self.scale.times(scale))

    def without_members(self) -> ThreeDVar:
        """Return the first guess's method: what a trial analysis needs."""
        return self.first_guess.without_members().scaled(self.scale)

    def background_error(self) -> State:
        """s σ_b [SI] on the model's grid."""
        statistics = self.checkpoint.statistics
        sigma = statistics.sigma(self._factors([self.scale]))[0]
        return State(sigma, statistics.channels, statistics.grid, np.datetime64("NaT", "ns"))

    def prior_members(self, background: State | None = None) -> torch.Tensor | None:
        """Return draws of the first guess's background error, brought to this method's σ_b; None without members."""
        guess = replace(self.first_guess, members=self.members, seed=self.seed)
        draws = guess.prior_members(background)
        if draws is None:
            return None
        relative = (draws / guess.background_error(background).values)[:, self._order]
        return relative * self.background_error().values

    def background_error_at(self, operator: Operator, background: State) -> NDArray[np.float64]:
        """Interpolated s σ_b, and of columns that of 3D-Var."""
        grid, channels = self.checkpoint.statistics.grid, self.checkpoint.statistics.channels
        sigma = operator.increments(grid, channels).of_spread(self.background_error().values).numpy()
        columns = operator.integrates(channels) & (sigma > 0)
        if columns.any():
            sigma[columns] = self.first_guess.scaled(self.scale).background_error_at(operator.take(columns), background)
        return np.asarray(sigma)

    def unobserved(self, background: State) -> Increment:
        """σ_b, and draws of the background error."""
        return zero(self.background_error(), background, self.prior_members(background))

    def increments(
        self, cases: Sequence[Case], first_guesses: tuple[torch.Tensor, Minimisation] | None = None
    ) -> list[Increment]:
        """Return the increments of many cases, from backgrounds on any grid.

        first_guesses: of 3D-Var (`ThreeDVar.solve`) for these cases in canonical order, where they are known.
        """
        if first_guesses is None and any(len(case.departures) == 0 for case in cases):
            own = iter(self.increments([case for case in cases if len(case.departures)]))
            return [
                next(own) if len(case.departures) else self.scaled(case.scale).unobserved(case.background)
                for case in cases
            ]
        if not cases:
            return []
        ordered = [case.departures.canonical() for case in cases]
        scales = [self.scale.times(case.scale) for case in cases]
        anomaly = torch.stack([self.anomaly(case.background) for case in cases])
        times = np.array([case.background.time for case in cases])
        solved = (
            self.first_guess.solve(ordered, scales, [case.background for case in cases])
            if first_guesses is None
            else first_guesses
        )
        ensemble = self.analyse(
            anomaly, times, ordered, scales, solved, seeds=[self.seed + case.seed for case in cases]
        )
        return [self._summary(ensemble, number, case.background.time) for number, case in enumerate(cases)]

    def _summary(self, ensemble: Ensemble, number: int, time: np.datetime64) -> Increment:
        """Return mean and spread of the ensemble of one case."""
        labels = (self.checkpoint.statistics.channels, self.checkpoint.statistics.grid, time)
        mean = State(ensemble.mean[number].double(), *labels)
        log: dict[str, float | int | str] = {
            "members": self.members,
            "trust": round(float(ensemble.trust[number].mean()), 3),
            **ensemble.minimisation.log(),
        }
        if self.members == 0:
            return Increment(mean, log=log)
        members = ensemble.members[number].double()
        return Increment(mean, State(members.std(0), *labels), members, log | {"evaluations": self.evaluations})

    def analyse(
        self,
        anomaly: torch.Tensor,
        times: NDArray[np.datetime64],
        cases: Sequence[Departures],
        scale: Sequence[ErrorScale],
        solved: tuple[torch.Tensor, Minimisation],
        *,
        seeds: Sequence[int],
    ) -> Ensemble:
        """Analyse many cases at once.

        anomaly (case, C, H, W): of the backgrounds, 0 where unknown. scale: s of each case. solved: first guesses.
        """
        statistics, model = self.checkpoint.statistics, self.checkpoint.model.to(self.device)
        sigma = statistics.sigma(self._factors(scale).float())
        guess = self._own(solved[0]) / sigma
        observations = self._gridded(cases, sigma)
        here = self.device
        moved = GriddedObservations(
            *(x.to(here) for x in (observations.signal, observations.noise, observations.density))
        )
        with torch.no_grad():
            static = statistics.static(times, dtype=torch.float32, device=here)
            seen = anomaly.float().clamp(-ANOMALY_LIMIT, ANOMALY_LIMIT).to(here)
            base = Base(anomaly.float().to(here), (statistics.std.float()[:, :, None] / sigma[..., :1]).to(here))
            reconstruction, latent_mean, log_sigma = model.reconstruct(moved, guess.to(here), seen, static, base)
            tau = self._trust(cases, scale, sigma, seen, static) if self.judged else torch.ones(sigma.shape[:2])
            correction = reconstruction.mean.cpu() - guess
            mean = guess + tau.float()[:, :, None, None] * correction
            smooth = guess * sigma + self._band_limit((mean - guess) * sigma)
            if self.members == 0:
                return Ensemble(smooth, smooth[:, None][:, :0], guess * sigma, tau, solved[1])
            members = model.members(
                reconstruction, latent_mean, log_sigma, base, count=self.members, evaluations=self.evaluations,
                seeds=seeds, churn=self.churn,
            ).cpu()  # fmt: skip
        size = sigma[0].numel()
        density = torch.tensor([len(case) / size for case in cases])
        members = self.checkpoint.calibration.apply(members, density)
        members = smooth[:, None] + self._band_limit((members - members.mean(1)[:, None]) * sigma[:, None])
        return Ensemble(smooth, members, guess * sigma, tau, solved[1])

    def _trust(
        self,
        cases: Sequence[Departures],
        scale: Sequence[ErrorScale],
        sigma: torch.Tensor,
        seen: torch.Tensor,
        static: torch.Tensor,
    ) -> torch.Tensor:
        """τ (case, C), from an analysis of half of each case's observations. sigma: s σ_b; seen: of the background."""
        model, channels = self.checkpoint.model, self.checkpoint.statistics.channels
        first = [halves(case) for case in cases]
        used = [case.take(chosen) for case, chosen in zip(cases, first, strict=True)]
        guess = self._own(self.first_guess.solve(used, scale)[0]) / sigma
        gridded = self._gridded(used, sigma)
        moved = GriddedObservations(*(x.to(seen) for x in (gridded.signal, gridded.noise, gridded.density)))
        mean = model.encoder(moved, guess.to(seen), seen, static).mean.cpu()
        factors = []
        for number, (case, chosen) in enumerate(zip(cases, first, strict=True)):
            other = case.take(~chosen)
            operator = other.operator.increments(self.checkpoint.statistics.grid, channels)
            at = [operator(x * sigma[number]) for x in (guess[number], mean[number] - guess[number])]
            width = operator.of_spread(sigma[number])
            variance = torch.from_numpy(other.error).float().square() + width.square()
            residual = torch.from_numpy(other.departure).float() - at[0]
            factors.append(trust(residual, at[1], variance, nearest_channels(other, channels), channels))
        return torch.stack(factors)

    def anomaly(self, background: State) -> torch.Tensor:
        """(C, H, W) of a background on any grid; 0 for channels that it lacks."""
        statistics = self.checkpoint.statistics
        held = {channel: number for number, channel in enumerate(background.channels)}
        result = torch.zeros(len(statistics.channels), *statistics.grid.shape)
        for place, channel in enumerate(statistics.channels):
            if channel not in held:
                continue
            vector = VARIABLES[channel.variable].is_wind_component
            field = background.values[held[channel]].double()
            result[place] = regrid(field, background.grid, statistics.grid, vector=vector).float()
        known = torch.tensor([channel in held for channel in statistics.channels])[:, None, None]
        return torch.where(known, statistics.anomaly(result[None])[0], 0.0)

    @cached_property
    def _band_limit(self) -> BandLimit:
        return BandLimit(self.checkpoint.statistics.channels, self.checkpoint.statistics.grid)

    @cached_property
    def _order(self) -> list[int]:
        """Where the model's channels stand among the first guess's."""
        return [self.first_guess.statistics.channels.index(channel) for channel in self.checkpoint.statistics.channels]

    def _factors(self, scale: Sequence[ErrorScale]) -> torch.Tensor:
        """(case, C, 1) factors on the model's channels, double precision."""
        names = [channel.variable for channel in self.checkpoint.statistics.channels]
        return torch.from_numpy(np.stack([one.of(names) for one in scale]))[:, :, None]

    def _own(self, guess: torch.Tensor) -> torch.Tensor:
        """Return first guesses on the model's channels, single precision."""
        return guess.cpu().float()[:, self._order]

    def _gridded(self, cases: Sequence[Departures], sigma: torch.Tensor) -> GriddedObservations:
        grid, channels = self.checkpoint.statistics.grid, self.checkpoint.statistics.channels
        local = [case.take(~case.operator.integrates(channels)) for case in cases]
        indices, weights = stacked([case.operator.increments(grid, channels) for case in local])
        return grid_observations(
            torch.from_numpy(np.concatenate([case.departure for case in local])).float(),
            torch.from_numpy(np.concatenate([case.error for case in local])).float(),
            indices,
            weights.float(),
            torch.repeat_interleave(torch.tensor([len(case) for case in local])),
            sigma,
        )


def make(settings: LearnedSettings, material: Material) -> Method:
    """Return the learned analysis with the statistics that its weights were trained with."""
    statistics = material.background_error(
        settings.background_error, shipped=LEARNED_BACKGROUND_ERROR, option="--background-error"
    )
    return LearnedAnalysis(
        material.checkpoint(settings.weights),
        ThreeDVar(statistics, dtype=torch.float32, device=material.device),
        members=MEMBERS if settings.members is None else settings.members,
        evaluations=settings.evaluations,
        seed=material.seed,
        churn=settings.churn,
        device=material.device,
    )
