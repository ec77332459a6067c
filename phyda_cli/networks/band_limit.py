"""Increments from one global grid to another as harmonics up to N: scalars as spherical, winds as vector harmonics.

    x ← Σ_{n ≤ N} x_n^m Y_n^m,    (u, v) ← the rotational and divergent parts up to N

N is the largest truncation of which both grids carry the products of two fields, 3 N + 1 ≤ n_lon, as a spectral model's
grid does for its own. From a grid to itself that leaves out what is finer: a network that works on patches of the grid
leaves noise at its smallest scales, the corners of the wavenumber plane and rows near the poles, where no state of such
a model has any power.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from phyda_cli.fields.state import Channel
from phyda_cli.fields.variables import EASTWARD, NORTHWARD
from phyda_cli.grids.harmonics import largest_truncation
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.physics.spectral_filter import SpectralFilter


class BandLimit:
    """The projection of one set of channels from a grid to another, or to itself; u and v of a level go together."""

    def __init__(self, channels: Sequence[Channel], source: LatLonGrid, target: LatLonGrid | None = None) -> None:
        grids = (source, source if target is None else target)
        truncation = min(min(largest_truncation(grid), (grid.shape[1] - 1) // 3) for grid in grids)
        self._source, self._target = (
            SpectralFilter(grid, truncation, dtype=torch.float32, device="cpu") for grid in grids
        )
        self._shape = grids[1].shape
        place = {channel: number for number, channel in enumerate(channels)}
        paired = [
            (number, place[partner])
            for channel, number in place.items()
            for east, north in zip(EASTWARD, NORTHWARD, strict=True)
            if channel.variable == east and (partner := Channel(north, channel.level)) in place
        ]
        self._east, self._north = [u for u, _ in paired], [v for _, v in paired]
        self._scalars = [number for number in place.values() if number not in {*self._east, *self._north}]

    def __call__(self, fields: torch.Tensor) -> torch.Tensor:
        """Of fields (…, channel, lat, lon) [SI]; a wind component without its partner is taken for a scalar."""
        result = fields.new_empty(*fields.shape[:-2], *self._shape)
        coefficients = self._source.analysis(fields[..., self._scalars, :, :])
        result[..., self._scalars, :, :] = self._target.synthesis(coefficients)
        if self._east:
            potentials = self._source.potentials(fields[..., self._east, :, :], fields[..., self._north, :, :])
            result[..., self._east, :, :], result[..., self._north, :, :] = self._target.winds(*potentials)
        return result
