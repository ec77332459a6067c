from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from phyda_cli.errors import BadDataError
from phyda_cli.evaluation.scores import area_mean, bias, mae, mse, rmse
from phyda_cli.grids.latlon import LatLonGrid

# Rows at −60°, 0°, 60°: the edges lie at ±30°, so the shares are (1 − sin 30°)/2, sin 30°, (1 − sin 30°)/2.
THREE_ROWS = LatLonGrid((-60.0, 0.0, 60.0), (0.0, 90.0, 180.0, 270.0))
POLAR_WEIGHT = 0.25
EQUATOR_WEIGHT = 0.5


def row_field(*rows: float) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32)[:, None].expand(-1, 4).clone()


def test_area_weights_by_hand():
    assert area_mean(row_field(1.0, 0.0, 0.0), THREE_ROWS).item() == pytest.approx(POLAR_WEIGHT, abs=1e-15)
    assert area_mean(row_field(0.0, 1.0, 0.0), THREE_ROWS).item() == pytest.approx(EQUATOR_WEIGHT, abs=1e-15)


def test_mean_of_cosine_squared_is_two_thirds():
    # ⟨cos² φ⟩ = ½∫(1 − s²) ds = 2/3
    grid = LatLonGrid.equiangular(90, 8)
    field = torch.tensor(np.cos(np.radians(grid.latitudes)) ** 2)[:, None].expand(-1, 8)
    assert area_mean(field, grid).item() == pytest.approx(2 / 3, abs=2e-4)


def test_errors_by_hand():
    # errors −4, 2, 0 on weights ¼, ½, ¼: bias 0, MAE 2, MSE ¼·16 + ½·4 = 6
    x, truth = row_field(1.0, 5.0, 7.0), row_field(5.0, 3.0, 7.0)
    assert bias(x, truth, THREE_ROWS).item() == pytest.approx(0.0, abs=1e-12)
    assert mae(x, truth, THREE_ROWS).item() == pytest.approx(2.0)
    assert mse(x, truth, THREE_ROWS).item() == pytest.approx(6.0)
    assert rmse(x, truth, THREE_ROWS).item() == pytest.approx(math.sqrt(6.0))


def test_bias_is_positive_where_the_field_is_too_high():
    assert bias(row_field(3.0, 3.0, 3.0), row_field(1.0, 1.0, 1.0), THREE_ROWS).item() == pytest.approx(2.0)


def test_small_errors_on_large_values_survive_single_precision():
    # 0.0625 is exact in float32 beside 50 000; a float32 sum of squares of the fields would lose it
    truth = torch.full((3, 4), 50_000.0)
    assert rmse(truth + 0.0625, truth, THREE_ROWS).item() == pytest.approx(0.0625, abs=1e-12)


def test_leading_axes_are_kept():
    x = torch.stack([row_field(1.0, 1.0, 1.0), row_field(-2.0, -2.0, -2.0)])
    assert mae(x, torch.zeros(2, 3, 4), THREE_ROWS).tolist() == pytest.approx([1.0, 2.0])


def test_fields_off_the_grid_are_refused():
    with pytest.raises(BadDataError, match="5×4 points"):
        area_mean(torch.zeros(5, 4), THREE_ROWS)
