from __future__ import annotations

import math

import pytest
import torch
import xarray as xr

from phyda_cli.errors import BadDataError
from phyda_cli.evaluation.ensemble import fair_crps, rank_histogram


def test_crps_of_two_members_by_hand():
    # (|0 − 1| + |4 − 1|)/2 − |0 − 4|/(2·2·1)·2 = 2 − 2 = 0; members 1 and 3 about 0: 2 − 1 = 1
    members, truth = torch.tensor([[0.0, 3.0], [4.0, 1.0]]), torch.tensor([1.0, 0.0])
    assert fair_crps(members, truth).tolist() == pytest.approx([0.0, 1.0])


def test_crps_equals_its_double_sum():
    x = torch.randn(7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.zeros(5, dtype=torch.float64)
    pairs = (x[:, None] - x[None, :]).abs().sum((0, 1)) / (2 * 7 * 6)
    assert fair_crps(x, y).tolist() == pytest.approx((x.abs().mean(0) - pairs).tolist())


def test_crps_goes_to_the_gaussian_closed_form():
    # CRPS(N(0,1), y) = y (2Φ(y) − 1) + 2φ(y) − 1/√π; the fair estimate is unbiased even with 4 members
    y = 0.7
    cdf, pdf = 0.5 * (1 + math.erf(y / math.sqrt(2))), math.exp(-y * y / 2) / math.sqrt(2 * math.pi)
    expected = y * (2 * cdf - 1) + 2 * pdf - 1 / math.sqrt(math.pi)
    members = torch.randn(4, 200_000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    estimate = fair_crps(members, torch.full((200_000,), y, dtype=torch.float64)).mean().item()
    assert estimate == pytest.approx(expected, abs=4e-3)


def test_a_reliable_ensemble_of_three_has_flat_ranks():
    generator = torch.Generator().manual_seed(2)
    members = torch.randn(3, 400, 1, 10, 20, generator=generator)
    truth = torch.randn(400, 1, 10, 20, generator=generator)
    counts = rank_histogram(members, truth, seed=0)
    assert counts.sum().item() == truth.numel()
    # 80 000 truths in 4 ranks: 20 000 each, standard deviation 122
    assert counts.tolist() == pytest.approx([20_000] * 4, abs=600)


def test_ranks_by_hand_and_ties_shared():
    members = torch.tensor([[1.0], [2.0], [3.0]])
    assert rank_histogram(members, torch.tensor([2.5]), seed=0).tolist() == [0, 0, 1, 0]
    assert rank_histogram(members, torch.tensor([9.0]), seed=0).tolist() == [0, 0, 0, 1]
    # zero rain everywhere: all ranks equally likely, not all in rank 0
    counts = rank_histogram(torch.zeros(3, 40_000), torch.zeros(40_000), seed=3)
    assert counts.tolist() == pytest.approx([10_000] * 4, abs=450)


def test_one_member_is_no_ensemble():
    with pytest.raises(BadDataError, match="at least 2 members"):
        fair_crps(torch.zeros(1, 3), torch.zeros(3))


def test_crps_is_that_of_the_library_of_scores():
    probability = pytest.importorskip("scores.probability", reason="the library scores is not installed")
    generator = torch.Generator().manual_seed(4)
    members, truth = (torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((7, 5, 6), (5, 6)))
    forecast, observed = (
        xr.DataArray(members.numpy(), dims=("m", "y", "x")),
        xr.DataArray(truth.numpy(), dims=("y", "x")),
    )
    theirs = probability.crps_for_ensemble(forecast, observed, "m", method="fair", preserve_dims="all")
    assert fair_crps(members, truth).numpy() == pytest.approx(theirs.values, rel=1e-12)
