"""R^{-1/2} H of batches against the observation operator of each case, and against its transpose."""

from __future__ import annotations

import pytest
import torch

from phyda_cli.methods.base import Departures
from phyda_cli.methods.weighted_operator import WeightedOperator
from tests.methods.test_threedvar import random_network
from tests.support.background_error import CHANNELS, GRID
from tests.support.observations import make_departures


@pytest.fixture(params=["shared", "own", "single"])
def cases(request: pytest.FixtureRequest) -> list[Departures]:
    shared = random_network(30, seed=1)
    if request.param == "own":
        return [shared, random_network(20, seed=2), random_network(1, seed=3)]
    return [shared] * (3 if request.param == "shared" else 1)


def fields(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, len(CHANNELS), *GRID.shape, generator=generator, dtype=torch.float64)


def test_equals_the_operator_of_each_case(cases: list[Departures]) -> None:
    operator = WeightedOperator(GRID, CHANNELS, cases, dtype=torch.float64, device="cpu")
    x = fields(len(cases))
    expected = [
        d.operator.increments(GRID, CHANNELS)(each) / torch.as_tensor(d.error) for d, each in zip(cases, x, strict=True)
    ]
    found = operator(x.permute(3, 2, 1, 0)).mT.flatten()
    assert torch.allclose(found, torch.cat(expected), rtol=1e-12, atol=1e-12 * float(found.abs().max()))
    departures = torch.cat([torch.as_tensor(d.departure / d.error) for d in cases])
    assert torch.equal(operator.departure.mT.flatten(), departures)


def test_transpose_by_the_dot_product(cases: list[Departures]) -> None:
    operator = WeightedOperator(GRID, CHANNELS, cases, dtype=torch.float64, device="cpu")
    x = fields(len(cases)).permute(3, 2, 1, 0)
    image = operator(x)
    y = torch.randn(image.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    back = operator.adjoint(y)
    assert back.shape == x.shape
    size = float((image * y).square().sum().sqrt())
    assert abs(float((image * y).sum() - (x * back).sum())) < 1e-12 * size


def test_winds_across_a_pole_lie_between_levels_as_far_as_other_rows() -> None:
    """Their weights have both signs there, which says nothing of their level: σ_o √(1 + b) half way between two."""
    middle = (25_000.0 * 50_000.0) ** 0.5
    rows = [("u", middle, 89.0, 20.0, 1.0, 1.0), ("t", middle, 89.0, 20.0, 1.0, 1.0)]
    case = [make_departures(rows)]
    operator = WeightedOperator(GRID, CHANNELS, case, between=3.0, dtype=torch.float64, device="cpu")
    assert operator.departure[:, 0].tolist() == pytest.approx([0.5, 0.5], rel=1e-12)
