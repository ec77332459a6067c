"""The algebra of the LETKF against closed forms and the Kalman filter."""

from __future__ import annotations

import pytest
import torch

from phyda_cli.errors_b.localisation import gaspari_cohn
from phyda_cli.methods.letkf_core import ensemble_transform, relaxation


def random(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_gaspari_cohn_has_its_published_values() -> None:
    ratio = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0], dtype=torch.float64)
    # 1/2: 1 − 5/12 + 5/64 + 1/32 − 1/128; 3/2 by the outer polynomial: 19/1152
    expected = torch.tensor([1.0, 263 / 384, 5 / 24, 19 / 1152, 0.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(gaspari_cohn(ratio), expected, rtol=1e-12, atol=1e-15)
    assert torch.equal(gaspari_cohn(-ratio), gaspari_cohn(ratio))


def test_gaspari_cohn_is_smooth_where_its_pieces_meet_and_falls() -> None:
    for place in (1.0, 2.0):
        ends = torch.tensor([place - 1e-7, place + 1e-7], dtype=torch.float64, requires_grad=True)
        values = gaspari_cohn(ends)
        (slope,) = torch.autograd.grad(values.sum(), ends)
        assert float(values.detach().diff().abs()) < 1e-6
        assert float(slope.diff().abs()) < 1e-6
    values = gaspari_cohn(torch.linspace(0, 2.5, 2001, dtype=torch.float64))
    assert float(values.diff().max()) <= 0.0
    assert float(values.min()) == 0.0


def test_near_the_origin_it_is_the_gaussian_of_its_length() -> None:
    """1 − r²/2L² with L = √(3/10), up to the cubic term 5/8 r³."""
    ratio = torch.tensor([1e-3], dtype=torch.float64)
    curvature = float((1.0 - gaspari_cohn(ratio)) / ratio**2)
    assert curvature == pytest.approx(1 / (2 * 0.3), rel=1e-3)


def test_the_transform_is_the_kalman_filter_of_the_ensemble_covariance() -> None:
    members, size, count = 6, 4, 9
    states, operator = random(size, members, seed=1), random(count, size, seed=2)
    error, departure = random(count, seed=3).abs() + 0.5, random(count, seed=4)
    perturbations = states - states.mean(-1, keepdim=True)
    observed = operator @ perturbations
    mean, root = (x[0] for x in ensemble_transform(observed.mT[None], departure[None], (error**-2)[None, None]))
    covariance = perturbations @ perturbations.mT / (members - 1)
    innovation = operator @ covariance @ operator.mT + torch.diag(error**2)
    gain = covariance @ operator.mT @ torch.linalg.inv(innovation)
    torch.testing.assert_close(perturbations @ mean[0], gain @ departure, rtol=1e-10, atol=1e-12)
    analysed = perturbations @ root[0]
    expected = covariance - gain @ operator @ covariance
    torch.testing.assert_close(analysed @ analysed.mT / (members - 1), expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(analysed.sum(-1), torch.zeros(size, dtype=torch.float64), rtol=0, atol=1e-12)


def test_one_variable_by_hand() -> None:
    """Two members 1 ± 1 (variance 2), an observation of it, variance 2, departure 1: halfway, half the variance."""
    mean, root = ensemble_transform(
        torch.tensor([[[-1.0], [1.0]]], dtype=torch.float64),
        torch.ones(1, 1, dtype=torch.float64),
        torch.full((1, 1, 1), 0.5, dtype=torch.float64),
    )
    perturbations = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    assert float(perturbations @ mean[0, 0]) == pytest.approx(0.5)
    assert float((perturbations @ root[0, 0]).var()) == pytest.approx(1.0)


def test_without_weight_nothing_changes() -> None:
    nothing = torch.zeros(1, 2, 7, dtype=torch.float64)
    mean, root = ensemble_transform(random(1, 5, 7, seed=1), random(1, 7, seed=2), nothing)
    assert torch.equal(mean, torch.zeros(1, 2, 5, dtype=torch.float64))
    torch.testing.assert_close(root, torch.eye(5, dtype=torch.float64).expand(1, 2, 5, 5), rtol=0, atol=1e-14)


def test_relaxation_is_its_closed_form() -> None:
    prior, posterior = torch.tensor([2.0, 2.0, 0.0]), torch.tensor([1.0, 2.0, 0.0])
    assert torch.equal(relaxation(prior, posterior, 0.0), torch.ones(3))
    assert torch.equal(relaxation(prior, posterior, 1.0) * posterior, prior)
    assert torch.equal(relaxation(prior, posterior, 0.5), torch.tensor([1.5, 1.0, 1.0]))


def test_precisions_of_any_size_leave_the_transform_finite() -> None:
    """Rounding makes an eigenvalue of Yᵀ R⁻¹ Y negative, by as much as its size is large."""
    y = random(1, 6, 40, seed=3)
    y -= y.mean(1, keepdim=True)
    precision = torch.full((1, 1, 40), 1e24, dtype=torch.float64)
    mean, root = ensemble_transform(y, random(1, 40, seed=4), precision)
    assert torch.isfinite(mean).all()
    assert torch.isfinite(root).all()
