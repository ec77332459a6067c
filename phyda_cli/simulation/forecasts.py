"""Imperfect forecasts from the nature run's states: the backgrounds.

Every start is a nature state at the coarser truncation plus α (s1 − s2): two nature states of the days before it (same
season, never the future) and α drawn evenly from the perturbation range. One run of the forecast model is saved at
all leads. Forecasts depend on (seed, start) only, so the order in which they are made does not matter.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.simulation import chunks
from phyda_cli.simulation.config import HOURS_PER_DAY, OUTPUT_HOURS, Progress, SimulationConfig
from phyda_cli.simulation.model import SpectralModel, forecast_model, hour_of
from phyda_cli.simulation.regrid import PARTS, Output, to_state

FloatArray = NDArray[np.floating[Any]]

POLL_SECONDS: Final = 5.0
"""How often a follower looks for a new piece of the nature run [s]."""

KEPT_PIECES: Final = 8
"""Pieces of start states kept in memory."""


class Starts:
    """The nature run's start states on disk, by number: state i is valid (i + 1) intervals after the run's start."""

    def __init__(self, config: SimulationConfig, directory: Path) -> None:
        self.directory = directory
        self.per_chunk = config.chunk_hours // config.start_interval_hours
        self.window = HOURS_PER_DAY * config.perturbation_window_days // config.start_interval_hours
        self._kept: dict[int, dict[str, FloatArray]] = {}

    def __getitem__(self, number: int) -> dict[str, FloatArray]:
        """Return the modal parts [level, mode, n] of one state."""
        chunk, place = divmod(number, self.per_chunk)
        piece = self._kept.pop(chunk, None) or chunks.load(chunks.starts_file(self.directory, chunk))
        self._kept[chunk] = piece  # the last one used is the last one to go, whatever its number
        while len(self._kept) > KEPT_PIECES:
            del self._kept[next(iter(self._kept))]
        return {name: piece[name][place] for name in PARTS}

    def perturbed(self, number: int, hour: int, config: SimulationConfig) -> dict[str, FloatArray]:
        """s + α (s1 − s2) for the state with this number, valid at this hour since 1970."""
        random = np.random.default_rng([config.seed, hour])
        first, second = random.choice(np.arange(number - self.window, number + 1), size=2, replace=False)
        factor = np.float32(random.uniform(*config.perturbation_range))
        state, one, other = self[number], self[int(first)], self[int(second)]
        return {name: state[name] + factor * (one[name] - other[name]) for name in PARTS}


def starts_of_pass(config: SimulationConfig, starts: Starts, number: int, chunk: int) -> list[int]:
    """Return the states of a piece from which the forecasts of one pass start.

    Pass 0 takes every `passes`-th state, each later one the middles of the gaps left: with four, i mod 4 = 0, 2, 1, 3.
    The states of the first days have no full window of earlier states and start nothing.
    """
    residue = {1: (0,), 2: (0, 1), 4: (0, 2, 1, 3)}[config.passes][number]
    first = chunk * starts.per_chunk
    return [i for i in range(first, first + starts.per_chunk) if i % config.passes == residue and i >= starts.window]


def run_forecasts(config: SimulationConfig, directory: Path, progress: Progress, *, follow: bool) -> None:
    """Make all forecasts that the nature run allows; with `follow`, wait for the rest of the nature run as well."""
    model: SpectralModel | None = None
    starts = Starts(config, directory)
    while True:
        task = _next_task(config, directory)
        if task is None:
            if not follow or chunks.starts_file(directory, config.chunks - 1).exists():
                progress("forecasts complete")
                return
            time.sleep(POLL_SECONDS)
            continue
        if model is None:
            model = forecast_model(config)
            advance, output = model.stepper(max(config.leads_hours), OUTPUT_HOURS), Output(model, config)
        begun = time.monotonic()
        number, chunk = task
        rows = _forecast_rows(config, starts, model, advance, output, number, chunk, progress)
        chunks.save(chunks.forecasts_file(directory, number, chunk), rows)
        made = rows["init_time"].size
        speed = 60.0 * made / (time.monotonic() - begun)
        progress(f"forecasts: pass {number}, piece {chunk}: {made} pairs, {speed:.0f} pairs/min")


def _next_task(config: SimulationConfig, directory: Path) -> tuple[int, int] | None:
    """Return the first (pass, piece) that the nature run allows and that is not yet made."""
    ready = [chunk for chunk in range(config.chunks) if chunks.starts_file(directory, chunk).exists()]
    for number in range(config.passes):
        for chunk in ready:
            if not chunks.forecasts_file(directory, number, chunk).exists():
                return number, chunk
    return None


def _forecast_rows(
    config: SimulationConfig,
    starts: Starts,
    model: SpectralModel,
    advance: Any,
    output: Output,
    number: int,
    chunk: int,
    progress: Progress,
) -> dict[str, NDArray[Any]]:
    """Return the forecasts of one pass and piece; one that becomes unstable is left out."""
    leads = np.asarray(config.leads_hours, dtype=np.int64)
    frames = leads // OUTPUT_HOURS - 1
    inits: list[NDArray[np.int64]] = []
    made: list[dict[str, FloatArray]] = []
    for start in starts_of_pass(config, starts, number, chunk):
        hour = hour_of(config.start) + (start + 1) * config.start_interval_hours
        state = to_state(model, starts.perturbed(start, hour, config))
        _, _, _, saved = advance(state, model.first_carry, hour, 0)
        fields = output.fields(saved.at(frames))
        if not all(np.all(np.isfinite(values)) for values in fields.values()):
            progress(f"forecast from hour {hour} became unstable and is left out")
            continue
        inits.append(np.full(leads.size, hour, dtype=np.int64))
        made.append(fields)
    init_time = np.concatenate(inits) if inits else np.zeros(0, dtype=np.int64)
    lead_hours = np.tile(leads, len(made))
    empty = output.empty()
    return {
        "init_time": init_time,
        "lead_hours": lead_hours,
        "valid_time": init_time + lead_hours,
        **{name: np.concatenate([empty[name], *(fields[name] for fields in made)]) for name in config.fields},
    }
