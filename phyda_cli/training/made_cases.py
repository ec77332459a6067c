"""Training cases made of a store, with networks and noise drawn at random: for a shard or for a step of the training.

Case k draws its network, its background and its noise from the generator of [seed, k], so that it is the same whenever
and by whomever it is made. With `fresh` the training part has no shards: its cases are made for each step anew
(`FreshCases`), the k-th that the training sees from the generator of [seed, k].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.errors_b.background_error import BackgroundError
from phyda_cli.formats.gridded.background_error import read_background_error
from phyda_cli.networks.gridded import GriddedObservations
from phyda_cli.observations.errors import ErrorTable, default_error_table
from phyda_cli.preparation.store import TrainingStore
from phyda_cli.training.case_rows import Cases, sparse
from phyda_cli.training.cases import CaseMaker, ErrorGrowth, analysed_store, background_of, monthly, statistics_of
from phyda_cli.training.from_space import with_occultations, with_sounder
from phyda_cli.training.networks import Network, draw_network, operational_network

PARTS: Final = ("train", "validation")
_BATCH: Final = 32
"""Cases that 3D-Var solves together, of like numbers of observations, since all wait for the slowest."""


@dataclass(frozen=True)
class CaseSource:
    """Where cases come from; small enough to send to another process. part: of the store.

    operational: share of the cases whose network is one as a forecast centre has it. sounder, occultations: of those
    that have brightness temperatures or profiles of refractivity besides.
    """

    store: Path
    background_error: Path
    part: str
    seed: int
    operational: float
    sounder: float = 0.0
    occultations: float = 0.0


def check_material(store: TrainingStore, background_error: BackgroundError, path: Path) -> None:
    """Raises BadDataError when cases cannot be made of a store with the background error of the file `path`."""
    for part in PARTS:
        if not store.pair_index(part).size:
            raise BadDataError(f"{store.path}: no pairs of background and truth in its {part} part; prepare more data")
    remedy = "fit one to this store with phyda prepare --background-error"
    missing = [channel for channel in store.channels if channel not in background_error.channels]
    if missing:
        level = "" if missing[0].level is None else f" at {missing[0].level:g} Pa"
        raise BadDataError(f"{path}: the background error lacks {missing[0].variable}{level}; {remedy}")
    for name in ("latitudes", "longitudes"):
        own, other = np.asarray(getattr(store.grid, name)), np.asarray(getattr(background_error.grid, name))
        if own.shape != other.shape or not np.allclose(own, other, atol=1e-4):
            raise BadDataError(f"{path}: the background error is on another grid than {store.path}; {remedy}")


class CaseFactory:
    """What cases are made with, read once. index: numbers of the source's pairs in the store."""

    def __init__(self, source: CaseSource) -> None:
        self.source, self.store, self.table = source, analysed_store(source.store), default_error_table()
        self.maker = CaseMaker(self.store, read_background_error(source.background_error)[0], self.table)
        self.growth, self.statistics = ErrorGrowth.of(self.store), statistics_of(self.store, maps=False)
        self.climatology = monthly(self.store, "monthly_mean")
        self.index = self.store.pair_index(source.part)

    def make(self, pair_numbers: NDArray[np.int64], numbers: Sequence[int], *, observed: bool = True) -> Cases:
        """Make cases of pairs; the k-th draws all that is random from the generator of [seed, numbers[k]].

        observed: False leaves out observations and first guesses, which take nearly all of the time.
        """
        source, pairs = self.source, self.store.read_pairs(pair_numbers)
        generators = [np.random.default_rng([source.seed, number]) for number in numbers]
        networks = [
            _network(generator, int(hours), source, self.store, self.table)
            for generator, hours in zip(generators, pairs.valid_time, strict=True)
        ]
        chosen = [self.growth.draw(g, int(lead)) for g, lead in zip(generators, pairs.lead_hours, strict=True)]
        background = background_of(pairs, chosen, self.climatology)
        errors = torch.from_numpy(pairs.truth) - background
        scale = torch.tensor([b.scale for b in chosen])
        _require_finite({"increment": errors, "background": background}, source)
        increment = errors / self.statistics.sigma(scale)
        first_guess = torch.zeros_like(increment)
        order = np.argsort([len(network) for network in networks], kind="stable")
        nothing = GriddedObservations(*[torch.zeros_like(first_guess[0])] * 3)
        gridded = dict.fromkeys(range(order.size), nothing)
        for start in range(0, order.size if observed else 0, _BATCH):
            batch = order[start : start + _BATCH].tolist()
            made = self.maker.make(
                errors[batch],
                [networks[k] for k in batch],
                [chosen[k].scale for k in batch],
                [generators[k] for k in batch],
                background[batch],
            )
            first_guess[batch] = made.first_guess
            for row, k in enumerate(batch):
                o = made.observations
                gridded[k] = GriddedObservations(o.signal[row], o.noise[row], o.density[row])
        cases = Cases(
            increment.half(), first_guess.half(), self.statistics.anomaly(background).half(), scale,
            torch.tensor([network.density for network in networks]), torch.from_numpy(pairs.valid_time),
            *sparse([gridded[k] for k in range(order.size)]),
        )  # fmt: skip
        names = ("increment", "first_guess", "background", "signal", "noise")
        _require_finite({name: getattr(cases, name) for name in names}, source)
        return cases


def _network(
    generator: np.random.Generator, hours: int, source: CaseSource, store: TrainingStore, table: ErrorTable
) -> Network:
    """Return a network of either kind for a case at a time [h since 1970-01-01 00 UTC]."""
    if generator.random() < source.operational:
        network = operational_network(generator, hours, grid=store.grid, channels=store.channels, table=table)
    else:
        network = draw_network(generator, grid=store.grid, channels=store.channels, table=table)
    if source.sounder and generator.random() < source.sounder:
        network = with_sounder(generator, network, table)
    if source.occultations and generator.random() < source.occultations:
        network = with_occultations(generator, network, table)
    return network


def _require_finite(tensors: Mapping[str, torch.Tensor], source: CaseSource) -> None:
    for name, values in tensors.items():
        if not bool(torch.isfinite(values).all()):
            raise BadDataError(
                f"{source.store}: NaN or absurd values in the {source.part} part ({name}); prepare it anew"
            )


@dataclass(frozen=True)
class FreshCases:
    """Cases that are made when they are asked for, one pair of the store each; `size`: the number of pairs.

    `rows` gives pairs alone, for what is known before any step; `made` gives cases: each epoch has its own networks.
    """

    source: CaseSource
    size: int

    def __len__(self) -> int:
        return self.size

    def rows(self, chosen: Sequence[int]) -> Cases:
        """Make the chosen cases, with nothing observed."""
        factory = _factory(self.source)
        return factory.make(factory.index[list(chosen)], chosen, observed=False)

    def made(self, pairs: Sequence[int], numbers: Sequence[int]) -> Cases:
        """Make cases of the given pairs of the part, with the networks and noise of the given numbers."""
        factory = _factory(self.source)
        return factory.make(factory.index[list(pairs)], numbers)


@lru_cache(maxsize=1)
def _factory(source: CaseSource) -> CaseFactory:
    """Return a process's own."""
    return CaseFactory(source)
