"""The observation operator H of n observations: what they see, and of any grid and channels the rows that see it.

    H(x) = f(H_1 x, …, H_m x) + c        for full fields (`states`)
    H δ = Σ_j ∂f/∂g_j H_j δ              for increments (`increments`), linearised at the background

The vertical weights are those of the observed variable's kind (`kinds.py`), the horizontal ones those of the grid
(`Grid.corners`), where wind components change their sign across a pole. Around a grid that is not global H exists as
far as `margin` says, with the fields as they are at the rim. Rows are made once for each grid and stack of channels and
kept; taking rows of the operator takes those of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.fields.refractivity import BEVIS, Coefficients
from phyda_cli.fields.state import Channel
from phyda_cli.fields.variables import VARIABLES
from phyda_cli.grids.base import Grid
from phyda_cli.operators.kind import Ground, Kind, SeesGround, Sites
from phyda_cli.operators.kinds import kind_of
from phyda_cli.operators.rows import Block, Rows, combined, taken, together

Floats = NDArray[np.float64]
_Key = tuple[Grid, tuple[Channel, ...], bool]
_COLUMNS: Final = (
    "variable", "latitude", "longitude", "pressure", "surface_pressure", "difference", "ground_temperature", "height",
    "land", "relief", "zenith", "top", "below", "above",
)  # fmt: skip


class _Part(NamedTuple):
    """One variable on some grid and channels: which rows are of it, and of these the rows of each input of its kind."""

    variable: str
    rows: NDArray[np.int64]
    inputs: tuple[Rows, ...]

    @property
    def kind(self) -> Kind:
        """Return how it is observed."""
        return kind_of(self.variable)

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_], n: int) -> _Part:
        """Return what an index or mask of all n rows takes of it."""
        held, own = taken(self.rows, index, n)
        return _Part(self.variable, held, tuple(one.take(own) for one in self.inputs))


_Parts = tuple[_Part, ...]


@dataclass(frozen=True, eq=False)
class Operator:
    """H of n observations, without a grid.

    variable: (n,) short names. latitude, longitude: (n,) degrees, any convention of longitude. pressure: (n,) [Pa], not
    looked at for single-level variables.
    surface_pressure: (n,) of the background [Pa]. difference: (n,) height of a station above the background's ground
    [m]. ground_temperature: (n,) of the standard atmosphere at that ground [K]. height: (n,) of the station, or of what
    is placed by height [m]. land: (n,) 1 for a station on land, 0 for one at sea. zenith: (n,) angle to the satellite
    [degree]. top: (n,) upper end of a layer [Pa]. below, above: (n,) levels of the background around what is placed by
    height [Pa]. NaN in these where nothing is known. relief: (n,) factor on a pressure at the ground for what is lost
    when it is interpolated between grid points of different heights.
    coefficients: of refractivity. slopes: (m, n) ∂f/∂g at the background, or None for ones. margin: how far beyond the
    rim of a grid H exists [m].
    """

    variable: NDArray[np.object_]
    latitude: Floats
    longitude: Floats
    pressure: Floats
    surface_pressure: Floats
    difference: Floats
    ground_temperature: Floats
    height: Floats
    land: Floats
    relief: Floats
    zenith: Floats
    top: Floats
    below: Floats
    above: Floats
    coefficients: Coefficients = BEVIS
    slopes: Floats | None = None
    margin: float = 0.0
    _made: dict[_Key, _Parts] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def at(
        cls,
        variable: NDArray[np.object_],
        latitude: Floats,
        longitude: Floats,
        pressure: Floats,
        *,
        surface_pressure: Floats | None = None,
        difference: Floats | None = None,
        ground_temperature: Floats | None = None,
        height: Floats | None = None,
        land: Floats | None = None,
        zenith: Floats | None = None,
        top: Floats | None = None,
        below: Floats | None = None,
        above: Floats | None = None,
        margin: float = 0.0,
    ) -> Operator:
        """Return the operator of observations at these places; what is not given is not known."""
        unknown = np.full(len(variable), np.nan)
        return cls(
            variable,
            np.asarray(latitude, dtype=np.float64),
            np.asarray(longitude, dtype=np.float64),
            np.asarray(pressure, dtype=np.float64),
            unknown if surface_pressure is None else surface_pressure,
            unknown if difference is None else difference,
            unknown if ground_temperature is None else ground_temperature,
            unknown if height is None else height,
            unknown if land is None else land,
            np.ones(len(variable)),
            unknown if zenith is None else zenith,
            unknown if top is None else top,
            unknown if below is None else below,
            unknown if above is None else above,
            margin=margin,
        )

    def __len__(self) -> int:
        return int(self.variable.shape[0])

    @property
    def level(self) -> Floats:
        """The pressure (n,) [Pa] that stands for what each row sees: its own, or that of the middle of a column."""
        result = self.pressure.copy()
        for kind, rows in self.kinds():
            result[rows] = kind.level(self.pressure[rows])
        return result

    def integrates(self, channels: Sequence[Channel]) -> NDArray[np.bool_]:
        """(n,) which rows see several of these channels at once, as a column does, not one of them at one place."""
        result = np.zeros(len(self), dtype=bool)
        for kind, rows in self.kinds():
            result[rows] = kind.integrates(channels)
        return result

    def beyond(self, grid: Grid) -> Floats:
        """(n,) how far [m] each place is outside of a grid, 0 within; NaN for what is no place."""
        placed = np.isfinite(self.latitude) & np.isfinite(self.longitude) & (np.abs(self.latitude) <= 90.0)
        result = np.full(len(self), np.nan)
        result[placed] = grid.corners(self.latitude[placed], self.longitude[placed]).beyond
        return result

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> Operator:
        """Return the rows of an index or mask, in that order."""
        taken = replace(
            self,
            **{name: getattr(self, name)[index] for name in _COLUMNS},
            slopes=None if self.slopes is None else self.slopes[:, index],
        )
        for key, parts in self._made.items():
            of_index = [part.take(index, len(self)) for part in parts]
            taken._made[key] = tuple(part for part in of_index if part.rows.size)
        return taken

    def increments(self, grid: Grid, channels: Sequence[Channel]) -> Rows:
        """H on increments, which go on outside the levels (`kinds.py`)."""
        channels = tuple(channels)
        parts, made = self._parts(grid, channels, beyond=True), []
        for part in parts:
            if self.slopes is None:
                made.append((part.rows, part.inputs[0]))
                continue
            pairs = list(zip(part.inputs, self.slopes[:, part.rows], strict=False))
            known = [(one, slope) for one, slope in pairs if slope.any()] or pairs[:1]
            made.append((part.rows, combined([one for one, _ in known], [slope for _, slope in known])))
        return Rows(grid, channels, together(made), _defined(parts, len(self)))

    def states(self, grid: Grid, channels: Sequence[Channel]) -> StateOperator:
        """H on full fields."""
        channels = tuple(channels)
        parts = self._parts(grid, channels, beyond=False)
        constant = np.zeros(len(self))
        for part in parts:
            known = self.sites(part.rows)
            first = part.kind.inputs(channels, known, beyond=False)[0]
            constant[part.rows] = np.where(part.inputs[0].defined, part.kind.constant(first, channels, known), 0.0)
        return StateOperator(self, parts, constant)

    def _parts(self, grid: Grid, channels: tuple[Channel, ...], *, beyond: bool) -> _Parts:
        """Return the rows of every kind's inputs."""
        key = (grid, channels, beyond)
        if key not in self._made:
            self._made[key] = self._build(grid, channels, beyond=beyond)
        return self._made[key]

    def _build(self, grid: Grid, channels: tuple[Channel, ...], *, beyond: bool) -> _Parts:
        latitude, longitude = self.latitude, self.longitude
        placed = np.isfinite(latitude) & np.isfinite(longitude) & (np.abs(np.nan_to_num(latitude)) <= 90.0)
        corners = grid.corners(np.where(placed, latitude, 0.0), np.where(placed, longitude, 0.0))
        reached, points, parts = placed & (corners.beyond <= self.margin), math.prod(grid.shape), []
        for kind, rows in self.kinds():
            name = str(self.variable[rows[0]])
            wind = name in VARIABLES and VARIABLES[name].is_wind_component
            near, weight = corners.index[rows], corners.weight[rows] * (corners.sign[rows] if wind else 1.0)
            inputs = []
            for column in kind.inputs(channels, self.sites(rows), beyond=beyond):
                defined = reached[rows] & np.any(column.channel >= 0, axis=1)
                indices = np.maximum(column.channel, 0)[:, :, None] * points + near[:, None, :]
                weights = column.weight[:, :, None] * weight[:, None, :]
                weights[~defined], indices[~defined] = 0.0, 0
                shape = rows.size, column.channel.shape[1] * near.shape[1]
                block = Block(
                    torch.arange(rows.size),
                    torch.from_numpy(indices.reshape(shape)),
                    torch.from_numpy(weights.reshape(shape)),
                )
                inputs.append(Rows(grid, channels, (block,), defined))
            parts.append(_Part(name, rows, tuple(inputs)))
        return tuple(parts)

    def kinds(self) -> list[tuple[Kind, NDArray[np.int64]]]:
        """Return the kinds that occur, each with its rows."""
        names = dict.fromkeys(self.variable.tolist())
        return [(kind_of(name), np.flatnonzero(self.variable == name)) for name in names]

    def sites(self, rows: NDArray[np.int64]) -> Sites:
        """Return what is known about some rows."""
        known = (
            self.pressure, self.surface_pressure, self.difference, self.ground_temperature, self.height, self.relief,
            self.land, self.latitude, self.zenith, self.top, self.below, self.above,
        )  # fmt: skip
        return Sites._make([*(x[rows] for x in known), self.coefficients])


@dataclass(frozen=True)
class StateOperator:
    """H on full fields of one grid and stack of channels.

    parts: the rows of every kind's inputs. constant: c (n,).
    """

    operator: Operator
    parts: _Parts
    constant: Floats

    @property
    def defined(self) -> NDArray[np.bool_]:
        """(n,) where H exists."""
        return _defined(self.parts, len(self.operator))

    def __call__(self, values: torch.Tensor) -> Floats:
        """H(x) (n,) of fields (channel, lat, lon) [SI]; 0 where H is not defined."""
        result = np.zeros(len(self.operator))
        for part in self.parts:
            result[part.rows] = part.kind.value(_inputs(part, values), self.operator.sites(part.rows))
        return np.where(self.defined, result + self.constant, 0.0)

    def ground(self, values: torch.Tensor) -> Ground:
        """What is seen of the ground at fields (channel, lat, lon) [SI], on all n rows."""
        slope, temperature = np.zeros(len(self.operator)), np.full(len(self.operator), np.nan)
        for part in self.parts:
            if isinstance(part.kind, SeesGround):
                seen = part.kind.ground(_inputs(part, values), self.operator.sites(part.rows))
                slope[part.rows], temperature[part.rows] = seen
        return Ground(slope, temperature)

    def of_spread(self, plane: Callable[[int], torch.Tensor]) -> Floats:
        """|H| x (n,) of a standard deviation, NaN where its kind cannot say so much.

        plane: of a channel, by its place, (lat, lon) [SI].
        """
        result = np.zeros(len(self.operator))
        for part in self.parts:
            result[part.rows] = part.kind.spread(part.inputs[0].of_spread_planes(plane).numpy())
        return result

    def linearised(self, values: torch.Tensor) -> Operator:
        """Return the operator with its slopes at these fields."""
        given, n = [_inputs(part, values) for part in self.parts], len(self.operator)
        slopes = np.zeros((max(map(len, given), default=1), n))
        slopes[0] = 1.0
        for part, inputs in zip(self.parts, given, strict=True):
            slopes[: len(inputs), part.rows] = part.kind.slopes(inputs, self.operator.sites(part.rows))
        trivial = bool((slopes[0] == 1.0).all() and not slopes[1:].any())
        if trivial:
            return self.operator
        result = replace(self.operator, slopes=slopes)
        result._made.update(self.operator._made)
        return result


def _inputs(part: _Part, values: torch.Tensor) -> Floats:
    """Return the inputs (m, rows) of a part at fields (channel, lat, lon)."""
    return np.stack([one.in_double(values).cpu().numpy() for one in part.inputs])


def _defined(parts: _Parts, n: int) -> NDArray[np.bool_]:
    """(n,) where the first input of each row's kind is."""
    result = np.zeros(n, dtype=bool)
    for part in parts:
        result[part.rows] = part.inputs[0].defined
    return result
