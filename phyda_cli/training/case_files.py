"""Training cases: shards that resume after a kill and what the training reads of them, or cases made for each step.

A shard is one safetensors file of `SHARD` cases. Their pairs are neighbours in the store, which reads fast; the order
of the blocks is drawn at random, so that any number of shards is a fair sample of the whole part. Case k draws its
network and noise from the generator of [seed, k]: a shard has the same content whenever and by whomever it is made.

    increment, first_guess, background   (n, C, H, W) float16: δ, x_g in units of s σ_b; the anomaly of x_b
    scale, density, hours                (n,): s, the network's ρ, the valid time [h since 1970-01-01 00 UTC]
    offset (n + 1,), place, signal, noise, count   the gridded observations where there are any, flattened

    DIRECTORY/cases.json                the digests of the store and of B, the seed: cases of other data are refused
    DIRECTORY/{train,validation}/       shards

With `fresh` the training part has no shards: its cases are made for each step anew from the store (`FreshCases`), the
k-th that the training sees from the generator of [seed, k]. Trainings with the same data may share a directory.
Validation cases have their own seed, so that no network of theirs was trained on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, fields, replace
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from stat import S_IMODE
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file

from phyda_cli.errors import BadDataError, CannotWriteError, InputMissingError, WorkerError
from phyda_cli.errors_b.background_error import BackgroundError
from phyda_cli.formats.gridded.background_error import read_background_error
from phyda_cli.networks.gridded import GriddedObservations
from phyda_cli.observations.errors import ErrorTable, default_error_table
from phyda_cli.outputs import atomic_path, output_lock
from phyda_cli.preparation.build import Progress
from phyda_cli.preparation.store import TrainingStore
from phyda_cli.training.cases import CaseMaker, ErrorGrowth, analysed_store, background_of, monthly, statistics_of
from phyda_cli.training.config import CasesConfig
from phyda_cli.training.networks import Network, draw_network, operational_network, with_sounder

SHARD: Final = 128
_BATCH: Final = 32
"""Cases that 3D-Var solves together, of like numbers of observations, since all wait for the slowest."""


@dataclass(frozen=True)
class Cases:
    """Some cases in memory, as the module's docstring says."""

    increment: torch.Tensor
    first_guess: torch.Tensor
    background: torch.Tensor
    scale: torch.Tensor
    density: torch.Tensor
    hours: torch.Tensor
    offset: torch.Tensor
    place: torch.Tensor
    signal: torch.Tensor
    noise: torch.Tensor
    count: torch.Tensor

    def __len__(self) -> int:
        return self.scale.numel()

    def rows(self, chosen: Sequence[int]) -> Cases:
        """Return the chosen cases, in this order."""
        points = torch.cat([torch.arange(int(self.offset[k]), int(self.offset[k + 1])) for k in chosen])
        counts = (self.offset[1:] - self.offset[:-1])[list(chosen)]
        of_cases = {name: getattr(self, name)[list(chosen)] for name in _OF_CASES}
        of_points = {name: getattr(self, name)[points] for name in _OF_POINTS}
        return Cases(**of_cases, **of_points, offset=torch.cat([counts.new_zeros(1), counts.cumsum(0)]))

    def observations(self) -> GriddedObservations:
        """Return the gridded observations, dense, float32."""
        device = self.place.device
        number = torch.arange(len(self), device=device)
        case = torch.repeat_interleave(number, self.offset.diff(), output_size=self.place.numel())
        place = self.place.long() + case * self.increment[0].numel()

        def dense(values: torch.Tensor) -> torch.Tensor:
            flat = torch.zeros(self.increment.numel(), device=device)
            flat[place] = values.float()
            return flat.reshape(self.increment.shape)

        return GriddedObservations(dense(self.signal), dense(self.noise), -torch.expm1(-dense(self.count)))


_OF_CASES: Final = ("increment", "first_guess", "background", "scale", "density", "hours")
_OF_POINTS: Final = ("place", "signal", "noise", "count")


@dataclass(frozen=True)
class CaseShards:
    """Cases that stay on disk: only the rows that are asked for are read. sizes: the number of cases of each shard."""

    paths: tuple[Path, ...]
    sizes: tuple[int, ...]

    def __len__(self) -> int:
        return sum(self.sizes)

    def rows(self, chosen: Sequence[int]) -> Cases:
        """Read the chosen cases, in this order."""
        ends = np.cumsum(self.sizes)
        shards = np.searchsorted(ends, chosen, side="right")
        read: list[dict[str, torch.Tensor]] = [{} for _ in chosen]
        for shard in np.unique(shards):
            first = int(ends[shard]) - self.sizes[int(shard)]
            with safe_open(str(self.paths[int(shard)]), framework="pt") as file:
                offset = file.get_tensor("offset")
                for position in np.flatnonzero(shards == shard).tolist():
                    k = chosen[position] - first
                    points = slice(int(offset[k]), int(offset[k + 1]))
                    # copies: a view would keep the whole shard mapped
                    read[position] = {name: file.get_slice(name)[k : k + 1].clone() for name in _OF_CASES} | {
                        name: file.get_slice(name)[points].clone() for name in _OF_POINTS
                    }
        joined = {name: torch.cat([row[name] for row in read]) for name in (*_OF_CASES, *_OF_POINTS)}
        counts = torch.tensor([row["place"].numel() for row in read])
        return Cases(**joined, offset=torch.cat([counts.new_zeros(1), counts.cumsum(0)]))


@dataclass(frozen=True)
class CaseSource:
    """Where cases come from; small enough to send to another process. part: of the store.

    operational: share of the cases whose network is one as a forecast centre has it. sounder: of those that have
    brightness temperatures besides.
    """

    store: Path
    background_error: Path
    part: str
    seed: int
    operational: float
    sounder: float = 0.0


def make_cases(source: CaseSource, directory: Path, *, count: int, workers: int = 1) -> Iterator[Path]:
    """Make shards until the directory holds those of the first `count` cases; yields each that is new."""
    directory.mkdir(parents=True, exist_ok=True)
    missing = [k for k in range(-(-count // SHARD)) if not shard_path(directory, k).exists()]
    if not missing:
        return
    if workers == 1:
        for number in missing:
            yield make_shard(number, source=source, directory=directory)
        return
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        try:
            yield from pool.map(partial(make_shard, source=source, directory=directory), missing)
        except BrokenProcessPool as error:
            raise WorkerError(
                f"{directory}: a process that makes training cases was killed, most likely for memory; give fewer "
                f"--workers than {workers} (the finished shards are kept)"
            ) from error
        except BaseException:  # whoever ends the run does not wait for the shards that are not begun
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _require_finite(tensors: Mapping[str, torch.Tensor], source: CaseSource) -> None:
    for name, values in tensors.items():
        if not bool(torch.isfinite(values).all()):
            raise BadDataError(
                f"{source.store}: NaN or absurd values in the {source.part} part ({name}); prepare it anew"
            )


def make_shard(number: int, *, source: CaseSource, directory: Path) -> Path:
    """Make one shard. Raises BadDataError when the store holds NaN, or errors of absurd size."""
    factory = _Factory(source)
    block = _block(factory.index, number, source.seed)
    cases = factory.make(block, range(number * SHARD, number * SHARD + block.size))
    path = shard_path(directory, number)
    with atomic_path(path, overwrite=True) as temporary:
        mode = temporary.stat().st_mode
        save_file({field.name: getattr(cases, field.name).contiguous() for field in fields(Cases)}, temporary)
        temporary.chmod(S_IMODE(mode))  # save_file makes a file of its own, for the owner only
    return path


class _Factory:
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
            *_sparse([gridded[k] for k in range(order.size)]),
        )  # fmt: skip
        names = ("increment", "first_guess", "background", "signal", "noise")
        _require_finite({name: getattr(cases, name) for name in names}, source)
        return cases


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
def _factory(source: CaseSource) -> _Factory:
    """Return a process's own."""
    return _Factory(source)


AnyCases = Cases | CaseShards | FreshCases
"""Cases in memory, on disk, or made when they are asked for."""


def _network(
    generator: np.random.Generator, hours: int, source: CaseSource, store: TrainingStore, table: ErrorTable
) -> Network:
    """Return a network of either kind for a case at a time [h since 1970-01-01 00 UTC]."""
    if generator.random() < source.operational:
        network = operational_network(generator, hours, grid=store.grid, channels=store.channels, table=table)
    else:
        network = draw_network(generator, grid=store.grid, channels=store.channels, table=table)
    if source.sounder and generator.random() < source.sounder:
        return with_sounder(generator, network, table)
    return network


def open_cases(directory: Path, *, count: int | None = None) -> CaseShards:
    """Return all cases of a directory, or those of its first shards. Raises InputMissingError when there is none."""
    paths = sorted(directory.glob("cases-*.safetensors"))[: None if count is None else -(-count // SHARD)]
    if not paths:
        raise InputMissingError(f"{directory}: no training cases; phyda train --stages cases makes them")
    sizes = []
    for path in paths:
        with safe_open(str(path), framework="pt") as file:
            sizes.append(int(file.get_slice("scale").get_shape()[0]))
    return CaseShards(tuple(paths), tuple(sizes))


def shard_path(directory: Path, number: int) -> Path:
    """Return the file of a shard."""
    return directory / f"cases-{number:05d}.safetensors"


def _block(index: NDArray[np.int64], number: int, seed: int) -> NDArray[np.int64]:
    """Return the pairs of a shard: blocks of neighbours in a random order, drawn anew when all have been used."""
    blocks = -(-index.size // SHARD)
    epoch, position = divmod(number, blocks)
    block = int(np.random.default_rng([seed, epoch, blocks]).permutation(blocks)[position])
    return index[block * SHARD : (block + 1) * SHARD]


def _sparse(gridded: Sequence[GriddedObservations]) -> tuple[torch.Tensor, ...]:
    """offset, place, signal, noise, count of the observed points."""
    counts = torch.stack([o.count() for o in gridded]).flatten(1)
    row, place = counts.nonzero(as_tuple=True)
    offset = torch.cat([torch.zeros(1, dtype=torch.long), torch.bincount(row, minlength=len(gridded)).cumsum(0)])

    def values(name: str) -> torch.Tensor:
        return torch.stack([getattr(o, name) for o in gridded]).flatten(1)[row, place].half()

    return offset, place.int(), values("signal"), values("noise"), counts[row, place].half()


RECORD: Final = "cases.json"
PARTS: Final = ("train", "validation")


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


def ensure_cases(
    directory: Path,
    source: CaseSource,
    counts: CasesConfig,
    identity: dict[str, Any],
    *,
    workers: int,
    progress: Progress,
) -> None:
    """Make the shards that are missing of the first `counts` cases of each part.

    identity: what the cases are made from, as JSON values. Raises BadDataError when the directory holds cases of
    something else, LockedError when another run is making cases in it, CannotWriteError when it cannot be written.
    """
    parts = PARTS if not counts.fresh else PARTS[1:]
    wanted = {part: -(-getattr(counts, part) // SHARD) for part in parts}
    if (directory / RECORD).exists():
        _compare(directory, identity)
    elif any(shard_path(directory / part, 0).exists() for part in PARTS):
        raise BadDataError(f"{directory}: cases without {RECORD}, which says their origin; give another --cases")
    if all(_held(directory / part, count) == count for part, count in wanted.items()):
        return
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotWriteError(f"{directory}: {error.strerror}") from error
    with output_lock(directory / RECORD):
        if not (directory / RECORD).exists():
            with atomic_path(directory / RECORD, overwrite=True) as temporary:
                temporary.write_text(f"{json.dumps(identity, indent=1, sort_keys=True)}\n", encoding="utf-8")
        for part, count in wanted.items():
            done = _held(directory / part, count)
            progress(f"{part} cases", done * SHARD, count * SHARD)
            own = replace(source, part=part, seed=source.seed + PARTS.index(part))
            for _ in make_cases(own, directory / part, count=count * SHARD, workers=workers):
                done += 1
                progress(f"{part} cases", done * SHARD, count * SHARD)


def _held(directory: Path, count: int) -> int:
    """Return how many of the first `count` shards are there."""
    return sum(shard_path(directory, number).exists() for number in range(count))


def _compare(directory: Path, identity: dict[str, Any]) -> None:
    """Raises BadDataError for a record of other data, or a damaged one."""
    path = directory / RECORD
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        different = [key for key, value in identity.items() if found.get(key) != value]
    except (ValueError, AttributeError, OSError) as error:
        raise BadDataError(f"{path}: damaged; delete {directory} and make the cases anew") from error
    if different:
        raise BadDataError(f"{directory}: cases made from other data ({', '.join(different)}); give another --cases")
