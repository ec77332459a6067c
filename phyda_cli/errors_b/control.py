"""The control-variable transform δx = L v, with L Lᵀ = B and v ~ N(0, I).

    a = C(n)^{1/2} v                for ψ and for the unbalanced fields, one matrix for each total wavenumber
    ψ, y_u = σ(φ) · synthesis(a)
    y = y_u + R(φ) Φ_b(ψ)           y = (χ, t, q, z, msl)
    u, v = winds(ψ, χ)

Nothing here mixes zonal wavenumbers m, so all of it but the last step runs on the Fourier coefficients of the rows:
each operator is one real matrix for each m, and a Fourier matrix makes the grid at the end. The cases of a batch are
the last axis of every tensor, so that no step moves data. Lᵀ is the same matrices, transposed, in reverse order.
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

    A minimisation works on packed vectors (`size`, case), without the free entries; `forward` and `adjoint` are L and
    Lᵀ between them and fields (lon, lat, channel, case).
    """

    def __init__(
        self, statistics: BackgroundError, *, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
    ) -> None:
        self.statistics = statistics
        rows, wind, truncation = statistics.grid.shape[0], statistics.wind_levels, statistics.truncation
        others = len(statistics.channels) - wind

        def place(x: torch.Tensor) -> torch.Tensor:
            return x.to(device, dtype).contiguous()

        operators = row_operators(statistics.grid, truncation)
        synthesis, of_psi = place(operators.synthesis), place(operators.of_psi)
        self._fourier = place(operators.fourier)
        self._of_psi = of_psi
        self._of_chi = of_psi[:, rows:]
        # one matrix for each order and row, though it depends on the row alone: a batched product needs no copy then
        self._regression = place(statistics.regression.repeat(len(synthesis), 1, 1))
        self._psi = _Family(synthesis, place(statistics.sigma_psi.mT), place(_root(statistics.covariance_psi)))
        self._unbalanced = _Family(
            synthesis, place(statistics.sigma_unbalanced.mT), place(_root(statistics.covariance_unbalanced))
        )
        first, second = (_packing(truncation, count)[0] for count in (wind, others))
        self._packed_from_standard = torch.cat([first, second + wind * 2 * (truncation + 1) ** 2]).to(device)
        self._wind, self._packed_wind = wind, len(first)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(fields, N+1, N+1, 2): the shape of one control vector."""
        size = self.statistics.truncation + 1
        return len(self.statistics.channels), size, size, 2

    @property
    def size(self) -> int:
        """fields · (N+1)²: the length of a packed control vector."""
        return len(self._packed_from_standard)

    def __call__(self, v: torch.Tensor) -> torch.Tensor:
        """δx = L v: (…, fields, n, m, 2) → (…, channel, lat, lon); differentiable."""
        fields = self.forward(self.pack(v)).permute(3, 2, 1, 0)
        return fields.reshape(*v.shape[:-4], *fields.shape[1:])

    def pack(self, v: torch.Tensor) -> torch.Tensor:
        """(size, case): the entries of control vectors (…, fields, n, m, 2) that stand for a harmonic."""
        return v.reshape(-1, math.prod(self.shape)).index_select(1, self._packed_from_standard).mT.contiguous()

    def forward(self, v: torch.Tensor) -> torch.Tensor:
        """L of packed control vectors (size, case): fields (lon, lat, channel, case)."""
        rows, wind = self.statistics.grid.shape[0], self._wind
        psi = self._psi.rows(v[: self._packed_wind])
        balance, s_psi, e_psi = torch.split(_apply(self._of_psi, psi), rows, dim=1)
        unbalanced = self._unbalanced.rows(v[self._packed_wind :])
        rest = torch.baddbmm(unbalanced.flatten(0, 1), self._regression, balance.flatten(0, 1)).view_as(unbalanced)
        s_chi, e_chi = torch.split(_apply(self._of_chi, rest[:, :, :wind]), rows, dim=1)
        x = torch.cat([s_psi + _times_i(e_chi), _times_i(e_psi) - s_chi, rest[:, :, wind:]], dim=2)
        return torch.mm(self._fourier, x.flatten(1)).reshape(-1, *x.shape[1:])

    def adjoint(self, fields: torch.Tensor) -> torch.Tensor:
        """Lᵀ of fields (lon, lat, channel, case): packed control vectors (size, case)."""
        wind = self._wind
        x = torch.mm(self._fourier.mT, fields.flatten(1)).reshape(-1, *fields.shape[1:])
        u, v = x[:, :, :wind], x[:, :, wind : 2 * wind]
        chi = _apply(self._of_chi.mT, torch.cat([-v, -_times_i(u)], dim=1))
        rest = torch.cat([chi, x[:, :, 2 * wind :]], dim=2)
        balance = torch.bmm(self._regression.mT, rest.flatten(0, 1)).view_as(chi)
        psi = _apply(self._of_psi.mT, torch.cat([balance, u, -_times_i(v)], dim=1))
        return torch.cat([self._psi.adjoint(psi), self._unbalanced.adjoint(rest)])


class _Family:
    """Fields that share a covariance: σ(φ) · synthesis of C(n)^{1/2} v, and its adjoint.

    synthesis: (order, lat, n). sigma: (lat, field). root: (n, field, field), symmetric.
    """

    def __init__(self, synthesis: torch.Tensor, sigma: torch.Tensor, root: torch.Tensor) -> None:
        self._synthesis, self._sigma, self._root = synthesis, sigma[:, :, None], root
        self._degrees, self._fields = root.shape[:2]
        _, packed, spectral = _packing(self._degrees - 1, self._fields)
        self._packed_from_spectral, self._spectral_from_packed = (
            packed.to(root.device),
            spectral.to(root.device),
        )

    def rows(self, v: torch.Tensor) -> torch.Tensor:
        """(order, lat, field, case) of packed entries (n · field · order, case)."""
        spectral = self._correlate(v).index_select(0, self._spectral_from_packed)
        product = torch.bmm(self._synthesis, spectral.reshape(len(self._synthesis), self._degrees, -1))
        return product.reshape(*product.shape[:2], self._fields, -1).mul_(self._sigma)

    def adjoint(self, rows: torch.Tensor) -> torch.Tensor:
        """Packed entries of (order, lat, field, case)."""
        spectral = torch.bmm(self._synthesis.mT, (rows * self._sigma).flatten(2)).reshape(-1, rows.shape[-1])
        return self._correlate(spectral.index_select(0, self._packed_from_spectral))

    def _correlate(self, v: torch.Tensor) -> torch.Tensor:
        """C(n)^{1/2} v: one matrix product for each n."""
        parts = torch.split(v, [self._fields * (2 * n + 1) for n in range(self._degrees)])
        mixed = [torch.mm(root, part.reshape(self._fields, -1)) for root, part in zip(self._root, parts, strict=True)]
        return torch.cat([part.reshape(-1, v.shape[1]) for part in mixed])


def _apply(matrices: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """(order, i, level, case) of matrices (order, i, lat) and x (order, lat, level, case)."""
    return torch.bmm(matrices, x.flatten(2)).reshape(len(x), -1, *x.shape[2:])


class RowOperators(NamedTuple):
    """Float64 matrices on the Fourier coefficients of rows, axis 0 over (m, cosine or sine).

    synthesis: (order, lat, n) from the orthonormal real harmonics. of_psi: (order, 3 lat, lat) from ψ to Φ_b,
    S ψ and E ψ one after the other, where u = S ψ + i E χ and v = i E ψ − S χ. fourier: (lon, order) to the grid.
    """

    synthesis: torch.Tensor
    of_psi: torch.Tensor
    fourier: torch.Tensor


@lru_cache(maxsize=4)
def row_operators(grid: LatLonGrid, truncation: int) -> RowOperators:
    """Return the matrices, from the tables of the sphere's transforms."""
    tables = harmonic_tables(grid, truncation)
    order = np.arange(truncation + 1)
    angle = np.radians(grid.longitudes)[:, None] * order
    twice = np.where(order > 0, 2.0, 1.0)
    fourier = np.stack([twice * np.cos(angle), -twice * np.sin(angle) * (order > 0)], axis=-1).reshape(len(angle), -1)
    balanced = tables.scalar @ balance_table(tables, coriolis(grid))
    of_psi = np.concatenate([balanced, -tables.north, tables.east], axis=1) @ tables.fit
    synthesis = (tables.scalar * np.where(order > 0, 0.5**0.5, 1.0)[:, None, None]).repeat(2, axis=0)
    synthesis[1] = 0.0  # the sine part of m = 0
    return RowOperators(*(torch.from_numpy(x) for x in (synthesis, of_psi.repeat(2, axis=0), fourier)))


def _packing(truncation: int, fields: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return where each packed entry (n, field, order) stands in (field, n, m, 2) and in (order, n, field); and back.

    Going back, entries that stand for no harmonic take the first packed one; the synthesis takes nothing from them.
    """
    size = truncation + 1
    degree, field, order = torch.meshgrid(
        torch.arange(size), torch.arange(fields), torch.arange(2 * size), indexing="ij"
    )
    kept = (order // 2 <= degree) & (order != 1)
    standard = ((field * size + degree) * 2 * size + order)[kept]
    spectral = ((order * size + degree) * fields + field)[kept]
    back = torch.zeros(2 * size * size * fields, dtype=torch.long)
    back[spectral] = torch.arange(len(spectral))
    return standard, spectral, back


def _times_i(x: torch.Tensor) -> torch.Tensor:
    """i x of Fourier coefficients, axis 0 over (m, real or imaginary part)."""
    real, imaginary = x.reshape(-1, 2, *x.shape[1:]).unbind(1)
    return torch.stack([-imaginary, real], dim=1).flatten(0, 1)


def _root(covariance: torch.Tensor) -> torch.Tensor:
    """Return the symmetric square root of each matrix; eigenvalues that rounding made negative count as zero."""
    values, vectors = torch.linalg.eigh(covariance.double())
    root: torch.Tensor = (vectors * values.clamp_min(0.0).sqrt()[..., None, :]) @ vectors.mT
    return root
