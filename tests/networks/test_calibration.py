"""The calibration of the spread: hand numbers, reliable ensembles, bins."""

from __future__ import annotations

import pytest
import torch

from phyda_cli.networks.calibration import EDGES, LIMITS, Calibration, CalibrationSums, bins

EVEN = torch.ones(2, 1)


def draw(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def fitted(
    members: torch.Tensor,
    truth: torch.Tensor,
    density: torch.Tensor,
    area: torch.Tensor,
    mean: torch.Tensor | None = None,
) -> torch.Tensor:
    sums = CalibrationSums.none(truth.shape[1])
    sums.add(members, members.mean(1) if mean is None else mean, truth, density, area)
    return sums.fit().factor


def test_the_factor_by_hand() -> None:
    """Members 1 and 3: mean 2, variance 2, for 16 of them 2.125 expected. Square error 4.78125: a = 1.5."""
    members = torch.tensor([1.0, 3.0]).reshape(1, 2, 1, 1, 1).expand(1, 2, 1, 2, 2)
    truth = torch.full((1, 1, 2, 2), 2.0 + 4.78125**0.5)
    density = torch.tensor([0.001])
    assert fitted(members, truth, density, EVEN)[1, 0].item() == pytest.approx(1.5)
    other = fitted(members, truth, density, EVEN, torch.full((1, 1, 2, 2), 2.5))
    assert other[1, 0].item() == pytest.approx((4.78125**0.5 - 0.5) / 2.125**0.5)


def test_rows_count_by_their_area() -> None:
    """Square errors 12 and 0 in rows of weight 0.25 and 1.75: mean 1.5, of 2.125 expected."""
    members = torch.tensor([1.0, 3.0]).reshape(1, 2, 1, 1, 1).expand(1, 2, 1, 2, 2)
    truth = torch.full((1, 1, 2, 2), 2.0)
    truth[:, :, 0] += 12.0**0.5
    area = torch.tensor([[0.25], [1.75]])
    assert fitted(members, truth, torch.tensor([0.001]), area)[1, 0].item() == pytest.approx((1.5 / 2.125) ** 0.5)


def test_a_reliable_ensemble_of_any_size_needs_no_inflation_and_a_narrow_one_its_own() -> None:
    """Members and truth about a known mean. 600 · 64 errors: their mean square has a standard deviation of 0.7 %."""
    mean, density = draw(600, 2, 8, 8, seed=1), torch.full((600,), 0.01)
    for size in (2, 3, 9):
        noise = draw(600, size + 1, 2, 8, 8, seed=size)
        truth = mean + noise[:, 0]
        for width in (1.0, 1.6):
            factor = fitted(mean[:, None] + noise[:, 1:] / width, truth, density, torch.ones(8, 1), mean)
            assert torch.allclose(factor[3], torch.full((2,), width * (16 / 17) ** 0.5), atol=0.03 * width), (
                size,
                width,
            )


def test_cases_of_several_calls_add_up() -> None:
    together = draw(10, 4, 2, 4, 4, seed=1)
    density = torch.linspace(0.0, 0.1, 10)
    sums = CalibrationSums.none(2)
    for part in (slice(0, 3), slice(3, 10)):
        sums.add(together[part, 1:], together[part, 1:].mean(1), together[part, 0], density[part], torch.ones(4, 1))
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
