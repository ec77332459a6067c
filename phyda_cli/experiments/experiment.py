"""A whole experiment: inputs are checked, 3D-Var is tuned, records are made, tables and report are written.

Every batch of dates is analysed at every density by every method, here or by the workers of a cluster (`bench.py`);
scores are all that is kept of the analyses.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.console import plain
from phyda_cli.errors import UsageError
from phyda_cli.evaluation.spectra import bands_of
from phyda_cli.experiments.bench import Recipe, Task, bench_of, done
from phyda_cli.experiments.cases import CaseDrawer
from phyda_cli.experiments.comparison import Comparison
from phyda_cli.experiments.dates import batches_of, choose_pairs
from phyda_cli.experiments.intervals import Bootstrap
from phyda_cli.experiments.journal import Journal
from phyda_cli.experiments.maps import make_example
from phyda_cli.experiments.markdown import to_html
from phyda_cli.experiments.methods.registry import BUILT_IN, PATHS, analysed_name
from phyda_cli.experiments.report import LOSING, Report
from phyda_cli.experiments.results import Results
from phyda_cli.experiments.settings import Settings
from phyda_cli.experiments.tables import losses_csv, summary, text, to_csv
from phyda_cli.experiments.tuning import tuned_factors
from phyda_cli.formats.gridded.background_error import read_background_error
from phyda_cli.outputs import atomic_path
from phyda_cli.preparation.store import TrainingStore, require_zarr
from phyda_cli.preparation.workers import Here, Workers
from phyda_cli.resources import sha256
from phyda_cli.training.cases import analysed_store
from phyda_cli.training.made_cases import check_material

MAIN: Final = "phyda"
"""The method whose losing cells are listed."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Inputs:
    """store, background_error: paths. weights: files by the names of their methods."""

    store: Path
    background_error: Path
    weights: Mapping[str, Path]


@dataclass(frozen=True)
class Outcome:
    """table: for people. document: for programs. files: what was written."""

    table: str
    document: dict[str, Any]
    files: tuple[Path, ...]


def experiment(
    inputs: Inputs,
    output: Path,
    settings: Settings,
    names: Sequence[str] | None,
    progress: Callable[[str, int], Callable[[int], None]],
    *,
    paths: Sequence[str] = PATHS[:1],
    workers: Workers | None = None,
    threads: int | None = None,
) -> Outcome:
    """Run what is missing and write scores.csv, scores.json and the report with its pictures into a directory.

    names: of the methods, None for the background, 3D-Var and all weights. progress: given a description and a total,
    a function that is told how many are done. paths: of `PATHS`, by which each method makes its analyses. workers: who
    analyses the dates, None: this process. threads: of each.
    Raises UsageError for unknown methods and paths, BadDataError for inputs that do not fit together.
    """
    store, (statistics, _) = analysed_store(inputs.store), read_background_error(inputs.background_error)
    check_material(store, statistics, inputs.background_error)
    digests = {name: sha256(path) for name, path in inputs.weights.items()}
    error_digest, data = sha256(inputs.background_error), str(store.attributes["digest"])
    drawer = CaseDrawer(store, settings)
    pairs = choose_pairs(store, settings.part, settings.leads, settings.dates)
    if pairs.size < settings.dates:
        _log.warning("%s part: %d dates with distinct valid times, not %d", settings.part, pairs.size, settings.dates)
    wanted = _names(names, inputs.weights)
    _check_paths(paths)
    digest = settings.digest(data, error_digest)
    factors = {}
    if "3dvar" in wanted and "method" in paths and settings.tuning_cases:
        factors = tuned_factors(output, drawer, statistics, (data, error_digest), _log.info)
    recipe = Recipe(
        store=inputs.store,
        data=data,
        background_error=inputs.background_error,
        background_error_digest=error_digest,
        weights=tuple(inputs.weights.items()),
        digests=tuple(digests.items()),
        names=tuple(wanted),
        paths=tuple(paths),
        factors=tuple((density, tuning.factors) for density, tuning in factors.items()),
        settings=settings,
        threads=threads,
    )
    methods = list(bench_of(recipe).methods.values())
    rows_of = tuple(method.name for method in methods)
    journal = Journal(output, digest, {method.name: method.identity for method in methods})
    total = len(batches_of(pairs, settings.batch)) * len(settings.densities) * len(methods)
    _measure(recipe, pairs, rows_of, journal, progress("experiment", total), workers or Here())

    valid_time = _valid_time(store, pairs)
    results = Results(journal.records, tuple(pairs.tolist()), valid_time, rows_of, settings.densities, store.channels)
    comparison = Comparison(results, Bootstrap(valid_time, seed=settings.seed))
    main = next((name for name in (MAIN, analysed_name(MAIN)) if name in rows_of), None)
    lost = comparison.losses(main, [name for name in rows_of if name != main]) if main is not None else ()
    rows = summary(comparison)
    document = {
        "settings": settings.model_dump(mode="json"),
        "digests": {"settings": digest, "store": data, "background_error": error_digest, "weights": digests},
        "methods": {method.name: method.identity for method in methods},
        "dates": pairs.size,
        "first_date": str(valid_time.astype("datetime64[h]")[0]),
        "last_date": str(valid_time.astype("datetime64[h]")[-1]),
        "bootstrap_block_dates": comparison.bootstrap.block,
        "tuning": {f"{density:g}": tuning.document() for density, tuning in factors.items()},
        "summary": rows,
        "losing_cells": [cell.document() for cell in lost],
    }
    pictures = _can_draw()
    report = Report(comparison, document, lost, pictures)
    if pictures:
        report.one_date(make_example(drawer, pairs, methods))
    contents = {
        "scores.csv": to_csv(comparison, bands_of(store.grid)).encode(),
        "scores.json": f"{json.dumps(plain(document), indent=1)}\n".encode(),
        LOSING: losses_csv(lost).encode(),
        "report.md": report.text.encode(),
        "report.html": to_html(report.text, report.pictures).encode(),
        **report.pictures,
    }
    return Outcome(text(rows, len(lost)), document, tuple(_write(output / name, c) for name, c in contents.items()))


def _measure(
    recipe: Recipe,
    pairs: NDArray[np.int64],
    names: Sequence[str],
    journal: Journal,
    progress: Callable[[int], None],
    workers: Workers,
) -> None:
    """Make all records that the journal lacks. Raises as `Bench` does."""
    settings, tasks, held = recipe.settings, [], 0
    for own in batches_of(pairs, settings.batch):
        for density in settings.densities:
            missing = tuple(name for name in names if not journal.holds(name, density, own.tolist()))
            held += len(names) - len(missing)
            if missing:
                tasks.append(Task(tuple(own.tolist()), density, missing))
    for task, records in workers.each(done, recipe, tasks):
        for name, lines in records.items():
            journal.add(name, task.density, lines)
        held += len(records)
        progress(held)


def _can_draw() -> bool:
    """Return whether matplotlib is there; a warning says where it is not."""
    found = find_spec("matplotlib") is not None
    if not found:
        _log.warning("no pictures: they need an optional dependency: pip install 'phyda[plot]'")
    return found


def _check_paths(paths: Sequence[str]) -> None:
    if not paths or not set(paths) <= set(PATHS):
        raise UsageError(f"--path {','.join(paths)}: give {' or '.join(PATHS)}, or both with a comma between them")


def _names(names: Sequence[str] | None, weights: Mapping[str, Path]) -> list[str]:
    """Return the methods in order, none twice."""
    clash = sorted(set(weights) & set(BUILT_IN))
    if clash:
        raise UsageError(f"--weights {clash[0]}=…: {clash[0]} is a method of its own; choose another name")
    wanted = list(dict.fromkeys(names if names is not None else ["background", "3dvar", *weights]))
    known = [*BUILT_IN, *weights]
    for name in wanted:
        if name not in known:
            raise UsageError(f"--methods {name}: no such method; there are {', '.join(known)}, and names of --weights")
    return wanted


def _valid_time(store: TrainingStore, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    group = require_zarr().open_group(str(store.path), mode="r")["backgrounds"]
    return np.asarray(group["valid_time"][:][pairs], dtype=np.int64)


def _write(path: Path, content: bytes) -> Path:
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_bytes(content)
    return path
