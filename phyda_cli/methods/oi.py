"""Optimal interpolation: every grid column takes its increment from the nearest observations.

    δ(x) = b(x)ᵀ (H B Hᵀ + R)⁻¹ d,     σ_a²(x) = σ_b²(x) − b(x)ᵀ (H B Hᵀ + R)⁻¹ b(x)
    cov(i, j) = σ_i σ_j exp(−|r_i − r_j|² / 2L²) exp(−(ln p_i − ln p_j)² / 2L_v²)     of one variable, 0 of two

with d the departures, b(x) their background-error covariances with the point, R = diag σ_o². The background-error
standard deviation at an observation is interpolated from the grid; |r_i − r_j| is the straight distance through the
earth, with which the Gaussian is a valid covariance on the sphere (it differs from the arc by 0.4 % at 2000 km). Each
column selects its observations by horizontal distance alone, so all its levels share one matrix.

Background errors of different variables are not correlated, so each variable is analysed by itself, but for those that
some observation sees together, as refractivity does T, q and Φ: they share a matrix, in which b(x) of such an
observation is the sum over what it sees (`oi_rows.py`). Its departure is then shared out by the variances, while in
nature T and Φ err together. Source: Gandin (1963), Lorenc (1981).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.constants import EARTH_RADIUS
from phyda_cli.errors import BadDataError, ConfigError
from phyda_cli.errors_b.error_scale import ErrorScale
from phyda_cli.fields.increment import interpolate_spread
from phyda_cli.fields.state import State
from phyda_cli.grids.places import grid_unit_vectors, unit_vectors
from phyda_cli.methods.base import Case, Departures, Increment, Method, zero
from phyda_cli.methods.material import Material
from phyda_cli.methods.oi_rows import Points, Seen, features
from phyda_cli.methods.threedvar import ThreeDVar
from phyda_cli.operators.operator import Operator
from phyda_cli.settings.methods import StatisticsSettings

_SMALLEST_RATIO: Final = 1e-8
"""Least σ_o²/σ_b²: below it coincident observations would make the matrix singular in double precision."""

_BORDER: Final = 1e30
"""Diagonal of the rows that border the matrix: large enough for them never to decide whether it is definite."""

_MIDDLE: Final = float(np.log(5e4))
"""ln p from which heights count, to save digits."""

_BLOCK: Final = 2_000_000
"""Numbers in the largest array of one block of columns (16 MB)."""


@dataclass(frozen=True)
class OptimalInterpolation(Method):
    """Local optimal interpolation without correlations between variables.

    sigma_b: background-error standard deviation (channel, lat, lon) [SI] on the method's grid.
    length_scale: L [m]. vertical_scale: L_v [ln p]. radius: observations farther from a column than this [m] are not
    used in it (None: 3 L). max_observations: the nearest so many of each variable, and of each set of
    variables that observations see together, are used in a column.
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

    def scaled(self, scale: ErrorScale) -> OptimalInterpolation:
        """Return the same method for background errors that are larger by these factors."""
        factors = torch.from_numpy(scale.of([channel.variable for channel in self.sigma_b.channels]))
        values = self.sigma_b.values * factors.to(self.sigma_b.values)[:, None, None]
        return replace(self, sigma_b=replace(self.sigma_b, values=values))

    def trial(self) -> OptimalInterpolation:
        """OI has a spread in closed form and no members."""
        return self

    def background_error(self) -> State:
        """σ_b on the method's grid [SI]."""
        return self.sigma_b

    def background_error_at(self, operator: Operator, background: State) -> NDArray[np.float64]:
        """σ_b at observations: interpolated, and of a column with the correlations of its levels."""
        return self._seen(operator).sigma

    def unobserved(self, background: State) -> Increment:
        """σ_b; OI has no members."""
        return zero(self.sigma_b, background, None)

    def increments(self, cases: Sequence[Case]) -> list[Increment]:
        """Return the OI increments and analysis-error standard deviations; the backgrounds give the valid times.

        Observations that σ_b does not hold, or where it is zero, have no influence.
        """
        return [self.scaled(case.scale)._increment(case) for case in cases]

    def _increment(self, case: Case) -> Increment:
        sigma = self.sigma_b.values.to(self.device, torch.float64)
        mean, spread = torch.zeros_like(sigma), sigma.clone()
        seen = self._seen(case.departures.operator)
        used = 0
        for variables in seen.tied():
            held = {seen.names[number] for number in variables}
            index = [i for i, channel in enumerate(self.sigma_b.channels) if channel.variable in held]
            levels = Points.of_channels([self.sigma_b.channels[i] for i in index], seen.names)
            data = _Data.of(case.departures, seen, variables, levels, self.vertical_scale, self.device)
            used += len(data)
            normal, reduction = self._columns(data)
            mean[index] = sigma[index] * normal
            spread[index] = sigma[index] * (1.0 - reduction).clamp_min(0.0).sqrt()
        labels = (self.sigma_b.channels, self.sigma_b.grid, case.background.time)
        return Increment(State(mean.cpu(), *labels), State(spread.cpu(), *labels), log={"observations": used})

    def _seen(self, operator: Operator) -> Seen:
        return Seen.by(operator, self.sigma_b, self.vertical_scale)

    def _columns(self, data: _Data) -> tuple[torch.Tensor, torch.Tensor]:
        """δ/σ_b and 1 − σ_a²/σ_b² (level, lat, lon) of variables that are analysed together."""
        columns = EARTH_RADIUS * grid_unit_vectors(self.sigma_b.grid, self.device)
        count = sum(min(self.max_observations, end - begin) for begin, end in data.sorts)
        numbers, width = data.level_features.shape
        size = count + numbers + 1
        block = max(1, _BLOCK // max(len(data), size * max(size, width)))
        parts = [self._block(columns[i : i + block], data) for i in range(0, len(columns), block)]
        shape = (numbers, *self.sigma_b.grid.shape)
        normal, reduction = (torch.cat(part).T.reshape(shape) for part in zip(*parts, strict=True))
        return normal, reduction

    def _block(self, columns: torch.Tensor, data: _Data) -> tuple[torch.Tensor, torch.Tensor]:
        """Solve a block of columns at places (column, 3) [m], each (column, level)."""
        distance = 2 * (EARTH_RADIUS**2 - columns @ data.places.T)
        nearest, chosen = data.nearest(distance, self.max_observations)
        radius = 3 * self.length_scale if self.radius is None else self.radius
        within, count, levels = (nearest <= radius**2).double(), chosen.shape[1], len(data.level_heights)

        observed = torch.cat([data.places[chosen] / self.length_scale, data.heights[chosen]], dim=-1)
        here = (columns[:, None] / self.length_scale).expand(-1, levels, -1)
        here = torch.cat([here, data.level_heights.expand(len(columns), -1, -1)], dim=-1)
        matrix = _gaussian(torch.cat([observed, here], dim=1))
        if data.features.shape[1]:
            vertical = torch.cat([data.features[chosen], data.level_features.expand(len(columns), -1, -1)], dim=1)
            matrix.mul_(vertical @ vertical.mT)
        # An observation beyond the radius keeps its row, uncoupled from the rest and from the column.
        mask = torch.nn.functional.pad(within, (0, levels), value=1.0)
        matrix = matrix.mul_(mask[:, :, None]).mul_(mask[:, None, :])
        matrix = torch.nn.functional.pad(matrix, (0, 1, 0, 1))
        matrix[:, -1, :count] = data.departure[chosen]
        diagonal = torch.nn.functional.pad(1.0 + data.ratio[chosen], (0, levels + 1), value=_BORDER)
        matrix.diagonal(dim1=-2, dim2=-1).copy_(diagonal)

        # With H B Hᵀ + R = G Gᵀ the factor of the matrix bordered by bᵀ and dᵀ holds (G⁻¹ b)ᵀ and (G⁻¹ d)ᵀ below G.
        white = torch.linalg.cholesky(matrix)[:, count:, :count]
        covariance, departure = white[:, :-1], white[:, -1:]
        return (covariance * departure).sum(-1), covariance.square().sum(-1)


@dataclass(frozen=True)
class _Data:
    """The n observations of variables that are analysed together, scaled with σ_b, in an order of their own.

    places: (n, 3) [m]. heights: (n, 1) ln p/L_v where every row is one point, which is a coordinate then; otherwise
    (n, 0), and features: (n, D) V. level_heights, level_features: those of the channels. departure: (n,) d/σ_b.
    ratio: (n,) σ_o²/σ_b². sorts: where the rows that see the same variables begin and end.
    """

    places: torch.Tensor
    heights: torch.Tensor
    features: torch.Tensor
    level_heights: torch.Tensor
    level_features: torch.Tensor
    departure: torch.Tensor
    ratio: torch.Tensor
    sorts: tuple[tuple[int, int], ...]

    def __len__(self) -> int:
        return int(self.departure.shape[0])

    @classmethod
    def of(
        cls,
        departures: Departures,
        seen: Seen,
        variables: NDArray[np.int64],
        levels: Points,
        scale: float,
        device: torch.device | str,
    ) -> _Data:
        """Return those observations that see some of these variables, at whose place σ_b is positive.

        levels: the channels of these variables. scale: L_v.
        """
        sees = seen.points.sees(len(seen.names))
        rows = np.flatnonzero(sees[:, variables].any(1) & (seen.sigma > 0))
        sort = np.unique(sees[rows], axis=0, return_inverse=True)[1].reshape(-1)
        d = departures
        keys = (d.error, d.departure, seen.points.height[:, 0], d.longitude, d.latitude)
        # The order of the input must not show in the rounding, nor in who is chosen among equally near ones.
        inner = np.lexsort([*(key[rows] for key in keys), sort])
        order, ends = rows[inner], [*(np.flatnonzero(np.diff(sort[inner])) + 1).tolist(), rows.size]
        points = seen.points.take(order)
        plain = variables.size == 1 and bool((points.variable[:, 0] >= 0).all())
        heights = [(own.height[:, :plain] - _MIDDLE) / scale for own in (points, levels)]
        products = features([points, levels], variables[: 0 if plain else None], scale)

        def on_device(x: NDArray[np.float64]) -> torch.Tensor:
            return torch.as_tensor(np.ascontiguousarray(x), dtype=torch.float64, device=device)

        sigma = on_device(seen.sigma[order])
        return cls(
            places=EARTH_RADIUS * on_device(unit_vectors(d.latitude, d.longitude)[order]),
            heights=on_device(heights[0]),
            features=on_device(products[0]),
            level_heights=on_device(heights[1]),
            level_features=on_device(products[1]),
            departure=on_device(d.departure[order]) / sigma,
            ratio=(on_device(d.error[order]) / sigma).square().clamp_min(_SMALLEST_RATIO),
            sorts=tuple(zip([0, *ends], ends, strict=False)),
        )

    def nearest(self, distance: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the least distances (column, m) and their rows: of each sort `count` at most."""
        found = [distance[:, begin:end].topk(min(count, end - begin), largest=False) for begin, end in self.sorts]
        chosen = [own.indices + begin for own, (begin, _) in zip(found, self.sorts, strict=True)]
        return torch.cat([own.values for own in found], dim=1), torch.cat(chosen, dim=1)


def _gaussian(points: torch.Tensor) -> torch.Tensor:
    """exp(−½ |a − b|²) (…, n, n) between all pairs of points (…, n, dimension)."""
    half = 0.5 * points.square().sum(-1)
    exponent = (points @ points.mT).sub_(half[..., :, None]).sub_(half[..., None, :])
    return exponent.clamp_max_(0.0).exp_()


def make(settings: StatisticsSettings, material: Material) -> Method:
    """Optimal interpolation with the standard deviations of the statistics; of a domain on its own points."""
    statistics = material.background_error(settings.weights)
    mean = None
    if statistics.relative_humidity:
        mean = material.background
        mean = replace(mean, values=mean.values.mean(0)) if material.numbers else mean
    sigma = ThreeDVar(statistics).background_error(mean)
    if material.grid.rim is not None:
        sigma = interpolate_spread(sigma, sigma.channels, material.grid)
    return OptimalInterpolation(sigma, device=material.device)
