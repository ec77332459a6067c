"""From the increment to the analysis: members and spread, humidity within its limits, H of all of it, the rim.

x_a = x_b + w δ,    w = ½ (1 − cos π r) with r the distance from the rim over the taper
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import numpy as np
import torch

from phyda_cli.assimilation.case import Case
from phyda_cli.fields.humidity import Limited, limit_humidity
from phyda_cli.fields.moments import Moments
from phyda_cli.fields.state import Channel, PlanesOnDemand, State
from phyda_cli.grids.base import Grid
from phyda_cli.methods.base import Increment, Log, Memory
from phyda_cli.observations.predicted import Predicted
from phyda_cli.observations.table import Feedback, Observations


@dataclass(frozen=True)
class Analysis:
    """What came out, all on the background's grid and channels, SI, in the background's precision.

    state: x_a. background: x_b. spreads: analysis standard deviation (zero where the method does not reach), or None
    where the method has none. feedback: what became of each observation. log: what was decided.
    result: what the method returned, on its own grid. ensemble: the members of a background that is an ensemble, from
    which those of the result move; else None. fade: w (lat, lon), None for 1. leave_out: makes `left_out`, None where
    the method predicts no rows from one another. bias: what the next analysis is told of it.
    """

    state: State
    background: State
    spreads: State | PlanesOnDemand | None
    feedback: Feedback
    log: Log
    result: Increment
    ensemble: State | None = None
    fade: torch.Tensor | None = None
    leave_out: Callable[[], Predicted] | None = None
    bias: Memory = field(default_factory=dict)

    @property
    def memory(self) -> Memory:
        """What the next analysis is told."""
        return {**self.result.memory, **self.bias}

    @cached_property
    def increment(self) -> State:
        """x_a − x_b."""
        return replace(self.state, values=self.state.values - self.background.values)

    @cached_property
    def spread(self) -> State | None:
        """All of the spreads; made when it is asked for."""
        if not isinstance(self.spreads, PlanesOnDemand):
            return self.spreads
        values = torch.empty_like(self.background.values)
        for number, channel in enumerate(self.spreads.channels):
            values[number] = self.spreads.plane(channel)
        return replace(self.background, values=values)

    @property
    def member_count(self) -> int:
        """How many members the analysis has."""
        return 0 if self.result.members is None else int(self.result.members.shape[0])

    @cached_property
    def left_out(self) -> Predicted | None:
        """What the others say of each row in use near the ground, or of a sample; computed when it is asked for."""
        return None if self.leave_out is None else self.leave_out()

    def member(self, number: int, channels: tuple[Channel, ...] | None = None) -> State:
        """x_b + δ_i of one member, humidity within its limits; made when asked for. Only where there are members.

        channels: these alone, with the temperature of each humidity; None: all.
        """
        start = self.background if self.ensemble is None else _one_of(self.ensemble, number)
        start = start if channels is None else start.select(channels)
        return _moved(start, partial(self.result.member_onto, number), self.fade)[0]


def ended(case: Case, rows: Observations, result: Increment, log: Log) -> Analysis:
    """Return the analysis: of an ensemble mean and spread of its members, each from its own background; H of it all."""
    background, several = case.background, case.ensemble is not None
    if several and result.members is None:
        raise ValueError("a method for ensembles returns members")
    members = case.ensemble
    starts = [background] if members is None else [_one_of(members, n) for n in range(len(members.values))]
    increments, states, places = Moments(), Moments(), Moments()
    clipped = capped = 0
    for number, start in enumerate(starts):
        onto = partial(result.member_onto, number) if several else result.onto
        analysed, limited = _moved(start, onto, case.fade)
        clipped, capped = clipped + limited.negative, capped + limited.supersaturated
        if several:
            states.add(analysed.values)
            increments.add(analysed.values - start.values)  # their mean is zero where nothing moves
        places.add(torch.from_numpy(case.first(analysed.values)))
    if several:
        analysed = replace(background, values=background.values + increments.mean)
        spreads: State | PlanesOnDemand | None = replace(background, values=states.spread())
        at_places = places.spread().numpy()
    else:
        spreads = _spreads(background, result)
        at_places = np.full(len(rows), np.nan)
        if spreads is not None:
            wanted = spreads
            at_places = case.first.operator.of_spread(lambda number: wanted.plane(wanted.channels[number]))
    known = np.where(case.first.operator.defined, 0.0, np.nan)
    return Analysis(
        state=analysed,
        background=background,
        spreads=spreads,
        feedback=Feedback(rows, known + case.equivalent, known + places.mean.numpy(), known + at_places),
        log=log | {"humidity_clipped": clipped, "humidity_capped": capped},
        result=result,
        ensemble=case.ensemble,
        fade=case.fade,
    )


def _moved(start: State, onto: Callable[..., State], fade: torch.Tensor | None) -> tuple[State, Limited]:
    """Return x + w δ with humidity within its limits, made one level at a time, in the precision of x.

    onto: δ on a grid, of channels and for a surface pressure.
    """
    values, pressure = torch.empty_like(start.values), _surface_pressure(start)
    single = tuple(channel for channel in start.channels if channel.level is None)
    for channels in [single] * bool(single) + [(c,) for c in start.channels if c.level is not None]:
        for channel, change in zip(channels, onto(start.grid, channels, pressure).values, strict=True):
            number = start.index(channel)
            values[number] = start.values[number] + (change if fade is None else change * fade.to(change))
    limited = limit_humidity(start, values)
    return replace(start, values=values), limited


def _spreads(background: State, result: Increment) -> PlanesOnDemand | None:
    """Return the spread on the background's grid and channels; None where the method has none."""
    if not result.has_spread:
        return None

    pressure = _surface_pressure(background)

    def made(channel: Channel) -> torch.Tensor:
        found = result.spread_onto(background.grid, (channel,), pressure)
        assert found is not None
        return found.values[0]

    return PlanesOnDemand(made, background.channels, background.grid)


def fading(grid: Grid, width: float) -> torch.Tensor | None:
    """Return w (lat, lon) of a strip of `width` [m] along a grid's rim; None without one."""
    rim = grid.rim if width > 0 else None
    if rim is None:
        return None
    return torch.from_numpy(0.5 * (1.0 - np.cos(np.pi * np.clip(rim / width, 0.0, 1.0))))


def weighed(rows: Observations, result: Increment) -> Observations:
    """Return the rows, those in use with the weight that the method's cost left them, where that is less than 1."""
    if result.weights is None:
        return rows
    reasons = rows.reason.copy()
    for row, weight in zip(np.flatnonzero(rows.used), result.weights, strict=True):
        if weight < 1.0:
            reasons[row] = "; ".join(filter(None, [reasons[row], f"{weight:.2g} of its weight, far from the analysis"]))
    return replace(rows, reason=reasons)


def without_analysis(feedback: Feedback) -> Feedback:
    """Return the feedback of a dry run."""
    nothing = np.full(len(feedback.observations), np.nan)
    return replace(feedback, analysis_equivalent=nothing, spread=nothing)


def _one_of(members: State, number: int) -> State:
    """Return one member of several."""
    return replace(members, values=members.values[number])


def _surface_pressure(state: State) -> torch.Tensor | None:
    """Return p_s (lat, lon) [Pa] of a state that has it, for columns."""
    surface = Channel("sp")
    return state.plane(surface).double() if surface in state.channels else None
