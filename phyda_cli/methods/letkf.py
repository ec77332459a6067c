"""The local ensemble transform Kalman filter on the background's own grid; the background error is the ensemble's.

Every point (column and height) makes its own analysis (`letkf_core`) from the observations around it, whose inverse
error variances are weighted by ρ_h(distance) ρ_v(|Δ ln p|), ρ the Gaspari–Cohn taper: localisation of R (Hunt et al.
2007, Miyoshi and Yamane 2007). The localisation is given as its **cut-off radius**, from where on the weight is zero:
2c of Gaspari and Cohn, twice their half-width, and 2 √(10/3) = 3.65 times the length L of the Gaussian that the
taper resembles. Distances are great circles, so poles and date line are places like any other. Single-level fields and
observations have the height of mean sea level pressure.

All channels at one height share their weights, so balances that are linear stay as the members have them. Where no
observation reaches, members stay as they are, bit for bit: neither their mean nor their spread changes, and they are
not inflated either.

Weights change over distances of the localisation, not from point to point. With a `spacing` they are computed at the
points of a reduced grid of that spacing and interpolated to the background's,

    w(x) = Σ_k c_k(x) w_k,     W(x) = Σ_k c_k(x) W_k,     x_a = x̄ + X w,    x_a,i = x_a + X W_i

c_k the bilinear weights of the four around x (Yang et al. 2009); the perturbations X are those of the point itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.constants import EARTH_RADIUS
from phyda_cli.errors import BadDataError, ConfigError
from phyda_cli.errors_b.error_scale import ErrorScale
from phyda_cli.errors_b.localisation import gaspari_cohn
from phyda_cli.fields.standard_atmosphere import SEA_LEVEL_PRESSURE
from phyda_cli.fields.state import Channel, State
from phyda_cli.grids.places import unit_vectors, vicinities
from phyda_cli.methods.anchors import Anchors
from phyda_cli.methods.base import Case, Departures, Increment, Method
from phyda_cli.methods.letkf_core import ensemble_transform, relaxation
from phyda_cli.methods.material import Material
from phyda_cli.operators.operator import Operator
from phyda_cli.settings.methods import LetkfSettings

RADIUS: Final = 1000e3
"""Horizontal cut-off radius [m] unless told otherwise: c = 500 km, for ensembles of 10 to 50 members."""
VERTICAL_RADIUS: Final = 1.0
"""Vertical cut-off radius [ln p] unless told otherwise."""

_PER_RADIUS: Final = 4.0
"""Of the places whose weights are computed, in the cut-off radius, unless told otherwise."""
_LEAST_PADDING: Final = 16
"""Columns are solved together when their numbers of observations round up to the same power of two, or this."""


@dataclass(frozen=True)
class LETKF(Method):
    """The filter with its ensemble.

    background_members: (member, channel, lat, lon) [SI]. radius: horizontal cut-off radius [m].
    vertical_radius: cut-off radius [ln p]. relaxation: α of RTPS. inflation: factor on the background perturbations.
    spacing: distance [m] between the places whose weights are computed; 0, or no fewer places than points: every point.
    taper: weight of a distance divided by half its cut-off radius. block: numbers in the largest array.
    Raises BadDataError for fewer than two members, ConfigError for a radius or inflation that is not positive or an α
    outside [0, 1].
    """

    background_members: State
    radius: float = RADIUS
    vertical_radius: float = VERTICAL_RADIUS
    relaxation: float = 0.0
    inflation: float = 1.0
    spacing: float = 0.0
    taper: Callable[[torch.Tensor], torch.Tensor] = gaspari_cohn
    block: int = 4_000_000
    device: torch.device | str = "cpu"
    name: str = "letkf"

    def __post_init__(self) -> None:
        if self.background_members.values.dim() != 4 or self.background_members.values.shape[0] < 2:
            count = 1 if self.background_members.values.dim() == 3 else self.background_members.values.shape[0]
            raise BadDataError(f"the LETKF needs a background of at least two members, not of {count}")
        for setting in ("radius", "vertical_radius", "inflation"):
            if not getattr(self, setting) > 0:
                raise ConfigError(f"LETKF: {setting} must be positive, not {getattr(self, setting):g}")
        if not 0 <= self.relaxation <= 1:
            raise ConfigError(f"LETKF: relaxation must lie within 0 and 1, not {self.relaxation:g}")

    def scaled(self, scale: ErrorScale) -> LETKF:
        """Return the same method with larger background perturbations: multiplicative inflation by the dynamics'
        factor.
        """
        return replace(self, inflation=self.inflation * scale.dynamics)

    def trial(self) -> LETKF:
        """Return the filter itself: its members are its background error."""
        return self

    def background_error(self) -> State:
        """Return the ensemble's standard deviation, inflated, as σ_b [SI]."""
        return replace(self.background_members, values=self._sigma * self.inflation)

    @cached_property
    def _sigma(self) -> torch.Tensor:
        return self.background_members.values.std(0)

    def background_error_at(self, operator: Operator, background: State) -> NDArray[np.float64]:
        """Return the interpolated standard deviation of the ensemble, and that of its columns, inflated."""
        grid, channels = self.background_members.grid, self.background_members.channels
        rows = operator.increments(grid, channels)
        result = rows.of_spread(self.background_error().values).numpy()
        columns = np.flatnonzero(operator.integrates(channels))
        if columns.size:
            result[columns] = self.inflation * rows.take(columns)(self.background_members.values).std(0).numpy()
        return np.asarray(result)

    def unobserved(self, background: State) -> Increment:
        """No member changes."""
        members = torch.zeros_like(self.background_members.values)
        mean = replace(self.background_members, values=members[0], time=background.time)
        return Increment(mean, replace(self.background_error(), time=background.time), members)

    def increments(self, cases: Sequence[Case]) -> list[Increment]:
        """Return increments of the mean and, each from its own background, of the members; all cases are of this
        ensemble.

        cases: with H(x_i) of every member, in the order of the ensemble. Raises BadDataError without these.
        """
        return [self.scaled(case.scale)._increment(case.background, case.departures) for case in cases]

    def _increment(self, background: State, departures: Departures) -> Increment:
        if departures.equivalents is None:
            raise BadDataError("the LETKF needs the members at the observations")
        data = _Data.of(departures.canonical(), self)
        values = self.background_members.values.to(self.device, torch.float64)
        # contiguous whatever the members' strides, so that what is written to its flat view arrives
        change, reached = torch.zeros(values.shape, dtype=values.dtype, device=values.device), 0
        if len(data):
            heights = _heights(self.background_members.channels)
            flat, target = values.flatten(2), change.flatten(2)
            met = torch.zeros(flat.shape[-1], dtype=torch.bool, device=values.device)
            levels = np.unique(heights)
            rows = [torch.from_numpy(np.flatnonzero(heights == height)).to(self.device) for height in levels]
            apart = data.height - torch.from_numpy(levels).to(data.height)[:, None]
            precision = data.precision * self.taper(apart * (2.0 / self.vertical_radius))
            for columns, mean, root, reaches in self._weights(data, precision):
                met[columns] |= reaches.any(1)
                for number, own_rows in enumerate(rows):
                    some = torch.nonzero(reaches[:, number]).squeeze(-1)
                    if len(some):
                        at = own_rows[:, None], columns[some]
                        own = flat[:, *at].permute(2, 1, 0).contiguous()
                        moved = self._update(own, mean[some, number], root[some, number])
                        target[:, *at] = moved.permute(2, 1, 0)
            reached = int(met.sum())
        members = change.cpu()
        labels = (self.background_members.channels, self.background_members.grid, background.time)
        log: dict[str, float | int | str] = {
            "ensemble": int(values.shape[0]), "columns_reached": reached, "inflation": self.inflation,
        }  # fmt: skip
        return Increment(State(members.mean(0), *labels), None, members, log)

    def _update(self, own: torch.Tensor, mean: torch.Tensor, root: torch.Tensor) -> torch.Tensor:
        """x_a,i − x_b,i (column, channel, member) of members `own`, by w (column, N) and W (column, N, N)."""
        middle = own.mean(-1, keepdim=True)
        prior = self.inflation * (own - middle)
        posterior = prior @ root
        posterior = posterior - posterior.mean(-1, keepdim=True)
        factor = relaxation(prior.std(-1), posterior.std(-1), self.relaxation)
        return middle + prior @ mean[..., None] + factor[..., None] * posterior - own

    def _weights(self, data: _Data, precision: torch.Tensor) -> Iterator[_Weights]:
        """Return the weights of parts of the background's columns.

        precision: (height, n) of the observations.
        """
        grid, members = self.background_members.grid, self.background_members.values.shape[0]
        if self._anchors is None:
            yield from self._solved(data, precision, grid.coordinates)
            return
        size = members * members * len(precision)
        for part in self._anchors.parts(max(1, 4 * self.block // size)):
            mean = precision.new_zeros(part.count, len(precision), members)
            root = torch.eye(members).to(mean).expand(part.count, len(precision), -1, -1).clone()
            met = torch.zeros(mean.shape[:2], dtype=torch.bool, device=mean.device)
            for own in self._solved(data, precision, (part.latitude, part.longitude)):
                mean[own.columns], root[own.columns], met[own.columns] = own.mean, own.root, own.reaches
            corners, weights, columns = (
                torch.from_numpy(x).to(mean.device) for x in (part.corners, part.weights, part.columns)
            )
            reaches = (met[corners] & (weights > 0)[..., None]).any(1)
            for some in torch.split(torch.arange(len(columns), device=mean.device), max(1, self.block // (4 * size))):
                if bool(reaches[some].any()):
                    share, near = weights[some], corners[some]
                    yield _Weights(
                        columns[some],
                        torch.einsum("pk,pkhn->phn", share, mean[near]),
                        torch.einsum("pk,pkhnm->phnm", share, root[near]),
                        reaches[some],
                    )

    @cached_property
    def _anchors(self) -> Anchors | None:
        """Return the places whose weights are computed, None for every point."""
        if not self.spacing:
            return None
        found = Anchors.of(self.background_members.grid, self.spacing)
        return found if 2 * found.count <= math.prod(self.background_members.grid.shape) else None

    def _solved(
        self, data: _Data, precision: torch.Tensor, at: tuple[NDArray[np.float64], NDArray[np.float64]]
    ) -> Iterator[_Weights]:
        """Return the weights of some places, in parts; those that no observation is near are left out.

        at: latitude and longitude [degree] of the places.
        """
        for places, index, weights in self._neighbours(data, at, len(precision)):
            observed = self.inflation * data.observed[:, index].movedim(0, 1)
            weighted = precision[:, index].movedim(0, 1) * weights[:, None, :]
            mean, root = ensemble_transform(observed, data.departure[index], weighted)
            yield _Weights(places, mean, root, (weighted > 0).any(-1))

    def _neighbours(
        self, data: _Data, at: tuple[NDArray[np.float64], NDArray[np.float64]], heights: int
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Places (c,), their observations (c, n) and ρ_h (c, n), for weights at so many heights.

        How many observations a place's list has depends on that place only, and with it every sum: the size of the
        blocks does not show.
        """
        vectors = torch.from_numpy(unit_vectors(*at)).to(self.device)
        members = self.background_members.values.shape[0]
        for vicinity in vicinities(at, data.latitude, data.longitude, self.radius):
            near = torch.from_numpy(vicinity.places).to(self.device)
            points = torch.from_numpy(vicinity.points).to(self.device)
            for columns in torch.split(points, max(1, self.block // near.numel())):
                weights = self._horizontal_weights(vectors[columns], data.places[near])
                counts = (weights > 0).sum(-1)
                padded = _padding(counts)
                for size in torch.unique(padded[counts > 0]).tolist():
                    group = torch.nonzero((padded == size) & (counts > 0)).squeeze(-1)
                    share = max(1, self.block // (size * members * heights))
                    for part in torch.split(group, share):
                        order, kept = _compact(weights[part], size)
                        yield columns[part], near[order], kept

    def _horizontal_weights(self, columns: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """ρ_h (column, n) between unit vectors (column, 3) and (n, 3), by great circles."""
        x, y, z = (columns[:, None, axis] - places[:, axis] for axis in range(3))
        half_chord = 0.5 * (x.square() + y.square() + z.square()).sqrt()
        distance = 2.0 * EARTH_RADIUS * torch.asin(half_chord.clamp_max(1.0))
        return self.taper(distance * (2.0 / self.radius))


class _Weights(NamedTuple):
    """Columns (c,), w (c, height, N), W (c, height, N, N), and at which heights observations reach them (c, height)."""

    columns: torch.Tensor
    mean: torch.Tensor
    root: torch.Tensor
    reaches: torch.Tensor


def _padding(counts: torch.Tensor) -> torch.Tensor:
    """Return the lengths to which lists are filled: powers of two, at least `_LEAST_PADDING`."""
    return 2 ** counts.clamp_min(_LEAST_PADDING).double().log2().ceil().long()


def _compact(weights: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return indices and values (c, size) of the positive weights (c, n) in their order; what fills the lists weighs
    zero.
    """
    order = torch.argsort((weights <= 0).to(torch.uint8), dim=-1, stable=True)[:, :size]
    kept = weights.gather(-1, order)
    missing = size - order.shape[1]
    return torch.nn.functional.pad(order, (0, missing)), torch.nn.functional.pad(kept, (0, missing))


@dataclass(frozen=True)
class _Data:
    """The n observations that the ensemble can place, sorted by latitude.

    latitude, longitude: (n,) [degree]. places: (n, 3) unit vectors. height: (n,) ln p. departure: (n,) d.
    precision: (n,) 1/σ_o². observed: (N, n) perturbations of H(x_i).
    """

    latitude: NDArray[np.float64]
    longitude: NDArray[np.float64]
    places: torch.Tensor
    height: torch.Tensor
    departure: torch.Tensor
    precision: torch.Tensor
    observed: torch.Tensor

    def __len__(self) -> int:
        return int(self.latitude.shape[0])

    @classmethod
    def of(cls, departures: Departures, method: LETKF) -> _Data:
        """Return the departures with their numbers ready; those of a variable that the ensemble lacks are left out."""
        channels = method.background_members.channels
        single = {c.variable for c in channels if c.level is None}
        reached = departures.operator.increments(method.background_members.grid, channels).defined
        kept = departures.take(reached)
        # Rows of equal latitude keep the canonical order.
        kept = kept.take(np.argsort(kept.latitude, kind="stable"))
        assert kept.equivalents is not None
        at_surface = np.array([name in single for name in kept.variable], dtype=bool)
        level = kept.operator.level
        at_place = (level == kept.pressure) | np.isnan(level)  # not the middle of a column
        pressure = np.where(at_surface & at_place, SEA_LEVEL_PRESSURE, level)

        def tensor(x: NDArray[np.float64]) -> torch.Tensor:
            return torch.as_tensor(np.ascontiguousarray(x), dtype=torch.float64, device=method.device)

        return cls(
            latitude=kept.latitude,
            longitude=kept.longitude,
            places=tensor(unit_vectors(kept.latitude, kept.longitude)),
            height=tensor(np.log(pressure)),
            departure=tensor(kept.departure),
            precision=tensor(kept.error**-2.0),
            observed=tensor(kept.equivalents - kept.equivalents.mean(0)),
        )


def _heights(channels: tuple[Channel, ...]) -> NDArray[np.float64]:
    """ln p (channel,) of every channel."""
    return np.log([SEA_LEVEL_PRESSURE if c.level is None else c.level for c in channels])


def make(settings: LetkfSettings, material: Material) -> Method:
    """Return the filter of the background's members."""
    return LETKF(
        material.background,
        radius=1000.0 * settings.localisation,
        vertical_radius=settings.vertical_localisation,
        relaxation=settings.relaxation,
        spacing=1000.0
        * (settings.localisation / _PER_RADIUS if settings.weight_spacing == "auto" else settings.weight_spacing),
        device=material.device,
    )
