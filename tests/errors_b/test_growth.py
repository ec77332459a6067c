"""σ_b that B implies, statistics at another truncation, and errors that grow into the climate's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from phyda_cli.errors import BadDataError
from phyda_cli.errors_b.background_error import BackgroundError
from phyda_cli.errors_b.blend import grown
from phyda_cli.errors_b.control import ControlTransform
from phyda_cli.errors_b.error_scale import LARGEST, ErrorScale
from phyda_cli.errors_b.implied import implied_sigma
from phyda_cli.errors_b.resolution import at_truncation, fitting_truncation, on_grid
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.methods.threedvar import ThreeDVar
from tests.support.background_error import CHANNELS, GRID, TRUNCATION, small_statistics


def climate() -> BackgroundError:
    """Errors three times as large, of humidity twice, and half as long again."""
    return small_statistics().stretched(1 / 1.5).scaled(ErrorScale(3.0, 2.0))


def growing() -> BackgroundError:
    return replace(small_statistics(), climate=climate())


def correlation(statistics: BackgroundError, part: str) -> torch.Tensor:
    degeneracy = 2 * torch.arange(statistics.truncation + 1, dtype=torch.float64) + 1
    return (degeneracy[:, None, None] * getattr(statistics, f"covariance_{part}")).sum(0)


def dense_sigma(statistics: BackgroundError) -> torch.Tensor:
    """The root of the diagonal of L Lᵀ, from every column of L."""
    transform = ControlTransform(statistics)
    total = torch.zeros(*transform.shape[:1], *statistics.grid.shape, dtype=torch.float64)
    columns = transform.pack(torch.ones(transform.shape, dtype=torch.float64)).flatten().nonzero().flatten()
    for chosen in columns.split(400):
        v = torch.zeros(transform.size, len(chosen), dtype=torch.float64)
        v[chosen, torch.arange(len(chosen))] = 1.0
        total += transform.forward(v).square().sum(-1).permute(2, 1, 0)
    return total.sqrt()


def test_the_implied_sigma_is_the_diagonal_of_b() -> None:
    expected = dense_sigma(small_statistics())
    assert float((expected / expected[..., :1] - 1).abs().max()) < 1e-9  # B does not know the longitude
    torch.testing.assert_close(implied_sigma(small_statistics()), expected[..., 0], rtol=2e-6, atol=0.0)


def test_cutting_keeps_what_is_below_the_cut() -> None:
    fine = on_grid(small_statistics(), LatLonGrid.equiangular(24, 48))
    cut = at_truncation(fine, 8)
    assert cut.truncation == 8
    assert cut.grid.shape == (14, 28)
    assert torch.equal(cut.covariance_psi, fine.covariance_psi[:9])
    exact, found = implied_sigma(cut), cut.sigma
    assert float(((found / exact - 1).abs()).median()) < 0.02
    assert float((found / exact - 1).abs().max()) < 0.25  # next to the poles of a coarse grid


def test_a_truncation_beyond_the_statistics_changes_nothing() -> None:
    assert at_truncation(small_statistics(), TRUNCATION) is small_statistics()
    assert fitting_truncation(small_statistics(), LatLonGrid.with_poles(73, 144)) == TRUNCATION
    assert fitting_truncation(small_statistics(), LatLonGrid.equiangular(8, 16)) == 7


def test_small_errors_are_those_of_a_short_forecast() -> None:
    found = growing().scaled(0.5)
    torch.testing.assert_close(found.sigma, 0.5 * small_statistics().sigma)
    torch.testing.assert_close(found.covariance_psi, small_statistics().covariance_psi)
    assert growing().scaled(1.0).climate is not None  # what is not scaled can still grow


def test_the_largest_errors_have_twice_the_variance_of_the_climate() -> None:
    found = growing().scaled(1000.0)
    torch.testing.assert_close(found.sigma, 2**0.5 * climate().sigma)
    torch.testing.assert_close(found.sigma_psi, 2**0.5 * climate().sigma_psi)
    torch.testing.assert_close(found.covariance_psi, climate().covariance_psi)
    torch.testing.assert_close(found.regression, climate().regression)
    assert found.climate is None


@pytest.mark.parametrize("scale", [1.5, 2.5])
def test_the_scale_is_that_of_sigma_on_average(scale: float) -> None:
    """Σ over channels of the area means of (σ(s)/σ_0)² is s² for each group; the correlations keep unit variance."""
    found = growing().scaled(ErrorScale(scale, 1.2))
    area = torch.as_tensor(GRID.area_weights)
    ratio = (found.sigma.square() * area).sum(-1) / (small_statistics().sigma.square() * area).sum(-1)
    humid = torch.tensor([c.variable == "q" for c in CHANNELS])
    assert float(ratio[~humid].mean()) == pytest.approx(scale**2, rel=1e-6)
    assert float(ratio[humid].mean()) == pytest.approx(1.2**2, rel=1e-6)
    for part in ("psi", "unbalanced"):
        diagonal = correlation(found, part).diagonal()
        before = (correlation(small_statistics(), part).diagonal(), correlation(climate(), part).diagonal())
        low, high = torch.minimum(*before), torch.maximum(*before)
        assert bool(((diagonal > low - 1e-9) & (diagonal < high + 1e-9)).all())


def test_variances_add_in_the_control_fields() -> None:
    """At every latitude: σ_ψ² = (1 − g) σ_0² + 2 g σ_c² with one g."""
    short, long, found = small_statistics(), climate(), growing().scaled(2.0)
    share = (found.sigma_psi.square() - short.sigma_psi.square()) / (
        2 * long.sigma_psi.square() - short.sigma_psi.square()
    )
    assert float(share.std()) < 1e-9
    assert 0 < float(share.mean()) < 1


def test_another_grid_is_refused() -> None:
    with pytest.raises(BadDataError, match="another grid"):
        grown(small_statistics(), on_grid(climate(), LatLonGrid.equiangular(24, 48)), ErrorScale.uniform(2.0))


def test_statistics_that_grow_bound_themselves() -> None:
    assert ThreeDVar(growing()).largest_scale == ErrorScale.uniform(np.inf)
    assert ThreeDVar(small_statistics()).largest_scale == LARGEST
