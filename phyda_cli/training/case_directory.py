"""A directory of training cases: what they were made from, and making those that are missing.

DIRECTORY/cases.json                the digests of the store and of B, the seed: cases of other data are refused
DIRECTORY/{train,validation}/       shards (`case_files.py`)

Trainings with the same data may share a directory. Validation cases have their own seed, so that no network of theirs
was trained on.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from phyda_cli.errors import BadDataError, CannotWriteError
from phyda_cli.errors_b.background_error import BackgroundError
from phyda_cli.outputs import atomic_path, output_lock
from phyda_cli.preparation.build import Progress
from phyda_cli.preparation.store import TrainingStore
from phyda_cli.training.case_files import SHARD, CaseSource, make_cases, shard_path
from phyda_cli.training.config import CasesConfig

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
    wanted = {part: -(-getattr(counts, part) // SHARD) for part in PARTS}
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
    """How many of the first `count` shards are there."""
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
