"""How far an analysis is from the truth's balances: mean squares of the difference of the residuals.

hydrostatic: ⟨(r(x) − r(x_t))²⟩ over area and layers [m⁴ s⁻⁴];  geostrophic: the same over levels, both components
and the rows on which it is defined [m² s⁻⁴]
"""

from __future__ import annotations

import numpy as np
import torch

from phyda_cli.errors import BadDataError
from phyda_cli.evaluation.scores import area_mean
from phyda_cli.fields.state import Channel
from phyda_cli.grids.grid import Grid
from phyda_cli.physics.residuals import PhysicsConfig, PhysicsOperator


class Balance:
    """The residuals on one grid and one set of channels; none where the channels do not make levels."""

    def __init__(self, channels: tuple[Channel, ...], grid: Grid) -> None:
        self._grid = grid
        config = PhysicsConfig(physics="proxy")
        try:
            self._operator: PhysicsOperator | None = PhysicsOperator(config, channels, grid)
        except BadDataError:
            self._operator = None
        distance = np.abs(np.asarray(grid.latitudes))
        counts = (distance >= max(config.geostrophic_from, config.latitudes[0])) & (distance <= config.latitudes[1])
        self._share = float(np.asarray(grid.area_weights)[counts].sum())

    def difference(self, states: torch.Tensor, truth: torch.Tensor) -> dict[str, float]:
        """hydrostatic and geostrophic of states (…, channel, lat, lon), a mean over them; empty without levels."""
        if self._operator is None:
            return {}
        hydrostatic = self._operator.hydrostatic_residual(states) - self._operator.hydrostatic_residual(truth)
        geostrophic = self._operator.geostrophic_residual(states) - self._operator.geostrophic_residual(truth)
        return {
            "hydrostatic": float(area_mean(hydrostatic.square(), self._grid).mean()),
            "geostrophic": float(area_mean(geostrophic.square(), self._grid).mean()) / self._share,
        }
