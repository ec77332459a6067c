"""Estimating the background-error statistics from forecast errors (the GEN_BE pattern; Descombes et al. 2015).

Three passes over errors ε = x_b − x on one grid:
 1. ψ, χ from u, v; Φ_b(ψ); per latitude the regression R = ⟨y Φ_bᵀ⟩ (⟨Φ_b Φ_bᵀ⟩ + ridge)⁻¹, y = (χ, t, q, z, msl),
    with moments averaged over neighbouring rows;
 2. residuals y_u = y − R Φ_b and their σ(field, φ), smoothed over rows;
 3. C(n) = the mean of a aᵀ over samples and the 2n+1 real harmonic coefficients a of degree n of the scaled fields.
Errors are second moments about zero: the mean error of a forecast model is part of what an analysis has to correct.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

import torch

from phyda_cli.errors import BadDataError
from phyda_cli.errors_b.background_error import BackgroundError, eastward_winds
from phyda_cli.errors_b.implied import implied_sigma
from phyda_cli.fields.balance import balanced_geopotential
from phyda_cli.fields.state import Channel
from phyda_cli.grids.harmonics import SphericalHarmonics
from phyda_cli.grids.latlon import LatLonGrid

_RIDGE = 1e-3
"""Share of the mean predictor variance that is added to its diagonal: near the equator Φ_b says nothing."""
_SMOOTHING = (0.25, 0.5, 0.25)
"""Weights of a row's neighbours in moments and variances."""


def fit_background_error(
    errors: Callable[[], Iterable[torch.Tensor]],
    *,
    grid: LatLonGrid,
    channels: tuple[Channel, ...],
    truncation: int,
) -> BackgroundError:
    """Fit the statistics.

    errors: called three times; yields batches (case, channel, lat, lon) of ε [SI] in the order of `channels`, which
    must begin with u and v on the same levels.
    Raises BadDataError when there are no errors or the channels are in another order.
    """
    wind = eastward_winds(channels)
    pairs = zip(channels[:wind], channels[wind : 2 * wind], strict=True)
    if any((u.variable.replace("u", "v"), u.level) != v for u, v in pairs):
        raise BadDataError("the channels must begin with u and v on the same levels")
    passes = _Passes(errors, SphericalHarmonics(grid, truncation), wind, len(channels) - wind)
    regression, count = passes.regression()
    sigma_psi, sigma_rest = passes.deviations(regression, count)
    covariance_psi, covariance_rest = passes.covariances(regression, sigma_psi, sigma_rest)
    members = (count * (2 * torch.arange(truncation + 1, dtype=torch.float64) + 1))[:, None, None]
    fitted = BackgroundError(
        grid=grid,
        channels=channels,
        regression=regression,
        sigma_psi=sigma_psi,
        sigma_unbalanced=sigma_rest,
        covariance_psi=covariance_psi / members,
        covariance_unbalanced=covariance_rest / members,
        sigma=torch.ones(len(channels), grid.shape[0], dtype=torch.float64),
    )
    return replace(fitted, sigma=implied_sigma(fitted))


class _Passes(NamedTuple):
    """The three passes over the errors. wind: L. size: U."""

    errors: Callable[[], Iterable[torch.Tensor]]
    transform: SphericalHarmonics
    wind: int
    size: int

    def _control(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """ψ (case, L, lat, lon), Φ_b (likewise) and y (case, U, lat, lon) of a batch of errors."""
        batch, transform, wind = batch.double(), self.transform, self.wind
        psi, chi = transform.streamfunction_potential(batch[:, :wind], batch[:, wind : 2 * wind])
        y = torch.cat([transform.synthesis(chi), batch[:, 2 * wind :]], dim=1)
        return transform.synthesis(psi), balanced_geopotential(transform, psi), y

    def _residuals(self, regression: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """ψ and y_u of each batch."""
        for batch in self.errors():
            psi, phi, y = self._control(batch)
            yield psi, y - torch.einsum("yij,bjyx->biyx", regression, phi)

    def regression(self) -> tuple[torch.Tensor, int]:
        """R (lat, U, L) and the number of errors. Raises BadDataError for none."""
        rows, count = self.transform.grid.shape[0], 0
        predictor = torch.zeros(rows, self.wind, self.wind, dtype=torch.float64)
        cross = torch.zeros(rows, self.size, self.wind, dtype=torch.float64)
        for batch in self.errors():
            count += batch.shape[0]
            _, phi, y = self._control(batch)
            predictor += torch.einsum("biyx,bjyx->yij", phi, phi)
            cross += torch.einsum("biyx,bjyx->yij", y, phi)
        if count == 0:
            raise BadDataError("there are no forecast errors to estimate the background error from")
        predictor, cross = _smooth(predictor), _smooth(cross)
        ridge = _RIDGE * predictor.diagonal(dim1=1, dim2=2).mean() * torch.eye(self.wind, dtype=torch.float64)
        return torch.linalg.solve(predictor + ridge, cross, left=False), count

    def deviations(self, regression: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """σ of ψ (L, lat) and of y_u (U, lat). Raises BadDataError where one is zero."""
        rows = self.transform.grid.shape[0]
        variance_psi = torch.zeros(rows, self.wind, dtype=torch.float64)
        variance_rest = torch.zeros(rows, self.size, dtype=torch.float64)
        for psi, rest in self._residuals(regression):
            variance_psi += psi.square().mean(-1).sum(0).mT / count
            variance_rest += rest.square().mean(-1).sum(0).mT / count
        sigma_psi, sigma_rest = _smooth(variance_psi).sqrt().mT, _smooth(variance_rest).sqrt().mT
        if not bool(((sigma_psi > 0).all() & (sigma_rest > 0).all()).item()):
            raise BadDataError("a field of the forecast errors is zero everywhere on a row: it cannot be a real error")
        return sigma_psi, sigma_rest

    def covariances(
        self, regression: torch.Tensor, sigma_psi: torch.Tensor, sigma_rest: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Σ a aᵀ by degree of the scaled ψ (N+1, L, L) and y_u (N+1, U, U)."""
        transform = self.transform
        psi_sum = torch.zeros(transform.truncation + 1, self.wind, self.wind, dtype=torch.float64)
        rest_sum = torch.zeros(transform.truncation + 1, self.size, self.size, dtype=torch.float64)
        for psi, rest in self._residuals(regression):
            for total, field, sigma in ((psi_sum, psi, sigma_psi), (rest_sum, rest, sigma_rest)):
                a = transform.real_from_complex(transform.analysis(field / sigma[:, :, None]))
                total.index_add_(0, transform.degree_of_real, torch.einsum("bik,bjk->kij", a, a))
        return psi_sum, rest_sum


def _smooth(rows: torch.Tensor) -> torch.Tensor:
    """Weighted mean of each row (first axis) and its neighbours; the outermost rows count themselves again."""
    padded = torch.cat([rows[:1], rows, rows[-1:]])
    return sum((w * padded[i : i + rows.shape[0]] for i, w in enumerate(_SMOOTHING)), torch.zeros_like(rows))
