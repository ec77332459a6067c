"""A training store from a simulation: nature run as truth, imperfect-model forecasts as backgrounds.

The raw pieces of `phyda_cli.simulation` are read as far as they exist, so that an unfinished simulation makes a smaller
store. Splits are shares of the nature run that there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError, InputMissingError
from phyda_cli.fields.state import Channel
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.preparation.material import Material
from phyda_cli.preparation.split import PARTS, Splits, split_by_fraction
from phyda_cli.preparation.store import channels_of
from phyda_cli.preparation.writer import identity_of, version_of
from phyda_cli.simulation import chunks
from phyda_cli.simulation.config import HOURS_PER_DAY, OUTPUT_HOURS, SimulationConfig
from phyda_cli.simulation.model import hour_of

Fields = NDArray[np.floating[Any]]
Hours = NDArray[np.int64]


def simulation_material(directory: Path, *, cycles: Path | None = None) -> Material:
    """Return what a store of the simulation in a directory is made of.

    cycles: take the forecasts of the cycles in this directory in place of the simulation's own.
    Raises InputMissingError when there is no simulation or no piece of it yet, BadDataError when a piece is damaged.
    """
    config = chunks.read_config(directory)
    channels, grid = simulation_layout(config)
    splits = simulation_splits(directory)
    made = "forecasts" if cycles is None else "forecasts of its own cycles"

    nature, forecasts = chunks.nature_files(directory), chunks.forecast_files(cycles or directory)
    valid = [chunks.column(path, "valid_time") for path in forecasts]
    return Material(
        source=f"simulation with jcm, T{config.nature_truncation} nature and T{config.forecast_truncation} {made}",
        seed=config.seed,
        config=config.model_dump(mode="json"),
        channels=channels,
        grid=grid,
        splits=splits,
        times=np.concatenate([chunks.column(path, "time") for path in nature]),
        states=Pieces.of(nature, "time", config.fields),
        init_times=np.concatenate([_NONE, *(chunks.column(path, "init_time") for path in forecasts)]),
        valid_times=np.concatenate([_NONE, *valid]),
        forecasts=Pieces.of(forecasts, "valid_time", config.fields),
        skipped={},
        identity=identity_of([(path.name, version_of(path)) for path in (*nature, *forecasts)]),
    )


_NONE: Final = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Pieces:
    """The rows of a simulation's pieces, one piece after the other.

    starts: number of the first row of each piece, and of the row after the last. names: of the fields, in their order.
    """

    paths: tuple[Path, ...]
    starts: tuple[int, ...]
    names: tuple[str, ...]

    @classmethod
    def of(cls, paths: Sequence[Path], column: str, names: Sequence[str]) -> Pieces:
        """Return the rows of some pieces, counted by one of their columns."""
        counts = [chunks.column(path, column).size for path in paths]
        return cls(tuple(paths), tuple(np.cumsum([0, *counts]).tolist()), tuple(names))

    def read(self, rows: Hours) -> Fields:
        """Return the fields (row, channel, lat, lon) of some rows, in increasing order."""
        piece = np.searchsorted(self.starts, rows, side="right") - 1
        parts = []
        for number in np.unique(piece).tolist():
            own = rows[piece == number] - self.starts[number]
            arrays = _loaded(self.paths[number], version_of(self.paths[number]))
            parts.append(stack({name: arrays[name][own] for name in self.names}))
        return np.concatenate(parts)


@lru_cache(maxsize=1)
def _loaded(path: Path, version: object) -> dict[str, NDArray[Any]]:
    return chunks.load(path)


def simulation_splits(directory: Path) -> Splits:
    """Return the parts of the nature run that there is. Raises as `simulation_material` does."""
    times = chunks.nature_times(directory)
    if not times:
        raise InputMissingError(
            f"{directory}: the simulation has no piece of its nature run yet; run phyda prepare again"
        )
    hours = np.concatenate(times)
    step = int(np.min(np.diff(hours))) if hours.size > 1 else 0
    if step <= 0 or np.any(np.diff(hours) != step):
        raise BadDataError(f"{directory}: the nature run has gaps; a piece is missing: run phyda prepare again")
    return splits_of(chunks.read_config(directory), int(hours[0]), int(hours[-1]) + step)


def splits_of(config: SimulationConfig, start: int, end: int) -> Splits:
    """Return the parts of a nature run over [start, end), hours since 1970."""
    gap = HOURS_PER_DAY * config.split_gap_days
    return split_by_fraction(start, end, fractions=config.split_fractions, gap_hours=gap)


def expected_pairs(config: SimulationConfig, part: str, leads: Sequence[int]) -> int:
    """Return how many forecasts with these leads [h] start and end inside a part, once a simulation is complete."""
    start, step = hour_of(config.start), config.start_interval_hours
    splits = splits_of(config, start + OUTPUT_HOURS, start + config.chunks * config.chunk_hours + OUTPUT_HOURS)
    first = HOURS_PER_DAY * config.perturbation_window_days // step
    init = start + step * np.arange(1 + first, 1 + config.chunks * config.chunk_hours // step, dtype=np.int64)
    held = [lead for lead in config.leads_hours if lead in leads]
    return sum(int((splits.pair_code(init, init + lead) == PARTS.index(part)).sum()) for lead in held)


def simulation_layout(config: SimulationConfig) -> tuple[tuple[Channel, ...], LatLonGrid]:
    """Return the channels and the grid of a simulation's output."""
    channels = channels_of(config.fields, [100.0 * p for p in config.levels_hpa])
    return channels, LatLonGrid.equiangular(config.rows, 2 * config.rows)


def stack(fields: dict[str, Fields]) -> Fields:
    """(row, channel, lat, lon) of fields (row, (level,) lat, lon) in their order."""
    parts = list(fields.values())
    return np.concatenate([part if part.ndim == 4 else part[:, None] for part in parts], axis=1)
