"""The analysis near the ground, on the background's own points: temperature, dew point, wind and pressure.

    δ = K (d − H δ_before),     K = B Hᵀ (H B Hᵀ + R)⁻¹,     δ_total = δ_before + δ = K d + (I − K H) δ_before

B correlates by distance, height and land or sea (`errors_b/surface_structure.py`) with the size and length that the
departures d themselves show (`surface_fit.py`). δ_before is the increment of the upper air: near stations the analysis
is that of the stations, far from them that of the upper air. Each variable is for itself, but pressure is one:

    δ ln p is the same at all heights of a place:     δmsl = p₀ δ ln p,     δsp = sp δ ln p

so that a station at any height moves both, and hydrostatic balance with the background's temperature stays.
What a station says of a grid point's surroundings is worth less the more its height and its kind of ground differ:

    R = σ_o² + (ρ_h |h_station − h_ground|)² + (ρ_l |l_station − l_ground|)²

The spread is σ_a of this analysis times the size that errors have here and there, and members are draws of it,

    x_i = x_a + σ_a w_i

with w_i of variance 1 and the correlation of the background error, which is longer than that of the analysis among
stations (`errors_b/ground_draws.py`); where the upper air has members of a field, such as pressure, w_i is theirs, so
that they stay in balance. Sources: Mahfouf (1991) and Giard and Bazile (2000) for optimal interpolation of
screen-level fields; Soci et al. (2016) for MESCAN; Nipen et al. (2020) for distance, height and land or sea.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.errors_b.error_scale import ErrorScale
from phyda_cli.errors_b.ground_draws import draw
from phyda_cli.errors_b.surface_structure import Detail, GroundPlaces, Structure
from phyda_cli.fields.standard_atmosphere import SEA_LEVEL_PRESSURE, standard_pressure
from phyda_cli.fields.state import Channel, State
from phyda_cli.grids.base import Grid
from phyda_cli.methods.base import Case, Departures, Increment, Log, Method, zero
from phyda_cli.methods.block_interpolation import interpolate
from phyda_cli.methods.left_out import left_out, nearest
from phyda_cli.methods.material import Material
from phyda_cli.methods.surface_fit import GroundError, Sample, fitted
from phyda_cli.observations.predicted import Predicted
from phyda_cli.operators.operator import Operator
from phyda_cli.settings.methods import MethodSettings

Floats = NDArray[np.float64]

VARIABLES: Final = ("t2m", "d2m", "u10", "v10", "msl", "sp")
"""What is analysed, where the background has it."""
_NEVER: Final = 1e3
"""Factor on the σ_o of what is judged and judges nothing."""


class Quantity(NamedTuple):
    """Variables that share one background error.

    height, land: ρ_h [1/m] and ρ_l of representativeness, in the unit of σ. usual: without enough departures.
    relative: whether departures count as parts of the pressure.
    """

    variables: tuple[str, ...]
    usual: GroundError
    height: float
    land: float
    relative: bool = False


_SCREEN: Final = Structure(150e3, 2000.0, 2.0, Detail(0.2, 50e3, 300.0))
QUANTITIES: Final[Mapping[str, Quantity]] = {
    "temperature": Quantity(("t2m",), GroundError(1.5, _SCREEN), 0.003, 1.0),
    "dew point": Quantity(("d2m",), GroundError(1.8, _SCREEN), 0.004, 1.0),
    "wind": Quantity(("u10", "v10"), GroundError(1.8, _SCREEN), 0.003, 1.0),
    "pressure": Quantity(
        ("msl", "sp"), GroundError(1.5e-3, Structure(250e3, detail=Detail(0.05, 50e3))), 1.0e-6, 0.0, relative=True
    ),
}
"""σ_b of temperature is that of the IFS's screen-level analysis (part II, chapter 9: 1.5 K), L that of a short
forecast. V and v: with one term and 800 m, as there, errors of temperature at withheld stations were 1 to 7 % larger. W
is wide: with 0.5, gridpp's usual, stations at coasts said nothing to coarse grid points at sea, and the error of
temperature at withheld METAR stations was twice as large (docs/surface.md).
"""


@dataclass(frozen=True)
class SurfaceAnalysis(Method):
    """Optimal interpolation near the ground.

    grid, channels: where, and which of `VARIABLES`. height [m], land (0 to 1): (rows, columns) of the ground, or None
    where nothing is known of it. errors: σ_b and the rest by quantity. seed: of members.
    """

    grid: Grid
    channels: tuple[Channel, ...]
    height: torch.Tensor | None = None
    land: torch.Tensor | None = None
    errors: Mapping[str, GroundError] = field(
        default_factory=lambda: {name: quantity.usual for name, quantity in QUANTITIES.items()}
    )
    seed: int = 0
    name: str = "surface"

    @property
    def scaling(self) -> None:
        """No factor is for this method: its errors are those of `fitted`."""
        return None

    def scaled(self, scale: ErrorScale) -> SurfaceAnalysis:
        """Return itself."""
        return self

    def trial(self) -> SurfaceAnalysis:
        """Return itself: its members are made when they are asked for."""
        return self

    def fitted(self, departures: Departures) -> SurfaceAnalysis:
        """Return the method with the background errors that departures show."""
        held = departures.canonical()
        errors = {}
        for name, quantity in QUANTITIES.items():
            parts = [self._part(held, quantity, one) for one in self._together(quantity)]
            errors[name] = fitted(self.errors[name], [part.sample for part in parts if len(part.rows)] or [_nothing()])
        return replace(self, errors=errors)

    def background_error_at(self, operator: Operator, background: State) -> Floats:
        """σ_b of the rows that it analyses, at least the departures' own size; 0 of others."""
        result = np.zeros(len(operator))
        for name, quantity in QUANTITIES.items():
            rows = self._rows(operator, quantity.variables)
            error = self.errors[name]
            result[rows] = max(error.sigma, error.departure) * self._unit(operator.take(rows), quantity)
        return result

    def unobserved(self, background: State) -> Increment:
        """Return no increment, and σ_b."""
        sigma = self._sigma(background)
        made = zero(State(sigma, self.channels, self.grid, background.time), background, None)
        return replace(made, drawn=partial(self._drawn, sigma, 0))

    def increments(self, cases: Sequence[Case]) -> list[Increment]:
        """Return the increments of the cases, each beside what was made before it."""
        return [self._increment(case) for case in cases]

    def predicts(self, operator: Operator) -> NDArray[np.bool_]:
        """(n,) the rows that it analyses."""
        result = np.zeros(len(operator), dtype=bool)
        result[self._rows(operator, VARIABLES)] = True
        return result

    def predicted(self, departures: Departures, wanted: NDArray[np.bool_], judging: NDArray[np.bool_]) -> Predicted:
        """Return what others say of the departures `wanted` (n,) that are analysed; only `judging` ones (n,) do."""
        result = Predicted.none(len(departures))
        order = departures.order()
        held, asked, judges = departures.take(order), wanted[order], judging[order]
        for name, quantity in QUANTITIES.items():
            error = self.errors[name]
            for variables in self._together(quantity):
                part = self._part(held, quantity, variables)
                rows = torch.from_numpy(np.flatnonzero(asked[part.rows]))
                if len(part.rows) < 2 or not len(rows):
                    continue
                mute = ~judges[part.rows]
                sample = part.sample
                data = error.data(sample.places, sample.departure, sample.error * np.where(mute, _NEVER, 1.0))
                near = nearest(data, rows)
                found = left_out(data, error.structure, rows, near)
                # what judges nothing had an error that is not its own
                own = (error.factor * sample.error / error.sigma) ** 2 * mute * (_NEVER**2 - 1.0)
                variance = found.variance - own[rows]
                apart = (data.places.take(near).position - data.places.take(rows).position[:, None]).norm(dim=-1)
                some = ((apart <= error.structure.length) & torch.from_numpy(~mute)[near]).sum(1)
                at, unit = order[part.rows[rows]], part.unit[rows] * error.sigma
                size = error.size(held.latitude[part.rows[rows]], held.longitude[part.rows[rows]])
                result.residual[at], result.expected[at] = found.residual * unit, np.sqrt(variance) * unit * size
                result.count[at] = some.numpy()
        return result

    def _increment(self, case: Case) -> Increment:
        background, departures = case.background, case.departures.canonical()
        if case.before is not None:
            left = departures.departure - case.before.at(departures.operator)
            departures = replace(departures, departure=left)
        spread = self._sigma(background)
        mean = torch.zeros_like(spread)
        (latitude, longitude), points = self.grid.coordinates, self._points()
        log: Log = {}
        for name, quantity in QUANTITIES.items():
            error = self.errors[name]
            for variables, part in self._shared(departures, quantity):
                targets = [i for i, channel in enumerate(self.channels) if channel.variable in variables]
                if not (len(part.rows) and targets):
                    continue
                data = error.data(part.sample.places, part.sample.departure, part.sample.error)
                made = interpolate(latitude, longitude, points, data, error.structure)
                normal = torch.from_numpy(made.increment).reshape(*self.grid.shape, -1)
                remains = torch.from_numpy(np.sqrt(made.variance) * error.size(latitude, longitude))
                remains = remains.reshape(self.grid.shape)
                for place, i in enumerate(targets):
                    mean[i] = spread[i] * normal[..., min(place, normal.shape[-1] - 1)]
                    spread[i] *= remains
                log |= {
                    f"{name} σ_b": error.sigma * (SEA_LEVEL_PRESSURE if quantity.relative else 1.0),
                    f"{name} L km": error.structure.length / 1e3,
                }
        labels = (self.channels, self.grid, background.time)
        return Increment(
            State(mean, *labels), State(spread, *labels), log=log, drawn=partial(self._drawn, spread, case.seed)
        )

    def _points(self) -> GroundPlaces:
        return GroundPlaces.at(*self.grid.coordinates, *(_flat(x) for x in (self.height, self.land)))

    def _drawn(self, spread: torch.Tensor, seed: int, number: int) -> torch.Tensor:
        """A member's distance from the mean, σ_a w (channel, rows, columns); what is one field has one w."""
        result, points = torch.zeros_like(spread), self._points()
        for name, quantity in QUANTITIES.items():
            for variables in self._together(quantity):
                targets = [i for i, channel in enumerate(self.channels) if channel.variable in variables]
                if targets:
                    rng = np.random.default_rng([self.seed, seed, number, VARIABLES.index(variables[0])])
                    w = torch.from_numpy(draw(self.errors[name].structure, points, rng)).reshape(self.grid.shape)
                    result[targets] = spread[targets] * w.to(spread.dtype)
        return result

    def _shared(self, departures: Departures, quantity: Quantity) -> list[tuple[tuple[str, ...], _Part]]:
        """Return variables with their rows; components of the wind that have the same places and errors together."""
        parts = [(names, self._part(departures, quantity, names)) for names in self._together(quantity)]
        samples = [part.sample for _, part in parts]
        held = {channel.variable for channel in self.channels}
        if len(parts) == 2 and samples[0].fits(samples[1]) and held.issuperset(quantity.variables):
            both = np.stack([sample.departure for sample in samples], axis=-1)
            return [(quantity.variables, parts[0][1]._replace(sample=replace(samples[0], departure=both)))]
        return parts

    def _sigma(self, background: State) -> torch.Tensor:
        """σ_b (channel, rows, columns) [SI]."""
        fields = []
        for channel in self.channels:
            name, quantity = next((n, q) for n, q in QUANTITIES.items() if channel.variable in q.variables)
            one = torch.full(self.grid.shape, self.errors[name].sigma, dtype=torch.float64)
            if quantity.relative:
                pressure = background.values[background.index(channel)] if channel.variable == "sp" else None
                one = one * (SEA_LEVEL_PRESSURE if pressure is None else pressure.double())
            fields.append(one.to(background.values.dtype))
        return torch.stack(fields)

    def _together(self, quantity: Quantity) -> list[tuple[str, ...]]:
        """Return the variables of a quantity that are one field: all of pressure, or each for itself."""
        return [quantity.variables] if quantity.relative else [(name,) for name in quantity.variables]

    def _rows(self, operator: Operator, variables: Sequence[str]) -> NDArray[np.int64]:
        """Return the rows of these variables that the background's fields let it analyse."""
        held = {channel.variable for channel in self.channels}
        seen = [name for name in variables if name in held or (name == "sp" and "msl" in held)]
        rows = np.flatnonzero(np.isin(operator.variable.astype(str), seen))
        own = operator.take(rows)
        there = own.beyond(self.grid) <= own.margin
        known = np.isfinite(own.height) if "sp" not in held else np.ones(len(own), dtype=bool)
        return np.asarray(rows[there & ((own.variable != "sp") | known)])

    def _part(self, departures: Departures, quantity: Quantity, variables: Sequence[str]) -> _Part:
        rows = self._rows(departures.operator, variables)
        own = departures.take(rows)
        unit = self._unit(own.operator, quantity)
        height, land = self._ground_at(own.operator)
        at_height = np.where(np.isfinite(own.operator.height), own.operator.height, height)
        on_land = np.where(np.isfinite(own.operator.land), own.operator.land, land)
        apart = quantity.height * np.nan_to_num(own.operator.difference), quantity.land * np.nan_to_num(on_land - land)
        error = np.sqrt((own.error / unit) ** 2 + apart[0] ** 2 + apart[1] ** 2)
        places = GroundPlaces.at(
            own.latitude,
            own.longitude,
            None if self.height is None else at_height,
            None if self.land is None else on_land,
        )
        return _Part(rows, unit, Sample(places, own.departure / unit, error))

    def _unit(self, operator: Operator, quantity: Quantity) -> Floats:
        """Return what departures (n,) are counted in: 1, or the pressure at the place [Pa]."""
        if not quantity.relative:
            return np.ones(len(operator))
        standard = standard_pressure(np.nan_to_num(operator.height))
        ground = standard_pressure(np.nan_to_num(operator.height - operator.difference))
        at_station = np.where(
            np.isfinite(operator.surface_pressure / ground), operator.surface_pressure * standard / ground, standard
        )
        return np.where(operator.variable == "sp", at_station, SEA_LEVEL_PRESSURE)

    def _ground_at(self, operator: Operator) -> tuple[Floats, Floats]:
        """Return height and land (n,) of the background's ground at places; NaN where nothing is known of it."""
        corners = self.grid.corners(operator.latitude, operator.longitude)
        found = []
        for field_ in (self.height, self.land):
            flat = _flat(field_)
            found.append(
                np.full(len(operator), np.nan) if flat is None else (flat[corners.index] * corners.weight).sum(1)
            )
        return found[0], found[1]


class _Part(NamedTuple):
    """The rows of one field. unit: (n,) of their departures [SI]. sample: in these units."""

    rows: NDArray[np.int64]
    unit: Floats
    sample: Sample


def _nothing() -> Sample:
    none = np.zeros(0)
    return Sample(GroundPlaces.at(none, none, None, None), none, none)


def _flat(values: torch.Tensor | None) -> Floats | None:
    return None if values is None else values.double().numpy().reshape(-1)


def make(settings: MethodSettings, material: Material) -> Method:
    """Return the analysis near the ground of what the background has."""
    held = tuple(Channel(name) for name in VARIABLES if Channel(name) in material.background.channels)
    return SurfaceAnalysis(material.grid, held, material.ground.height, material.ground.land, seed=material.seed)
