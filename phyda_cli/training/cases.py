"""Training cases: a pair of background and truth, a random network of simulated observations, and the 3D-Var increment.

    δ = (x_t − x_b)/(s σ_b),    d = H(x_t − x_b) + σ_o ε,    first guess = 3D-Var(d/s, σ_o/s)/σ_b

B and σ_b are those of a short forecast; s is the background-error scale that the analysis is told. It is the true one
at the pair's lead times a random factor, ln(factor) ~ N(0, 0.3²), so that the model relies on it only so far. A few
cases have the month's climatology as background instead of the forecast, as when there is no forecast at all.
The first guess costs a hundred times what a training step needs, so cases (`made_cases.py`) are made once and
kept (`case_files.py`).

The learned model's statistics are those of the training part only:

    mean(channel, φ) = ⟨monthly mean⟩ over months and longitudes
    std²(channel, φ) = ⟨monthly std² + (monthly mean − mean)²⟩ over months and longitudes
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.errors_b.background_error import BackgroundError
from phyda_cli.fields.state import State
from phyda_cli.methods.base import Departures
from phyda_cli.methods.phyda import TOLERANCE
from phyda_cli.methods.threedvar import ThreeDVar
from phyda_cli.networks.gridded import GriddedObservations, grid_observations
from phyda_cli.networks.statistics import MAPPED, Statistics, error_maps
from phyda_cli.observations.errors import ErrorTable
from phyda_cli.operators.first_guess import in_layers
from phyda_cli.operators.operator import Operator
from phyda_cli.operators.rows import entries, stacked
from phyda_cli.preparation.store import PairBatch, TrainingStore, open_store
from phyda_cli.training.networks import Network

_MAP_BATCH: Final = 64


def analysed_store(path: Path) -> TrainingStore:
    """Open a store for its analysed fields: all but surface pressure (`control_channels`). Raises as `open_store`."""
    return open_store(path).without("sp")


def statistics_of(store: TrainingStore, *, maps: bool = True) -> Statistics:
    """Return the model's statistics. maps: read the nominal-lead errors for the error maps (seconds), or leave them
    zero.
    """
    monthly_mean, monthly_std = monthly(store, "monthly_mean"), monthly(store, "monthly_std")
    mean = monthly_mean.mean((0, -1))
    variance = (monthly_std**2 + (monthly_mean - mean[None, :, :, None]) ** 2).mean((0, -1))
    drawn = error_maps(_nominal_errors(store), store.channels) if maps else torch.zeros(len(MAPPED), *store.grid.shape)
    sigma_b, centre, std = (torch.from_numpy(x).float() for x in (store.sigma_b(), mean, np.sqrt(variance)))
    return Statistics(store.channels, store.grid, sigma_b, centre, std, drawn.float())


def monthly(store: TrainingStore, name: str) -> NDArray[np.float64]:
    """A monthly statistic (12, C, H, W) [SI]; a month that the training part lacks has the mean of the others."""
    values = store.statistic(name)
    held = np.array([bool(np.isfinite(month).all()) for month in values])
    return values if held.all() else np.where(held[:, None, None, None], values, values[held].mean(0))


def _nominal_errors(store: TrainingStore) -> torch.Tensor:
    """x_t − x_b at the nominal lead, less their mean, (n, C, H, W)."""
    lead = store.nominal_lead
    errors = torch.cat(
        [torch.from_numpy(p.truth - p.background) for p in store.pairs("train", [lead], batch=_MAP_BATCH)]
    )
    return errors - errors.mean(0)


SCALE_SPREAD: Final = 0.3
CLIMATOLOGY: Final = 0.06
"""Share of the cases whose background is the climatology."""


@dataclass(frozen=True)
class DrawnBackground:
    """How a case's background is made. climatology: the month's mean instead of the forecast. scale: s."""

    climatology: bool
    scale: float


@dataclass(frozen=True)
class ErrorGrowth:
    """The size of the background error relative to σ_b, a mean over channels and rows.

    by_lead: at each lead [h]; climatology: of the monthly mean.
    """

    by_lead: dict[int, float]
    climatology: float

    @classmethod
    def of(cls, store: TrainingStore) -> ErrorGrowth:
        """From the store's statistics, which know the training part only."""
        nominal = store.sigma_b()
        weights = np.asarray(store.grid.area_weights)[None, :]

        def relative(sigma: NDArray[np.float64]) -> float:
            return float(np.sqrt(np.average((sigma / nominal) ** 2, weights=np.broadcast_to(weights, sigma.shape))))

        anomaly = np.sqrt((monthly(store, "monthly_std") ** 2).mean((0, -1)))
        return cls({lead: relative(store.sigma_b(lead)) for lead in store.leads}, relative(anomaly))

    def draw(self, generator: np.random.Generator, lead: int) -> DrawnBackground:
        """Return a background of a pair at a lead, with the scale that the analysis will be told."""
        climatology = bool(generator.random() < CLIMATOLOGY)
        true = self.climatology if climatology else self.by_lead[lead]
        return DrawnBackground(climatology, true * float(np.exp(SCALE_SPREAD * generator.standard_normal())))


@dataclass(frozen=True)
class Solved:
    """Cases ready for the model: first_guess (case, C, H, W) and observations in units of s σ_b."""

    first_guess: torch.Tensor
    observations: GriddedObservations


class CaseMaker:
    """Makes cases from errors x_t − x_b and networks, on one grid, with one B."""

    def __init__(self, store: TrainingStore, background_error: BackgroundError, table: ErrorTable) -> None:
        self.store, self.table = store, table
        self.sigma_b = torch.as_tensor(store.sigma_b(), dtype=torch.float32)
        # what needs more iterations than this is unlike the case of an analysis, and would hold up its whole batch
        self.method = ThreeDVar(background_error, tolerance=TOLERANCE, max_iterations=200, dtype=torch.float32)
        self.order = [background_error.channels.index(channel) for channel in store.channels]

    def make(
        self,
        errors: torch.Tensor,
        networks: Sequence[Network],
        scales: Sequence[float],
        generators: Sequence[np.random.Generator],
        backgrounds: torch.Tensor,
    ) -> Solved:
        """errors: x_t − x_b (case, C, H, W) [SI]. generators: of each case's observation noise ε. backgrounds: x_b
        (case, C, H, W) [SI], where an H that is not linear gets its slopes.
        """
        grid, channels = self.store.grid, self.store.channels
        operators = [
            self._operator(network, background).states(grid, channels).linearised(background)
            for network, background in zip(networks, backgrounds, strict=True)
        ]
        rows = [operator.increments(grid, channels) for operator in operators]
        noises = [g.standard_normal(len(network)) for g, network in zip(generators, networks, strict=True)]
        departures = [
            Departures(operator, (own(error.double()).numpy() + network.error * noise) / scale, network.error / scale)
            for operator, own, network, error, scale, noise in zip(
                operators, rows, networks, errors, scales, noises, strict=True
            )
        ]
        first_guess = torch.zeros_like(errors)
        observed = [number for number, case in enumerate(departures) if len(case)]
        if observed:
            increments = self.method.minimise([departures[number] for number in observed])[0]
            first_guess[observed] = increments[:, self.order] / self.sigma_b[:, :, None]
        sigma = self.sigma_b[None, :, :, None].expand(len(networks), -1, -1, self.store.grid.shape[1]).contiguous()
        observations = grid_observations(
            torch.from_numpy(np.concatenate([case.departure for case in departures])).float(),
            torch.from_numpy(np.concatenate([case.error for case in departures])).float(),
            entries(stacked(rows)),
            torch.repeat_interleave(torch.tensor([len(case) for case in departures])),
            sigma,
            torch.from_numpy(np.concatenate([operator.integrates(channels) for operator in operators])),
        )
        return Solved(first_guess, observations)

    def _operator(self, network: Network, background: torch.Tensor) -> Operator:
        """H of a network, with what is placed by height where it is in the background (C, H, W) [SI]."""
        n = network
        places = Operator.at(n.variable, n.latitude, n.longitude, n.pressure, zenith=n.zenith)
        if not np.isfinite(n.height).any():
            return places
        state = State(background, self.store.channels, self.store.grid, np.datetime64("NaT"))
        return in_layers(places, n.height, state)


def background_of(pair: PairBatch, chosen: Sequence[DrawnBackground], climatology: NDArray[np.float64]) -> torch.Tensor:
    """x_b (case, C, H, W) [SI]: the pair's forecast or the month's mean of climatology (12, C, H, W)."""
    month = pair.valid_time.astype("datetime64[h]").astype("datetime64[M]").astype(int) % 12
    instead = np.array([background.climatology for background in chosen])[:, None, None, None]
    return torch.from_numpy(np.where(instead, climatology[month], pair.background).astype(np.float32))
