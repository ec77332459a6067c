"""Conjugate gradients against closed forms: exact steps, residuals, what did not converge and what is not finite."""

from __future__ import annotations

import pytest
import torch

from phyda_cli.methods.conjugate_gradients import _dot, conjugate_gradients


def solve(diagonal: list[float], b: torch.Tensor, **settings):
    matrix = torch.tensor(diagonal, dtype=torch.float64)[:, None]
    return conjugate_gradients(lambda x: matrix * x, b, **{"tolerance": 1e-12, "max_iterations": 50, **settings})


def test_n_different_eigenvalues_take_n_steps():
    b = torch.tensor([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]], dtype=torch.float64)
    found = solve([1.0, 2.0, 5.0], b)
    torch.testing.assert_close(found.x, b / torch.tensor([[1.0], [2.0], [5.0]], dtype=torch.float64))
    assert found.iterations == 3
    assert found.converged
    assert found.is_finite


def test_the_residual_is_a_norm_relative_to_the_start():
    """By hand: A = diag(1, 3), b = (1, 1). One step: α = 2/4, r = (1 − ½, 1 − 3/2) = (½, −½): |r|/|b| = ½."""
    found = solve([1.0, 3.0], torch.ones(2, 1, dtype=torch.float64), max_iterations=1)
    assert found.residual.item() == pytest.approx(0.5)
    assert not found.converged
    assert solve([1.0, 3.0], torch.ones(2, 1, dtype=torch.float64), tolerance=0.5).iterations == 1
    assert solve([1.0, 3.0], torch.ones(2, 1, dtype=torch.float64), tolerance=0.49).iterations == 2


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e200])
def test_what_is_not_finite_is_told(value):
    b = torch.tensor([[1.0, value], [1.0, 1.0]], dtype=torch.float64)
    found = solve([1.0, 3.0], b)
    assert not found.is_finite
    assert not found.converged
    assert torch.isfinite(found.residual).tolist() == [True, False]
    torch.testing.assert_close(found.x[:, 0], torch.tensor([1.0, 1.0 / 3.0], dtype=torch.float64))


@pytest.mark.parametrize("size", [1, 1023, 1024, 5000])
def test_inner_products_of_single_precision_are_summed_in_double(size):
    """To the rounding of parts of 1024 products, whatever is left after the last whole part."""
    a = 1.0 + (torch.arange(2 * size).reshape(size, 2) % 16) / 4096.0
    exact = (a.double() * a.double()).sum(0)
    torch.testing.assert_close(_dot(a.float(), a.float()), exact, rtol=1e-6, atol=0.0)
