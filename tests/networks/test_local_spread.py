"""Members of the size that the encoder says: hand numbers, steps, what is left as it is."""

from __future__ import annotations

import math

import pytest
import torch

from phyda_cli.networks.local_spread import localised


def draw(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_factor_by_hand() -> None:
    """Members 1 and 5 everywhere: s² = 8. σ = √2 makes them 3 ∓ ½·2, σ = 2√2 leaves them."""
    members = torch.tensor([1.0, 5.0]).reshape(1, 2, 1, 1, 1).expand(1, 2, 2, 6, 8)
    sigma = torch.tensor([2**0.5, 8**0.5]).reshape(1, 2, 1, 1).expand(1, 2, 6, 8)
    made = localised(members, sigma.log())
    assert torch.allclose(made[0, :, 0, 3, 3], torch.tensor([2.0, 4.0]))
    assert torch.allclose(made[0, :, 1, 3, 3], torch.tensor([1.0, 5.0]))


def test_the_variance_follows_sigma_and_the_mean_stays() -> None:
    """σ is 0.5 west of 180° and 2 east of it: away from the edge the mean variances are 0.25 and 4."""
    members = 1.3 + 0.7 * draw(2, 12, 3, 32, 64, seed=1)
    sigma = torch.full((2, 3, 32, 64), 0.5).double()
    sigma[..., 32:] = 2.0
    made = localised(members, sigma.log())
    assert torch.allclose(made.mean(1), members.mean(1))
    variance = made.var(1)
    assert variance[..., 4:28].mean().item() == pytest.approx(0.25, rel=0.02)
    assert variance[..., 36:60].mean().item() == pytest.approx(4.0, rel=0.02)
    assert variance[..., 0].mean() > 0.5  # the neighbour of the first column is the last


def test_the_shape_of_a_member_is_kept_on_small_scales() -> None:
    """Where σ and the members' spread are even, all members are multiplied by nearly one number."""
    members = draw(1, 200, 1, 16, 32, seed=2)
    made = localised(members, torch.full((1, 1, 16, 32), math.log(3.0)).double())
    ratio = (made - made.mean(1)) / (members - members.mean(1))
    assert ratio.mean().item() == pytest.approx(3.0, rel=0.01)
    assert ratio.std() < 0.1


def test_members_that_are_all_alike_stay_so() -> None:
    members = torch.ones(1, 4, 1, 6, 8)
    assert torch.equal(localised(members, torch.zeros(1, 1, 6, 8)), members)


def test_a_point_counts_as_far_as_two_points_around_it() -> None:
    """σ² is 4 at one point and 2 elsewhere, as the variance: √((24 · 2 + 4)/25/2) within two points of it, 1 beyond."""
    members = torch.tensor([-1.0, 1.0], dtype=torch.float64).reshape(1, 2, 1, 1, 1).expand(1, 2, 1, 16, 32)
    sigma = torch.full((1, 1, 16, 32), 2**0.5, dtype=torch.float64)
    sigma[..., 8, 10] = 2.0
    factor = localised(members, sigma.log())[0, 1, 0, 8]
    near = torch.tensor([abs(column - 10) <= 2 for column in range(32)])
    assert torch.allclose(factor[~near], torch.ones(27, dtype=torch.float64))
    assert torch.allclose(factor[near], torch.full((5,), 1.04**0.5, dtype=torch.float64))
