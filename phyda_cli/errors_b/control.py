"""The control-variable transform δx = L v, with L Lᵀ = B and v ~ N(0, I).

    a = C(n)^{1/2} v                for ψ and for the unbalanced fields, one matrix for each total wavenumber
    ψ, y_u = σ(φ) · synthesis(a)
    y = y_u + R(φ) Φ_b(ψ)           y = (χ, t, q, z, msl)
    u, v = winds(ψ, χ)

Nothing here mixes zonal wavenumbers m, so all of it but the last step runs on the Fourier coefficients of the rows:
each operator is one real matrix for each m on complex rows (m, lat, field, case), and a Fourier matrix makes the grid
at the end. Lᵀ is the same matrices, transposed, in reverse order.
Source: the GEN_BE pattern (Barker et al. 2012, The Weather Research and Forecasting model's community
variational/ensemble data assimilation system), here on the sphere.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch

from phyda_cli.errors_b.background_error import BackgroundError
from phyda_cli.fields.balance import balance_table, coriolis
from phyda_cli.grids.harmonics import harmonic_tables
from phyda_cli.grids.latlon import LatLonGrid


class ControlTransform:
    """L for one set of statistics. dtype and device: where the computation runs.

    A control vector is (fields, n, m, 2): cosine and sine parts of the orthonormal real harmonics of degree n, order m.
    Entries that stand for no harmonic (m > n, the sine part of m = 0) are free and count for nothing.

    A minimisation works on packed vectors (`size`, case), in the order (n, field, m, 2) of ψ and then of the unbalanced
    fields, with zeros in the free entries; `forward` and `adjoint` are L and Lᵀ between them and fields
    (lon, lat, channel, case).
    """

    def __init__(
        self, statistics: BackgroundError, *, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
    ) -> None:
        self.statistics = statistics
        rows = statistics.grid.shape[0]

        def place(x: torch.Tensor) -> torch.Tensor:
            return x.to(device, dtype).contiguous()

        operators = row_operators(statistics.grid, statistics.truncation)
        synthesis, self._of_psi = place(operators.synthesis), place(operators.of_psi)
        self._of_chi = self._of_psi[:, rows:]
        self._regression = place(statistics.regression)
        self._fourier = _Fourier(statistics.grid, statistics.truncation, dtype=dtype, device=device)
        self._psi = _Family(synthesis, place(statistics.sigma_psi.mT), place(_root(statistics.covariance_psi)))
        self._unbalanced = _Family(
            synthesis, place(statistics.sigma_unbalanced.mT), place(_root(statistics.covariance_unbalanced))
        )
        order = torch.arange(statistics.truncation + 1, device=device)
        self._kept = (order <= order[:, None])[..., None].repeat(1, 1, 2)  # (n, m, part)
        self._kept[:, 0, 1] = False

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(fields, N+1, N+1, 2): the shape of one control vector."""
        size = self.statistics.truncation + 1
        return len(self.statistics.channels), size, size, 2

    @property
    def size(self) -> int:
        """The length of a packed control vector."""
        return math.prod(self.shape)

    def __call__(self, v: torch.Tensor) -> torch.Tensor:
        """δx = L v: (…, fields, n, m, 2) → (…, channel, lat, lon); differentiable."""
        fields = self.forward(self.pack(v)).permute(3, 2, 1, 0)
        return fields.reshape(*v.shape[:-4], *fields.shape[1:])

    def pack(self, v: torch.Tensor) -> torch.Tensor:
        """(size, case): control vectors (…, fields, n, m, 2) in the order of a minimisation."""
        flat = (v * self._kept).reshape(-1, *self.shape)
        wind = self.statistics.wind_levels
        parts = [part.transpose(1, 2).flatten(1) for part in torch.tensor_split(flat, [wind], dim=1)]
        return torch.cat(parts, dim=1).mT.contiguous()

    def forward(self, v: torch.Tensor) -> torch.Tensor:
        """L of packed control vectors (size, case): fields (lon, lat, channel, case)."""
        rows, wind = self.statistics.grid.shape[0], self.statistics.wind_levels
        first = self._psi.size
        psi = self._psi.rows(v[:first])
        balance, s_psi, e_psi = torch.split(_apply(self._of_psi, psi), rows, dim=1)
        rest = self._unbalanced.rows(v[first:]).add_(_by_row(self._regression, balance))
        s_chi, e_chi = torch.split(_apply(self._of_chi, rest[:, :, :wind]), rows, dim=1)
        x = torch.cat([s_psi + 1j * e_chi, 1j * e_psi - s_chi, rest[:, :, wind:]], dim=2)
        return self._fourier.to_grid(x)

    def adjoint(self, fields: torch.Tensor) -> torch.Tensor:
        """Lᵀ of fields (lon, lat, channel, case): packed control vectors (size, case)."""
        wind = self.statistics.wind_levels
        x = self._fourier.adjoint(fields)
        u, v = x[:, :, :wind], x[:, :, wind : 2 * wind]
        chi = _apply(self._of_chi.mT, torch.cat([-v, -1j * u], dim=1))
        rest = torch.cat([chi, x[:, :, 2 * wind :]], dim=2)
        balance = _by_row(self._regression.mT, rest)
        psi = _apply(self._of_psi.mT, torch.cat([balance, u, -1j * v], dim=1))
        return torch.cat([self._psi.adjoint(psi), self._unbalanced.adjoint(rest)])


class _Family:
    """Fields that share a covariance: σ(φ) · synthesis of C(n)^{1/2} v, and its adjoint.

    synthesis: (m, lat, n). sigma: (lat, field). root: (n, field, field), symmetric.
    """

    def __init__(self, synthesis: torch.Tensor, sigma: torch.Tensor, root: torch.Tensor) -> None:
        self._synthesis, self._sigma, self._root = synthesis, sigma[:, :, None], root
        self._shape = (*root.shape[:2], root.shape[0], 2)

    @property
    def size(self) -> int:
        """The length of its part of a packed vector."""
        return math.prod(self._shape)

    def rows(self, v: torch.Tensor) -> torch.Tensor:
        """(m, lat, field, case), complex, of entries (n · field · m · part, case)."""
        mixed = torch.bmm(self._root, v.reshape(*self._shape[:2], -1))
        spectral = mixed.reshape(*self._shape, -1).permute(2, 0, 1, 4, 3).contiguous()
        return _apply(self._synthesis, torch.view_as_complex(spectral)).mul_(self._sigma)

    def adjoint(self, rows: torch.Tensor) -> torch.Tensor:
        """Entries of (m, lat, field, case), complex."""
        spectral = torch.view_as_real(_apply(self._synthesis.mT, rows * self._sigma))
        own = spectral.permute(1, 2, 0, 4, 3).reshape(*self._shape[:2], -1)
        return torch.bmm(self._root, own).reshape(self.size, -1)


class _Fourier:
    """From the Fourier coefficients of rows, (m, lat, field, case), to the grid, (lon, lat, field, case).

    f(λ) = Re c_0 + 2 Σ_{m ≥ 1} (Re c_m cos mλ − Im c_m sin mλ)

    A matrix product, not a fast transform: the library's one rounds as it likes with another number of threads.
    """

    def __init__(self, grid: LatLonGrid, truncation: int, *, dtype: torch.dtype, device: torch.device | str) -> None:
        order = np.arange(truncation + 1)
        angle = np.radians(grid.longitudes)[:, None] * order
        twice = np.where(order > 0, 2.0, 1.0)
        parts = np.stack([twice * np.cos(angle), -twice * np.sin(angle) * (order > 0)], axis=-1)
        self._matrix = torch.from_numpy(parts.reshape(len(angle), -1)).to(device, dtype)

    def to_grid(self, c: torch.Tensor) -> torch.Tensor:
        """Return the fields of coefficients."""
        rows = torch.view_as_real(c).movedim(-1, 1).flatten(0, 1)
        return torch.mm(self._matrix, rows.flatten(1)).reshape(-1, *c.shape[1:])

    def adjoint(self, fields: torch.Tensor) -> torch.Tensor:
        """Return the transpose's coefficients of fields."""
        rows = torch.mm(self._matrix.mT, fields.flatten(1)).reshape(-1, 2, *fields.shape[1:])
        return torch.view_as_complex(rows.movedim(1, -1).contiguous())


def _apply(matrices: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """(m, i, field, case) of real matrices (m, i, lat) and complex x (m, lat, field, case)."""
    columns = torch.view_as_real(x).flatten(2)
    made = torch.bmm(matrices, columns).reshape(len(x), -1, *x.shape[2:], 2)
    return torch.view_as_complex(made)


def _by_row(matrices: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """(m, lat, i, case) of real matrices (lat, i, j) and complex x (m, lat, j, case)."""
    orders, rows, fields, cases = x.shape
    columns = torch.view_as_real(x).permute(1, 2, 0, 3, 4).reshape(rows, fields, -1)
    made = torch.bmm(matrices, columns).reshape(rows, -1, orders, cases, 2)
    return torch.view_as_complex(made).permute(2, 0, 1, 3)


class RowOperators(NamedTuple):
    """Float64 matrices on the Fourier coefficients of rows, one for each m.

    synthesis: (m, lat, n) from the orthonormal real harmonics. of_psi: (m, 3 lat, lat) from ψ to Φ_b, S ψ and E ψ one
    after the other, where u = S ψ + i E χ and v = i E ψ − S χ.
    """

    synthesis: torch.Tensor
    of_psi: torch.Tensor


@lru_cache(maxsize=4)
def row_operators(grid: LatLonGrid, truncation: int) -> RowOperators:
    """Return the matrices, from the tables of the sphere's transforms."""
    tables = harmonic_tables(grid, truncation)
    order = np.arange(truncation + 1)
    balanced = tables.scalar @ balance_table(tables, coriolis(grid))
    of_psi = np.concatenate([balanced, -tables.north, tables.east], axis=1) @ tables.fit
    synthesis = tables.scalar * np.where(order > 0, 0.5**0.5, 1.0)[:, None, None]
    return RowOperators(*(torch.from_numpy(x) for x in (synthesis, of_psi)))


def _root(covariance: torch.Tensor) -> torch.Tensor:
    """Return the symmetric square root of each matrix; eigenvalues that rounding made negative count as zero."""
    values, vectors = torch.linalg.eigh(covariance.double())
    root: torch.Tensor = (vectors * values.clamp_min(0.0).sqrt()[..., None, :]) @ vectors.mT
    return root
