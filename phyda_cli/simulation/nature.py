"""The nature run: spin-up, then restartable pieces of 6-hourly output and of the states from which forecasts start.

The spin-up goes from rest at the forecast model's truncation, which is several times cheaper, and then settles at the
nature run's. After each piece the complete state (with the physics' carry) is saved, so that a run that was stopped
goes on as if it had not been.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from phyda_cli.constants import GRAVITY
from phyda_cli.simulation import chunks
from phyda_cli.simulation.config import HOURS_PER_DAY, OUTPUT_HOURS, Progress, SimulationConfig
from phyda_cli.simulation.model import SpectralModel, forecast_model, hour_of, nature_model
from phyda_cli.simulation.regrid import Output, Transfer, to_state


@dataclass(frozen=True)
class Restart:
    """All that the nature run needs to go on: the next piece, the model's state and carry, and its step counter."""

    chunk: int
    state: Any
    carry: Any
    step: int


def run_nature(config: SimulationConfig, directory: Path, progress: Progress) -> None:
    """Run the nature run to its end, from where the directory's files left it."""
    restart_path = directory / chunks.RESTART_FILE
    if restart_path.exists() and int(chunks.load(restart_path)["chunk"]) >= config.chunks:
        progress("nature run complete")
        return
    nature, coarse = nature_model(config), forecast_model(config)
    advance = nature.stepper(config.chunk_hours, OUTPUT_HOURS)
    if restart_path.exists():
        restart = _load_restart(restart_path, nature)
    else:
        restart = _spin_up(config, nature, coarse, advance, progress)
        _save_restart(restart_path, restart)
    output, transfer = Output(nature, config), Transfer(nature, coarse)
    start = hour_of(config.start)
    while restart.chunk < config.chunks:
        begun = time.monotonic()
        hour = start + restart.chunk * config.chunk_hours
        state, carry, step, saved = advance(restart.state, restart.carry, hour, restart.step)
        times = hour + OUTPUT_HOURS * np.arange(1, config.chunk_hours // OUTPUT_HOURS + 1, dtype=np.int64)
        fields = output.fields(saved)
        chunks.require_finite(fields, f"nature run, piece {restart.chunk}")
        chosen = np.flatnonzero((times - start) % config.start_interval_hours == 0)
        parts = transfer.parts(saved.at(chosen).dynamics)
        chunks.require_finite(parts, f"nature run, piece {restart.chunk}")
        chunks.save(chunks.nature_file(directory, restart.chunk), {"time": times, **fields})
        chunks.save(chunks.starts_file(directory, restart.chunk), {"time": times[chosen], **parts})
        restart = Restart(restart.chunk + 1, state, carry, step)
        _save_restart(restart_path, restart)
        speed = config.chunk_days * 60.0 / (time.monotonic() - begun)
        progress(
            f"nature run: {restart.chunk} of {config.chunks} pieces, {speed:.1f} days/min; {summary(fields, config)}"
        )


def summary(fields: dict[str, Any], config: SimulationConfig) -> str:
    """Return numbers that show at a glance whether the weather is credible: means over the area, extremes over all."""
    rows = fields["msl"].shape[-2]
    weight = np.cos(np.radians(-90.0 + (np.arange(rows) + 0.5) * 180.0 / rows))[:, None]

    def mean(values: Any) -> float:
        return float((values.mean(axis=0) * weight).mean() / weight.mean())

    msl = fields["msl"] / 100.0
    middle, low = config.levels_hpa.index(500), config.levels_hpa.index(850)
    return (
        f"mean z500 {mean(fields['z'][:, middle]) / GRAVITY:.0f} m, t850 {mean(fields['t'][:, low]):.1f} K, "
        f"msl {mean(msl):.1f} hPa ({msl.min():.0f} to {msl.max():.0f}), "
        f"largest u {fields['u'].max():.0f} m/s"
    )


def _spin_up(
    config: SimulationConfig, nature: SpectralModel, coarse: SpectralModel, advance: Any, progress: Progress
) -> Restart:
    """From rest to the weather of the first day of output."""
    pieces = config.settling_days // config.chunk_days
    settle = hour_of(config.start) - pieces * config.chunk_hours
    spin_up_hours = HOURS_PER_DAY * config.spin_up_days
    progress(
        f"spin-up: {config.spin_up_days} days at T{coarse.truncation}, {config.settling_days} at T{nature.truncation}"
    )
    rush = coarse.stepper(spin_up_hours, spin_up_hours)
    state, carry, step = coarse.balanced_start(config.seed), coarse.first_carry, 0
    state, carry, step, saved = rush(state, carry, settle - spin_up_hours, step)
    if nature is not coarse:
        parts = Transfer(coarse, nature).parts(saved.dynamics)
        chunks.require_finite(parts, "spin-up")
        state, carry = to_state(nature, {name: values[-1] for name, values in parts.items()}), nature.first_carry
        step = 0
    for piece in range(pieces):
        progress(f"spin-up: settling, piece {piece + 1} of {pieces}")
        state, carry, step, saved = advance(state, carry, settle + piece * config.chunk_hours, step)
    chunks.require_finite({"temperature": saved.dynamics.temperature}, "spin-up")
    return Restart(0, state, carry, step)


def _save_restart(path: Path, restart: Restart) -> None:
    import jax

    leaves = jax.tree_util.tree_leaves((restart.state, restart.carry))
    arrays = {f"leaf_{number:04d}": np.asarray(leaf) for number, leaf in enumerate(leaves)}
    chunks.save(path, {"chunk": np.int64(restart.chunk), "step": np.int64(restart.step), **arrays})


def _load_restart(path: Path, nature: SpectralModel) -> Restart:
    import jax

    arrays = chunks.load(path)
    template = (nature.empty_state, nature.first_carry)
    structure = jax.tree_util.tree_structure(template)
    leaves = [arrays[name] for name in sorted(arrays) if name.startswith("leaf_")]
    state, carry = jax.tree_util.tree_unflatten(structure, leaves)
    return Restart(int(arrays["chunk"]), state, carry, int(arrays["step"]))
