"""The control-variable transform δx = L v, with L Lᵀ = B and v ~ N(0, I).

    a = C(n)^{1/2} v                for ψ and for the unbalanced fields, one matrix for each total wavenumber
    ψ, y_u = σ(φ) · synthesis(a)
    y = y_u + R(φ) Φ_b(ψ)           y = (χ, t, q, z, msl)
    u, v = winds(ψ, χ)

Everything is linear, so Lᵀ is the vector-Jacobian product of the same code. Source: the GEN_BE pattern (Barker et al.
2012, The Weather Research and Forecasting model's community variational/ensemble data assimilation system), here on the
sphere.
"""

from __future__ import annotations

import torch

from phyda_cli.fields.background_error import BackgroundError
from phyda_cli.fields.balance import balanced_geopotential
from phyda_cli.fields.harmonics import spherical_harmonics


class ControlTransform:
    """L for one set of statistics. dtype and device: where the computation runs.

    A control vector is (fields, n, m, 2): cosine and sine parts of the orthonormal real harmonics of degree n, order m.
    Entries that stand for no harmonic (m > n, the sine part of m = 0) are free and count for nothing.
    """

    def __init__(
        self, statistics: BackgroundError, *, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
    ) -> None:
        self.statistics = statistics
        self.harmonics = spherical_harmonics(statistics.grid, statistics.truncation, dtype, device)
        self._root_psi = _square_root(statistics.covariance_psi).to(device, dtype)
        self._root_unbalanced = _square_root(statistics.covariance_unbalanced).to(device, dtype)
        self._sigma_psi = statistics.sigma_psi.to(device, dtype)[:, :, None]
        self._sigma_unbalanced = statistics.sigma_unbalanced.to(device, dtype)[:, :, None]
        self._regression = statistics.regression.to(device, dtype)
        self._basis = _basis(statistics.truncation).to(device, dtype)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(fields, N+1, N+1, 2): the shape of one control vector."""
        size = self.statistics.truncation + 1
        return len(self.statistics.channels), size, size, 2

    def __call__(self, v: torch.Tensor) -> torch.Tensor:
        """δx = L v: (…, fields, n, m, 2) → (…, channel, lat, lon)."""
        wind = self.statistics.wind_levels
        transform = self.harmonics
        psi_grid = self._sigma_psi * transform.synthesis(self._correlated(self._root_psi, v[..., :wind, :, :, :]))
        psi = transform.analysis(psi_grid)
        unbalanced = transform.synthesis(self._correlated(self._root_unbalanced, v[..., wind:, :, :, :]))
        balanced = torch.einsum("yij,...jyx->...iyx", self._regression, balanced_geopotential(transform, psi))
        rest = self._sigma_unbalanced * unbalanced + balanced
        east, north = transform.winds(psi, transform.analysis(rest[..., :wind, :, :]))
        return torch.cat([east, north, rest[..., wind:, :, :]], dim=-3)

    def _correlated(self, root: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Coefficients (…, fields, n, m) of C(n)^{1/2} v: one matrix product for each n."""
        fields, size = v.shape[-4], v.shape[-3]
        columns = v.reshape(-1, fields, size, 2 * size).permute(2, 1, 0, 3).reshape(size, fields, -1)
        mixed = torch.bmm(root, columns).reshape(size, fields, -1, size, 2).permute(2, 1, 0, 3, 4) * self._basis
        return torch.view_as_complex(mixed).reshape(*v.shape[:-1])


def implied_sigma(statistics: BackgroundError, *, samples: int, seed: int) -> torch.Tensor:
    """σ_b (channel, lat) of B = L Lᵀ, from samples L v averaged along each row, which B does not tell apart."""
    transform = ControlTransform(statistics)
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(len(statistics.channels), statistics.grid.shape[0], dtype=torch.float64)
    for _ in range(samples):
        total += transform(torch.randn(transform.shape, generator=generator, dtype=torch.float64)).square().mean(-1)
    return torch.sqrt(total / samples)


def _square_root(covariance: torch.Tensor) -> torch.Tensor:
    """The symmetric square root of each matrix; eigenvalues that rounding made negative count as zero."""
    values, vectors = torch.linalg.eigh(covariance.double())
    root: torch.Tensor = (vectors * values.clamp_min(0.0).sqrt()[..., None, :]) @ vectors.mT
    return root


def _basis(truncation: int) -> torch.Tensor:
    """(n, m, 2) factors from real control entries to complex coefficients: 1 for m = 0, √½ for 0 < m ≤ n, else 0."""
    order = torch.arange(truncation + 1)
    factor = torch.where(order > 0, 0.5**0.5, 1.0).double() * (order[None, :] <= order[:, None])
    return torch.stack([factor, torch.where(order > 0, factor, 0.0)], dim=-1)
