"""All scores of one method on one batch: one record a date, of plain numbers, from which every table is made.

Fields are scored as increments, δ − (x_t − x_b): the same as x_a − x_t, without its rounding. Spectra and balances are
of the whole states. Squares, not their roots, are kept: roots are taken after the means over dates. A method without
members has no scores of members: `results` takes those of its analysis instead.

How far an analysis is from the truth's balances are mean squares of the difference of the residuals: hydrostatic
⟨(r(x) − r(x_t))²⟩ over area and layers [m⁴ s⁻⁴]; geostrophic the same over levels, both components and the rows on
which it is defined [m² s⁻²].
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.evaluation.ensemble import fair_crps, rank_histogram
from phyda_cli.evaluation.scores import area_mean
from phyda_cli.evaluation.spectra import Spectra, bands_of, divergence, in_bands, spectra_of
from phyda_cli.experiments.cases import CaseBatch
from phyda_cli.experiments.methods.base import Analyses
from phyda_cli.experiments.places import innovation_scores, withheld_scores
from phyda_cli.experiments.score import Kind, Of, Part, Score, spectral_key
from phyda_cli.fields.state import Channel
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.physics.residuals import PhysicsConfig, PhysicsOperator

SHOWN: Final = (("z", 50_000.0), ("t", 85_000.0), ("u", 25_000.0), ("q", 85_000.0))
"""Channels whose whole spectra are kept for the report, where the store has them."""
_DIGITS: Final = 6

Record = dict[str, Any]


class Measure:
    """Scores on one grid and one set of channels."""

    def __init__(self, channels: tuple[Channel, ...], grid: LatLonGrid) -> None:
        self.channels, self.grid = channels, grid
        self.variables = tuple(dict.fromkeys(channel.variable for channel in channels))
        self.bands = bands_of(grid)
        self.shown = tuple(i for i, c in enumerate(channels) if (c.variable, c.level) in SHOWN)
        self._balance = _Balance(channels, grid)

    def records(self, batch: CaseBatch, analyses: Analyses, *, seconds: float) -> list[Record]:
        """Return one record a date. seconds: of the processor, for the whole batch."""
        return [self._record(batch, row, analyses, seconds / len(batch)) for row in range(len(batch))]

    def _record(self, batch: CaseBatch, row: int, analyses: Analyses, seconds: float) -> Record:
        mean = analyses.mean[row]
        members = None if analyses.members is None else analyses.members[row]
        truth = batch.background[row] + batch.error[row]
        state = batch.background[row] + mean
        states = None if members is None else batch.background[row] + members
        values: dict[str, Any] = self._grid_scores(mean, members, batch.error[row], batch.sigma[row])
        values |= withheld_scores(batch, row, mean, members)
        values |= innovation_scores(batch, row, mean)
        values |= self._spectra("state", state, states, truth)
        values |= self._spectra("increment", mean, members, batch.error[row])
        values |= self._balance.difference("mean", state, truth)
        if members is not None and states is not None:
            values |= self._balance.difference("members", states, truth)
            values["ranks"] = self._ranks(members, batch.error[row], batch.pairs[row])
        head: dict[str, Any] = {"members": 0 if members is None else members.shape[0], "seconds": seconds}
        if analyses.used:
            head |= {"used": analyses.used[row], "scale": analyses.scale[row]}
        return {"pair": batch.pairs[row]} | {name: _plain(value) for name, value in (head | values).items()}

    def _grid_scores(
        self, mean: torch.Tensor, members: torch.Tensor | None, wanted: torch.Tensor, sigma: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """(channel,) each; n…: of what is divided by σ_b(lead) point by point."""
        error = mean.double() - wanted.double()
        s = sigma.double()

        def both(kind: Kind, values: torch.Tensor, power: int) -> dict[str, torch.Tensor]:
            plain, divided = area_mean(values, self.grid), area_mean(values / s**power, self.grid)
            return {Score(kind).key: plain, Score(kind, relative=True).key: divided}

        scores = both("mse", error.square(), 2) | both("mae", error.abs(), 1) | both("bias", error, 1)
        scores[Score("increment", relative=True).key] = area_mean((mean.double() / s).square(), self.grid)
        if members is not None:
            scores |= both("crps", fair_crps(members, wanted), 1)
            scores |= both("spread", members.double().var(0), 2)
        return scores

    def _spectra(self, of: Of, state: torch.Tensor, states: torch.Tensor | None, truth: torch.Tensor) -> dict[str, Any]:
        """SpecDiv (channel,), radial (channel, bin), power (channel, band), spectrum (shown, N + 1)."""
        right, mean = spectra_of(truth, self.grid), spectra_of(state, self.grid)
        parts: dict[Part, Spectra] = {"truth": right, "mean": mean}
        values: dict[str, Any] = {Score("specdiv", of=of, part="mean").key: divergence(mean.radial, right.radial)}
        if states is not None:
            drawn = spectra_of(states, self.grid)
            parts["members"] = Spectra(drawn.radial.mean(0), drawn.power.mean(0))
            values[Score("specdiv", of=of, part="members").key] = divergence(drawn.radial, right.radial).mean(0)
        for part, held in parts.items():
            values[spectral_key("radial", of, part)] = held.radial
            values[spectral_key("power", of, part)] = in_bands(held.power, self.bands)
            values[spectral_key("spectrum", of, part)] = held.power[list(self.shown)]
        return values

    def _ranks(self, members: torch.Tensor, truth: torch.Tensor, seed: int) -> NDArray[np.int64]:
        """(variable, member + 1) counts of the truth's rank over the levels and points of each variable."""
        rows = []
        for variable in self.variables:
            own = [i for i, channel in enumerate(self.channels) if channel.variable == variable]
            rows.append(rank_histogram(members[:, own], truth[own], seed=seed).numpy())
        return np.stack(rows)


class _Balance:
    """The residuals on one grid and one set of channels; none where the channels do not make levels."""

    def __init__(self, channels: tuple[Channel, ...], grid: LatLonGrid) -> None:
        self._grid = grid
        config = PhysicsConfig(physics="proxy")
        try:
            self._operator: PhysicsOperator | None = PhysicsOperator(config, channels, grid)
        except BadDataError:
            self._operator = None
        distance = np.abs(np.asarray(grid.latitudes))
        counts = (distance >= max(config.geostrophic_from, config.latitudes[0])) & (distance <= config.latitudes[1])
        self._share = float(np.asarray(grid.area_weights)[counts].sum())

    def difference(self, part: Part, states: torch.Tensor, truth: torch.Tensor) -> dict[str, float]:
        """Of states (…, channel, lat, lon), a mean over them; empty without levels."""
        if self._operator is None:
            return {}
        hydrostatic = self._operator.hydrostatic_residual(states) - self._operator.hydrostatic_residual(truth)
        geostrophic = self._operator.geostrophic_residual(states) - self._operator.geostrophic_residual(truth)
        return {
            Score("hydrostatic", part=part).key: float(area_mean(hydrostatic.square(), self._grid).mean()),
            Score("geostrophic", part=part).key: float(area_mean(geostrophic.square(), self._grid).mean())
            / self._share,
        }


def _plain(value: Any) -> Any:
    """Return numbers and nested lists with a few significant digits."""
    if isinstance(value, torch.Tensor):
        value = value.numpy()
    if isinstance(value, np.ndarray):
        return [_plain(part) for part in value.tolist()]
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value
