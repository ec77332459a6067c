"""The spectral filter of the physics: what a product of two fields can hold without folding back onto the grid.

A grid carries harmonics up to N. The product of two fields cut at n ≤ M holds n ≤ 2M, and what lies beyond N folds back
to 2N − 2M and more, which is harmless while M ≤ 2N/3. Winds are cut as vector harmonics, never by component.
"""

from __future__ import annotations

import math

import torch

from phyda_cli.fields.grid import Grid
from phyda_cli.fields.harmonics import SphericalHarmonics, largest_truncation, spherical_harmonics


class SpectralFilter:
    """The transforms of a grid, cut at n ≤ fraction × (largest truncation of the grid)."""

    def __init__(self, grid: Grid, fraction: float, *, dtype: torch.dtype, device: torch.device | str) -> None:
        largest = largest_truncation(grid)
        self.truncation = math.floor(fraction * largest)
        self._wide = spherical_harmonics(grid, largest, dtype, device)
        self.harmonics: SphericalHarmonics = spherical_harmonics(grid, self.truncation, dtype, device)

    def analysis(self, x: torch.Tensor) -> torch.Tensor:
        """Coefficients (…, n, m), n ≤ the cut, of fields (…, lat, lon): fitted with all harmonics, then cut."""
        return self._cut(self._wide.analysis(x))

    def streamfunction_potential(self, u: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Coefficients of ψ and χ of winds, n ≤ the cut."""
        psi, chi = self._wide.streamfunction_potential(u, v)
        return self._cut(psi), self._cut(chi)

    def scalars(self, x: torch.Tensor) -> torch.Tensor:
        """The fields without what is beyond the cut."""
        return self.harmonics.synthesis(self.analysis(x))

    def winds(self, u: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The winds without what is beyond the cut."""
        return self.harmonics.winds(*self.streamfunction_potential(u, v))

    def _cut(self, c: torch.Tensor) -> torch.Tensor:
        return c[..., : self.truncation + 1, : self.truncation + 1]
