"""The seam of the methods: cases in, increments out.

cases (background, departures with their operator) ── Method.increments ──▶ Increment.onto(grid, channels)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.errors_b.error_scale import LARGEST, ErrorScale
from phyda_cli.fields.increment import interpolate_increment, interpolate_spread
from phyda_cli.fields.state import Channel, State
from phyda_cli.grids.base import Grid
from phyda_cli.observations.predicted import Predicted
from phyda_cli.operators.operator import Operator

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Departures:
    """The observations that passed quality control, as a method sees them (n of them).

    operator: H on increments, for any grid and channels. departure: y − H(x_b), SI. error: σ_o, SI.
    equivalents: H(x_i) (member, n), SI, of the members of a background that is an ensemble; H(x_b) is their mean.
    """

    operator: Operator
    departure: Floats
    error: Floats
    equivalents: Floats | None = None

    def __len__(self) -> int:
        return int(self.departure.shape[0])

    @property
    def variable(self) -> NDArray[np.object_]:
        """Short names (n,)."""
        return self.operator.variable

    @property
    def latitude(self) -> Floats:
        """Degrees north (n,)."""
        return self.operator.latitude

    @property
    def longitude(self) -> Floats:
        """Degrees east (n,)."""
        return self.operator.longitude

    @property
    def pressure(self) -> Floats:
        """Pressure (n,) [Pa], NaN for single-level variables."""
        return self.operator.pressure

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> Departures:
        """Return the rows of an index or mask, in that order."""
        equivalents = None if self.equivalents is None else self.equivalents[:, index]
        return Departures(self.operator.take(index), self.departure[index], self.error[index], equivalents)

    def canonical(self) -> Departures:
        """Return the same, sorted by all columns, so that sums do not depend on the order of the input rows."""
        return self.take(self.order())

    def order(self) -> NDArray[np.int64]:
        """(n,) the rows in canonical order."""
        keys = (
            self.error,
            self.departure,
            self.longitude,
            self.latitude,
            np.nan_to_num(self.operator.pressure, nan=-1.0),
            self.variable.astype(str),
        )
        return np.asarray(np.lexsort(keys))


@dataclass(frozen=True)
class Case:
    """One analysis to make: a background (channel, lat, lon) on any grid, and departures from it.

    scale: factors on the method's background error for this case. seed: added to that of the method. before: what a
    method before this one has made of the same departures, for a method that comes after another. start: the `control`
    of a trial analysis of nearly the same departures, where a minimisation may begin.
    """

    background: State
    departures: Departures
    scale: ErrorScale = field(default_factory=lambda: ErrorScale.uniform(1.0))
    seed: int = 0
    before: Increment | None = None
    start: torch.Tensor | None = None


Log = dict[str, float | int | str]
Memory = Mapping[str, Sequence[float]]
"""What a method has learned from the observations of an analysis and its next one may use, under names of its own."""


@dataclass(frozen=True)
class Increment:
    """What a method returns, on the method's own grid and channels.

    mean: δ = x_a − x_b as a State. spread: analysis standard deviation, or None where the method has none.
    members: (member, channel, lat, lon) increments, each from the background, or where that is an ensemble from its own
    member of it; or None.
    log: what a reader of the log should know (scale used, iterations, cost before and after).
    parts: further increments on grids of their own, which add to this one.
    drawn: of a part, makes a member's distance (channel, lat, lon) from the mean of all parts when it is asked for;
    None: the part adds its mean to every member.
    weights: (n,) of the departures in the cost, where that is not quadratic (`huber.py`); else None.
    memory: for the method's next analysis (`Method.remembering`).
    control: where a minimisation ended, in the variables of the method's own; None for a method without one.
    """

    mean: State
    spread: State | None = None
    members: torch.Tensor | None = None
    log: Log = field(default_factory=dict)
    parts: tuple[Increment, ...] = ()
    weights: Floats | None = None
    memory: Memory = field(default_factory=dict)
    drawn: Callable[[int], torch.Tensor] | None = None
    control: torch.Tensor | None = None

    def onto(self, grid: Grid, channels: tuple[Channel, ...], surface_pressure: torch.Tensor | None = None) -> State:
        """Return the mean on another grid and other channels, zero where nothing is known of them.

        surface_pressure: (lat, lon) [Pa] of that grid, for columns.
        """
        own = interpolate_increment(self.mean, channels, grid, surface_pressure)
        return replace(
            own, values=sum((part.onto(grid, channels, surface_pressure).values for part in self.parts), own.values)
        )

    def at(self, operator: Operator) -> Floats:
        """H δ (n,) of the mean."""
        own = operator.increments(self.mean.grid, self.mean.channels)(self.mean.values).numpy()
        return np.asarray(sum((part.at(operator) for part in self.parts), own))

    @property
    def has_spread(self) -> bool:
        """Whether it has a spread, or a part of it has."""
        return self.spread is not None or any(part.has_spread for part in self.parts)

    def spread_onto(
        self, grid: Grid, channels: tuple[Channel, ...], surface_pressure: torch.Tensor | None = None
    ) -> State | None:
        """Return the spread there, zero where nothing is known; None without one. Of several parts the last counts."""
        known = [part.spread_onto(grid, channels, surface_pressure) for part in self.parts]
        states = [] if self.spread is None else [interpolate_spread(self.spread, channels, grid, surface_pressure)]
        states += [state for state in known if state is not None]
        if not states:
            return None
        values = states[0].values
        for state in states[1:]:
            values = torch.where(state.values > 0, state.values, values)
        return replace(states[0], values=values)

    def member_onto(
        self, number: int, grid: Grid, channels: tuple[Channel, ...], surface_pressure: torch.Tensor | None = None
    ) -> State:
        """Return one member there. Raises ValueError without members.

        Where a part with draws has a spread σ, the member is the mean of all parts and a distance of that size from it:
        (x_i − x̄) σ/σ_u where this increment has a spread σ_u, else the draw.
        """
        if self.members is None:
            raise ValueError("this increment has no members")
        own = interpolate_increment(replace(self.mean, values=self.members[number]), channels, grid, surface_pressure)
        values = sum((part.onto(grid, channels, surface_pressure).values for part in self.parts), own.values)
        for part in self.parts:
            if part.drawn is None or part.spread is None:
                continue
            index = [i for i, channel in enumerate(channels) if channel in part.mean.channels]
            if not index:
                continue
            here = grid, tuple(channels[i] for i in index), surface_pressure
            alone = replace(self, parts=())
            size, own_size = part.spread_onto(*here), alone.spread_onto(*here)
            drawn = replace(part, mean=replace(part.mean, values=part.drawn(number)))
            apart, mean = drawn.onto(*here).values, alone.onto(*here).values
            assert size is not None
            if own_size is not None:
                grown = (own.values[index] - mean) * size.values / own_size.values
                apart = torch.where(own_size.values > 0, grown, apart)
            values[index] = torch.where(size.values > 0, self.onto(*here).values + apart, values[index])
        return replace(own, values=values)


class Method(Protocol):
    """An assimilation method: cases in, increments out, on a grid of its own. No I/O."""

    @property
    def name(self) -> str:
        """The name by which the command knows the method."""
        ...

    def scaled(self, scale: ErrorScale) -> Method:
        """Return the same method for background errors that are larger by these factors."""
        ...

    def trial(self) -> Method:
        """Return a method for the mean alone, as exact as a trial analysis by which observations are judged needs."""
        ...

    @property
    def scaling(self) -> Method | None:
        """The method whose background error `scaled` changes; None where departures decide it otherwise (`fitted`)."""
        return self

    def fitted(self, departures: Departures) -> Method:
        """Return the method with what departures of all kinds of rows say of its background error beside its scale."""
        return self

    def remembering(self, memory: Memory) -> Method:
        """Return the method with what its analysis before has told (`Increment.memory`). Raises BadDataError."""
        return self

    def predicted(self, departures: Departures, wanted: NDArray[np.bool_], judging: NDArray[np.bool_]) -> Predicted:
        """Return what others say of the departures `wanted` (n,), by a local analysis; only `judging` ones (n,) do."""
        return Predicted.none(len(departures))

    def predicts(self, operator: Operator) -> NDArray[np.bool_]:
        """(n,) the rows of which `predicted` says something."""
        return np.zeros(len(operator), dtype=bool)

    @property
    def largest_scale(self) -> ErrorScale:
        """The largest scale of its background error that departures may ask for."""
        return LARGEST

    def background_error_at(self, operator: Operator, background: State) -> Floats:
        """σ_b (n,) [SI] of H(x) as used (after any scaling) for a background; 0 where the method does not reach."""
        ...

    def unobserved(self, background: State) -> Increment:
        """Return what an analysis without observations is: no increment, the background's error, its members."""
        ...

    def increments(self, cases: Sequence[Case]) -> list[Increment]:
        """Return the increments of many cases, each on the method's own grid. Zero departures make a zero increment."""
        ...

    def increment(self, background: State, departures: Departures, start: torch.Tensor | None = None) -> Increment:
        """Return the increment of one case. start: as in `Case`."""
        return self.increments([Case(background, departures, start=start)])[0]


@runtime_checkable
class EnsembleMethod(Method, Protocol):
    """A method for a background that is an ensemble: its departures carry H(x_i), and it moves every member.

    The mean that it returns is that of the members.
    """

    @property
    def background_members(self) -> State:
        """The background's members (member, channel, lat, lon), SI."""
        ...


def zero(sigma: State, background: State, members: torch.Tensor | None) -> Increment:
    """No increment, with the spread σ_b (channel, lat, lon) and draws of the background error."""
    spread = replace(sigma, time=background.time)
    return Increment(replace(spread, values=torch.zeros_like(spread.values)), spread, members)
