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

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

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
from phyda_cli.methods.threedvar import ThreeDVar
from phyda_cli.operators.operator import Operator
from phyda_cli.settings.methods import StatisticsSettings

_SMALLEST_RATIO: Final = 1e-8
"""Least σ_o²/σ_b²: below it coincident observations would make the matrix singular in double precision."""

_BORDER: Final = 1e30
"""Diagonal of the rows that border the matrix: large enough for them never to decide whether it is definite."""

_MIDDLE: Final = float(np.log(5e4))
"""ln p from which heights count."""

_BLOCK: Final = 2_000_000
"""Numbers in the largest array of one block of columns (16 MB)."""


@dataclass(frozen=True)
class OptimalInterpolation(Method):
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
        for variable in self.sigma_b.variables:
            index = [i for i, channel in enumerate(self.sigma_b.channels) if channel.variable == variable]
            data = _Data.of(case.departures, seen, variable, self.device)
            used += len(data)
            if len(data):
                normal, reduction = self._columns([self.sigma_b.channels[i].level for i in index], data)
                mean[index] = sigma[index] * normal
                spread[index] = sigma[index] * (1.0 - reduction).clamp_min(0.0).sqrt()
        labels = (self.sigma_b.channels, self.sigma_b.grid, case.background.time)
        return Increment(State(mean.cpu(), *labels), State(spread.cpu(), *labels), log={"observations": used})

    def _seen(self, operator: Operator) -> _Seen:
        """Return what the observations see: one point, or of a column a point at each of its levels.

        What mixes variables is out of reach of an analysis of one variable at a time.
        """
        channels, sigma_b = self.sigma_b.channels, self.sigma_b.values.cpu().double()
        rows = operator.increments(self.sigma_b.grid, channels)
        sigma, variable = rows.of_spread(sigma_b).numpy(), operator.variable.copy()
        single = {c.variable for c in channels if c.level is None}
        pressure = np.where(np.isin(variable.astype(str), list(single)), 1.0, operator.pressure)
        height, share = np.log(pressure)[:, None], np.ones((len(operator), 1))
        columns = np.flatnonzero(operator.integrates(channels) & rows.defined)
        terms = rows.take(columns).by_channel(sigma_b).numpy()
        mixed = np.array([len({channels[i].variable for i in np.flatnonzero(own)}) > 1 for own in terms], dtype=bool)
        sigma[columns[mixed]] = 0.0
        columns, terms = columns[~mixed], terms[~mixed]
        if columns.size:
            held = np.flatnonzero((terms != 0).any(0))
            level = np.log(np.array([channels[i].level or 1.0 for i in held]))
            correlation = np.exp(-0.5 * ((level[:, None] - level) / self.vertical_scale) ** 2)
            total = np.sqrt(np.einsum("nk,kl,nl->n", terms[:, held], correlation, terms[:, held]))
            sigma[columns], variable[columns] = total, [channels[held[0]].variable] * columns.size
            height = np.pad(height, ((0, 0), (0, held.size - 1)), mode="edge")
            share = np.pad(share, ((0, 0), (0, held.size - 1)))
            height[columns] = level
            share[columns] = terms[:, held] / np.where(total > 0, total, 1.0)[:, None]
        return _Seen(variable, height, share, sigma)

    def _columns(self, levels: list[float | None], data: _Data) -> tuple[torch.Tensor, torch.Tensor]:
        """δ/σ_b and 1 − σ_a²/σ_b² (level, lat, lon) of one variable."""
        columns = EARTH_RADIUS * grid_unit_vectors(self.sigma_b.grid, self.device)
        heights = torch.tensor([0.0 if p is None else np.log(p) for p in levels], dtype=torch.float64).to(self.device)
        count = min(self.max_observations, len(data))
        points = count * data.heights.shape[1] + len(levels) + 1
        block = max(1, _BLOCK // max(len(data), points**2))
        parts = [self._block(columns[i : i + block], heights, data, count) for i in range(0, len(columns), block)]
        shape = (len(levels), *self.sigma_b.grid.shape)
        normal, reduction = (torch.cat(part).T.reshape(shape) for part in zip(*parts, strict=True))
        return normal, reduction

    def _block(
        self, columns: torch.Tensor, heights: torch.Tensor, data: _Data, count: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Solve a block of columns at places (column, 3) [m], each (column, level)."""
        distance = 2 * (EARTH_RADIUS**2 - columns @ data.places.T)
        nearest = distance.topk(count, largest=False)
        radius = 3 * self.length_scale if self.radius is None else self.radius
        within, chosen = (nearest.values <= radius**2).double(), nearest.indices

        observed = self._scaled(data.places[chosen][:, :, None], data.heights[chosen]).flatten(1, 2)
        levels = self._scaled(columns[:, None, :], heights.expand(columns.shape[0], -1))
        # An observation beyond the radius keeps its row, uncoupled from the rest and from the column.
        mask = torch.nn.functional.pad(within, (0, heights.numel()), value=1.0)
        matrix = _summed(_gaussian(torch.cat([observed, levels], dim=1)), data.shares[chosen])
        matrix = matrix.mul_(mask[:, :, None]).mul_(mask[:, None, :])
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
        return torch.cat([(places / self.length_scale).expand(*heights.shape, -1), above], dim=-1)


class _Seen(NamedTuple):
    """What n observations see.

    variable: (n,) whose. height: (n, k) ln p of its points, 0 where single-level. share: (n, k) their weights times σ_b
    there, relative to σ_b of the whole. sigma: (n,) σ_b of the whole.
    """

    variable: NDArray[np.object_]
    height: NDArray[np.float64]
    share: NDArray[np.float64]
    sigma: NDArray[np.float64]


@dataclass(frozen=True)
class _Data:
    """The n observations of one variable, scaled with σ_b at their places, in an order of their own.

    places: (n, 3) [m]. heights, shares: (n, k) as of `_Seen`. departure: (n,) d/σ_b. ratio: (n,) σ_o²/σ_b².
    """

    places: torch.Tensor
    heights: torch.Tensor
    shares: torch.Tensor
    departure: torch.Tensor
    ratio: torch.Tensor

    def __len__(self) -> int:
        return int(self.departure.shape[0])

    @classmethod
    def of(cls, departures: Departures, seen: _Seen, variable: str, device: torch.device | str) -> _Data:
        """Return those observations that see this variable and at whose place σ_b is positive."""
        rows = np.flatnonzero((seen.variable == variable) & (seen.sigma > 0))
        keys = (departures.error, departures.departure, seen.height[:, 0], departures.longitude, departures.latitude)
        # The order of the input must not show in the rounding, nor in who is chosen among equally near ones.
        order = rows[np.lexsort([key[rows] for key in keys])]
        width = int((seen.share[order] != 0).sum(1).max(initial=1))  # points of any row

        def column(x: NDArray[np.float64]) -> torch.Tensor:
            return torch.as_tensor(np.ascontiguousarray(x[order]), dtype=torch.float64, device=device)

        sigma = column(seen.sigma)
        return cls(
            places=EARTH_RADIUS * column(unit_vectors(departures.latitude, departures.longitude)),
            heights=column(seen.height[:, :width]),
            shares=column(seen.share[:, :width]),
            departure=column(departures.departure) / sigma,
            ratio=(column(departures.error) / sigma).square().clamp_min(_SMALLEST_RATIO),
        )


def _summed(matrix: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """Covariances between points summed to those between observations, which come first, with shares (…, n, k)."""
    n, k = shares.shape[-2:]
    if k == 1:
        return matrix
    for axis in (-2, -1):
        points, rest = torch.split(matrix.movedim(axis, 1), [n * k, matrix.shape[axis] - n * k], dim=1)
        summed = (points.reshape(-1, n, k, points.shape[-1]) * shares[..., None]).sum(2)
        matrix = torch.cat([summed, rest], dim=1).movedim(1, axis)
    return matrix.contiguous()


def _gaussian(points: torch.Tensor) -> torch.Tensor:
    """exp(−½ |a − b|²) (…, n, n) between all pairs of points (…, n, 4)."""
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
