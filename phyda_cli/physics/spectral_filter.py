"""The spectral filter of the physics and the derivatives that come with it, as two matrix products a transform.

A grid carries harmonics up to N. Winds are cut as vector harmonics, never by component.

The tables are those of `grids.harmonics`: fields are fitted with all N harmonics, then cut. Only the layout differs
from `SphericalHarmonics`: coefficients are real tensors (m, part, …, n), parts 0 and 1 the real and the imaginary one,
so that Fourier and Legendre sums of a batch are plain matrix products without a copy between them. The wind's
potentials are ψ and iχ, with which the parts never mix:

    −i v_m = E ψ − D (iχ),   u_m = −D ψ + E (iχ)        E = m P/(a cos φ),  D = (1/a) ∂P/∂φ
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.constants import EARTH_RADIUS
from phyda_cli.fields.balance import balance_table, coriolis
from phyda_cli.grids.harmonics import cut_tables, largest_truncation
from phyda_cli.grids.latlon import LatLonGrid

Array = NDArray[np.float64]


class SpectralFilter:
    """The transforms of a grid, cut at n ≤ M = `truncation`, which is at most the largest of the grid.

    Fields are (…, lat, lon), coefficients (m, part, …, n) with m and n from 0 to M and zeros where m > n.
    """

    def __init__(self, grid: LatLonGrid, truncation: int, *, dtype: torch.dtype, device: torch.device | str) -> None:
        largest = largest_truncation(grid)
        self.truncation = truncation
        self._largest, self._grid, self._dtype, self._device = largest, grid, dtype, device
        orders = np.arange(self.truncation + 1)
        angle = orders[:, None] * np.radians(np.asarray(grid.longitudes))
        wave = np.stack((np.cos(angle), -np.sin(angle)), axis=1).reshape(2 * orders.size, -1)
        turned = np.stack((-np.sin(angle), -np.cos(angle)), axis=1).reshape(2 * orders.size, -1)
        both_signs = np.repeat(np.where(orders > 0, 2.0, 1.0), 2)[:, None]
        tables, f = cut_tables(grid, self.truncation), coriolis(grid)
        same, other = tables.potential_fits()

        def table(values: Array) -> torch.Tensor:
            return torch.as_tensor(np.ascontiguousarray(values), device=device).to(dtype)

        def right(values: Array) -> torch.Tensor:
            """(m, to, from) as the right factor of a product (m, …, from) → (m, …, to)."""
            return table(values.swapaxes(1, 2))

        self.f = table(f)
        """(lat, 1) 2Ω sin φ [s-1]."""
        self._to_waves = table(wave / grid.shape[1])
        self._to_turned_waves = table(turned / grid.shape[1])
        self._from_waves = table(wave * both_signs)
        self._from_turned_waves = table(turned * both_signs)
        self._fit, self._same, self._other = right(tables.fit), right(same), right(other)
        self._scalar, self._east, self._north = right(tables.scalar), right(tables.east), right(tables.north)
        self._eigenvalue = table(-orders * (orders + 1) / EARTH_RADIUS**2)
        self._balance = right(balance_table(tables, f))

    @property
    def uncut(self) -> SpectralFilter:
        """The same without the cut: all harmonics of the grid."""
        if self.truncation == self._largest:
            return self
        return SpectralFilter(self._grid, self._largest, dtype=self._dtype, device=self._device)

    def analysis(self, x: torch.Tensor) -> torch.Tensor:
        """Coefficients of fields."""
        return _product(self._waves(x, self._to_waves), self._fit)

    def synthesis(self, c: torch.Tensor) -> torch.Tensor:
        """Return the fields of coefficients."""
        return self._field(_product(c, self._scalar), self._from_waves)

    def gradient(self, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(1/(a cos φ)) ∂f/∂λ and (1/a) ∂f/∂φ [per m] of coefficients."""
        east = self._field(_product(c, self._east), self._from_turned_waves)
        return east, self._field(_product(c, self._north), self._from_waves)

    def potentials(self, u: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Coefficients of ψ and iχ [m² s-1] of winds [m s-1]: the fit with vector harmonics, cut."""
        u_m, v_m = self._waves(u, self._to_waves), self._waves(v, self._to_turned_waves)
        psi = _product(u_m, self._same) + _product(v_m, self._other)
        return psi, _product(u_m, self._other) + _product(v_m, self._same)

    def winds(self, psi: torch.Tensor, i_chi: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """u and v [m s-1] of the coefficients of ψ and iχ."""
        u = _product(i_chi, self._east) - _product(psi, self._north)
        v = _product(psi, self._east) - _product(i_chi, self._north)
        return self._field(u, self._from_waves), self._field(v, self._from_turned_waves)

    def vorticity(self, psi: torch.Tensor) -> torch.Tensor:
        """ζ = ∇²ψ [s-1] of the coefficients of ψ."""
        return self.synthesis(psi * self._eigenvalue)

    def divergence(self, i_chi: torch.Tensor) -> torch.Tensor:
        """D = ∇²χ [s-1] of the coefficients of iχ."""
        return self._field(_product(i_chi * -self._eigenvalue, self._scalar), self._from_turned_waves)

    def balanced(self, psi: torch.Tensor) -> torch.Tensor:
        """Coefficients of Φ_b, ∇²Φ_b = ∇·(f ∇ψ), of those of ψ."""
        return _product(psi, self._balance)

    def scalars(self, x: torch.Tensor) -> torch.Tensor:
        """Return the fields without what is beyond the cut."""
        return self.synthesis(self.analysis(x))

    def _waves(self, x: torch.Tensor, waves: torch.Tensor) -> torch.Tensor:
        """(m, part, …, lat) of fields (…, lat, lon); with the turned waves it is −i times as much."""
        rows = torch.matmul(waves, x.reshape(-1, x.shape[-1]).mT)
        return rows.reshape(-1, 2, *x.shape[:-1])

    def _field(self, rows: torch.Tensor, waves: torch.Tensor) -> torch.Tensor:
        """Return fields (…, lat, lon) of (m, part, …, lat); with the turned waves those of i times as much."""
        return torch.matmul(rows.flatten(2).flatten(0, 1).mT, waves).reshape(*rows.shape[2:], -1)


def _product(x: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """(m, part, …, to) = Σ_from x[m, part, …, from] table[m, from, to]."""
    return torch.bmm(x.flatten(1, -2), table).reshape(*x.shape[:-1], table.shape[-1])
