"""Building a training store: states and forecasts in, a finished store out. Where they come from is not known here.

1. the forecasts whose truth is in the store and that lie within one part become pairs; the others are counted;
2. states and pairs are read and written, shard by shard, by this process or by workers; a stopped run goes on;
3. the statistics are computed from the training part and go in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.preparation.material import Material, Rows
from phyda_cli.preparation.split import OUTSIDE, PARTS, moment
from phyda_cli.preparation.statistics import (
    ByKey,
    Climatology,
    climatology,
    error_statistics,
    lead_moments,
    merge_moments,
    monthly_moments,
)
from phyda_cli.preparation.store import TrainingStore, attach, open_store, require_zarr
from phyda_cli.preparation.workers import Here, Workers
from phyda_cli.preparation.writer import (
    BACKGROUNDS,
    NATURE,
    Building,
    Layout,
    building,
    create_rows,
    identity_of,
    write_shard,
    write_statistics,
)

Fields = NDArray[np.floating[Any]]
Hours = NDArray[np.int64]
Progress = Callable[[str, int, int], None]
"""Takes the stage, and how many of how many states are done; the first call may find some done already."""

_TOGETHER: Final = 4
"""Shards of one variable whose statistics are computed in one piece."""


@dataclass(frozen=True)
class Pairs:
    """The forecasts that become pairs. rows: their numbers in the material. truth: index of their truth. code: part."""

    rows: Hours
    truth: Hours
    code: NDArray[np.int8]


def build_store(
    material: Material, path: Path, *, overwrite: bool, progress: Progress, workers: Workers | None = None
) -> TrainingStore:
    """Write the store and open it.

    Raises BadDataError when states are out of order or not finite, or there is nothing to train on; CannotWriteError
    and LockedError as `building` does.
    """
    workers = workers or Here()
    if not material.times.size:
        raise BadDataError(f"{material.source}: holds no states")
    if np.any(np.diff(material.times) <= 0):
        first = material.times[1:][np.diff(material.times) <= 0][0]
        raise BadDataError(f"{material.source}: states out of order or twice near {moment(int(first))}")
    layout = Layout(material.channels, material.grid)
    pairs, counts = _pairs(material)
    with building(path, _identity(material), overwrite=overwrite) as held:
        if not held.begun:
            _create(held.root, material, layout, pairs, counts)
        _fill(held, material, layout, pairs, workers, progress)
        store = attach(path, held.root)
        statistics = _Statistics(Path(str(held.root.store.root)), layout, store, workers, progress)
        write_statistics(held.root, layout, *statistics.of_both())
    return open_store(path)


def _identity(material: Material) -> str:
    times = (material.times.tolist(), material.init_times.tolist(), material.valid_times.tolist())
    layout = ([str(channel) for channel in material.channels], str(material.grid), str(material.splits))
    return identity_of(material.source, material.seed, material.config, material.identity, layout, times)


def _pairs(material: Material) -> tuple[Pairs, dict[str, int]]:
    """Return the pairs, and counts of them by part and of the forecasts left out by reason."""
    init, valid, times = material.init_times, material.valid_times, material.times
    place = np.minimum(np.searchsorted(times, valid), times.size - 1)
    matched = times[place] == valid
    code = material.splits.pair_code(init, valid)
    kept = np.flatnonzero(matched & (code != OUTSIDE))
    counts = {f"pairs_{part}": int(np.sum(code[kept] == number)) for number, part in enumerate(PARTS)}
    counts |= {"forecasts_without_truth": int(np.sum(~matched))}
    counts |= {"forecasts_between_parts": int(np.sum(matched & (code == OUTSIDE)))}
    for reason, number in material.skipped.items():
        counts[reason] = counts.get(reason, 0) + number
    return Pairs(kept, place[kept], code[kept]), counts


def _create(root: Any, material: Material, layout: Layout, pairs: Pairs, counts: dict[str, int]) -> None:
    """Make the attributes and the empty arrays of the store."""
    splits = material.splits
    ranges = {part: _index_range(material.times, splits.interval(part)) for part in PARTS}
    states = {f"states_{part}": end - start for part, (start, end) in ranges.items()}
    root.attrs.update(
        {
            "source": material.source,
            "seed": material.seed,
            "gap_hours": splits.gap_hours,
            "config": json.dumps(material.config, sort_keys=True),
            "variables": list(layout.variables),
            "splits": {part: {"hours": list(splits.interval(part)), "index": list(ranges[part])} for part in PARTS},
            "counts": {"states": int(material.times.size), **states, **counts},
        }
    )
    create_rows(root, layout, NATURE, "time", {"time": material.times, "split": splits.code(material.times)})
    init, valid = material.init_times[pairs.rows], material.valid_times[pairs.rows]
    columns = {"valid_time": valid, "init_time": init, "lead_hours": valid - init, "truth_index": pairs.truth}
    create_rows(root, layout, BACKGROUNDS, "pair", {**columns, "split": pairs.code})


def _index_range(times: Hours, interval: tuple[int, int]) -> tuple[int, int]:
    start, end = np.searchsorted(times, interval)
    return int(start), int(end)


@dataclass(frozen=True)
class _Filling:
    """What the tasks that write a group have in common. rows: the material's number of each row of the group.

    valid: of each row, for messages.
    """

    root: Path
    layout: Layout
    group: str
    source: str
    fields: Rows
    rows: Hours
    valid: Hours


def _fill(
    held: Building, material: Material, layout: Layout, pairs: Pairs, workers: Workers, progress: Progress
) -> None:
    """Write the shards that are not there yet."""
    root = Path(str(held.root.store.root))
    source, every = material.source, np.arange(material.times.size, dtype=np.int64)
    valid = material.valid_times[pairs.rows]
    fillings = (
        _Filling(root, layout, NATURE, source, material.states, every, material.times),
        _Filling(root, layout, BACKGROUNDS, source, material.forecasts, pairs.rows, valid),
    )
    total = sum(filling.rows.size for filling in fillings)
    done = 0
    for filling in fillings:
        numbers = range(-(-filling.rows.size // layout.shard))
        left = [number for number in numbers if not held.is_done(filling.group, number)]
        sizes = {number: min(layout.shard, filling.rows.size - number * layout.shard) for number in numbers}
        done += sum(sizes[number] for number in numbers if number not in left)
        progress("fields", done, total)
        for number, digests in workers.each(_write, filling, left):
            held.note(filling.group, number, digests)
            done += sizes[number]
            progress("fields", done, total)


def _write(filling: _Filling, number: int) -> dict[str, str]:
    """Read and write one shard; the digests of its values."""
    layout = filling.layout
    span = slice(number * layout.shard, (number + 1) * layout.shard)
    values = filling.fields.read(filling.rows[span])
    what = "state" if filling.group == NATURE else "forecast"
    bad = ~np.isfinite(values).all(axis=(-2, -1))
    if bad.any():
        row, channel = np.argwhere(bad)[0]
        raise BadDataError(
            f"{filling.source}: {layout.channels[channel]} of the {what} valid "
            f"{moment(int(filling.valid[span][row]))} has missing or infinite values; fill or remove it"
        )
    root = require_zarr().open_group(str(filling.root), mode="r+")
    return write_shard(root, layout, filling.group, number, values)


Piece = tuple[str, int, int]
"""A variable, and the rows [start, stop) of a group."""


@dataclass(frozen=True)
class _Statistics:
    """The statistics of a store that is whole but for them, variable by variable and piece by piece."""

    root: Path
    layout: Layout
    store: TrainingStore
    workers: Workers
    progress: Progress

    def of_both(self) -> tuple[Climatology, Any]:
        """Return the climatology and the statistics of the background errors."""
        times = self.store.nature_times(PARTS[0])
        if times.size < 2:
            climatology({}, times, self.layout.grid)  # says so
        parts: list[Climatology] = []
        errors: ByKey = {}
        count = 2 * len(self.layout.variables)
        of_variables: list[ByKey] = []
        for number, variable in enumerate(self.layout.variables):
            self.progress("statistics", 2 * number, count)
            months = self._moments(_months, NATURE, variable)
            parts.append(climatology(months, times, self.layout.grid))
            self.progress("statistics", 2 * number + 1, count)
            of_variables.append(self._moments(_leads, BACKGROUNDS, variable))
        self.progress("statistics", count, count)
        for lead in sorted(of_variables[0]):
            errors[lead] = _stacked([moments[lead] for moments in of_variables])
        whole = Climatology(
            **{name: np.concatenate([getattr(part, name) for part in parts], axis) for name, axis in _CHANNEL_AXES},
            monthly_count=parts[0].monthly_count,
        )
        return whole, error_statistics(errors)

    def _moments(self, function: Callable[[Path, Piece], ByKey], group: str, variable: str) -> ByKey:
        index = self.store.rows_of(group, PARTS[0])
        if not index.size:
            return {}
        step = _TOGETHER * self.layout.shard
        starts = range(int(index[0]) // step * step, int(index[-1]) + 1, step)
        pieces = [(variable, start, start + step) for start in starts]
        return self.workers.reduced(function, self.root, pieces, merge_moments)


_CHANNEL_AXES: Final = (("mean", 0), ("std", 0), ("monthly_mean", 1), ("monthly_std", 1))


def _months(root: Path, piece: Piece) -> ByKey:
    """Return the moments of a variable's training states among some rows, by month."""
    variable, start, stop = piece
    group = require_zarr().open_group(str(root), mode="r")[NATURE]
    own = np.flatnonzero(group["split"][start:stop] == 0)
    values = _with_levels(group[variable][start:stop])
    return monthly_moments(group["time"][start:stop][own], values[own])


def _leads(root: Path, piece: Piece) -> ByKey:
    """Return the moments of a variable's training errors among some rows, by lead."""
    variable, start, stop = piece
    store = require_zarr().open_group(str(root), mode="r")
    group = store[BACKGROUNDS]
    own = np.flatnonzero(group["split"][start:stop] == 0)
    if not own.size:
        return {}
    truth_index, place = np.unique(group["truth_index"][start:stop][own], return_inverse=True)
    background = _with_levels(group[variable][start:stop])[own].astype(np.float64)
    truth = _with_levels(store[NATURE][variable].oindex[truth_index])[place]
    return lead_moments(group["lead_hours"][start:stop][own], background - truth)


def _with_levels(values: Fields) -> Fields:
    """(row, level, lat, lon) of one variable."""
    return values if values.ndim == 4 else values[:, None]


def _stacked(moments: Iterable[Any]) -> Any:
    held = list(moments)
    return type(held[0])(
        held[0].count, np.concatenate([m.mean for m in held]), np.concatenate([m.squares for m in held])
    )
