"""Estimating the background-error statistics from forecast errors (the GEN_BE pattern; Descombes et al. 2015).

Two passes over errors ε = x_b − x on one grid:
 1. ψ, χ from u, v; Φ_b(ψ); per latitude the regression R = ⟨y Φ_bᵀ⟩ (⟨Φ_b Φ_bᵀ⟩ + ridge)⁻¹, y = (χ, t, q, z, msl),
    with moments averaged over neighbouring rows; from the same moments σ(field, φ) of the residuals y_u = y − R Φ_b,
        ⟨y_u²⟩ = ⟨y²⟩ − 2 R·⟨y Φ_bᵀ⟩ + R ⟨Φ_b Φ_bᵀ⟩ Rᵀ,
    smoothed over rows;
 2. C(n) = the mean of a aᵀ over samples and the 2n+1 real harmonic coefficients a of degree n of the scaled fields.
Both are sums over errors, so that those of parts add up to those of the whole, in any cut. They cannot be one pass: R
changes from row to row and so mixes the degrees of what the second sums.
Errors are second moments about zero: the mean error of a forecast model is part of what an analysis has to correct.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
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

    errors: called twice; yields batches (case, channel, lat, lon) of ε [SI] in the order of `channels`, which
    must begin with u and v on the same levels.
    Raises BadDataError when there are no errors or the channels are in another order.
    """
    wind = eastward_winds(channels)
    pairs = zip(channels[:wind], channels[wind : 2 * wind], strict=True)
    if any((u.variable.replace("u", "v"), u.level) != v for u, v in pairs):
        raise BadDataError("the channels must begin with u and v on the same levels")
    passes = _Passes(errors, SphericalHarmonics(grid, truncation), wind)
    moments = passes.moments()
    count, regression = moments.count, moments.regression()
    sigma_psi, sigma_rest = moments.deviations(regression)
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


@dataclass
class Moments:
    """Sums over errors and longitudes, by row: of Φ_b Φ_bᵀ (lat, L, L), y Φ_bᵀ (lat, U, L), ψ² (lat, L), y² (lat, U).

    count: of errors. columns: of the grid. Moments of two sets of errors add up.
    """

    count: int
    columns: int
    predictor: torch.Tensor
    cross: torch.Tensor
    psi: torch.Tensor
    rest: torch.Tensor

    @classmethod
    def of(cls, psi: torch.Tensor, phi: torch.Tensor, y: torch.Tensor) -> Moments:
        """Return those of a batch (case, field, lat, lon)."""
        return cls(
            psi.shape[0],
            psi.shape[-1],
            torch.einsum("biyx,bjyx->yij", phi, phi),
            torch.einsum("biyx,bjyx->yij", y, phi),
            psi.square().sum((0, -1)).mT,
            y.square().sum((0, -1)).mT,
        )

    def __add__(self, other: Moments) -> Moments:
        """Return the moments of both sets of errors."""
        return Moments(
            self.count + other.count,
            self.columns,
            self.predictor + other.predictor,
            self.cross + other.cross,
            self.psi + other.psi,
            self.rest + other.rest,
        )

    def regression(self) -> torch.Tensor:
        """R (lat, U, L)."""
        predictor, cross = _smooth(self.predictor), _smooth(self.cross)
        mean = predictor.diagonal(dim1=1, dim2=2).mean()
        ridge = _RIDGE * mean * torch.eye(predictor.shape[1], dtype=torch.float64)
        result: torch.Tensor = torch.linalg.solve(predictor + ridge, cross, left=False)
        return result

    def deviations(self, regression: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """σ of ψ (L, lat) and of y_u (U, lat). Raises BadDataError where one is zero."""
        explained = torch.einsum("yij,yij->yi", regression, 2.0 * self.cross - regression @ self.predictor)
        size = self.count * self.columns
        sigma_psi, sigma_rest = (
            _smooth((total / size).clamp(min=0.0)).sqrt().mT for total in (self.psi, self.rest - explained)
        )
        if not bool(((sigma_psi > 0).all() & (sigma_rest > 0).all()).item()):
            raise BadDataError("a field of the forecast errors is zero everywhere on a row: it cannot be a real error")
        return sigma_psi, sigma_rest


class _Passes(NamedTuple):
    """The two passes over the errors. wind: L."""

    errors: Callable[[], Iterable[torch.Tensor]]
    transform: SphericalHarmonics
    wind: int

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

    def moments(self) -> Moments:
        """Return the moments of all errors. Raises BadDataError for none."""
        total: Moments | None = None
        for batch in self.errors():
            own = Moments.of(*self._control(batch))
            total = own if total is None else total + own
        if total is None or total.count == 0:
            raise BadDataError("there are no forecast errors to estimate the background error from")
        return total

    def covariances(
        self, regression: torch.Tensor, sigma_psi: torch.Tensor, sigma_rest: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Σ a aᵀ by degree of the scaled ψ (N+1, L, L) and y_u (N+1, U, U)."""
        transform = self.transform
        psi_sum = torch.zeros(transform.truncation + 1, self.wind, self.wind, dtype=torch.float64)
        size = sigma_rest.shape[0]
        rest_sum = torch.zeros(transform.truncation + 1, size, size, dtype=torch.float64)
        for psi, rest in self._residuals(regression):
            for total, field, sigma in ((psi_sum, psi, sigma_psi), (rest_sum, rest, sigma_rest)):
                a = transform.real_from_complex(transform.analysis(field / sigma[:, :, None]))
                total.index_add_(0, transform.degree_of_real, torch.einsum("bik,bjk->kij", a, a))
        return psi_sum, rest_sum


def _smooth(rows: torch.Tensor) -> torch.Tensor:
    """Weighted mean of each row (first axis) and its neighbours; the outermost rows count themselves again."""
    padded = torch.cat([rows[:1], rows, rows[-1:]])
    return sum((w * padded[i : i + rows.shape[0]] for i, w in enumerate(_SMOOTHING)), torch.zeros_like(rows))
