"""Building a training store: states and forecasts in, a finished store out. Where they come from is not known here.

1. the states go in, in order of time, each with its part;
2. the forecasts whose truth is in the store and that lie within one part go in as pairs; the others are counted;
3. the statistics are computed from the training part and go in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.fields.state import Channel
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.preparation.split import OUTSIDE, PARTS, Splits, moment
from phyda_cli.preparation.statistics import climatology, error_statistics
from phyda_cli.preparation.store import TrainingStore, attach, open_store
from phyda_cli.preparation.writer import StoreWriter, building

Fields = NDArray[np.floating[Any]]
Hours = NDArray[np.int64]
Progress = Callable[[str, int, int], None]
"""Takes the stage, and how many of how many hours of data are done."""


class Forecasts(NamedTuple):
    """Some forecasts: times in hours since 1970-01-01 00 UTC (row,) and values (row, channel, lat, lon), SI."""

    init_time: Hours
    valid_time: Hours
    values: Fields


@dataclass(frozen=True)
class Material:
    """What a store is made of.

    source: where it comes from, one line. seed: of what was drawn at random, None when nothing was.
    config: JSON values that made it. splits: the parts.
    states: gives (times (row,), values (row, channel, lat, lon)) in order of time, each time once.
    forecasts: gives forecasts in an order that depends on the input alone.
    skipped: forecasts left out before they came here, by reason.
    """

    source: str
    seed: int | None
    config: dict[str, Any]
    channels: tuple[Channel, ...]
    grid: LatLonGrid
    splits: Splits
    states: Callable[[], Iterator[tuple[Hours, Fields]]]
    forecasts: Callable[[], Iterator[Forecasts]]
    skipped: dict[str, int]


def build_store(material: Material, path: Path, *, overwrite: bool, progress: Progress) -> TrainingStore:
    """Write the store and open it.

    Raises BadDataError when states are out of order or not finite, or there is nothing to train on; CannotWriteError
    and LockedError as `building` does.
    """
    with building(path, overwrite=overwrite) as root:
        config = json.dumps(material.config, sort_keys=True)
        about = {"source": material.source, "seed": material.seed, "gap_hours": material.splits.gap_hours}
        root.attrs.update({**about, "config": config})
        writer = StoreWriter(root, material.channels, material.grid)
        times = _write_states(material, writer, progress)
        ranges = {part: _index_range(times, material.splits.interval(part)) for part in PARTS}
        root.attrs["splits"] = {
            part: {"hours": list(material.splits.interval(part)), "index": list(ranges[part])} for part in PARTS
        }
        counts = _write_pairs(material, writer, times, progress)
        root.attrs["counts"] = {
            "states": int(times.size),
            **{f"states_{part}": end - start for part, (start, end) in ranges.items()},
            **counts,
        }
        progress("statistics", 0, 1)
        store = attach(path, root)
        errors = (
            (batch.lead_hours, batch.background.astype(np.float64) - batch.truth) for batch in store.pairs("train")
        )
        writer.write_statistics(climatology(store.nature("train"), material.grid), error_statistics(errors))
        progress("statistics", 1, 1)
    return open_store(path)


def _write_states(material: Material, writer: StoreWriter, progress: Progress) -> Hours:
    """Return the times of the states written, increasing."""
    written: list[Hours] = []
    last = None
    span = material.splits.test[1] - material.splits.train[0]
    for hours, values in material.states():
        if np.any(np.diff(hours) <= 0) or (last is not None and hours.size and hours[0] <= last):
            raise BadDataError(f"{material.source}: states out of order or twice near {moment(int(hours[0]))}")
        _require_finite(values, material, hours, "state")
        writer.nature.append({"time": hours, "split": material.splits.code(hours), **writer.planes(values)})
        written.append(hours)
        last = int(hours[-1])
        progress("states", last - material.splits.train[0], span)
    if not written:
        raise BadDataError(f"{material.source}: holds no states")
    writer.nature.close()
    return np.concatenate(written)


def _write_pairs(material: Material, writer: StoreWriter, times: Hours, progress: Progress) -> dict[str, int]:
    """Return counts of the pairs written, by part, and of the forecasts left out, by reason."""
    counts = {f"pairs_{part}": 0 for part in PARTS} | {"forecasts_without_truth": 0, "forecasts_between_parts": 0}
    counts |= material.skipped
    span = material.splits.test[1] - material.splits.train[0]
    for init, valid, values in material.forecasts():
        place = np.minimum(np.searchsorted(times, valid), times.size - 1)
        matched = times[place] == valid
        code = material.splits.pair_code(init, valid)
        kept = matched & (code != OUTSIDE)
        counts["forecasts_without_truth"] += int(np.sum(~matched))
        counts["forecasts_between_parts"] += int(np.sum(matched & ~kept))
        for number, part in enumerate(PARTS):
            counts[f"pairs_{part}"] += int(np.sum(code[kept] == number))
        if not kept.any():
            continue
        _require_finite(values[kept], material, valid[kept], "forecast")
        columns = {"valid_time": valid, "init_time": init, "lead_hours": valid - init, "truth_index": place}
        columns = {name: column[kept] for name, column in {**columns, "split": code}.items()}
        writer.backgrounds.append({**columns, **writer.planes(values[kept])})
        progress("pairs", int(init[kept][-1]) - material.splits.train[0], span)
    writer.backgrounds.close()
    return counts


def _index_range(times: Hours, interval: tuple[int, int]) -> tuple[int, int]:
    start, end = np.searchsorted(times, interval)
    return int(start), int(end)


def _require_finite(values: Fields, material: Material, hours: Hours, what: str) -> None:
    bad = ~np.isfinite(values).all(axis=(-2, -1))
    if bad.any():
        row, channel = np.argwhere(bad)[0]
        raise BadDataError(
            f"{material.source}: {material.channels[channel]} of the {what} valid {moment(int(hours[row]))}"
            " has missing or infinite values; fill or remove it"
        )
