"""Increments without what the grid cannot carry: scalars as spherical harmonics up to N, winds as vector harmonics.

    x ← Σ_{n ≤ N} x_n^m Y_n^m,    (u, v) ← the rotational and divergent parts up to N

A network that works on patches of the grid leaves noise at its smallest scales, the corners of the wavenumber plane
and rows near the poles, where no state has any power; N is the largest truncation that the grid carries.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from phyda_cli.fields.state import Channel
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.physics.spectral_filter import SpectralFilter


class BandLimit:
    """The projection for one grid and one set of channels; u and v of a level go together."""

    def __init__(self, channels: Sequence[Channel], grid: LatLonGrid) -> None:
        self._filter = SpectralFilter(grid, 1.0, dtype=torch.float32, device="cpu")
        place = {channel: number for number, channel in enumerate(channels)}
        paired = [
            (number, place[Channel("v", channel.level)])
            for channel, number in place.items()
            if channel.variable == "u" and Channel("v", channel.level) in place
        ]
        self._east, self._north = [u for u, _ in paired], [v for _, v in paired]
        self._scalars = [number for number in place.values() if number not in {*self._east, *self._north}]

    def __call__(self, fields: torch.Tensor) -> torch.Tensor:
        """Of fields (…, channel, lat, lon) [SI]; a wind component without its partner is taken for a scalar."""
        result = torch.empty_like(fields)
        result[..., self._scalars, :, :] = self._filter.scalars(fields[..., self._scalars, :, :])
        if self._east:
            potentials = self._filter.potentials(fields[..., self._east, :, :], fields[..., self._north, :, :])
            result[..., self._east, :, :], result[..., self._north, :, :] = self._filter.winds(*potentials)
        return result
