"""Places as unit vectors n = (cos φ cos λ, cos φ sin λ, sin φ), on the device of a method."""

from __future__ import annotations

import torch

from phyda_cli.grids.base import Grid


def unit_vectors(latitude: torch.Tensor, longitude: torch.Tensor) -> torch.Tensor:
    """n (n, 3) of latitudes and longitudes (n,) [degree]."""
    phi, lam = latitude.deg2rad(), longitude.deg2rad()
    return torch.stack([phi.cos() * lam.cos(), phi.cos() * lam.sin(), phi.sin()], dim=-1)


def grid_unit_vectors(grid: Grid, device: torch.device | str) -> torch.Tensor:
    """n (lat · lon, 3) of the grid's columns, double precision."""
    latitude, longitude = (torch.from_numpy(x).to(device) for x in grid.coordinates)
    return unit_vectors(latitude, longitude)
