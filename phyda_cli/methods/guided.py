"""The learned analysis with total column water vapour, which its encoder does not know, assimilated by guidance.

    W(δ) = Σ_l w_l δq_l                                the column of an increment (`fields/column.py`), a channel more
    Σ_k = Σ_j τ_kj |cov(H W(δ_i))_kj|                  over the members δ_i of the analysis without these observations
    δ_i = guided members: log N( d | H W(x̂), R + γ σ²/(σ² + 1) Σ ) in every evaluation (`networks/guidance.py`)

Row sums Σ instead of variances make the diagonal likelihood no narrower than that with all covariances, whatever the
density of the observations; τ leaves out the covariances of observations too far apart to be more than noise.
The column's increment goes to the background's own field of it. p_s is the background's `sp`, or 1013.25 hPa.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import torch

from phyda_cli.constants import EARTH_RADIUS
from phyda_cli.errors import BadDataError, ConfigError
from phyda_cli.errors_b.error_scale import ErrorScale
from phyda_cli.fields.column import column_weights
from phyda_cli.fields.state import Channel, State
from phyda_cli.grids.places import unit_vectors
from phyda_cli.grids.regrid import regrid
from phyda_cli.methods.base import Departures, Increment
from phyda_cli.methods.phyda import Ensemble, LearnedAnalysis
from phyda_cli.methods.threedvar import ThreeDVar, canonical_order
from phyda_cli.networks.edm import Denoiser
from phyda_cli.networks.guidance import bounding_variance, guided
from phyda_cli.operators.operator import ObservationOperator

COLUMN: Final = Channel("tcwv")
"""Total column water vapour."""
STRENGTH: Final = 1.0
"""γ."""
_SURFACE_PRESSURE: Final = 101_325.0
_REACH: Final = 2.0e6
"""Observations farther apart than this [m] count as independent."""
_DRAWS: Final = 32
"""Draws of the background error from which the column's is taken."""


@dataclass(frozen=True)
class GuidedAnalysis:
    """A learned analysis with members, and guidance.

    Raises ConfigError without members, BadDataError for a model without humidity.
    """

    learned: LearnedAnalysis
    name: str = "phyda"

    def __post_init__(self) -> None:
        if self.learned.members == 0:
            raise ConfigError("guidance: it guides the members; take at least 2")
        if not self._humidity:
            raise BadDataError("guidance: the weights hold no humidity whose column could be observed")

    def channels(self) -> tuple[Channel, ...]:
        """The model's channels and the column."""
        return (*self.learned.channels(), COLUMN)

    def scaled(self, scale: ErrorScale) -> GuidedAnalysis:
        """The same method for background errors `factor` times as large."""
        return replace(self, learned=self.learned.scaled(scale))

    def without_members(self) -> ThreeDVar:
        """The first guess's method, which does not know the column."""
        return self.learned.without_members()

    def background_error(self) -> State:
        """s σ_b [SI] on the model's grid; of the column, that of draws of the background error."""
        sigma = self.learned.background_error()
        return replace(sigma, values=torch.cat([sigma.values, self._sigma[None]]), channels=self.channels())

    def prior_members(self) -> torch.Tensor | None:
        """Draws of the background error, with their columns."""
        draws = self.learned.prior_members()
        return None if draws is None else self._with_column(draws, self._weights(None))

    def increment(self, background: State, departures: Departures) -> Increment:
        """The increment for one case, from a background on any grid."""
        ordered = canonical_order(departures)
        columns = ordered.variable == COLUMN.variable
        seen, unseen = ordered.take(~columns), ordered.take(columns)
        weights = self._weights(background)
        if len(unseen):
            plain = self.learned.ensemble(background, seen)
            ensemble = self.learned.ensemble(background, seen, guide=self._guide(unseen, plain, weights))
            result = self.learned.summarise(ensemble, background.time)
        else:
            result = self.learned.increment(background, seen)
        parts = (result.mean.values, *(() if result.members is None else (result.members,)))
        mean, *members = (self._with_column(part, weights) for part in parts)
        channels = self.channels()
        spread = None
        if result.spread is not None:
            own = members[0][:, -1:].std(0) if len(ordered) else self._sigma[None]
            spread = replace(result.spread, values=torch.cat([result.spread.values, own]), channels=channels)
        log = {**(result.log or {}), "guided": len(unseen)}
        return Increment(
            replace(result.mean, values=mean, channels=channels), spread, members[0] if members else None, log
        )

    def _guide(
        self, columns: Departures, plain: Ensemble, weights: torch.Tensor
    ) -> Callable[[Denoiser, Callable[[torch.Tensor], torch.Tensor]], Denoiser]:
        """The guided denoiser of a denoiser and the decoder of its residuals to increments in units of s σ_b."""
        device = self.learned.device
        grid = self.learned.checkpoint.statistics.grid
        operator = ObservationOperator(
            grid, [COLUMN], columns.variable, columns.latitude, columns.longitude, columns.pressure,
            dtype=torch.float32, device=device,
        )  # fmt: skip
        here = weights.float().to(device)
        sigma = self.learned.background_error().values.float().to(device)

        def observe(increments: torch.Tensor) -> torch.Tensor:
            return operator(self._column(increments, here)[..., None, :, :])

        spread = bounding_variance(observe(plain.members[0].to(device)), _taper(columns).float().to(device))
        departure, error = (torch.from_numpy(x).float().to(device) for x in (columns.departure, columns.error))

        def guide(denoiser: Denoiser, decode: Callable[[torch.Tensor], torch.Tensor]) -> Denoiser:
            return guided(
                denoiser, lambda r: observe(decode(r) * sigma), departure, error.square(), spread, strength=STRENGTH
            )

        return guide

    @property
    def _humidity(self) -> list[int]:
        """Where the model's channels of humidity are."""
        return [i for i, channel in enumerate(self.learned.channels()) if channel.variable == "q"]

    def _column(self, increments: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """W (…, lat, lon) of increments (…, channel, lat, lon) of the model's channels [SI]."""
        return (increments[..., self._humidity, :, :] * weights.to(increments)).sum(-3)

    def _with_column(self, increments: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        return torch.cat([increments, self._column(increments, weights)[..., None, :, :]], dim=-3)

    def _weights(self, background: State | None) -> torch.Tensor:
        """w (level, lat, lon) on the model's grid, with the surface pressure of a background that has one."""
        statistics = self.learned.checkpoint.statistics
        pressure = torch.full(statistics.grid.shape, _SURFACE_PRESSURE, dtype=torch.float64)
        if background is not None and Channel("sp") in background.channels:
            own = background.values[background.index(Channel("sp"))].double()
            pressure = regrid(own, background.grid, statistics.grid)
        levels = [level for i in self._humidity if (level := statistics.channels[i].level) is not None]
        return column_weights(levels, pressure)

    @cached_property
    def _sigma(self) -> torch.Tensor:
        """The background error of the column (lat, lon), one number a row."""
        draws = replace(self.learned, members=_DRAWS, seed=0).prior_members()
        if draws is None:
            raise ValueError("no draws")
        column = self._column(draws, self._weights(None))
        return column.square().mean((0, -1))[:, None].sqrt().expand(column.shape[-2:]).contiguous()


def _taper(columns: Departures) -> torch.Tensor:
    """τ (n, n): 1 for observations at one place, linearly to 0 at _REACH."""
    places = torch.from_numpy(unit_vectors(columns.latitude, columns.longitude))
    apart = EARTH_RADIUS * torch.cdist(places, places)
    return (1.0 - apart / _REACH).clamp_min(0.0)
