"""A small training store with its background error: balanced random errors on 16 × 32 points, 16 channels, 40 days."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from phyda_cli.formats.gridded.background_error import to_bytes
from phyda_cli.preparation.build import build_store
from phyda_cli.preparation.material import Material
from phyda_cli.preparation.split import split_by_fraction
from phyda_cli.preparation.store import TrainingStore, open_store
from phyda_cli.training.case_files import open_cases
from phyda_cli.training.cases import statistics_of
from phyda_cli.training.config import TrainConfig, read_config
from phyda_cli.training.loop import Data, Workplace
from phyda_cli.training.made_cases import CaseSource
from phyda_cli.training.run import train
from tests.support.background_error import CHANNELS, GRID, random_errors, small_statistics
from tests.support.rows import Held

START = int(np.datetime64("2001-01-01T00", "h").astype(np.int64))
LEADS = (24, 48)
"""The errors at the second are three times those at the first, the nominal one."""
DAYS = 40
MEAN = (*[0.0] * 6, 225.0, 253.0, 281.0, 2e-4, 2e-3, 8e-3, 102e3, 55e3, 14.5e3, 101_300.0)
"""Of each channel [SI]."""
ABOUT = {"data": "d1", "inputs": {"background_error": "b1"}}


@dataclass(frozen=True)
class Place:
    """The store, the file of its background error, a directory of its cases."""

    store: Path
    background_error: Path
    cases: Path

    def source(self, part: str = "train", seed: int = 7, operational: float = 0.5) -> CaseSource:
        """A source of cases."""
        return CaseSource(self.store, self.background_error, part, seed, operational)

    def opened(self) -> TrainingStore:
        """The store, open."""
        return open_store(self.store)

    def data(self) -> Data:
        """What the stages see, with the cases in memory; these must have been made."""
        parts = [open_cases(self.cases / part) for part in ("train", "validation")]
        return Data(*(part.rows(range(len(part))) for part in parts), statistics_of(self.opened()))


def place_in(directory: Path) -> Place:
    """The names of the files in a directory."""
    return Place(directory / "store.zarr", directory / "b.safetensors", directory / "cases")


def make_place(directory: Path) -> Place:
    """Build the store and the background error; no cases."""
    place = place_in(directory)
    rng = np.random.default_rng(3)
    times = START + 6 * np.arange(DAYS * 4)
    init = np.repeat(times[:-8:2], len(LEADS))
    lead = np.tile(LEADS, init.size // len(LEADS))
    errors = random_errors(init.size, seed=5).numpy() * np.where(lead == LEADS[0], 1.0, 3.0)[:, None, None, None]
    noise = rng.normal(size=(times.size, len(CHANNELS), *GRID.shape))
    mean, size = np.array(MEAN)[:, None, None], 3.0 * errors.std((0, 2, 3))[:, None, None]
    states = (mean + size * noise).astype(np.float32)
    forecasts = (states[(init + lead - START) // 6] + errors).astype(np.float32)

    splits = split_by_fraction(int(times[0]), int(times[-1]) + 6)
    material = Material(
        "test", 7, {"kind": "test"}, CHANNELS, GRID, splits, times, Held(states), init, init + lead, Held(forecasts), {}
    )
    build_store(material, place.store, overwrite=False, progress=lambda stage, done, total: None)
    place.background_error.write_bytes(to_bytes(small_statistics(), provenance={"errors": 200}))
    return place


def tiny(**changes) -> TrainConfig:
    """The preset, with other settings where they are given."""
    return read_config("tiny").model_copy(update=changes)


def run(place: Place, directory: Path, config: TrainConfig | None = None, **options) -> Path:
    """A whole training on CPU into a directory, alone."""
    import torch

    directory.mkdir(exist_ok=True)
    work = Workplace(directory, torch.device("cpu"))
    settings = {"about": ABOUT, "start": None, "progress": lambda stage, done, total: None, **options}
    return train(config or tiny(), settings.pop("data", None) or place.data(), work, **settings)
