"""Between a first guess and the learned model: what the model is given on its own grid, and the way back.

x ↦ P x          fields on the first guess's grid and channels on the model's, up to the wavenumbers that both grids
                 carry (`BandLimit`); back in the same way, zero in channels that the model has not
σ ↦ σ            standard deviations, interpolated
x_b ↦ a          the anomaly of a background on any grid, in climatological standard deviations; zero, which is the
                 climatology, in channels that it lacks and where it is not
d, σ_o ↦ Hᵀ      gridded observations: signal, noise and density (`networks/gridded.py`)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import torch

from phyda_cli.fields.state import Channel, State
from phyda_cli.fields.variables import VARIABLES
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.grids.regrid import regrid
from phyda_cli.methods.base import Departures
from phyda_cli.networks.band_limit import BandLimit
from phyda_cli.networks.gridded import GriddedObservations, grid_observations
from phyda_cli.networks.statistics import Statistics
from phyda_cli.operators.rows import entries, stacked

ANOMALY_LIMIT: Final = 5.0
"""The background's anomaly is clipped to this many climatological standard deviations."""
_COVERED: Final = 0.999
"""Share of a point's weights that must lie on the background's grid."""


@dataclass(frozen=True)
class ModelSpace:
    """The model's grid and channels, seen from a first guess.

    own: statistics of the model. grid, channels: of the first guess, which has all channels of the model.
    """

    own: Statistics
    grid: LatLonGrid
    channels: tuple[Channel, ...]

    def taken(self, fields: torch.Tensor) -> torch.Tensor:
        """Return fields (…, channel, lat, lon) of the first guess's space in the model's."""
        return self._to_model(fields[..., self._order, :, :])

    def returned(self, fields: torch.Tensor) -> torch.Tensor:
        """Return the model's fields on the first guess's grid and channels, zero where it has none."""
        result = fields.new_zeros(*fields.shape[:-3], len(self.channels), *self.grid.shape)
        result[..., self._order, :, :] = self._from_model(fields)
        return result

    def take_out(self, fields: torch.Tensor) -> None:
        """Take out of fields of the first guess's space, in place, what the model's grid carries of its channels."""
        own = fields[..., self._order, :, :]
        fields[..., self._order, :, :] = own - self._from_model(self._to_model(own))

    def sigma(self, sigma: State) -> torch.Tensor:
        """Return a standard deviation of the first guess's channels as (C, H, W) of the model."""
        return regrid(sigma.values[self._order], sigma.grid, self.own.grid).float()

    def anomaly(self, background: State) -> torch.Tensor:
        """(C, H, W) of a background on any grid; 0 for channels that it lacks and where it is not."""
        held = {channel: number for number, channel in enumerate(background.channels)}
        result = torch.zeros(len(self.own.channels), *self.own.grid.shape)
        for place, channel in enumerate(self.own.channels):
            if channel not in held:
                continue
            vector = VARIABLES[channel.variable].is_wind_component
            field = background.values[held[channel]].double()
            result[place] = regrid(field, background.grid, self.own.grid, vector=vector).float()
        known = torch.tensor([channel in held for channel in self.own.channels])[:, None, None]
        everywhere = torch.ones(background.grid.shape, dtype=torch.float64)
        known = known & (regrid(everywhere, background.grid, self.own.grid) > _COVERED)
        return torch.where(known, self.own.anomaly(result[None])[0], 0.0)

    def gridded(self, cases: Sequence[Departures], sigma: torch.Tensor, *, columns: bool) -> GriddedObservations:
        """Return the observations of cases on the model's grid, in units of s σ_b.

        sigma: s σ_b (case, C, H, W). columns: whether those of a whole column are among them.
        """
        grid, channels = self.own.grid, self.own.channels
        column = [case.operator.integrates(channels) for case in cases]
        seen = [np.ones(len(case), bool) if columns else ~own for case, own in zip(cases, column, strict=True)]
        local = [case.take(own) for case, own in zip(cases, seen, strict=True)]
        blocks = stacked([case.operator.increments(grid, channels) for case in local])
        return grid_observations(
            torch.from_numpy(np.concatenate([case.departure for case in local])).float(),
            torch.from_numpy(np.concatenate([case.error for case in local])).float(),
            entries(blocks),
            torch.repeat_interleave(torch.tensor([len(case) for case in local])),
            sigma,
            torch.from_numpy(np.concatenate([own[kept] for own, kept in zip(column, seen, strict=True)])),
        )

    @property
    def is_same_grid(self) -> bool:
        """Whether the first guess is on the model's grid already."""
        return self.grid == self.own.grid

    @cached_property
    def band_limit(self) -> BandLimit:
        """Leaves out of the model's fields what its grid does not carry."""
        return BandLimit(self.own.channels, self.own.grid)

    @cached_property
    def _to_model(self) -> Callable[[torch.Tensor], torch.Tensor]:
        return _unchanged if self.is_same_grid else BandLimit(self.own.channels, self.grid, self.own.grid)

    @cached_property
    def _from_model(self) -> Callable[[torch.Tensor], torch.Tensor]:
        return _unchanged if self.is_same_grid else BandLimit(self.own.channels, self.own.grid, self.grid)

    @cached_property
    def _order(self) -> list[int]:
        """Where the model's channels stand among the first guess's."""
        return [self.channels.index(channel) for channel in self.own.channels]


def _unchanged(fields: torch.Tensor) -> torch.Tensor:
    return fields
