"""The learned analysis of PhyDA as a method: samples of p(x | x_b, y), their mean and spread.

    x_g = 3D-Var(d, σ_o; s B)          first guess, on the grid and at the truncation of B; σ_b of B, s its scale
    g = P x_g / (s σ_b)                on the model's grid, up to the wavenumbers N that both grids carry (`BandLimit`)
    δ_i = members of PhyDA(Hᵀd, Hᵀσ_o, g, anomaly of x_b, static), of the local size that it says (`local_spread`),
          a-calibrated (`calibration`)                                                      in units of s σ_b
    mean = x_g + P s σ_b τ (μ − g)     τ(φ) in [0, 1] by channel: how far the correction is to be trusted (`trust`),
                                       times min(1, 2.5/s)²: larger errors are unlike those of the training
    member_i = mean + P s σ_b (δ_i − δ̄) + (1 − P) L ζ_i,      spread² = Σ_i (member_i − mean)²/(M − 1)

The model corrects what its own grid carries, N, of a first guess of any truncation; what is beyond stays as 3D-Var has
it, and there the members have draws L ζ of the background error, for observations change little of it. The members are
centred on the reconstruction μ, which is the regression's conditional mean: what the sampler adds to it is its own
bias, small where it was trained and large against a climatology. Observations of a whole column reach the analysis
through x_g: Hᵀd of the encoder is of places.

σ_b is that of the statistics at hand, so the model works in the units of the errors that there are, and its analysis
has the grid and the channels of the first guess. Channels that the background lacks are shown to the model as
climatology. Without members the mean is the virtual reconstruction itself: no diffusion, no spread.
Source: paper, section 3; design, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError, ConfigError
from phyda_cli.errors_b.error_scale import ErrorScale
from phyda_cli.fields.state import State
from phyda_cli.methods.base import Case, Increment, Log, Memory, Method
from phyda_cli.methods.material import Material
from phyda_cli.methods.model_space import ANOMALY_LIMIT, ModelSpace
from phyda_cli.methods.threedvar import TOGETHER, Minimisation, ThreeDVar, plain
from phyda_cli.methods.trust import Evidence, at_rows, halves, nearest_channels
from phyda_cli.networks.checkpoint import Checkpoint
from phyda_cli.networks.gridded import GriddedObservations
from phyda_cli.networks.local_spread import localised
from phyda_cli.networks.phyda import Base
from phyda_cli.networks.precision import computes_bfloat16, in_bfloat16
from phyda_cli.operators.operator import Operator
from phyda_cli.settings.methods import LearnedSettings

MEMBERS: Final = 16
"""Samples of an analysis."""
EVALUATIONS: Final = 12
"""Evaluations of the score network for a sample."""
KNOWN_SCALE: Final = 2.5
"""Background errors larger than those of a short forecast by more than this were rare in the training."""
TOLERANCE: Final = 3e-3
"""Of the gradient norm of the first guess: it then differs from the minimum by less than 1 % of σ_b."""


class Correction(NamedTuple):
    """What the model makes of cases, SI, on its grid.

    mean: (case, C, H, W) to be added to the first guesses. deviations: (case, M, C, H, W) of the members from it.
    trust: τ (case, C, H), 1 where the correction is trusted wholly, 0 where the analysis is 3D-Var. evidence: of each
    case, on which the trust stands; none where the correction is not judged.
    """

    mean: torch.Tensor
    deviations: torch.Tensor
    trust: torch.Tensor
    evidence: Sequence[Evidence]


@dataclass(frozen=True)
class LearnedAnalysis(Method):
    """The learned analysis with given weights.

    first_guess: 3D-Var on any grid, whose background error holds all channels of the weights.
    members: samples M, 2 or more, or 0 for the reconstruction alone. evaluations: of the score network for each
    sample. seed: of their noise. churn: relative fresh noise before each evaluation, 0 for none.
    judged: whether the correction is judged by observations withheld from it; if not it is trusted wholly. before:
    what the judgements of analyses before have found. scale: by which the first guess's background error was enlarged.
    Raises ConfigError for one member, BadDataError when the first guess lacks a channel.
    """

    checkpoint: Checkpoint
    first_guess: ThreeDVar
    members: int = MEMBERS
    evaluations: int = EVALUATIONS
    seed: int = 0
    churn: float = 0.0
    judged: bool = True
    before: Evidence | None = None
    scale: ErrorScale = field(default_factory=lambda: ErrorScale.uniform(1.0))
    device: torch.device | str = "cpu"
    name: str = "phyda"

    def __post_init__(self) -> None:
        if self.members < 0 or self.members == 1:
            raise ConfigError(f"phyda: {self.members} members make no spread; take at least 2, or 0 for none")
        held = self.first_guess.statistics.channels
        missing = [channel for channel in self.checkpoint.statistics.channels if channel not in held]
        if missing:
            raise BadDataError(f"the background-error statistics lack {missing[0]}, which the weights have")

    def scaled(self, scale: ErrorScale) -> LearnedAnalysis:
        """Return the same method for background errors that are larger by these factors."""
        return replace(self, first_guess=self.first_guess.scaled(scale), scale=self.scale.times(scale))

    def remembering(self, memory: Memory) -> LearnedAnalysis:
        """Return the method whose trust stands on earlier analyses too."""
        return replace(self, before=Evidence.remembered(memory, self.checkpoint.statistics.channels))

    def trial(self) -> ThreeDVar:
        """Return the first guess's."""
        return self.first_guess.trial()

    @property
    def largest_scale(self) -> ErrorScale:
        """That of the first guess."""
        return self.first_guess.largest_scale

    def background_error(self, background: State | None = None) -> State:
        """σ_b [SI] of the first guess."""
        return self.first_guess.background_error(background)

    def background_error_at(self, operator: Operator, background: State) -> NDArray[np.float64]:
        """σ_b of the first guess at observations."""
        return self.first_guess.background_error_at(operator, background)

    def unobserved(self, background: State) -> Increment:
        """σ_b, and draws of the background error."""
        return self._drawing(self.seed).unobserved(background)

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
        ordered = [replace(case, departures=case.departures.canonical()) for case in cases]
        solved = _solved(self.first_guess, ordered) if first_guesses is None else first_guesses
        guesses = solved[0].cpu().float()
        correction = self.correct(ordered, guesses)
        means = guesses + self.space.returned(correction.mean)
        return [
            self._summary(case, means[number], correction, number, solved[1]) for number, case in enumerate(ordered)
        ]

    def _summary(
        self, case: Case, mean: torch.Tensor, correction: Correction, number: int, solved: Minimisation
    ) -> Increment:
        """Return the increment of one case, from its mean on the first guess's grid and the model's correction."""
        statistics, own = self.first_guess.statistics, self.checkpoint.statistics
        labels = (statistics.channels, statistics.grid, case.background.time)
        trusted = float((correction.trust[number] * own.area[:, 0]).mean())
        log: Log = {"members": self.members, "trust": round(trusted, 3), **solved.log()}
        memory = correction.evidence[number].memory(own.channels) if self.judged else {}
        centre = State(mean.double(), *labels)
        if self.members == 0:
            return Increment(centre, log=log, memory=memory)
        members = self._members(case, mean, correction.deviations[number])
        log |= {"evaluations": self.evaluations}
        return Increment(centre, State(members.std(0), *labels), members, log, memory=memory)

    def _members(self, case: Case, mean: torch.Tensor, deviations: torch.Tensor) -> torch.Tensor:
        """Return the members (member, channel, lat, lon) on the first guess's grid, in float64."""
        members = self._beyond(case)
        for part, own in zip(torch.split(members, TOGETHER), torch.split(deviations, TOGETHER), strict=True):
            part += mean + self.space.returned(own)
        return members.double()

    def correct(self, cases: Sequence[Case], guesses: torch.Tensor) -> Correction:
        """Return what the model adds to first guesses (case, channel, lat, lon) of 3D-Var, SI.

        cases: with departures in canonical order.
        """
        statistics, model, here = self.checkpoint.statistics, self.checkpoint.model.to(self.device), self.device
        sigma = torch.stack([self._sigma(case) for case in cases])
        guess = self.space.taken(guesses) / sigma
        observations = self._gridded(cases, sigma)
        anomaly = torch.stack([self.space.anomaly(case.background) for case in cases])
        times = np.array([case.background.time for case in cases])
        with torch.no_grad():
            static = statistics.static(times, dtype=torch.float32, device=here)
            seen = anomaly.clamp(-ANOMALY_LIMIT, ANOMALY_LIMIT).to(here)
            base = Base(anomaly.to(here), (statistics.std.float()[:, :, None] / sigma).to(here))
            reconstruction, latent_mean, log_sigma = model.reconstruct(observations, guess.to(here), seen, static, base)
            evidence = self._evidence(cases, sigma, seen, static) if self.judged else []
            trusted = [self._trust(found) for found in evidence]
            tau = torch.stack(trusted) if self.judged else torch.ones(sigma.shape[:3])
            tau = (
                tau
                * torch.tensor([_known(self.scale.times(case.scale)) for case in cases], dtype=tau.dtype)[:, None, None]
            )
            mean = self.space.band_limit(tau[..., None].float() * (reconstruction.mean.cpu() - guess) * sigma)
            if self.members == 0:
                return Correction(mean, mean[:, None][:, :0], tau, evidence)
            with in_bfloat16(here, enabled=computes_bfloat16(here)):
                members = model.members(
                    reconstruction, latent_mean, log_sigma, base, count=self.members, evaluations=self.evaluations,
                    seeds=[self.seed + case.seed for case in cases], churn=self.churn,
                ).cpu().float()  # fmt: skip
        size = sigma[0].numel()
        density = torch.tensor([len(case.departures) / size for case in cases])
        members = self.space.band_limit(members * sigma[:, None]) / sigma[:, None]
        members = self.checkpoint.calibration.apply(localised(members, reconstruction.log_sigma.cpu()), density)
        deviations = (members - members.mean(1)[:, None]) * sigma[:, None]
        return Correction(mean, deviations, tau, evidence)

    def _trust(self, evidence: Evidence) -> torch.Tensor:
        """τ (C, H)."""
        own = self.checkpoint.statistics
        return at_rows(evidence.trust(own.channels), np.asarray(own.grid.latitudes))

    def _evidence(
        self, cases: Sequence[Case], sigma: torch.Tensor, seen: torch.Tensor, static: torch.Tensor
    ) -> list[Evidence]:
        """Return what half of each case's observations say of an analysis of the others, and what was known before.

        sigma: s σ_b; seen: of the background.
        """
        statistics = self.checkpoint.statistics
        first = [halves(case.departures, case.background.time) for case in cases]
        used = [
            replace(case, departures=case.departures.take(chosen)) for case, chosen in zip(cases, first, strict=True)
        ]
        guesses = _solved(self.first_guess.trial(), used)[0].cpu().float()
        guess = self.space.taken(guesses) / sigma
        gridded = self._gridded(used, sigma)
        mean = self.checkpoint.model.encoder(gridded, guess.to(self.device), seen, static).mean.cpu()
        corrections = self.space.band_limit((mean - guess) * sigma)
        result = []
        for number, (case, chosen) in enumerate(zip(cases, first, strict=True)):
            other = case.departures.take(~chosen)
            rows = other.operator.increments(statistics.grid, statistics.channels)
            guessed = other.operator.increments(self.first_guess.statistics.grid, self.first_guess.statistics.channels)
            residual = torch.from_numpy(other.departure).float() - guessed(guesses[number])
            found = Evidence.of(
                residual,
                rows(corrections[number]),
                torch.from_numpy(other.error).float().square() + rows.of_spread(sigma[number]).square(),
                latitude=other.latitude,
                channel=nearest_channels(other, statistics.channels),
                channels=len(statistics.channels),
            )
            result.append(found if self.before is None else found.after(self.before))
        return result

    def _drawing(self, seed: int) -> ThreeDVar:
        """Return the first guess's method with draws of the background error from a seed."""
        return replace(self.first_guess, members=self.members, seed=seed)

    def _sigma(self, case: Case) -> torch.Tensor:
        """S σ_b (C, H, W) of the statistics on the model's grid and channels."""
        return self.space.sigma(self.first_guess.scaled(case.scale).background_error(case.background))

    def _beyond(self, case: Case) -> torch.Tensor:
        """(1 − P) L ζ (member, channel, lat, lon), less their mean; zero where the model has the grid of B."""
        statistics = self.first_guess.statistics
        result = torch.zeros(self.members, len(statistics.channels), *statistics.grid.shape)
        if self.space.is_same_grid:
            return result
        method = self._drawing(self.seed + case.seed).scaled(case.scale)
        for part, draws in zip(torch.split(result, TOGETHER), method.prior_blocks(case.background), strict=True):
            part.copy_(draws)
            self.space.take_out(part)
        return result.sub_(result.mean(0))

    @cached_property
    def space(self) -> ModelSpace:
        """The model's grid and channels, seen from the first guess."""
        guess = self.first_guess.statistics
        return ModelSpace(self.checkpoint.statistics, guess.grid, guess.channels)

    def _gridded(self, cases: Sequence[Case], sigma: torch.Tensor) -> GriddedObservations:
        """Return what the model sees of the cases' observations."""
        columns = self.checkpoint.model.config.columns
        return self.space.gridded([case.departures for case in cases], sigma, columns=columns).to(self.device)


def _solved(method: ThreeDVar, cases: Sequence[Case]) -> tuple[torch.Tensor, Minimisation]:
    """Return the analyses of 3D-Var of cases."""
    return method.solve(
        [case.departures for case in cases], [case.scale for case in cases], [case.background for case in cases]
    )


def _known(scale: ErrorScale) -> float:
    """Return what is left of the trust where errors are larger than the model knows them: (KNOWN_SCALE/s)² beyond."""
    return min(1.0, KNOWN_SCALE / scale.dynamics) ** 2


def make(settings: LearnedSettings, material: Material) -> Method:
    """Return the learned analysis upon 3D-Var as `--method 3dvar` has it."""
    guess = plain(settings, material, settings.background_error, option="--background-error")
    return LearnedAnalysis(
        material.checkpoint(settings.weights),
        replace(guess, members=0),
        members=MEMBERS if settings.members is None else settings.members,
        evaluations=settings.evaluations,
        seed=material.seed,
        churn=settings.churn,
        device=material.device,
    )
