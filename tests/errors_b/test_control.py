"""The control transform against the transforms of the sphere, written out field by field, and against its adjoint."""

from __future__ import annotations

import pytest
import torch

from phyda_cli.errors_b.background_error import BackgroundError
from phyda_cli.errors_b.control import ControlTransform
from phyda_cli.fields.balance import balanced_geopotential
from phyda_cli.fields.state import Channel
from phyda_cli.grids.harmonics import SphericalHarmonics
from phyda_cli.grids.latlon import LatLonGrid
from tests.support.background_error import small_statistics

SHIFTED = LatLonGrid(
    LatLonGrid.equiangular(12, 20).latitudes, tuple(x + 4.0 for x in LatLonGrid.equiangular(12, 20).longitudes)
)
"""A grid whose first meridian is not 0°."""


def shifted_statistics() -> BackgroundError:
    """Random statistics on it: two wind levels, truncation 7."""
    generator = torch.Generator().manual_seed(5)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    psi, other = draw(8, 2, 2), draw(8, 5, 5)
    channels = [Channel(name, level) for name in ("u", "v", "t") for level in (5e4, 8e4)]
    return BackgroundError(
        grid=SHIFTED,
        channels=(*channels, Channel("msl")),
        regression=1e-3 * draw(12, 5, 2),
        sigma_psi=1e6 * draw(2, 12).abs(),
        sigma_unbalanced=draw(5, 12).abs(),
        covariance_psi=psi @ psi.mT,
        covariance_unbalanced=other @ other.mT,
        sigma=torch.ones(7, 12, dtype=torch.float64),
    )


def written_out(statistics: BackgroundError, v: torch.Tensor) -> torch.Tensor:
    """L v (case, channel, lat, lon), one transform after the other, from the equations in the module's docstring."""
    transform, wind = SphericalHarmonics(statistics.grid, statistics.truncation), statistics.wind_levels
    m = torch.arange(statistics.truncation + 1)
    basis = torch.tensor([1.0] + [0.5**0.5] * statistics.truncation, dtype=torch.float64) * (m <= m[:, None])
    sine = torch.where(m > 0, basis, 0.0)

    def correlated(covariance: torch.Tensor, part: torch.Tensor) -> torch.Tensor:
        values, vectors = torch.linalg.eigh(covariance)
        root = torch.einsum("nij,nj,nkj->nik", vectors, values.clamp_min(0).sqrt(), vectors)
        mixed = torch.einsum("nij,bjnmc->binmc", root, part)
        return torch.complex(mixed[..., 0] * basis, mixed[..., 1] * sine)

    psi_grid = transform.synthesis(correlated(statistics.covariance_psi, v[:, :wind]))
    psi = transform.analysis(statistics.sigma_psi[:, :, None] * psi_grid)
    unbalanced = transform.synthesis(correlated(statistics.covariance_unbalanced, v[:, wind:]))
    balanced = torch.einsum("yij,bjyx->biyx", statistics.regression, balanced_geopotential(transform, psi))
    rest = statistics.sigma_unbalanced[:, :, None] * unbalanced + balanced
    u, east = transform.winds(psi, transform.analysis(rest[:, :wind]))
    return torch.cat([u, east, rest[:, wind:]], dim=1)


@pytest.fixture(params=["shifted", "fitted"])
def statistics(request: pytest.FixtureRequest) -> BackgroundError:
    return shifted_statistics() if request.param == "shifted" else small_statistics()


def draws(transform: ControlTransform, count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(count, *transform.shape, generator=generator, dtype=torch.float64)


def test_equals_the_transforms_written_out(statistics: BackgroundError) -> None:
    transform = ControlTransform(statistics)
    v = draws(transform, 3)
    expected = written_out(statistics, v)
    scale = expected.abs().amax(dim=(0, 1, 3), keepdim=True)
    assert float(((transform(v) - expected) / scale).abs().max()) < 1e-12


def test_adjoint_by_the_dot_product(statistics: BackgroundError) -> None:
    """⟨L v, y⟩ = ⟨v, Lᵀ y⟩ for each case, relative to the size of the terms, all channels of equal weight."""
    transform = ControlTransform(statistics)
    v = transform.pack(draws(transform, 3))
    fields = transform.forward(v)
    y = torch.randn(fields.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    y = y / fields.abs().amax(dim=(0, 1, 3), keepdim=True)
    left, right = (fields * y).sum((0, 1, 2)), (v * transform.adjoint(y)).sum(0)
    size = fields.square().sum((0, 1, 2)).sqrt() * y.square().sum((0, 1, 2)).sqrt()
    norm = (fields * y).square().sum((0, 1, 2)).sqrt()
    assert bool(((left - right).abs() < 1e-12 * torch.minimum(size, norm)).all())


def test_adjoint_equals_the_derivative(statistics: BackgroundError) -> None:
    transform = ControlTransform(statistics)
    v = transform.pack(draws(transform, 2)).requires_grad_()
    fields = transform.forward(v)
    y = fields.detach() / fields.detach().abs().amax(dim=(0, 1, 3), keepdim=True) ** 2
    expected = torch.autograd.grad((fields * y).sum(), v)[0]
    assert torch.allclose(transform.adjoint(y), expected, rtol=0, atol=1e-12 * float(expected.abs().max()))


def test_packed_vectors_hold_what_counts_and_nothing_else() -> None:
    """(N+1)² real harmonics for each field; the free entries change no field and are zero in a packed vector."""
    transform = ControlTransform(small_statistics())
    fields, size, _, _ = transform.shape
    packed = transform.pack(torch.ones(transform.shape, dtype=torch.float64))
    assert packed.shape == (transform.size, 1)
    assert int(packed.count_nonzero()) == fields * size**2
    m = torch.arange(size)
    counts = (m <= m[:, None])[:, :, None] & ~((m == 0)[:, None] & torch.tensor([False, True]))
    v = draws(transform, 1)
    assert torch.equal(transform(v), transform(torch.where(counts, v, 1e3)))
    assert transform.pack(v).square().sum() == pytest.approx(float((v * counts).square().sum()), rel=1e-13)


def test_leading_axes_are_kept() -> None:
    transform = ControlTransform(small_statistics())
    v = draws(transform, 6)
    together = transform(v.reshape(2, 3, *transform.shape))
    assert torch.allclose(together.flatten(0, 1)[4], transform(v[4]), rtol=1e-10, atol=1e-9)
