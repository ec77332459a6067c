"""All scores of one method on one batch: one record a date, of plain numbers, from which every table is made.

Fields are scored as increments, δ − (x_t − x_b): the same as x_a − x_t, without its rounding. Spectra and balances are
of the whole states. Squares, not their roots, are kept: roots are taken after the means over dates. A method without
members has no scores of members: `results` takes those of its analysis instead.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.evaluation.ensemble import fair_crps, rank_histogram
from phyda_cli.evaluation.scores import area_mean
from phyda_cli.evaluation.spectra import Spectra, bands_of, divergence, in_bands, spectra_of
from phyda_cli.experiments.balance import Balance
from phyda_cli.experiments.cases import CaseBatch
from phyda_cli.experiments.methods.base import Analyses
from phyda_cli.experiments.places import innovation_scores, withheld_scores
from phyda_cli.fields.state import Channel
from phyda_cli.grids.grid import Grid

SHOWN: Final = (("z", 50_000.0), ("t", 85_000.0), ("u", 25_000.0), ("q", 85_000.0))
"""Channels whose whole spectra are kept for the report, where the store has them."""
_DIGITS: Final = 6

Record = dict[str, Any]


class Measure:
    """Scores on one grid and one set of channels."""

    def __init__(self, channels: tuple[Channel, ...], grid: Grid) -> None:
        self.channels, self.grid = channels, grid
        self.variables = tuple(dict.fromkeys(channel.variable for channel in channels))
        self.bands = bands_of(grid)
        self.shown = tuple(i for i, c in enumerate(channels) if (c.variable, c.level) in SHOWN)
        self._balance = Balance(channels, grid)

    def records(self, batch: CaseBatch, analyses: Analyses, *, seconds: float) -> list[Record]:
        """One record a date. seconds: of the processor, for the whole batch."""
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
        values |= self._spectra("", state, states, truth)
        values |= self._spectra("increment_", mean, members, batch.error[row])
        values |= {f"{name}_mean": value for name, value in self._balance.difference(state, truth).items()}
        if members is not None and states is not None:
            values |= {f"{name}_members": value for name, value in self._balance.difference(states, truth).items()}
            values["ranks"] = self._ranks(members, batch.error[row], batch.pairs[row])
        head = {"members": 0 if members is None else members.shape[0], "seconds": seconds}
        return {"pair": batch.pairs[row]} | {name: _plain(value) for name, value in (head | values).items()}

    def _grid_scores(
        self, mean: torch.Tensor, members: torch.Tensor | None, wanted: torch.Tensor, sigma: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """(channel,) each; n…: of what is divided by σ_b(lead) point by point."""
        error = mean.double() - wanted.double()
        s = sigma.double()

        def both(name: str, values: torch.Tensor, power: int) -> dict[str, torch.Tensor]:
            relative = values / s**power
            return {name: area_mean(values, self.grid), f"n{name}": area_mean(relative, self.grid)}

        scores = both("mse", error.square(), 2) | both("mae", error.abs(), 1) | both("bias", error, 1)
        scores |= {"nincrement": area_mean((mean.double() / s).square(), self.grid)}
        if members is not None:
            scores |= both("crps", fair_crps(members, wanted), 1)
            scores |= both("variance", members.double().var(0), 2)
        return scores

    def _spectra(
        self, kind: str, state: torch.Tensor, states: torch.Tensor | None, truth: torch.Tensor
    ) -> dict[str, Any]:
        """SpecDiv (channel,), radial (channel, bin), power (channel, band), spectrum (shown, N + 1); see `spectral`.

        kind: of the states, or `increment_`.
        """
        right, mean = spectra_of(truth, self.grid), spectra_of(state, self.grid)
        parts = {"truth": right, "mean": mean}
        values: dict[str, Any] = {f"specdiv_{kind}mean": divergence(mean.radial, right.radial)}
        if states is not None:
            drawn = spectra_of(states, self.grid)
            parts["members"] = Spectra(drawn.radial.mean(0), drawn.power.mean(0))
            values[f"specdiv_{kind}members"] = divergence(drawn.radial, right.radial).mean(0)
        for name, part in parts.items():
            values[f"radial_{kind}{name}"] = part.radial
            values[f"power_{kind}{name}"] = in_bands(part.power, self.bands)
            values[f"spectrum_{kind}{name}"] = part.power[list(self.shown)]
        return values

    def _ranks(self, members: torch.Tensor, truth: torch.Tensor, seed: int) -> NDArray[np.int64]:
        """(variable, member + 1) counts of the truth's rank over the levels and points of each variable."""
        rows = []
        for variable in self.variables:
            own = [i for i, channel in enumerate(self.channels) if channel.variable == variable]
            rows.append(rank_histogram(members[:, own], truth[own], seed=seed).numpy())
        return np.stack(rows)


def _plain(value: Any) -> Any:
    """Numbers and nested lists with a few significant digits."""
    if isinstance(value, torch.Tensor):
        value = value.numpy()
    if isinstance(value, np.ndarray):
        return [_plain(part) for part in value.tolist()]
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value
