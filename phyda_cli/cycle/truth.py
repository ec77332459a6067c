"""The truth of a twin experiment at any time: files by a pattern of their time, or the nature run of a simulation."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from phyda_cli.errors import InputMissingError
from phyda_cli.fields.state import State
from phyda_cli.formats.gridded.background import read_background
from phyda_cli.preparation.from_simulation import simulation_layout, stack
from phyda_cli.simulation import chunks

_HOUR = np.timedelta64(1, "h")
_EPOCH = np.datetime64("1970-01-01T00", "h")


class Truth(Protocol):
    """What the atmosphere is like at a time (UTC)."""

    def __call__(self, time: np.datetime64) -> State:
        """Return the state (channel, lat, lon). Raises InputMissingError where there is none."""
        ...


def truth_of(source: str) -> Truth:
    """Return the truth of a directory of a simulation or a pattern of files."""
    return SimulationTruth(Path(source)) if Path(source).is_dir() else FileTruth(source)


class FileTruth:
    """Files of any layout that phyda reads. pattern: with the time as strftime writes it."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern

    def __call__(self, time: np.datetime64) -> State:
        path = Path(filled(self.pattern, time))
        return read_background([path], time=time.astype("datetime64[ns]")).ensemble_mean().state


class SimulationTruth:
    """The nature run in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config = chunks.read_config(directory)
        self.channels, self.grid = simulation_layout(self.config)
        self._piece = lru_cache(maxsize=2)(lambda number: chunks.load(chunks.nature_file(directory, number)))

    def __call__(self, time: np.datetime64) -> State:
        hour = int((time.astype("datetime64[h]") - _EPOCH) / _HOUR)
        start = int((np.datetime64(self.config.start.replace(tzinfo=None), "h") - _EPOCH) / _HOUR)
        piece = (hour - start - 1) // self.config.chunk_hours
        if hour <= start or not chunks.nature_file(self.directory, piece).exists():
            raise InputMissingError(f"{self.directory}: the nature run does not reach {time}")
        arrays = self._piece(piece)
        rows = np.flatnonzero(arrays["time"] == hour)
        if not rows.size:
            raise InputMissingError(f"{self.directory}: the nature run has no state at {time}; it has one every 6 h")
        values = stack({name: arrays[name][rows[:1]] for name in self.config.fields})[0]
        return State(torch.from_numpy(values).double(), self.channels, self.grid, time.astype("datetime64[ns]"))


def filled(pattern: str, time: np.datetime64) -> str:
    """Return a pattern with the time in it."""
    return str(time.astype("datetime64[s]").item().strftime(pattern))
