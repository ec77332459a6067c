"""One analysis (and its background) against a truth on a grid, or against observations that it has not seen.

On the grid: RMSE, MAE and bias ⟨x − truth⟩, area-weighted (`scores`), by channel, on the analysis's grid; a truth or a
background on another grid is brought there. At observations: the errors e = H(x) − y, by variable and by the
standard pressure level that is nearest in ln p, over the rows that every state can be compared at:

    RMSE = √(Σ e²/n),   MAE = Σ |e|/n,   bias = Σ e/n

A variable's scores over all its levels are the same sums over the rows, or grid points, of them all.

H has the constants and the bias correction of the analysis, as far as it says them (`methods/as_analysed.py`).

The bias has the sign of the state's error in both cases (a state that is too warm has a positive one); the departures
y − H(x) of the feedback have the opposite sign.

Observations are screened for missing and incredible values, place, levels and time only: a check against the background
would hide where it is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.evaluation.levels import nearest_standard_level
from phyda_cli.evaluation.scores import bias, mae, rmse
from phyda_cli.fields.display import aligned, arrow, display
from phyda_cli.fields.state import Channel, State
from phyda_cli.fields.variables import VARIABLES
from phyda_cli.grids.base import Grid
from phyda_cli.grids.regrid import regrid
from phyda_cli.methods.as_analysed import AsAnalysed
from phyda_cli.observations.errors import default_error_table
from phyda_cli.observations.settings import Quality, Surface
from phyda_cli.observations.table import Observations
from phyda_cli.quality.screening import Guess, screen


@dataclass(frozen=True)
class Errors:
    """rmse, mae, bias in the unit of the variable: x − truth on a grid, H(x) − y at observations."""

    rmse: float
    mae: float
    bias: float


@dataclass(frozen=True)
class Comparison:
    """One variable at one level.

    level: [Pa], None for a single-level variable, and for all levels together. units: SI. count: grid points or
    observations. scores: errors by the name of the state, in the order given.
    """

    variable: str
    level: float | None
    units: str
    count: int
    scores: dict[str, Errors]


def compare_fields(states: Mapping[str, State], truth: State) -> tuple[Comparison, ...]:
    """Return errors of states of one time on the grid of the last of them, for the channels that all and the truth
    hold.

    Raises BadDataError when valid times differ or no channel is common.
    """
    judged = list(states.values())[-1]
    for name, state in (*states.items(), ("truth", truth)):
        if state.time != judged.time:
            raise BadDataError(f"the {name} is valid at {state.time}, the analysis at {judged.time}; give --time")
    held = [set(state.channels) for state in (*states.values(), truth)]
    channels = tuple(channel for channel in judged.channels if all(channel in each for each in held))
    if not channels:
        raise BadDataError("the truth holds no variable and level of the analysis: there is nothing to compare")
    target = on_grid(truth.select(channels), judged.grid)
    errors: dict[str, list[Errors]] = {}
    for name, state in states.items():
        x = on_grid(state.select(channels), judged.grid)
        table = torch.stack([score(x.values, target.values, judged.grid) for score in (rmse, mae, bias)], dim=-1)
        errors[name] = [Errors(*row) for row in table.tolist()]
    points = judged.grid.shape[0] * judged.grid.shape[1]
    return tuple(
        _comparison(channel, points, {name: rows[i] for name, rows in errors.items()})
        for i, channel in enumerate(channels)
    )


_QUALITY: Final = Quality(surface=Surface(require_height=False))
"""A verification takes stations of unknown height as they are: it is the same for all that are compared."""


def compare_observations(
    states: Mapping[str, State],
    observations: Observations,
    *,
    window: np.timedelta64,
    seen: AsAnalysed | None = None,
) -> tuple[Comparison, ...]:
    """Return errors of states of one time against observations within `window` of it.

    seen: how the analysis saw observations, where that is known. Raises BadDataError when no observation can be
    compared with every state.
    """
    seen = seen or AsAnalysed({})
    checked = observations
    equivalents: dict[str, NDArray[np.float64]] = {}
    for name, state in states.items():
        guess = seen.first_guess(state, observations)
        equivalents[name] = guess(state.values.double())
        unknown = np.full(len(observations), np.nan)
        known = Guess(
            channels=state.channels,
            time=state.time,
            window=window,
            equivalent=equivalents[name],
            defined=guess.operator.defined,
            beyond=guess.increments.beyond(state.grid),
            surface_pressure=unknown,
            difference=guess.increments.difference,
            sigma=unknown,
            scaled_sigma=unknown,
            ground_error=unknown,
            method="",
            table=default_error_table(),
            quality=_QUALITY,
        )
        checked = screen(checked, known)
    if not checked.used.any():
        reasons = sorted({str(reason) for reason in checked.reason if reason})[:3]
        raise BadDataError(f"none of {len(checked)} observations can be compared: {'; '.join(reasons) or 'no rows'}")
    return _by_level(checked.take(checked.used), {name: at[checked.used] for name, at in equivalents.items()})


def over_levels(entries: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """Return errors of each variable over all its levels, from those by level."""
    pooled = []
    for variable in dict.fromkeys(entry.variable for entry in entries):
        own = [entry for entry in entries if entry.variable == variable]
        weights = np.array([entry.count for entry in own], dtype=np.float64)
        scores = {}
        for name in own[0].scores:
            errors = np.array([[e.rmse**2, e.mae, e.bias] for e in (entry.scores[name] for entry in own)])
            square, size, mean = (weights @ errors / weights.sum()).tolist()
            scores[name] = Errors(square**0.5, size, mean)
        pooled.append(_comparison(Channel(variable, None), int(weights.sum()), scores))
    return tuple(pooled)


def _by_level(observations: Observations, equivalents: Mapping[str, NDArray[np.float64]]) -> tuple[Comparison, ...]:
    """Return errors H(x) − y of states by variable and nearest standard level, from the ground up."""
    o, level = observations, nearest_standard_level(observations.pressure)
    found = dict.fromkeys(zip(o.variable.tolist(), level.tolist(), strict=True))
    entries = []
    for variable in dict.fromkeys(name for name, _ in found):
        own = sorted((p for name, p in found if name == variable), reverse=True)
        single = not VARIABLES[variable].pressure_level
        for p in [None] if single else own:
            rows = (o.variable == variable) & (True if p is None else level == p)
            differences = {name: (at - o.value)[rows] for name, at in equivalents.items()}
            errors = {
                name: Errors(float(np.sqrt(np.mean(e**2))), float(np.mean(np.abs(e))), float(np.mean(e)))
                for name, e in differences.items()
            }
            entries.append(_comparison(Channel(variable, p), int(rows.sum()), errors))
    return tuple(entries)


def on_grid(state: State, grid: Grid) -> State:
    """Return the state on another grid; winds turn with the meridian across a pole."""
    if state.grid == grid:
        return state
    planes = [
        regrid(values, state.grid, grid, vector=VARIABLES[channel.variable].is_wind_component)
        for channel, values in zip(state.channels, state.values.double().unbind(-3), strict=True)
    ]
    return State(torch.stack(planes, dim=-3), state.channels, grid, state.time)


def format_comparison(entries: Sequence[Comparison]) -> str:
    """Return the tables for people, by variable and by variable and level: familiar units, the states side by side."""
    states = " → ".join(entries[0].scores) if entries else ""
    head = ["field", "unit", "n", *(f"{score} {states}" for score in ("RMSE", "MAE", "bias"))]
    levels = [entry for entry in entries if entry.level is not None]
    tables = [[head, *map(_cells, group)] for group in (over_levels(entries), levels) if group]
    return "\n\n".join(aligned(table, left=2) for table in tables)


def _cells(entry: Comparison) -> list[str]:
    shown = display(entry.variable)
    scores = (
        arrow(shown.factor * getattr(errors, score) for errors in entry.scores.values())
        for score in ("rmse", "mae", "bias")
    )
    return [str(Channel(entry.variable, entry.level)), shown.unit, str(entry.count), *scores]


def _comparison(channel: Channel, count: int, scores: dict[str, Errors]) -> Comparison:
    return Comparison(channel.variable, channel.level, VARIABLES[channel.variable].units, count, scores)
