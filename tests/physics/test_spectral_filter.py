"""The filter's transforms: closed forms, and `SphericalHarmonics` on every kind of grid."""

from __future__ import annotations

import pytest
import torch

from phyda_cli.constants import EARTH_RADIUS, OMEGA
from phyda_cli.fields.balance import balanced_geopotential, coriolis
from phyda_cli.grids.harmonics import SphericalHarmonics, largest_truncation
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.physics.spectral_filter import SpectralFilter
from tests.support.harmonics import laplacian

SHIFTED = LatLonGrid(LatLonGrid.equiangular(16, 32).latitudes, tuple(5.625 + 11.25 * i for i in range(32)))
GRIDS = {
    "equiangular": LatLonGrid.equiangular(32, 64),
    "shifted": SHIFTED,
    "poles": LatLonGrid.with_poles(17, 32),
    "Gaussian": LatLonGrid.gaussian(16),
}


def noise(grid: LatLonGrid, *batch: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(*batch, *grid.shape, generator=generator, dtype=torch.float64)


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and bool((a - b).abs().max() < 1e-11 * b.abs().max())


@pytest.fixture(params=GRIDS.values(), ids=list(GRIDS))
def spectral(request: pytest.FixtureRequest) -> tuple[SpectralFilter, SphericalHarmonics]:
    """The filter and the transforms at its cut, whose synthesis of coefficients is the same."""
    spectral = SpectralFilter(
        request.param, 2 * largest_truncation(request.param) // 3, dtype=torch.float64, device="cpu"
    )
    return spectral, SphericalHarmonics(request.param, spectral.truncation)


def test_sin_latitude_by_hand() -> None:
    """f = sin φ: gradient (0, cos φ/a), ∇²f = −2 sin φ/a²; as ψ: u = −cos φ/a, Φ_b = Ω (sin² φ − ⅓)."""
    grid = GRIDS["equiangular"]
    spectral = SpectralFilter(grid, 20, dtype=torch.float64, device="cpu")
    phi = torch.tensor(grid.latitudes, dtype=torch.float64).deg2rad()[:, None] + torch.zeros(grid.shape)
    c = spectral.analysis(phi.sin())
    east, north = spectral.gradient(c)
    assert east.abs().max() < 1e-13 / EARTH_RADIUS
    assert close(north, phi.cos() / EARTH_RADIUS)
    assert close(spectral.vorticity(c), -2 * phi.sin() / EARTH_RADIUS**2)
    u, v = spectral.winds(c, torch.zeros_like(c))
    assert close(u, -phi.cos() / EARTH_RADIUS)
    assert v.abs().max() < 1e-13 / EARTH_RADIUS
    balanced = spectral.synthesis(spectral.balanced(c))
    assert close(balanced, OMEGA * (phi.sin() ** 2 - 1 / 3))


def test_scalars_are_fitted_with_all_harmonics_and_cut(spectral: tuple[SpectralFilter, SphericalHarmonics]) -> None:
    cut, harmonics = spectral
    x = noise(harmonics.grid, 2, 3)
    wide = SphericalHarmonics(harmonics.grid, largest_truncation(harmonics.grid))
    c = wide.analysis(x)[..., : cut.truncation + 1, : cut.truncation + 1]
    assert close(cut.scalars(x), harmonics.synthesis(c))
    for mine, theirs in zip(cut.gradient(cut.analysis(x)), harmonics.gradient(c), strict=True):
        assert close(mine, theirs)


def test_winds_are_fitted_as_vectors_and_cut(spectral: tuple[SpectralFilter, SphericalHarmonics]) -> None:
    cut, harmonics = spectral
    u, v = noise(harmonics.grid, 2, 2, 3)
    wide = SphericalHarmonics(harmonics.grid, largest_truncation(harmonics.grid))
    psi, chi = (c[..., : cut.truncation + 1, : cut.truncation + 1] for c in wide.streamfunction_potential(u, v))
    mine = cut.potentials(u, v)
    for a, b in zip(cut.winds(*mine), harmonics.winds(psi, chi), strict=True):
        assert close(a, b)
    assert close(cut.vorticity(mine[0]), harmonics.synthesis(laplacian(psi)))
    assert close(cut.divergence(mine[1]), harmonics.synthesis(laplacian(chi)))
    beyond = wide.truncation - cut.truncation
    balanced = balanced_geopotential(wide, torch.nn.functional.pad(psi, (0, beyond, 0, beyond)))
    assert close(cut.synthesis(cut.balanced(mine[0])), cut.scalars(balanced))
    assert torch.equal(cut.f, torch.from_numpy(coriolis(harmonics.grid)))


def test_filtering_twice_is_filtering_once(spectral: tuple[SpectralFilter, SphericalHarmonics]) -> None:
    cut, harmonics = spectral
    u, v = noise(harmonics.grid, 2)
    once = cut.winds(*cut.potentials(u, v))
    for a, b in zip(cut.winds(*cut.potentials(*once)), once, strict=True):
        assert close(a, b)
    assert close(cut.scalars(cut.scalars(u)), cut.scalars(u))
