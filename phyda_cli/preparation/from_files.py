"""A training store from a user's files: analyses as truth, forecasts valid at the same times as backgrounds.

Files may be GRIB, NetCDF or Zarr, one date or many in each. States are brought to the store's grid (`fields.regrid`)
and levels (linear in ln p, never beyond the levels that a file has). A forecast is paired with the analysis of its
valid time; one that has none is left out and counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.fields.state import Channel, State
from phyda_cli.fields.variables import VARIABLES
from phyda_cli.fields.vertical import vertical_weights
from phyda_cli.formats.gridded.background import read_background
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.grids.regrid import regrid
from phyda_cli.preparation.build import Forecasts, Material
from phyda_cli.preparation.catalogue import Entry, catalogue, hours
from phyda_cli.preparation.split import GAP_HOURS, Splits, split_by_fraction, split_by_year
from phyda_cli.simulation.config import SimulationConfig

Fields = NDArray[np.floating[Any]]
Hours = NDArray[np.int64]

_MODELS: Final = SimulationConfig()

STORE_GRID: Final = LatLonGrid.equiangular(_MODELS.rows, 2 * _MODELS.rows)
"""The grid that the models of phyda live on."""

STORE_LEVELS: Final = tuple(100.0 * level for level in _MODELS.levels_hpa)
"""The levels that the models of phyda live on [Pa]."""


def files_material(
    analyses: Sequence[Path],
    forecasts: Sequence[Path],
    *,
    lead_hours: int | None = None,
    years: tuple[int, int] | None = None,
    grid: LatLonGrid = STORE_GRID,
    levels: Sequence[float] = STORE_LEVELS,
) -> Material:
    """What a store of a user's files is made of.

    lead_hours: of forecasts whose files do not tell their start. years: of validation and test; shares of the time when
    None. The variables are those of u v t q z msl that the first analysis and the first forecast both hold.
    Raises BadDataError when nothing pairs up, a lead is unknown, or files lack variables or levels.
    """
    truths = catalogue(analyses, forecasts=False)
    begun = [_begun(entry, lead_hours) for entry in catalogue(forecasts, forecasts=True)]
    times = np.array([hours(entry.valid) for entry in truths], dtype=np.int64)
    paired = [entry for entry in begun if hours(entry.valid) in set(times.tolist())]
    if not paired:
        raise BadDataError(
            f"none of {len(begun)} forecasts (from {forecasts[0]} on) is valid at the time of one of {len(truths)}"
            f" analyses (from {analyses[0]} on); give files of the same dates"
        )
    held = set(_read(truths[0]).variables) & set(_read(paired[0]).variables)
    channels = tuple(
        channel
        for name in _MODELS.fields
        if name in held
        for channel in (
            [Channel(name, float(p)) for p in levels] if VARIABLES[name].pressure_level else [Channel(name)]
        )
    )
    if not channels:
        raise BadDataError(f"{analyses[0]} and {forecasts[0]}: have none of {', '.join(_MODELS.fields)} in common")

    def states() -> Iterator[tuple[Hours, Fields]]:
        for entry in truths:
            yield np.array([hours(entry.valid)]), _on_store(entry, channels, grid)

    def pairs() -> Iterator[Forecasts]:
        for entry in paired:
            assert entry.start is not None
            init, valid = np.array([hours(entry.start)]), np.array([hours(entry.valid)])
            yield Forecasts(init, valid, _on_store(entry, channels, grid))

    return Material(
        source=f"files: {len(truths)} analyses from {analyses[0]} on, {len(begun)} forecasts from {forecasts[0]} on",
        seed=None,
        config={"analyses": [str(p) for p in analyses], "forecasts": [str(p) for p in forecasts]},
        channels=channels,
        grid=grid,
        splits=_splits(times, years),
        states=states,
        forecasts=pairs,
        skipped={"forecasts_without_truth": len(begun) - len(paired)},
    )


def to_store(state: State, channels: Sequence[Channel], grid: LatLonGrid, source: str) -> torch.Tensor:
    """A state's values (channel, lat, lon) on other channels and another grid: linear in ln p, then `regrid`.

    Raises BadDataError, naming `source`, when a variable is missing or a level lies outside those of the state.
    """
    planes = []
    for name in dict.fromkeys(channel.variable for channel in channels):
        wanted = [channel.level for channel in channels if channel.variable == name]
        own = [channel for channel in state.channels if channel.variable == name]
        if not own:
            raise BadDataError(f"{source}: holds no {name}, other states of the store do; add it")
        values = state.select(tuple(own)).values.double()
        if own[0].level is not None:
            held, targets = [c.level or 0.0 for c in own], [p or 0.0 for p in wanted]
            outside = [p for p in targets if not min(held) * 0.999 <= p <= max(held) * 1.001]
            if outside:
                raise BadDataError(
                    f"{source}: {name} reaches from {max(held) / 100:g} to {min(held) / 100:g} hPa, the store needs"
                    f" {outside[0] / 100:g} hPa; add that level"
                )
            weights = torch.from_numpy(vertical_weights(held, targets, above="constant"))
            values = torch.einsum("kl,lyx->kyx", weights, values)
        planes.append(regrid(values, state.grid, grid, vector=VARIABLES[name].is_wind_component))
    return torch.cat(planes)


def _on_store(entry: Entry, channels: Sequence[Channel], grid: LatLonGrid) -> Fields:
    values = to_store(_read(entry), channels, grid, str(entry.paths[0]))
    return np.asarray(values.to(torch.float32).numpy()[None])


def _read(entry: Entry) -> State:
    background = read_background(entry.paths, time=entry.valid.astype("datetime64[ns]"), select=dict(entry.select))
    return background.ensemble_mean().state


def _begun(entry: Entry, lead_hours: int | None) -> Entry:
    """The entry with its start; `lead_hours` fills in for files that tell none."""
    if entry.start is not None:
        return entry
    if lead_hours is None:
        raise BadDataError(
            f"{entry.paths[0]}: tells no start of the forecast valid {entry.valid}Z; give its lead with --lead-hours"
        )
    return replace(entry, start=entry.valid - np.timedelta64(lead_hours, "h"))


def _splits(times: Hours, years: tuple[int, int] | None) -> Splits:
    step = int(np.min(np.diff(times))) if times.size > 1 else 1
    start, end = int(times[0]), int(times[-1]) + step
    if years is None:
        return split_by_fraction(start, end, gap_hours=GAP_HOURS)
    return split_by_year(start, end, validation=years[0], test=years[1])
