"""The steps of a training in their order, drawn ahead of time by processes of their own.

A step depends on its number alone (`batches.draw`), so that any worker may draw it: worker w of n draws the steps
w, w + n, …, and they arrive in order. On CUDA they lie in pinned memory, from which the device copies by itself while
it computes the step before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import torch
from torch.utils.data import DataLoader, Dataset

from phyda_cli.errors import WorkerError
from phyda_cli.networks.statistics import Statistics
from phyda_cli.training.batches import Drawn, Shapes, draw
from phyda_cli.training.case_files import AnyCases

_AHEAD: Final = 2
"""Steps that each worker holds ready."""


@dataclass(frozen=True)
class Steps(Dataset[Drawn]):
    """What a step is drawn from; see `batches.draw`."""

    cases: AnyCases
    statistics: Statistics
    size: int
    steps: int
    seed: int
    signed: bool
    rank: int
    world: int
    noise: Shapes

    def __getitem__(self, step: int) -> Drawn:
        return draw(
            self.cases, self.statistics, size=self.size, step=step, steps=self.steps, seed=self.seed,
            signed=self.signed, rank=self.rank, world=self.world, noise=self.noise,
        )  # fmt: skip


def drawn_ahead(source: Steps, start: int, device: torch.device, *, workers: int) -> Iterator[Drawn]:
    """Yield the steps from `start` on, on the device. workers: processes that draw them, none draws them here.

    Raises WorkerError when one of them was killed.
    """
    loader: DataLoader[Drawn] = DataLoader(
        source,
        batch_size=None,
        sampler=range(start, source.steps),
        num_workers=workers,
        prefetch_factor=_AHEAD if workers else None,
        multiprocessing_context="spawn" if workers else None,
        pin_memory=device.type == "cuda",
    )
    try:
        for drawn in loader:
            yield drawn.to(device)
    except RuntimeError as error:
        if "exited unexpectedly" not in str(error):
            raise
        raise WorkerError(
            f"a process that draws training cases was killed, most likely for memory; give fewer --workers than "
            f"{workers}, or more shared memory (/dev/shm)"
        ) from error
