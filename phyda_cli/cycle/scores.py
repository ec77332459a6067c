"""What a cycle's record says: departures by variable, and errors against a truth by channel and region.

rms of y − H(x_b) and y − H(x_a) over the rows in use;     RMSE = √⟨(x − x_t)²⟩ over the area of a region

Of an ensemble of N the first guess is its mean, and s its spread (N − 1); spread/skill is √((N + 1)/N · ⟨s²⟩) over the
mean's RMSE, 1 where truth and members are drawn from the same.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from phyda_cli.assimilation import Analysis
from phyda_cli.evaluation.compare import on_grid
from phyda_cli.fields.state import State
from phyda_cli.formats.gridded.layout import Background
from phyda_cli.outputs import atomic_path

REGIONS: Final = {"globe": (-90.0, 90.0), "north": (20.0, 90.0), "tropics": (-20.0, 20.0), "south": (-90.0, -20.0)}
"""Latitudes from and to [degree]."""
SHOWN: Final = ("z500", "t500", "t850", "u850", "u250", "v500", "q850", "msl")
"""Channels in the text of a cycle, where they are there."""
_DIGITS: Final = 5

Record = dict[str, Any]
_Table = dict[str, dict[str, float]]


def scores_of(analysis: Analysis | None, background: Background, truth: State | None) -> Record:
    """Return the scores of one cycle. analysis: None in a free run. truth: None where it is not known."""
    record: Record = {}
    if analysis is not None:
        log = analysis.log
        record |= {
            "observations": len(analysis.feedback.observations),
            "used": log["used"],
            "scale": _short(float(log["background_error_scale"])),
            "departures": _departures(analysis),
        }
    if truth is not None:
        record["first_guess"] = errors(background.ensemble_mean().state, truth)
        if background.member is not None:
            members = background.state.values
            spread = replace(background.state, values=members.std(0))
            record["first_guess_spread"] = sizes(spread, truth)
            factor = float(np.sqrt(1.0 + 1.0 / members.shape[0]))
            record["spread_skill"] = _ratios(record["first_guess_spread"], record["first_guess"], factor)
        if analysis is not None:
            record["analysis"] = errors(analysis.state, truth)
            if analysis.spread is not None:
                record["spread"] = sizes(analysis.spread, truth)
    return record


def errors(state: State, truth: State) -> dict[str, dict[str, float]]:
    """RMSE by channel and region, of the channels that both hold, on the state's grid [SI]."""
    channels = tuple(channel for channel in state.channels if channel in truth.channels)
    own, right = state.select(channels), on_grid(truth.select(channels), state.grid)
    return _by_region(State(own.values.double() - right.values.double(), channels, state.grid, state.time))


def sizes(spread: State, truth: State) -> dict[str, dict[str, float]]:
    """Return the root mean square of a spread by channel and region, of the channels that the truth holds [SI]."""
    return _by_region(spread.select(tuple(channel for channel in spread.channels if channel in truth.channels)))


def _ratios(spread: _Table, error: _Table, factor: float) -> _Table:
    """Return spread over error, by region and channel; 0 where there is no error."""
    return {
        region: {name: _short(factor * size / error[region][name]) if error[region][name] else 0.0 for name, size in
                 row.items()}
        for region, row in spread.items()
    }  # fmt: skip


def _by_region(difference: State) -> dict[str, dict[str, float]]:
    latitude, area = difference.grid.coordinates[0], np.array(difference.grid.area).ravel()
    squares = difference.values.double().square().flatten(-2)
    result: dict[str, dict[str, float]] = {}
    for name, (south, north) in REGIONS.items():
        inside = (latitude >= south) & (latitude <= north)
        weight = torch.from_numpy(np.where(inside, area, 0.0) / area[inside].sum())
        roots = (squares @ weight).sqrt().tolist()
        result[name] = {str(c): _short(root) for c, root in zip(difference.channels, roots, strict=True)}
    return result


def _departures(analysis: Analysis) -> dict[str, dict[str, float]]:
    """Return the count, and root mean squares of O−B, O−A and σ_o, of the rows in use by variable [SI]."""
    feedback = analysis.feedback
    used = feedback.observations.used
    result = {}
    for name in dict.fromkeys(feedback.observations.variable[used].tolist()):
        rows = used & (feedback.observations.variable == name)
        columns = {
            "o_minus_b": feedback.background_departure,
            "o_minus_a": feedback.analysis_departure,
            "error": feedback.observations.error,
        }
        sums = {key: _short(float(np.sqrt(np.mean(column[rows] ** 2)))) for key, column in columns.items()}
        result[name] = {"count": int(rows.sum()), **sums}
    return result


def summary(records: Sequence[Record], spin_up: int) -> Record:
    """Return root mean squares over the cycles after the spin-up: of first guess, analysis and spreads, and the mean
    scale. spread_skill: the mean ratio of the cycles.
    """
    kept = records[spin_up:]
    result: Record = {"cycles": len(kept), "spin_up": min(spin_up, len(records))}
    for part in ("first_guess", "first_guess_spread", "analysis", "spread"):
        held = [record[part] for record in kept if part in record]
        if held:
            result[part] = {
                region: {
                    name: _short(float(np.sqrt(np.mean([one[region][name] ** 2 for one in held]))))
                    for name in held[0][region]
                }
                for region in held[0]
            }
    ratios = [record["spread_skill"] for record in kept if "spread_skill" in record]
    if ratios:
        result["spread_skill"] = {
            region: {name: _short(float(np.mean([one[region][name] for one in ratios]))) for name in ratios[0][region]}
            for region in ratios[0]
        }
    scales = [record["scale"] for record in kept if "scale" in record]
    if scales:
        result["scale"] = _short(float(np.mean(scales)))
    return result


def write_summary(path: Path, document: Record) -> None:
    """Write a summary as JSON, whole or not at all."""
    with atomic_path(path, overwrite=True) as partial:
        partial.write_text(f"{json.dumps(document, indent=1)}\n", encoding="utf-8")


def line(record: Record) -> str:
    """Return one line for people."""
    parts = [f"cycle {record['cycle']}", record["time"]]
    if "used" in record:
        parts.append(f"{record['used']} of {record['observations']} observations, scale {record['scale']:g}")
    for part in ("first_guess", "analysis", "spread_skill"):
        if part in record:
            globe = record[part]["globe"]
            shown = ", ".join(f"{name} {globe[name]:.3g}" for name in SHOWN if name in globe)
            parts.append(f"{part.replace('_', ' ')} {shown}")
    return "; ".join(parts)


def _short(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
