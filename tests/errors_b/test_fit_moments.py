"""The moments of the fit: those of residuals by closed form, and parts that add up to the whole."""

from __future__ import annotations

import pytest
import torch

from phyda_cli.errors import BadDataError
from phyda_cli.errors_b.fit import Moments, fit_background_error
from tests.support.background_error import CHANNELS, GRID, random_errors

ROWS, COLUMNS, LEVELS, FIELDS, CASES = 5, 8, 2, 3, 12


def controls():
    generator = torch.Generator().manual_seed(0)
    size = (CASES, LEVELS, ROWS, COLUMNS)
    psi, phi = (torch.randn(size, generator=generator, dtype=torch.float64) for _ in range(2))
    y = 0.7 * phi[:, [0, 1, 0]] + torch.randn((CASES, FIELDS, ROWS, COLUMNS), generator=generator, dtype=torch.float64)
    return psi, phi, y


def test_the_variance_of_residuals_is_that_of_the_residuals_themselves():
    psi, phi, y = controls()
    moments = Moments.of(psi, phi, y)
    regression = moments.regression()
    residual = y - torch.einsum("yij,bjyx->biyx", regression, phi)

    # smoothed over rows: a quarter of each neighbour, the outermost rows counted again
    def smooth(x):
        padded = torch.cat([x[:, :1], x, x[:, -1:]], dim=1)
        return 0.25 * padded[:, :-2] + 0.5 * padded[:, 1:-1] + 0.25 * padded[:, 2:]

    sigma_psi, sigma_rest = moments.deviations(regression)
    assert sigma_rest.numpy() == pytest.approx(smooth(residual.square().mean((0, -1))).sqrt().numpy(), rel=1e-12)
    assert sigma_psi.numpy() == pytest.approx(smooth(psi.square().mean((0, -1))).sqrt().numpy(), rel=1e-12)


def test_moments_of_parts_add_up_to_those_of_the_whole():
    whole, parts = Moments.of(*controls()), [Moments.of(*(x[i : i + 5] for x in controls())) for i in (0, 5, 10)]
    added = parts[0] + parts[1] + parts[2]
    assert added.count == whole.count == CASES
    for name in ("predictor", "cross", "psi", "rest"):
        assert getattr(added, name).numpy() == pytest.approx(getattr(whole, name).numpy(), rel=1e-12, abs=1e-12)


def test_the_fit_does_not_depend_on_the_batches():
    errors = random_errors(12, seed=5)
    fits = []
    for size in (12, 5):
        calls = []

        def batches(size=size, calls=calls):
            calls.append(size)
            return (errors[i : i + size] for i in range(0, 12, size))

        fits.append(fit_background_error(batches, grid=GRID, channels=CHANNELS, truncation=7))
        assert len(calls) == 2
    for name in ("regression", "sigma_psi", "sigma_unbalanced", "covariance_psi", "covariance_unbalanced", "sigma"):
        first, second = (getattr(fit, name).numpy() for fit in fits)
        assert second == pytest.approx(first, rel=1e-9, abs=1e-12 * abs(first).max()), name
    with pytest.raises(BadDataError, match="there are no forecast errors"):
        fit_background_error(lambda: iter(()), grid=GRID, channels=CHANNELS, truncation=7)
