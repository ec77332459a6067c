"""The calibration of the spread: hand numbers, reliable ensembles, bins."""

from __future__ import annotations

import pytest
import torch

from phyda_cli.model.calibration import EDGES, LIMITS, Calibration, CalibrationSums, bins

EVEN = torch.ones(2, 1)


def draw(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def fitted(members: torch.Tensor, truth: torch.Tensor, density: torch.Tensor, area: torch.Tensor) -> torch.Tensor:
    sums = CalibrationSums.none(truth.shape[1])
    sums.add(members, truth, density, area)
    return sums.fit().factor


def test_the_factor_by_hand() -> None:
    """Members 1 and 3: mean 2, variance 2, expected square error 3/2 · 2 = 3. Truth 2 + 2.598: square 6.75; a = 1.5."""
    members = torch.tensor([1.0, 3.0]).reshape(1, 2, 1, 1, 1).expand(1, 2, 1, 2, 2)
    truth = torch.full((1, 1, 2, 2), 2.0 + 6.75**0.5)
    assert fitted(members, truth, torch.tensor([0.001]), EVEN)[1, 0].item() == pytest.approx(1.5)


def test_rows_count_by_their_area() -> None:
    """Square errors 12 and 0 in rows of weight 0.25 and 1.75: mean 1.5, of 3 expected."""
    members = torch.tensor([1.0, 3.0]).reshape(1, 2, 1, 1, 1).expand(1, 2, 1, 2, 2)
    truth = torch.full((1, 1, 2, 2), 2.0)
    truth[:, :, 0] += 12.0**0.5
    area = torch.tensor([[0.25], [1.75]])
    assert fitted(members, truth, torch.tensor([0.001]), area)[1, 0].item() == pytest.approx(0.5**0.5)


def test_a_reliable_ensemble_of_any_size_needs_no_inflation() -> None:
    """600 · 64 errors: their mean square has a standard deviation of 0.7 %."""
    for size in (2, 3, 9):
        together = draw(600, size + 1, 2, 8, 8, seed=size)
        factor = fitted(together[:, 1:], together[:, 0], torch.full((600,), 0.01), torch.ones(8, 1))
        assert torch.allclose(factor[3], torch.ones(2), atol=0.03), size
        narrow = fitted(together[:, 1:] / 1.6, together[:, 0] / 1.0, torch.full((600,), 0.01), torch.ones(8, 1))
        assert (narrow[3] > 1.2).all()


def test_cases_of_several_calls_add_up() -> None:
    together = draw(10, 4, 2, 4, 4, seed=1)
    density = torch.linspace(0.0, 0.1, 10)
    sums = CalibrationSums.none(2)
    for part in (slice(0, 3), slice(3, 10)):
        sums.add(together[part, 1:], together[part, 0], density[part], torch.ones(4, 1))
    whole = fitted(together[:, 1:], together[:, 0], density, torch.ones(4, 1))
    assert torch.allclose(sums.fit().factor, whole)
    assert int(sums.cases.sum()) == 10


def test_the_bins_are_closed_above_and_the_first_holds_no_observation() -> None:
    density = torch.tensor([0.0, 1e-9, 0.002, 0.0021, 0.07, 0.071, 1.0], dtype=torch.float64)
    assert bins(density).tolist() == [0, 1, 1, 2, 5, 6, 6]


def test_a_bin_without_cases_has_no_inflation_and_limits_hold() -> None:
    members = torch.tensor([1.0, 3.0]).reshape(1, 2, 1, 1, 1).expand(1, 2, 1, 2, 2)
    far, near = torch.full((1, 1, 2, 2), 100.0), torch.full((1, 1, 2, 2), 2.0)
    factor = fitted(members, far, torch.tensor([0.0]), EVEN)
    assert factor[0, 0].item() == LIMITS[1]
    assert (factor[1:] == 1.0).all()
    assert fitted(members, near, torch.tensor([0.0]), EVEN)[0, 0].item() == LIMITS[0]


def test_applying_it_leaves_the_mean_and_takes_each_case_s_bin_and_channel() -> None:
    members = draw(2, 5, 3, 4, 4, seed=2)
    factor = torch.ones(len(EDGES) + 1, 3)
    factor[0] = torch.tensor([2.0, 0.5, 1.0])
    applied = Calibration(factor).apply(members, torch.tensor([0.0, 0.05]))
    assert torch.allclose(applied.mean(1), members.mean(1))
    for channel, expected in enumerate((2.0, 0.5, 1.0)):
        assert torch.allclose(applied[0, :, channel].std(0), expected * members[0, :, channel].std(0))
    assert torch.allclose(applied[1], members[1])
    assert torch.allclose(Calibration.none(3).apply(members, torch.tensor([0.0, 0.05])), members)
