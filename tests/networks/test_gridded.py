"""Observations on the grid: numbers by hand."""

import math

import numpy as np
import torch

from phyda_cli.networks.gridded import grid_observations


def flat(indices: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Row, index and weight of a table of weights."""
    n, k = indices.shape
    return torch.arange(n).repeat_interleave(k), indices.flatten(), weights.flatten()


def test_two_observations_at_one_point_and_one_between_two() -> None:
    """Two cases of one channel on 1 × 4 points, σ_b = 2 in the first and 1 in the second."""
    sigma = torch.tensor([2.0, 1.0], dtype=torch.float64).reshape(2, 1, 1, 1).expand(2, 1, 1, 4).contiguous()
    pad = [0] * 6
    indices = torch.tensor([[0, 1, *pad], [0, 1, *pad], [2, 3, *pad]])
    weights = torch.tensor([[1.0, 0, *pad], [1.0, 0, *pad], [0.25, 0.75, *pad]], dtype=torch.float64)
    gridded = grid_observations(
        torch.tensor([2.0, 6.0, 3.0], dtype=torch.float64),
        torch.tensor([1.0, 3.0, 0.5], dtype=torch.float64),
        flat(indices, weights),
        torch.tensor([0, 0, 1]),
        sigma,
    )
    # first case: (2/2 + 6/2)/2 = 2, (1/2 + 3/2)/2 = 1, n = 2; second: both neighbours see 3 with σ_o 0.5
    assert gridded.signal.squeeze().tolist() == [[2.0, 0, 0, 0], [0, 0, 3.0, 3.0]]
    assert gridded.noise.squeeze().tolist() == [[1.0, 0, 0, 0], [0, 0, 0.5, 0.5]]
    expected = torch.tensor([[2.0, 0, 0, 0], [0, 0, 0.25, 0.75]], dtype=torch.float64)
    assert torch.allclose(gridded.count().squeeze(), expected, atol=1e-9)
    assert gridded.density[0, 0, 0, 0].item() == 1 - math.exp(-2)
    assert gridded.signal.shape == gridded.noise.shape == gridded.density.shape == (2, 1, 1, 4)


def test_a_wind_across_the_pole_changes_its_sign_but_not_its_weight() -> None:
    indices, weights = torch.tensor([[0, 1] + [0] * 6]), torch.tensor([[0.5, -0.5] + [0.0] * 6])
    gridded = grid_observations(
        torch.tensor([4.0]), torch.tensor([1.0]), flat(indices, weights), torch.tensor([0]), torch.ones(1, 1, 1, 2)
    )
    assert gridded.signal.flatten().tolist() == [4.0, -4.0]
    assert torch.allclose(gridded.count().flatten(), torch.tensor([0.5, 0.5]), atol=1e-6)


def test_no_observation_is_zero_everywhere() -> None:
    none = torch.zeros(0)
    gridded = grid_observations(none, none, (none.long(), none.long(), none), none.long(), torch.ones(2, 3, 4, 4))
    assert not any(x.any() for x in (gridded.signal, gridded.noise, gridded.density))


def test_a_column_counts_as_one_and_is_the_same_in_every_channel() -> None:
    """a = (3, −1) over two channels with σ_b = (2, 4): s = 10, shares 0.6 and 0.4, d/s = 0.5 with the signs of a."""
    sigma = torch.tensor([2.0, 4.0], dtype=torch.float64).reshape(1, 2, 1, 1).expand(1, 2, 1, 2).contiguous()
    indices, weights = torch.tensor([[0, 2], [1, 1]]), torch.tensor([[3.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
    both = (torch.tensor([5.0, 4.0]).double(), torch.tensor([2.0, 1.0]).double(), flat(indices, weights))
    gridded = grid_observations(*both, torch.tensor([0, 0]), sigma, torch.tensor([True, False]))
    np.testing.assert_allclose(gridded.count().flatten(), [0.6, 1.0, 0.4, 0.0], atol=1e-12)
    np.testing.assert_allclose(gridded.signal.flatten(), [0.5, 2.0, -0.5, 0.0], atol=1e-12)
    np.testing.assert_allclose(gridded.noise.flatten(), [0.2, 0.5, 0.2, 0.0], atol=1e-12)


def test_a_column_of_one_channel_is_as_any_other_observation() -> None:
    """Where σ_b is uniform the two ways agree, also for a wind across a pole."""
    generator = torch.Generator().manual_seed(1)
    weights = torch.tensor([[0.4, 0.3, 0.2, 0.1], [0.4, -0.3, 0.2, -0.1]], dtype=torch.float64)
    indices = torch.randint(0, 12, (2, 4), generator=generator)
    given = (torch.tensor([3.0, -2.0]).double(), torch.tensor([1.0, 2.0]).double(), flat(indices, weights))
    sigma = torch.full((1, 1, 3, 4), 1.7, dtype=torch.float64)
    plain = grid_observations(*given, torch.tensor([0, 0]), sigma)
    column = grid_observations(*given, torch.tensor([0, 0]), sigma, torch.tensor([True, True]))
    for name in ("signal", "noise", "density"):
        np.testing.assert_allclose(getattr(column, name), getattr(plain, name), atol=1e-12)
