"""Latitude-weighted scores of fields against a truth.

With the areas w_ji of the grid's points (Σ w = 1) the mean over the sphere is ⟨e⟩ = Σ_ji w_ji e_ji, and with the error
e = x − truth

    bias = ⟨e⟩,   MAE = ⟨|e|⟩,   MSE = ⟨e²⟩,   RMSE = √⟨e²⟩

Fields are (…, lat, lon) in any floating type; sums are taken in float64 and the scores are (…) float64. A score over
several dates is the mean of the MSE (MAE, bias) over the dates; an RMSE is never averaged.
"""

from __future__ import annotations

import numpy as np
import torch

from phyda_cli.errors import BadDataError
from phyda_cli.grids.base import Grid


def area_mean(x: torch.Tensor, grid: Grid) -> torch.Tensor:
    """⟨x⟩ (…) of fields (…, lat, lon). Raises BadDataError when the fields are not on the grid."""
    if tuple(x.shape[-2:]) != grid.shape:
        raise BadDataError(f"fields of {x.shape[-2]}×{x.shape[-1]} points cannot be scored on a grid of {grid}")
    weights = torch.from_numpy(np.array(grid.area)).to(x.device)
    return x.double().flatten(-2) @ weights.flatten()


def bias(x: torch.Tensor, truth: torch.Tensor, grid: Grid) -> torch.Tensor:
    """⟨x − truth⟩ (…), in the unit of the fields."""
    return area_mean(x.double() - truth.double(), grid)


def mae(x: torch.Tensor, truth: torch.Tensor, grid: Grid) -> torch.Tensor:
    """⟨|x − truth|⟩ (…), in the unit of the fields."""
    return area_mean((x.double() - truth.double()).abs(), grid)


def mse(x: torch.Tensor, truth: torch.Tensor, grid: Grid) -> torch.Tensor:
    """⟨(x − truth)²⟩ (…), in the unit of the fields squared."""
    return area_mean((x.double() - truth.double()).square(), grid)


def rmse(x: torch.Tensor, truth: torch.Tensor, grid: Grid) -> torch.Tensor:
    """√⟨(x − truth)²⟩ (…) of each field, in the unit of the fields."""
    return mse(x, truth, grid).sqrt()
