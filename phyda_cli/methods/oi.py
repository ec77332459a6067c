"""Optimal interpolation: every grid column takes its increment from the nearest observations, one variable at a time.

    δ(x) = b(x)ᵀ (H B Hᵀ + R)⁻¹ d,     σ_a²(x) = σ_b²(x) − b(x)ᵀ (H B Hᵀ + R)⁻¹ b(x)
    cov(i, j) = σ_i σ_j exp(−|r_i − r_j|² / 2L²) exp(−(ln p_i − ln p_j)² / 2L_v²)

with d the departures, b(x) their background-error covariances with the point, R = diag σ_o². The background-error
standard deviation at an observation is interpolated from the grid; |r_i − r_j| is the straight distance through the
earth, with which the Gaussian is a valid covariance on the sphere (it differs from the arc by 0.4 % at 2000 km). Each
column selects its observations by horizontal distance alone, so all its levels share one matrix. Variables do not
influence each other. Source: Gandin (1963), Lorenc (1981).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.constants import EARTH_RADIUS
from phyda_cli.errors import BadDataError, ConfigError
from phyda_cli.errors_b.error_scale import ErrorScale
from phyda_cli.fields.state import Channel, State
from phyda_cli.grids.sphere import grid_unit_vectors, unit_vectors
from phyda_cli.methods.base import Departures, Increment
from phyda_cli.operators.operator import ObservationOperator

_SMALLEST_RATIO: Final = 1e-8
"""Least σ_o²/σ_b²: below it coincident observations would make the matrix singular in double precision."""

_BORDER: Final = 1e30
"""Diagonal of the rows that border the matrix: large enough for them never to decide whether it is definite."""

_MIDDLE: Final = float(np.log(5e4))
"""ln p from which heights count."""

_BLOCK: Final = 2_000_000
"""Numbers in the largest array of one block of columns (16 MB)."""


@dataclass(frozen=True)
class OptimalInterpolation:
    """Local, univariate optimal interpolation.

    sigma_b: background-error standard deviation (channel, lat, lon) [SI] on the method's grid.
    length_scale: L [m]. vertical_scale: L_v [ln p]. radius: observations farther from a column than this [m] are not
    used in it (None: 3 L). max_observations: the nearest so many of each variable are used in a column.
    Raises BadDataError for a σ_b that is not finite and non-negative, ConfigError for a scale or count that is not
    positive.
    """

    sigma_b: State
    length_scale: float = 800e3
    vertical_scale: float = 0.3
    radius: float | None = None
    max_observations: int = 60
    device: torch.device | str = "cpu"
    name: str = "oi"

    def __post_init__(self) -> None:
        values = self.sigma_b.values
        if values.dim() != 3 or not bool((torch.isfinite(values) & (values >= 0)).all()):
            raise BadDataError("optimal interpolation needs one finite, non-negative σ_b for every channel and point")
        for setting in ("length_scale", "vertical_scale", "radius", "max_observations"):
            value = getattr(self, setting)
            if value is not None and not value > 0:
                raise ConfigError(f"optimal interpolation: {setting} must be positive, not {value:g}")

    def channels(self) -> tuple[Channel, ...]:
        """The channels that OI updates: those of σ_b."""
        return self.sigma_b.channels

    def scaled(self, scale: ErrorScale) -> OptimalInterpolation:
        """The same method for background errors that are larger by these factors."""
        factors = torch.from_numpy(scale.of([channel.variable for channel in self.sigma_b.channels]))
        values = self.sigma_b.values * factors.to(self.sigma_b.values)[:, None, None]
        return replace(self, sigma_b=replace(self.sigma_b, values=values))

    def without_members(self) -> OptimalInterpolation:
        """OI has a spread in closed form and no members."""
        return self

    def background_error(self) -> State:
        """σ_b on the method's grid [SI]."""
        return self.sigma_b

    def prior_members(self) -> None:
        """OI has no members."""
        return None

    def increment(self, background: State, departures: Departures) -> Increment:
        """The OI increment and the analysis-error standard deviation; the background gives the valid time.

        Observations of variables that σ_b does not hold, or where it is zero, have no influence.
        """
        sigma = self.sigma_b.values.to(self.device, torch.float64)
        mean, spread = torch.zeros_like(sigma), sigma.clone()
        used = 0
        for variable in self.sigma_b.variables:
            index = [i for i, channel in enumerate(self.sigma_b.channels) if channel.variable == variable]
            data = _Data.of(departures, variable, self.sigma_b, self.device)
            used += len(data)
            if len(data):
                normal, reduction = self._columns([self.sigma_b.channels[i].level for i in index], data)
                mean[index] = sigma[index] * normal
                spread[index] = sigma[index] * (1.0 - reduction).clamp_min(0.0).sqrt()
        labels = (self.sigma_b.channels, self.sigma_b.grid, background.time)
        return Increment(State(mean.cpu(), *labels), State(spread.cpu(), *labels), log={"observations": used})

    def _columns(self, levels: list[float | None], data: _Data) -> tuple[torch.Tensor, torch.Tensor]:
        """δ/σ_b and 1 − σ_a²/σ_b² (level, lat, lon) of one variable."""
        columns = EARTH_RADIUS * grid_unit_vectors(self.sigma_b.grid, self.device)
        heights = torch.tensor([0.0 if p is None else np.log(p) for p in levels], dtype=torch.float64).to(self.device)
        count = min(self.max_observations, len(data))
        block = max(1, _BLOCK // max(len(data), (count + len(levels) + 1) ** 2))
        parts = [self._block(columns[i : i + block], heights, data, count) for i in range(0, len(columns), block)]
        shape = (len(levels), *self.sigma_b.grid.shape)
        normal, reduction = (torch.cat(part).T.reshape(shape) for part in zip(*parts, strict=True))
        return normal, reduction

    def _block(
        self, columns: torch.Tensor, heights: torch.Tensor, data: _Data, count: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The same for a block of columns at places (column, 3) [m], each (column, level)."""
        distance = 2 * (EARTH_RADIUS**2 - columns @ data.places.T)
        nearest = distance.topk(count, largest=False)
        radius = 3 * self.length_scale if self.radius is None else self.radius
        within, chosen = (nearest.values <= radius**2).double(), nearest.indices

        observed = self._scaled(data.places[chosen], data.heights[chosen])
        levels = self._scaled(columns[:, None, :].expand(-1, heights.numel(), -1), heights.expand(columns.shape[0], -1))
        # An observation beyond the radius keeps its row, uncoupled from the rest and from the column.
        mask = torch.nn.functional.pad(within, (0, heights.numel()), value=1.0)
        matrix = _gaussian(torch.cat([observed, levels], dim=1)).mul_(mask[:, :, None]).mul_(mask[:, None, :])
        matrix = torch.nn.functional.pad(matrix, (0, 1, 0, 1))
        matrix[:, -1, :count] = data.departure[chosen]
        diagonal = torch.nn.functional.pad(1.0 + data.ratio[chosen], (0, heights.numel() + 1), value=_BORDER)
        matrix.diagonal(dim1=-2, dim2=-1).copy_(diagonal)

        # With H B Hᵀ + R = G Gᵀ the factor of the matrix bordered by bᵀ and dᵀ holds (G⁻¹ b)ᵀ and (G⁻¹ d)ᵀ below G.
        white = torch.linalg.cholesky(matrix)[:, count:, :count]
        covariance, departure = white[:, :-1], white[:, -1:]
        return (covariance * departure).sum(-1), covariance.square().sum(-1)

    def _scaled(self, places: torch.Tensor, heights: torch.Tensor) -> torch.Tensor:
        """Points (…, 4) in units of the length scales, (r/L, ln p/L_v), heights counted from mid-air to save digits."""
        above = (heights - _MIDDLE)[..., None] / self.vertical_scale
        return torch.cat([places / self.length_scale, above], dim=-1)


@dataclass(frozen=True)
class _Data:
    """The n observations of one variable, scaled with σ_b at their places, in an order of their own.

    places: (n, 3) [m]. heights: (n,) ln p, 0 where single-level. departure: (n,) d/σ_b. ratio: (n,) σ_o²/σ_b².
    """

    places: torch.Tensor
    heights: torch.Tensor
    departure: torch.Tensor
    ratio: torch.Tensor

    def __len__(self) -> int:
        return int(self.departure.shape[0])

    @classmethod
    def of(cls, departures: Departures, variable: str, sigma_b: State, device: torch.device | str) -> _Data:
        """Those observations of `departures` that are of this variable and at whose place σ_b is positive."""
        single = Channel(variable) in sigma_b.channels
        rows = np.flatnonzero(departures.variable == variable)
        pressure = np.where(single, 1.0, departures.pressure[rows])
        latitude, longitude = departures.latitude[rows], departures.longitude[rows]
        departure, error = departures.departure[rows], departures.error[rows]
        # The order of the input must not show in the rounding, nor in who is chosen among equally near ones.
        order = np.lexsort((error, departure, pressure, longitude, latitude))
        operator = ObservationOperator(
            sigma_b.grid, sigma_b.channels, departures.variable[rows], latitude, longitude, pressure, extend="increment"
        )
        sigma = operator.of_spread(sigma_b.values.cpu().double()).numpy()
        order = order[sigma[order] > 0]

        def column(x: NDArray[np.float64]) -> torch.Tensor:
            return torch.as_tensor(np.ascontiguousarray(x[order]), dtype=torch.float64, device=device)

        return cls(
            places=EARTH_RADIUS * unit_vectors(column(latitude), column(longitude)),
            heights=column(pressure).log(),
            departure=column(departure) / column(sigma),
            ratio=(column(error) / column(sigma)).square().clamp_min(_SMALLEST_RATIO),
        )


def _gaussian(points: torch.Tensor) -> torch.Tensor:
    """exp(−½ |a − b|²) (…, n, n) between all pairs of points (…, n, 4)."""
    half = 0.5 * points.square().sum(-1)
    exponent = (points @ points.mT).sub_(half[..., :, None]).sub_(half[..., None, :])
    return exponent.clamp_max_(0.0).exp_()
