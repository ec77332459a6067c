"""H(x) with the standard atmosphere taken out of the geopotential before interpolation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from phyda_cli.constants import GRAVITY
from phyda_cli.fields.standard_atmosphere import standard_height
from phyda_cli.fields.state import Channel
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.operators.operator import Operator, StateOperator
from tests.support.observations import make_observations

GRID = LatLonGrid.equiangular(8, 16)
LEVELS = (85_000.0, 50_000.0, 20_000.0)
CHANNELS = tuple(Channel(name, level) for name in ("z", "t") for level in LEVELS)
NOON = np.datetime64("2024-01-01T12:00", "ns")


def equivalent(values: torch.Tensor, rows: list[tuple[str, float]]) -> tuple[np.ndarray, StateOperator]:
    o = make_observations([(name, p, 10.0, 20.0, 0.0, 1.0) for name, p in rows], time=NOON)
    operator = Operator.at(o.variable, o.latitude, o.longitude, o.pressure).states(GRID, CHANNELS)
    return operator(values), operator


def standard_state(warmer: float = 0.0) -> torch.Tensor:
    """The standard atmosphere raised by `warmer` · ln(p₀/p), and a temperature of 100 K for each e-fold."""
    z = [GRAVITY * float(standard_height(p)) + warmer * np.log(1e5 / p) for p in LEVELS]
    t = [300.0 - 100.0 * np.log(1e5 / p) for p in LEVELS]
    return torch.tensor([*z, *t], dtype=torch.float64)[:, None, None].expand(-1, *GRID.shape).clone()


@pytest.mark.parametrize("pressure", [70_000.0, 40_000.0, 30_000.0, 25_000.0])
def test_the_standard_atmosphere_is_met_between_far_levels(pressure: float) -> None:
    """ICAO heights: 700 hPa 3012 m, 400 hPa 7185 m, 300 hPa 9164 m, 250 hPa 10363 m."""
    height = {70_000.0: 3012.0, 40_000.0: 7185.0, 30_000.0: 9164.0, 25_000.0: 10363.0}[pressure]
    assert equivalent(standard_state(), [("z", pressure)])[0][0] / GRAVITY == pytest.approx(height, abs=2.0)


def test_what_exceeds_it_is_interpolated_in_the_logarithm() -> None:
    found, _ = equivalent(standard_state(warmer=2000.0), [("z", 40_000.0)])
    expected = GRAVITY * float(standard_height(40_000.0)) + 2000.0 * np.log(2.5)
    assert found[0] == pytest.approx(expected, rel=1e-12)


def test_on_a_level_and_for_other_variables_it_is_the_operator_itself() -> None:
    values = standard_state() + torch.randn(6, *GRID.shape, dtype=torch.float64)
    found, operator = equivalent(values, [("z", 50_000.0), ("t", 40_000.0), ("t", 85_000.0)])
    linear = operator.operator.increments(GRID, operator.parts[0].inputs[0].channels)
    assert np.allclose(found, linear(values).numpy(), rtol=1e-12)


def test_zero_where_the_operator_is_not_defined() -> None:
    found, _ = equivalent(standard_state(), [("z", 10_000.0), ("q", 50_000.0), ("z", float("nan"))])
    assert found.tolist() == [0.0, 0.0, 0.0]
