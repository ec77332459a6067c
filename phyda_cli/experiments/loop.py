"""The experiment itself: every batch of dates, at every density, by every method; scores are all that is kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.experiments.cases import CaseDrawer
from phyda_cli.experiments.journal import Journal
from phyda_cli.experiments.measure import Measure
from phyda_cli.experiments.methods.base import Analyses, ExperimentMethod

Progress = Callable[[int], None]
"""Told how many batches (of one density and one method) are done."""


def batches_of(pairs: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    """The pairs in batches; neighbours in time are read together."""
    return [pairs[start : start + size] for start in range(0, pairs.size, size)]


def run(
    drawer: CaseDrawer,
    pairs: NDArray[np.int64],
    methods: Sequence[ExperimentMethod],
    journal: Journal,
    progress: Progress,
) -> None:
    """Make all records that the journal lacks.

    Raises BadDataError when a method gives something that is not finite.
    """
    settings = drawer.settings
    measure = Measure(drawer.store.channels, drawer.store.grid)
    done = 0
    for own in batches_of(pairs, settings.batch):
        held = None
        for density in settings.densities:
            missing = [method for method in methods if not journal.holds(method.name, density, own.tolist())]
            done += len(methods) - len(missing)
            if not missing:
                continue
            held = drawer.read(own) if held is None else held
            batch = drawer.draw(own, held, density)
            for method in missing:
                began = time.process_time()
                analyses = method.analyse(batch)
                seconds = time.process_time() - began
                _check(analyses, method.name, density)
                journal.add(method.name, density, measure.records(batch, analyses, seconds=seconds))
                done += 1
                progress(done)


def _check(analyses: Analyses, name: str, density: float) -> None:
    for fields in (analyses.mean, analyses.members):
        if fields is not None and not bool(torch.isfinite(fields).all()):
            raise BadDataError(f"{name} at {density:g} %: increments that are not finite; its weights are of no use")
