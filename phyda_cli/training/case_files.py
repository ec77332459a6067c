"""Shards of training cases on disk, which resume after a kill, and what the training reads of them.

A shard is one safetensors file of the `Cases` of `SHARD` pairs. These are neighbours in the store, which reads fast;
the order of the blocks is drawn at random, so that any number of shards is a fair sample of the whole part. A shard has
the same content whenever and by whomever it is made.

    DIRECTORY/cases.json                the digests of the store and of B, the seed: cases of other data are refused
    DIRECTORY/{train,validation}/       shards; of fresh cases (`made_cases.py`) those of the validation alone

Trainings with the same data may share a directory. Validation cases have their own seed, so that no network of theirs
was trained on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, fields, replace
from functools import partial
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
from phyda_cli.outputs import atomic_path, output_lock
from phyda_cli.preparation.build import Progress
from phyda_cli.training.case_rows import OF_CASES, OF_POINTS, Cases
from phyda_cli.training.config import CasesConfig
from phyda_cli.training.made_cases import PARTS, CaseFactory, CaseSource, FreshCases

SHARD: Final = 128
RECORD: Final = "cases.json"


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
                    read[position] = {name: file.get_slice(name)[k : k + 1].clone() for name in OF_CASES} | {
                        name: file.get_slice(name)[points].clone() for name in OF_POINTS
                    }
        joined = {name: torch.cat([row[name] for row in read]) for name in (*OF_CASES, *OF_POINTS)}
        counts = torch.tensor([row["place"].numel() for row in read])
        return Cases(**joined, offset=torch.cat([counts.new_zeros(1), counts.cumsum(0)]))


AnyCases = Cases | CaseShards | FreshCases
"""Cases in memory, on disk, or made when they are asked for."""


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


def make_shard(number: int, *, source: CaseSource, directory: Path) -> Path:
    """Make one shard. Raises BadDataError when the store holds NaN, or errors of absurd size."""
    factory = CaseFactory(source)
    block = _block(factory.index, number, source.seed)
    cases = factory.make(block, range(number * SHARD, number * SHARD + block.size))
    path = shard_path(directory, number)
    with atomic_path(path, overwrite=True) as temporary:
        mode = temporary.stat().st_mode
        save_file({field.name: getattr(cases, field.name).contiguous() for field in fields(Cases)}, temporary)
        temporary.chmod(S_IMODE(mode))  # save_file makes a file of its own, for the owner only
    return path


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
