"""Spherical harmonics against closed forms, exactness within the truncation, invariances and adjoints."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from phyda_cli.constants import EARTH_RADIUS
from phyda_cli.errors import BadDataError
from phyda_cli.grids.harmonics import (
    SphericalHarmonics,
    _quadrature,
    cut_tables,
    harmonic_tables,
    largest_truncation,
    legendre,
    spherical_harmonics,
)
from phyda_cli.grids.latlon import LatLonGrid
from tests.support.harmonics import complex_from_real

SHIFTED = LatLonGrid(LatLonGrid.equiangular(32, 64).latitudes, tuple(2.8125 + 5.625 * i for i in range(64)))
GRIDS = {
    "equiangular": LatLonGrid.equiangular(32, 64),
    "with poles": LatLonGrid.with_poles(33, 64),
    "Gaussian": LatLonGrid.gaussian(32),
    "first longitude not 0": SHIFTED,
}


@pytest.fixture(params=GRIDS.values(), ids=GRIDS.keys())
def grid(request) -> LatLonGrid:
    return request.param


def angles(grid: LatLonGrid) -> tuple[torch.Tensor, torch.Tensor]:
    """Latitude (lat, 1) and longitude (1, lon) in radians."""
    latitude = torch.tensor(grid.latitudes, dtype=torch.float64).deg2rad()
    longitude = torch.tensor(grid.longitudes, dtype=torch.float64).deg2rad()
    return latitude[:, None], longitude[None, :]


def coefficients(harmonics: SphericalHarmonics, *batch: int, seed: int = 1) -> torch.Tensor:
    """Random coefficients with every harmonic of the truncation in them."""
    generator = torch.Generator().manual_seed(seed)
    size = (harmonics.truncation + 1) ** 2
    return complex_from_real(torch.randn(*batch, size, generator=generator, dtype=torch.float64))


def without_mean(c: torch.Tensor) -> torch.Tensor:
    return torch.cat([torch.zeros_like(c[..., :1, :]), c[..., 1:, :]], dim=-2)


def unit(truncation: int, n: int, m: int, value: complex = 1.0) -> torch.Tensor:
    c = torch.zeros(truncation + 1, truncation + 1, dtype=torch.complex128)
    c[n, m] = value
    return c


@pytest.mark.parametrize(
    ("n", "m", "closed_form"),
    [
        (0, 0, lambda s, c: 1 + 0 * s),
        (1, 0, lambda s, c: 3**0.5 * s),
        (1, 1, lambda s, c: 1.5**0.5 * c),
        (2, 0, lambda s, c: 5**0.5 * (3 * s * s - 1) / 2),
        (2, 1, lambda s, c: 7.5**0.5 * s * c),
        (2, 2, lambda s, c: 1.875**0.5 * c * c),
        (3, 3, lambda s, c: (35 / 16) ** 0.5 * c**3),
    ],
)
def test_low_harmonics_are_their_closed_forms(grid, n, m, closed_form):
    latitude, longitude = angles(grid)
    harmonics = SphericalHarmonics(grid, 21)
    p = closed_form(latitude.sin(), latitude.cos())
    wave = 2 * p * (m * longitude).cos() if m else p.expand(grid.shape)
    torch.testing.assert_close(harmonics.synthesis(unit(21, n, m)), wave, rtol=0, atol=1e-13)
    torch.testing.assert_close(harmonics.analysis(wave), unit(21, n, m), rtol=0, atol=1e-13)


def test_sine_part_has_a_negative_imaginary_coefficient(grid):
    latitude, longitude = angles(grid)
    field = latitude.cos() * longitude.sin()
    expected = unit(21, 1, 1, -0.5j / 1.5**0.5)
    torch.testing.assert_close(SphericalHarmonics(grid, 21).analysis(field), expected, rtol=0, atol=1e-13)


def test_legendre_functions_are_orthonormal_under_gauss_quadrature():
    nodes, weights = np.polynomial.legendre.leggauss(64)
    p, over_cos, slope = legendre(40, np.degrees(np.arcsin(nodes)))
    gram = np.einsum("mjn,j,mjk->mnk", p, weights / 2, p)
    gradients = np.einsum("mjn,j,mjk->mnk", over_cos, weights / 2, over_cos)
    gradients += np.einsum("mjn,j,mjk->mnk", slope, weights / 2, slope)
    for m in range(41):
        degrees = np.arange(41)
        present = np.diag((degrees >= m).astype(float))
        np.testing.assert_allclose(gram[m], present, atol=1e-12)
        # Green's identity: the mean of |grad Y|² is n(n+1).
        np.testing.assert_allclose(gradients[m], present * degrees * (degrees + 1), atol=1e-9)


@pytest.mark.parametrize("truncation", [21, 31])
def test_round_trip_is_exact_within_the_truncation(grid, truncation):
    harmonics = SphericalHarmonics(grid, truncation)
    c = coefficients(harmonics, 2, 3)
    torch.testing.assert_close(harmonics.analysis(harmonics.synthesis(c)), c, rtol=0, atol=1e-10)


def test_analysis_on_the_gaussian_grid_is_gauss_legendre_quadrature():
    """For a field that is not band-limited, too: c = ½ Σ w P F with F the Fourier coefficients of the rows."""
    grid = LatLonGrid.gaussian(24)
    field = torch.randn(grid.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    weights = np.polynomial.legendre.leggauss(24)[1] / 2
    rows = np.fft.rfft(field.numpy(), norm="forward")[:, :16]
    expected = np.einsum("mjn,j,jm->nm", legendre(15, np.asarray(grid.latitudes))[0], weights, rows)
    np.testing.assert_allclose(SphericalHarmonics(grid, 15).analysis(field).numpy(), expected, atol=1e-13)


def test_gradient_is_exact_and_finite_everywhere(grid):
    """f = sin³φ + cos²φ sin φ cos 2λ, differentiated by hand; cos φ divided out, so the poles are in it."""
    latitude, longitude = angles(grid)
    sin, cos = latitude.sin(), latitude.cos()
    harmonics = SphericalHarmonics(grid, 21)
    east, north = harmonics.gradient(harmonics.analysis(sin**3 + cos**2 * sin * (2 * longitude).cos()))
    expected_east = -2 * cos * sin * (2 * longitude).sin() / EARTH_RADIUS
    slope = 3 * sin**2 * cos + (cos**3 - 2 * cos * sin**2) * (2 * longitude).cos()
    torch.testing.assert_close(east * EARTH_RADIUS, expected_east * EARTH_RADIUS, rtol=0, atol=1e-11)
    torch.testing.assert_close(north * EARTH_RADIUS, slope, rtol=0, atol=1e-11)


def test_gradient_at_the_pole_row_is_one_vector_seen_from_every_meridian():
    """f = x/a = cos φ cos λ has a·∇f = east unit −sin λ and, northward, −sin φ cos λ: not zero at φ = ±90."""
    grid = LatLonGrid.with_poles(33, 64)
    longitude = angles(grid)[1][0]
    harmonics = SphericalHarmonics(grid, 21)
    east, north = harmonics.gradient(unit(21, 1, 1, 0.5 / 1.5**0.5))
    torch.testing.assert_close(east[-1] * EARTH_RADIUS, -longitude.sin(), rtol=0, atol=1e-13)
    torch.testing.assert_close(north[-1] * EARTH_RADIUS, -longitude.cos(), rtol=0, atol=1e-13)
    torch.testing.assert_close(north[0] * EARTH_RADIUS, longitude.cos(), rtol=0, atol=1e-13)


def test_solid_body_rotation(grid):
    """u = u0 cos φ, v = 0 is ψ = −a u0 sin φ, whose only coefficient is c_1^0 = −a u0/√3."""
    latitude, _ = angles(grid)
    u = (30.0 * latitude.cos()).expand(grid.shape)
    psi, chi = SphericalHarmonics(grid, 21).streamfunction_potential(u, torch.zeros_like(u))
    scale = EARTH_RADIUS * 30.0
    torch.testing.assert_close(psi / scale, unit(21, 1, 0, -(3**-0.5)), rtol=0, atol=1e-12)
    assert chi.abs().max() / scale < 1e-12


def test_flow_over_the_pole_is_smooth(grid):
    """ψ = −a U cos φ sin λ, rotation about a horizontal axis: u = −U sin φ sin λ, v = −U cos λ, fast at the poles."""
    latitude, longitude = angles(grid)
    u, v = -20 * latitude.sin() * longitude.sin(), (-20 * longitude.cos()).expand(grid.shape)
    harmonics = SphericalHarmonics(grid, 31)
    psi, chi = harmonics.streamfunction_potential(u, v)
    expected = -EARTH_RADIUS * 20 * latitude.cos() * longitude.sin()
    torch.testing.assert_close(harmonics.synthesis(psi), expected, rtol=0, atol=1e-4)
    assert chi.abs().max() < 1e-4
    for made, given in zip(harmonics.winds(psi, chi), (u, v), strict=True):
        torch.testing.assert_close(made, given, rtol=0, atol=1e-11)


def test_rossby_haurwitz_wave(grid):
    """Williamson's case 6: ψ = −a²ω sin φ + a²K cos⁴φ sin φ cos 4λ, with its closed-form wind."""
    latitude, longitude = angles(grid)
    sin, cos = latitude.sin(), latitude.cos()
    rate, amplitude = 7.848e-6, 7.848e-6
    psi = EARTH_RADIUS**2 * (-rate * sin + amplitude * cos**4 * sin * (4 * longitude).cos())
    u = EARTH_RADIUS * (rate * cos + amplitude * cos**3 * (4 * sin**2 - cos**2) * (4 * longitude).cos())
    v = -4 * EARTH_RADIUS * amplitude * cos**3 * sin * (4 * longitude).sin()
    harmonics = SphericalHarmonics(grid, 21)
    made_psi, made_chi = harmonics.streamfunction_potential(u, v)
    scale = EARTH_RADIUS**2 * rate
    torch.testing.assert_close(harmonics.synthesis(made_psi) / scale, psi / scale, rtol=0, atol=1e-12)
    assert made_chi.abs().max() / scale < 1e-12
    made_u, made_v = harmonics.winds(harmonics.analysis(psi), torch.zeros_like(made_chi))
    torch.testing.assert_close(made_u, u, rtol=0, atol=1e-10)
    torch.testing.assert_close(made_v, v, rtol=0, atol=1e-10)


def test_winds_are_the_gradients_of_psi_and_chi(grid):
    harmonics = SphericalHarmonics(grid, 31)
    psi, chi = coefficients(harmonics, 2, seed=2) * 1e6, coefficients(harmonics, 2, seed=3) * 1e6
    (psi_east, psi_north), (chi_east, chi_north) = harmonics.gradient(psi), harmonics.gradient(chi)
    u, v = harmonics.winds(psi, chi)
    torch.testing.assert_close(u, chi_east - psi_north, rtol=0, atol=1e-10)
    torch.testing.assert_close(v, psi_east + chi_north, rtol=0, atol=1e-10)
    made_psi, made_chi = harmonics.streamfunction_potential(u, v)
    torch.testing.assert_close(made_psi / 1e6, without_mean(psi) / 1e6, rtol=0, atol=1e-10)
    torch.testing.assert_close(made_chi / 1e6, without_mean(chi) / 1e6, rtol=0, atol=1e-10)


def test_power_adds_up_to_the_mean_square():
    grid = LatLonGrid.gaussian(32)
    harmonics = SphericalHarmonics(grid, 15)
    c = coefficients(harmonics, 4)
    weights = torch.tensor(np.polynomial.legendre.leggauss(32)[1] / 2)
    mean_square = (harmonics.synthesis(c).square().mean(-1) * weights).sum(-1)
    torch.testing.assert_close(harmonics.power(c).sum(-1), mean_square, rtol=1e-12, atol=0)
    assert harmonics.power(unit(15, 4, 3)).tolist() == [2.0 if n == 4 else 0.0 for n in range(16)]


def test_real_basis_is_isotropic_with_variance_2n_plus_1(grid):
    """The addition theorem: Σ over the 2n+1 real harmonics of degree n of Y² is 2n+1 at every point, the poles too."""
    harmonics = SphericalHarmonics(grid, 12)
    basis = harmonics.synthesis(complex_from_real(torch.eye(169, dtype=torch.float64)))
    for n in range(13):
        variance = basis[harmonics.degree_of_real == n].square().sum(0)
        torch.testing.assert_close(variance, torch.full(grid.shape, 2.0 * n + 1, dtype=torch.float64))


def test_real_packing_is_a_bijection_that_keeps_the_norm():
    harmonics = SphericalHarmonics(LatLonGrid.equiangular(32, 64), 21)
    v = torch.randn(5, 22 * 22, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    c = complex_from_real(v)
    torch.testing.assert_close(harmonics.real_from_complex(c), v, rtol=1e-15, atol=0)
    torch.testing.assert_close(harmonics.power(c).sum(-1), v.square().sum(-1))
    for n in range(22):
        held = v[:, harmonics.degree_of_real == n].square().sum(-1)
        torch.testing.assert_close(harmonics.power(c)[:, n], held)
    assert torch.all(c.triu(1) == 0)


def test_turning_the_globe_shifts_the_phase(grid):
    """A field moved 5 columns east has the coefficients c e^{−imα}, and its latitude structure is untouched."""
    harmonics = SphericalHarmonics(grid, 21)
    field = torch.randn(grid.shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    angle = 5 * 2 * np.pi / 64
    turned = harmonics.analysis(field) * torch.exp(-1j * angle * torch.arange(22, dtype=torch.float64))
    torch.testing.assert_close(harmonics.analysis(field.roll(5, -1)), turned, rtol=0, atol=1e-14)


def test_single_precision_agrees_with_double():
    grid = LatLonGrid.equiangular(32, 64)
    double, single = SphericalHarmonics(grid, 31), SphericalHarmonics(grid, 31, dtype=torch.float32)
    c = without_mean(coefficients(double, 3)) * 1e7
    u, v = double.winds(c, c)
    psi, chi = single.streamfunction_potential(u.float(), v.float())
    assert psi.dtype == torch.complex64
    torch.testing.assert_close(psi.to(c.dtype) / 1e7, c / 1e7, rtol=0, atol=2e-5)
    torch.testing.assert_close(chi.to(c.dtype) / 1e7, c / 1e7, rtol=0, atol=2e-5)
    torch.testing.assert_close(single.synthesis(c.to(torch.complex64)), double.synthesis(c).float(), rtol=0, atol=200.0)


def test_adjoint_of_the_control_vector_transform():
    """⟨S v, w⟩ = ⟨v, Sᵀ w⟩ with Sᵀ from autograd: what conjugate gradients rely on."""
    harmonics = SphericalHarmonics(LatLonGrid.equiangular(32, 64), 31)
    generator = torch.Generator().manual_seed(11)
    v = torch.randn(3, 1024, generator=generator, dtype=torch.float64, requires_grad=True)
    field = harmonics.synthesis(complex_from_real(v))
    w = torch.randn(field.shape, generator=generator, dtype=torch.float64)
    (adjoint,) = torch.autograd.grad(field, v, w)
    left, right = (field * w).sum(), (v * adjoint).sum()
    assert abs(left - right) / (field.norm() * w.norm()) < 1e-12


def test_adjoint_of_winds_and_of_their_analysis():
    harmonics = SphericalHarmonics(LatLonGrid.with_poles(17, 32), 15)
    generator = torch.Generator().manual_seed(13)
    v = torch.randn(2, 256, generator=generator, dtype=torch.float64, requires_grad=True)
    u, w = harmonics.winds(*complex_from_real(v))
    out = torch.stack(harmonics.streamfunction_potential(u, 2 * w))
    back = harmonics.real_from_complex(out)
    probe = torch.randn(back.shape, generator=generator, dtype=torch.float64)
    (adjoint,) = torch.autograd.grad(back, v, probe)
    assert abs((back * probe).sum() - (v * adjoint).sum()) / (back.norm() * probe.norm()) < 1e-12


def test_gradcheck_through_the_transforms():
    harmonics = SphericalHarmonics(LatLonGrid.equiangular(6, 12), 3)
    v = torch.randn(16, generator=torch.Generator().manual_seed(17), dtype=torch.float64, requires_grad=True)

    def chain(x: torch.Tensor) -> torch.Tensor:
        c = harmonics.analysis(harmonics.synthesis(complex_from_real(x)))
        return torch.stack(harmonics.gradient(c)) * EARTH_RADIUS + harmonics.synthesis(c).square()

    assert torch.autograd.gradcheck(chain, (v,))


@pytest.mark.parametrize(
    ("grid_", "largest"),
    [
        (LatLonGrid.equiangular(32, 64), 31),
        (LatLonGrid.with_poles(33, 64), 31),
        (LatLonGrid.with_poles(33, 128), 31),
        (LatLonGrid.equiangular(64, 64), 31),
        (LatLonGrid.equiangular(40, 128), 39),
    ],
)
def test_truncation_beyond_the_grid_is_refused(grid_, largest):
    assert largest_truncation(grid_) == largest
    harmonics = SphericalHarmonics(grid_, largest)
    c = coefficients(harmonics)
    torch.testing.assert_close(harmonics.analysis(harmonics.synthesis(c)), c, rtol=0, atol=1e-10)
    with pytest.raises(BadDataError, match=f"0 to {largest}, not {largest + 1}"):
        SphericalHarmonics(grid_, largest + 1)


def test_uneven_rows_are_fitted_exactly_too():
    """Rows on which interpolatory weights turn negative: the fit is still exact."""
    latitudes = (-80.0, -79.0, -60.0, -40.0, -20.0, -1.0, 3.0, 20.0, 45.0, 60.0, 72.0, 85.0)
    harmonics = SphericalHarmonics(LatLonGrid(latitudes, LatLonGrid.equiangular(12, 24).longitudes), 6)
    c = coefficients(harmonics)
    torch.testing.assert_close(harmonics.analysis(harmonics.synthesis(c)), c, rtol=0, atol=1e-10)


@pytest.mark.parametrize("latitudes", ["gaussian", "regular", "uneven"])
def test_the_fits_are_pseudo_inverses_of_the_sums(latitudes):
    """A⁺ of A = √W F, by singular values, whichever way the rows let it be found."""
    rows = {
        "gaussian": LatLonGrid.gaussian(12).latitudes,
        "regular": LatLonGrid.equiangular(12, 24).latitudes,
        "uneven": (-80.0, -79.0, -60.0, -40.0, -20.0, -1.0, 3.0, 20.0, 45.0, 60.0, 72.0, 85.0),
    }[latitudes]
    grid = LatLonGrid(rows, LatLonGrid.equiangular(12, 24).longitudes)
    tables, weights = harmonic_tables(grid, 8), _quadrature(np.asarray(rows), grid.area_weights)
    root = np.sqrt(weights)
    for m in range(9):
        expected = np.linalg.pinv(root[:, None] * tables.scalar[m, :, m:]) * root
        np.testing.assert_allclose(tables.fit[m, m:], expected, rtol=0, atol=1e-12 * np.abs(expected).max())
        assert not tables.fit[m, :m].any()


@pytest.mark.parametrize("grid", [LatLonGrid.gaussian(12), LatLonGrid.equiangular(13, 24)])
def test_tables_that_are_cut_fit_with_all_harmonics(grid):
    cut, whole = cut_tables(grid, 5), harmonic_tables(grid, largest_truncation(grid)).cut(5)
    for one, other in zip(cut, whole, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12 * np.abs(other).max())


def test_kept_instances_are_shared():
    grid = LatLonGrid.equiangular(8, 16)
    assert spherical_harmonics(grid, 5) is spherical_harmonics(LatLonGrid.equiangular(8, 16), 5)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees_with_the_cpu():
    grid = LatLonGrid.equiangular(32, 64)
    cpu, cuda = SphericalHarmonics(grid, 31), SphericalHarmonics(grid, 31, device="cuda")
    c = without_mean(coefficients(cpu, 3))
    for back in cuda.streamfunction_potential(*cuda.winds(c.cuda(), c.cuda())):
        torch.testing.assert_close(back.cpu(), c, rtol=0, atol=1e-10)
    torch.testing.assert_close(cuda.analysis(cpu.synthesis(c).cuda()).cpu(), c, rtol=0, atol=1e-10)
