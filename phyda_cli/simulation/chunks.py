"""The files of a simulation, and how they are read.

A simulation's directory holds uncompressed .npz files (no pickle):

    nature-00000.npz       6-hourly states of the nature run, one piece each:
                           time [time] int64, hours since 1970-01-01 00 UTC;
                           u, v [m s-1], t [K], q [kg kg-1], z (geopotential, m2 s-2): [time, level, lat, lon] float32;
                           msl [Pa]: [time, lat, lon] float32; with the near-surface air also sp [Pa], t2m [K],
                           u10, v10 [m s-1]
    forecasts-0-00000.npz  forecasts (pass, piece of the nature run they start in), one row for each start and lead:
                           init_time, lead_hours, valid_time [row] int64; the same fields with row in place of time
    starts-00000.npz       modal states from which forecasts start, cut to the forecast model's truncation:
                           time [state]; vorticity, divergence, temperature, humidity [state, level, mode, n], and
                           log_pressure [state, 1, mode, n], all float32
    restart.npz            the nature run's complete state after its last piece
    simulation.json        the configuration; a directory serves one configuration only

Levels are the configuration's (the ground first); latitudes run from south to north in even steps without the poles,
longitudes from 0 in the same steps: 5.625 degrees for 32 rows, 2.8125 for 64. Every file appears complete (written
aside, then renamed). A forecast's truth is the nature state at its valid_time, which may lie in the next piece or, at
the very end, nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError, ConfigError, InputMissingError
from phyda_cli.outputs import atomic_path
from phyda_cli.simulation.config import SimulationConfig

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.int64]

CONFIG_FILE: Final = "simulation.json"
RESTART_FILE: Final = "restart.npz"
FORECASTS_LOCK: Final = "forecasts"
"""What a process that makes forecasts locks; one that makes the nature run locks its restart file."""


@dataclass(frozen=True)
class ForecastChunk:
    """Some forecasts: times in hours since 1970-01-01 00 UTC and fields [row, (level,) lat, lon]."""

    init_time: IntArray
    lead_hours: IntArray
    valid_time: IntArray
    fields: dict[str, FloatArray]


def nature_file(directory: Path, chunk: int) -> Path:
    """Return the file of one piece of the nature run."""
    return directory / f"nature-{chunk:05d}.npz"


def starts_file(directory: Path, chunk: int) -> Path:
    """Return the file of the forecasts' start states of one piece."""
    return directory / f"starts-{chunk:05d}.npz"


def forecasts_file(directory: Path, number: int, chunk: int) -> Path:
    """Return the file of the forecasts of one pass that start in one piece."""
    return directory / f"forecasts-{number}-{chunk:05d}.npz"


def save(path: Path, arrays: dict[str, Any]) -> None:
    """Write the arrays to an .npz file: all or nothing."""
    with atomic_path(path, overwrite=True) as partial, partial.open("wb") as stream:
        np.savez(stream, **arrays)


def load(path: Path) -> dict[str, NDArray[Any]]:
    """Return all arrays of an .npz file."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except FileNotFoundError as error:
        raise InputMissingError(f"{path}: no such file") from error
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> BadDataError:
    return BadDataError(f"{path}: not a file of a simulation ({error}); delete it and simulate again")


def bind(directory: Path, config: SimulationConfig) -> None:
    """Tie the directory to the configuration: write it where there is none, refuse another one.

    `days`, `passes`, the splits and the cycles may change from run to run: they decide only how much is computed.
    """
    free = {"days", "passes", "split_fractions", "split_gap_days", "cycles"}
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / CONFIG_FILE
    if path.exists():
        found = read_config(directory)
        if found.model_dump(exclude=free) != config.model_dump(exclude=free):
            raise ConfigError(f"{path}: the directory holds a simulation of other settings; choose another directory")
    with atomic_path(path, overwrite=True) as partial:
        partial.write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read_config(directory: Path) -> SimulationConfig:
    """Return the configuration of the simulation in the directory."""
    path = directory / CONFIG_FILE
    try:
        return SimulationConfig.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputMissingError(f"{path}: no simulation here") from error
    except ValueError as error:
        raise BadDataError(f"{path}: not a simulation's configuration: {error}") from error


def read_nature(directory: Path) -> Iterator[tuple[IntArray, dict[str, FloatArray]]]:
    """(times in hours since 1970, fields) of every piece of the nature run, in order of time."""
    names = read_config(directory).fields
    for path in nature_files(directory):
        arrays = load(path)
        yield arrays["time"], {name: arrays[name] for name in names}


def nature_times(directory: Path) -> list[IntArray]:
    """Return the times of every piece of the nature run, without reading the fields."""
    return [column(path, "time") for path in nature_files(directory)]


def nature_files(directory: Path) -> list[Path]:
    """Return the pieces of the nature run, in order of time."""
    return sorted(directory.glob("nature-*.npz"))


def forecast_files(directory: Path) -> list[Path]:
    """Return the pieces of the forecasts, by piece of the nature run, then by pass."""
    files = [
        (int(match[2]), int(match[1]), path)
        for path in directory.glob("forecasts-*.npz")
        if (match := re.fullmatch(r"forecasts-(\d+)-(\d+)\.npz", path.name))
    ]
    return [path for _, _, path in sorted(files)]


def column(path: Path, name: str) -> IntArray:
    """Return a column of a piece without reading its fields. Raises BadDataError for a damaged piece."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return np.asarray(stored[name], dtype=np.int64)
    except (OSError, ValueError, KeyError) as error:
        raise _damaged(path, error) from error


def read_forecasts(directory: Path) -> Iterator[ForecastChunk]:
    """Yield every piece of the forecasts, by piece of the nature run, then by pass."""
    names = read_config(directory).fields
    for path in forecast_files(directory):
        arrays = load(path)
        yield ForecastChunk(
            init_time=arrays["init_time"],
            lead_hours=arrays["lead_hours"],
            valid_time=arrays["valid_time"],
            fields={name: arrays[name] for name in names},
        )


def require_finite(arrays: dict[str, Any], what: str) -> None:
    """Raise BadDataError where an array holds a value that is not finite: the model has become unstable."""
    for name, values in arrays.items():
        if not np.all(np.isfinite(np.asarray(values))):
            raise BadDataError(f"{what}: {name} is not finite; the model became unstable, take a shorter time step")
