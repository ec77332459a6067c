"""The statistics of background errors that the variational method needs: what is estimated, without how it is used.

Errors ε = x_b − x are described on one grid by control fields that are independent of each other after balance:

    ψ                               the streamfunction, on the levels of the wind
    y_u = y − R(φ) Φ_b(ψ)           unbalanced part of y = (χ, t, q, z, msl), where ∇²Φ_b = ∇·(f ∇ψ) (linear balance)

Each is scaled by its standard deviation σ(field, φ); what remains is homogeneous and isotropic, with one covariance
matrix between fields and levels for each total wavenumber n: C_ψ(n) and C_u(n). Temperature, geopotential and pressure
share C_u: their hydrostatic relation is in it, as the sample has it, so the geopotential is a control field of its own
and needs no vertical integral over a few far-apart levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch

from phyda_cli.errors import BadDataError
from phyda_cli.errors_b.error_scale import ErrorScale
from phyda_cli.fields.state import Channel
from phyda_cli.fields.variables import EASTWARD, NORTHWARD
from phyda_cli.grids.latlon import LatLonGrid


@dataclass(frozen=True)
class BackgroundError:
    """Background-error statistics on a grid (n_lat rows), L wind levels, U unbalanced fields, truncation N.

    channels: the fields of ε, in the order u, v, then the U − L others after χ: (t, q, z, msl) at their levels.
    regression: (n_lat, U, L) R, from Φ_b at the levels of the wind to (χ, t, q, z, msl).
    sigma_psi: (L, n_lat) [m² s-1]; sigma_unbalanced: (U, n_lat) [SI], standard deviations of the control fields.
    covariance_psi: (N+1, L, L); covariance_unbalanced: (N+1, U, U) of the scaled fields' real harmonic coefficients, so
    that Σ_n (2n+1) C(n) is their correlation at a point.
    sigma: (channel, n_lat) standard deviation σ_b of every channel that the above implies [SI].
    relative_humidity: whether the channels of q hold relative humidity (1).
    climate: that of the climate's anomalies on the same grid, into which the errors grow (`blend.py`); or None.
    """

    grid: LatLonGrid
    channels: tuple[Channel, ...]
    regression: torch.Tensor
    sigma_psi: torch.Tensor
    sigma_unbalanced: torch.Tensor
    covariance_psi: torch.Tensor
    covariance_unbalanced: torch.Tensor
    sigma: torch.Tensor
    relative_humidity: bool = False
    climate: BackgroundError | None = None

    def __post_init__(self) -> None:
        rows, wind = self.grid.shape[0], self.wind_levels
        others = len(self.channels) - wind
        shapes = {
            "regression": (rows, others, wind),
            "sigma_psi": (wind, rows),
            "sigma_unbalanced": (others, rows),
            "covariance_psi": (self.truncation + 1, wind, wind),
            "covariance_unbalanced": (self.truncation + 1, others, others),
            "sigma": (len(self.channels), rows),
        }
        for name, expected in shapes.items():
            found = tuple(getattr(self, name).shape)
            if found != expected:
                raise BadDataError(f"background error: {name} has shape {found}, expected {expected}")

    @property
    def truncation(self) -> int:
        """N, the largest total wavenumber."""
        return int(self.covariance_psi.shape[0]) - 1

    @property
    def wind_levels(self) -> int:
        """L, the number of wind levels: those of u, and 10 m where u10 is there."""
        return eastward_winds(self.channels)

    @cached_property
    def point_correlation(self) -> torch.Tensor:
        """(channel, channel) correlation at one place, of the unbalanced parts; winds go with nothing but themselves.

        Humidity is nearly all unbalanced, so it serves for columns of it.
        """
        degeneracy = 2 * torch.arange(self.truncation + 1, dtype=torch.float64) + 1
        total = (degeneracy[:, None, None] * self.covariance_unbalanced.double()).sum(0)
        deviation = total.diagonal().clamp_min(torch.finfo(torch.float64).tiny).sqrt()
        result = torch.eye(len(self.channels), dtype=torch.float64)
        wind = self.wind_levels
        result[2 * wind :, 2 * wind :] = (total / (deviation[:, None] * deviation))[wind:, wind:]
        return result

    def scaled(self, scale: ErrorScale | float) -> BackgroundError:
        """Return the statistics of errors that are larger by these factors: grown into the climate's where that is
        known, with the same structure otherwise.
        """
        factors = scale if isinstance(scale, ErrorScale) else ErrorScale.uniform(scale)
        if self.climate is not None and factors != ErrorScale.uniform(1.0):
            from phyda_cli.errors_b.blend import grown

            return grown(self, self.climate, factors)
        of_channels = torch.from_numpy(factors.of([channel.variable for channel in self.channels])).to(self.sigma)
        return replace(
            self,
            sigma_psi=self.sigma_psi * factors.dynamics,
            sigma_unbalanced=self.sigma_unbalanced * of_channels[self.wind_levels :, None],
            sigma=self.sigma * of_channels[:, None],
        )

    def stretched(self, factor: float) -> BackgroundError:
        """Return the statistics of errors whose correlation lengths are `factor` times as long, with the same
        variances.

        C'(n) ∝ C(factor · n), linear between wavenumbers, rescaled so that Σ_n (2n+1) C'(n) keeps its diagonal.
        """
        return replace(
            self,
            covariance_psi=_stretch(self.covariance_psi, factor),
            covariance_unbalanced=_stretch(self.covariance_unbalanced, factor),
        )


def control_channels(channels: Sequence[Channel]) -> tuple[Channel, ...]:
    """Return the channels in the order of the statistics: u, v on the same levels, then the others.

    Surface pressure is left out, for the orography makes its errors unfit: the pressure at sea level stands for it.
    """
    u, v = ([c for c in channels if c.variable in names] for names in (EASTWARD, NORTHWARD))
    return (*u, *v, *(c for c in channels if c not in (*u, *v) and c.variable != "sp"))


def eastward_winds(channels: Sequence[Channel]) -> int:
    """Return how many of the channels are an eastward wind, on a pressure level or at 10 m."""
    return sum(channel.variable in EASTWARD for channel in channels)


def _stretch(covariance: torch.Tensor, factor: float) -> torch.Tensor:
    """C(factor · n) for every n, with the diagonal of Σ (2n+1) C kept; zero beyond the truncation."""
    size = covariance.shape[0]
    at = torch.arange(size, dtype=covariance.dtype) * factor
    lower = at.floor().long().clamp(max=size - 1)
    upper = (lower + 1).clamp(max=size - 1)
    weight = (at - lower).clamp(0.0, 1.0)[:, None, None]
    moved = (1 - weight) * covariance[lower] + weight * covariance[upper]
    moved = torch.where((at <= size - 1)[:, None, None], moved, torch.zeros_like(moved))
    degeneracy = (2 * torch.arange(size, dtype=covariance.dtype) + 1)[:, None]
    before = (degeneracy * covariance.diagonal(dim1=1, dim2=2)).sum(0)
    after = (degeneracy * moved.diagonal(dim1=1, dim2=2)).sum(0)
    ratio = torch.sqrt(before / after.clamp_min(torch.finfo(covariance.dtype).tiny))
    return moved * ratio[:, None] * ratio[None, :]
