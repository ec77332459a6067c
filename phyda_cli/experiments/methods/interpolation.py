"""Optimal interpolation as a row of the comparison: one case after the other, with s σ_b of the given statistics."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from phyda_cli.errors_b.background_error import BackgroundError
from phyda_cli.errors_b.error_scale import ErrorScale
from phyda_cli.experiments.cases import CaseBatch
from phyda_cli.experiments.methods.base import Analyses
from phyda_cli.fields.state import State
from phyda_cli.methods.oi import OptimalInterpolation
from phyda_cli.methods.threedvar import ThreeDVar


@dataclass(frozen=True)
class InterpolationMethod:
    """OI with the standard deviations of `statistics`, which is on the grid and has the channels of the cases."""

    statistics: BackgroundError
    identity: str
    name: str = "oi"

    def analyse(self, batch: CaseBatch) -> Analyses:
        """The increments, each with its own s."""
        order = [self.statistics.channels.index(channel) for channel in batch.withheld[0].channels]
        means = []
        for number, case in enumerate(batch.departures):
            method = self._method.scaled(ErrorScale.uniform(float(batch.scale[number])))
            background = State(
                batch.background[number], batch.withheld[0].channels, self.statistics.grid, batch.times[number]
            )
            means.append(method.increment(background, case).mean.values[order].float())
        return Analyses(torch.stack(means))

    @cached_property
    def _method(self) -> OptimalInterpolation:
        return OptimalInterpolation(ThreeDVar(self.statistics).background_error())
