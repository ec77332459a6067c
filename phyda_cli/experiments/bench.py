"""What analyses the dates of an experiment and scores them, in this process or in another.

A `Recipe` is all that it takes: it is small, travels to the workers of a cluster, and each of these makes its `Bench`
once. A `Task` is a batch of dates at one density; it gives the same records wherever it is done, up to the seconds.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from phyda_cli.errors import BadDataError
from phyda_cli.experiments.cases import CaseDrawer
from phyda_cli.experiments.measure import Measure, Record
from phyda_cli.experiments.methods.base import Analyses, Factors
from phyda_cli.experiments.methods.registry import Material, make_methods
from phyda_cli.experiments.settings import Settings
from phyda_cli.formats.gridded.background_error import read_background_error
from phyda_cli.training.cases import analysed_store

_HELD = 2
"""Batches whose fields are kept for their other densities."""


@dataclass(frozen=True)
class Recipe:
    """What a bench is made of.

    data: digest of the store. weights, digests: files and their SHA-256 by the names of methods. names, paths: as of
    `make_methods`. factors: of 3D-Var by density. threads: of torch, None: as many as there are.
    """

    store: Path
    data: str
    background_error: Path
    background_error_digest: str
    weights: tuple[tuple[str, Path], ...]
    digests: tuple[tuple[str, str], ...]
    names: tuple[str, ...]
    paths: tuple[str, ...]
    factors: tuple[tuple[float, Factors], ...]
    settings: Settings
    threads: int | None = None


@dataclass(frozen=True)
class Task:
    """pairs: numbers of the dates. density: [%]. methods: the names of those that analyse them."""

    pairs: tuple[int, ...]
    density: float
    methods: tuple[str, ...]


class Bench:
    """The cases and the methods of a recipe. Raises BadDataError for weights that do not fit the store."""

    def __init__(self, recipe: Recipe) -> None:
        self.store, settings = analysed_store(recipe.store), recipe.settings
        self.drawer = CaseDrawer(self.store, settings)
        statistics = read_background_error(recipe.background_error)[0]
        material = Material(
            self.store, statistics, recipe.background_error, recipe.background_error_digest, dict(recipe.weights),
            dict(recipe.digests), dict(recipe.factors), settings.members, settings.seed,
        )  # fmt: skip
        self.methods = {method.name: method for method in make_methods(recipe.names, material, recipe.paths)}
        self._measure = Measure(self.store.channels, self.store.grid)
        self._read = lru_cache(maxsize=_HELD)(lambda pairs: self.drawer.read(np.array(pairs)))

    def records(self, task: Task) -> dict[str, list[Record]]:
        """Return the records of every method. Raises BadDataError for an analysis that is not finite."""
        batch = self.drawer.draw(np.array(task.pairs), self._read(task.pairs), task.density)
        found = {}
        for name in task.methods:
            began = time.process_time()
            analyses = self.methods[name].analyse(batch)
            seconds = time.process_time() - began
            _check(analyses, name, task.density)
            found[name] = self._measure.records(batch, analyses, seconds=seconds)
        return found


@lru_cache(maxsize=1)
def bench_of(recipe: Recipe) -> Bench:
    """Return a process's own."""
    return Bench(recipe)


def done(recipe: Recipe, task: Task) -> dict[str, list[Record]]:
    """Return the records of a task, by the bench of this process."""
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    return bench_of(recipe).records(task)


def _check(analyses: Analyses, name: str, density: float) -> None:
    for fields in (analyses.mean, analyses.members):
        if fields is not None and not bool(torch.isfinite(fields).all()):
            raise BadDataError(f"{name} at {density:g} %: increments that are not finite; its weights are of no use")
