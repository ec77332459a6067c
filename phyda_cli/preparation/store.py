"""The training store: truth states, backgrounds valid at the same times, their statistics: one Zarr v3 directory.

    (root)       attributes: phyda_store (version of this layout), source, seed, created_by, config, splits, gap_hours,
                 counts, complete, digest
    nature       u v t q z … (time, level, latitude, longitude), msl … (time, latitude, longitude); split (time)
    backgrounds  the same fields (pair, …); init_time, valid_time, lead_hours, truth_index (into nature), split (pair)
    statistics   NAME_mean, NAME_std (level), NAME_monthly_mean, NAME_monthly_std (month, level, latitude, longitude),
                 NAME_sigma_b (lead, level, latitude), NAME_bias (lead, level, latitude, longitude), and counts;
                 from the training part only

Times are hours since 1970-01-01 00 UTC, levels Pa, everything SI, fields float32; `split` is the place of the part in
(train, validation, test). Attributes and dimension names follow CF: `xarray.open_zarr(path, group="nature")` reads it.
A store that lacks its `complete` mark is refused: nobody sees half of one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError, InputMissingError, MissingExtraError
from phyda_cli.fields.state import Channel
from phyda_cli.fields.variables import VARIABLES
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.preparation.split import PARTS, Splits

Fields = NDArray[np.float32]
Hours = NDArray[np.int64]

LAYOUT: Final = 1
"""Version of the layout."""

_DENSE: Final = 3
"""Up to this many rows passed over for each row wanted, reading all of them is cheaper than picking."""


class PairBatch(NamedTuple):
    """Some backgrounds and the truth at their valid times.

    background, truth: (pair, channel, lat, lon), SI, in the store's order of channels.
    lead_hours, init_time, valid_time: (pair,), times in hours since 1970-01-01 00 UTC.
    """

    background: Fields
    truth: Fields
    lead_hours: Hours
    init_time: Hours
    valid_time: Hours


@dataclass(frozen=True)
class TrainingStore:
    """A training store, open for reading; make one with `open_store`.

    channels: order of every channel axis: variables in the store's order, each on all its levels.
    grid: of every field. splits: the intervals of the parts. attributes: of the root.
    """

    path: Path
    channels: tuple[Channel, ...]
    grid: LatLonGrid
    splits: Splits
    attributes: dict[str, Any]
    _root: Any

    def without(self, variable: str) -> TrainingStore:
        """Return the same store without a variable."""
        return replace(self, channels=tuple(channel for channel in self.channels if channel.variable != variable))

    @property
    def leads(self) -> tuple[int, ...]:
        """The leads of the backgrounds [h], increasing."""
        return tuple(int(lead) for lead in np.unique(self._root["backgrounds/lead_hours"][:]))

    @property
    def nominal_lead(self) -> int:
        """The lead [h] whose background error is σ_b."""
        return int(self._root["statistics"].attrs["nominal_lead"])

    def pair_index(self, split: str, leads: Sequence[int] | None = None) -> Hours:
        """Return numbers of the pairs of a part, at the given leads [h] or all, in the store's order."""
        index = self.rows_of("backgrounds", split)
        if leads is None:
            return index
        held = self._root["backgrounds/lead_hours"][:][index]
        return index[np.isin(held, np.asarray(leads, dtype=np.int64))]

    def rows_of(self, group: str, split: str) -> Hours:
        """Return numbers of a part's rows in a group, `nature` or `backgrounds`."""
        self.splits.interval(split)
        return np.flatnonzero(self._root[f"{group}/split"][:] == PARTS.index(split)).astype(np.int64)

    def read_pairs(self, index: Hours) -> PairBatch:
        """Return the pairs of the given numbers, in that order."""
        group = self._root["backgrounds"]
        truth = group["truth_index"].oindex[index]
        return PairBatch(
            background=self._fields("backgrounds", index),
            truth=self._fields("nature", truth),
            lead_hours=group["lead_hours"].oindex[index],
            init_time=group["init_time"].oindex[index],
            valid_time=group["valid_time"].oindex[index],
        )

    def pairs(
        self, split: str, leads: Sequence[int] | None = None, *, batch: int = 32, seed: int | None = None
    ) -> Iterator[PairBatch]:
        """Yield the pairs of a part in batches (the last may be smaller), in the store's order, or shuffled with a
        seed.
        """
        index = self.pair_index(split, leads)
        if seed is not None:
            index = np.random.default_rng(seed).permutation(index)
        for start in range(0, index.size, batch):
            yield self.read_pairs(index[start : start + batch])

    def nature_times(self, split: str) -> Hours:
        """Return the times of a part's states, increasing."""
        return np.asarray(self._root["nature/time"].oindex[self.rows_of("nature", split)])

    def nature(self, split: str, *, batch: int = 64) -> Iterator[tuple[Hours, Fields]]:
        """Yield the truth states of a part: (times, (time, channel, lat, lon)), in order of time."""
        index = self.rows_of("nature", split)
        for start in range(0, index.size, batch):
            chosen = index[start : start + batch]
            yield self._root["nature/time"].oindex[chosen], self._fields("nature", chosen)

    def statistic(self, name: str) -> NDArray[np.float64]:
        """Return a statistic with the channel axis put together.

        mean, std: (channel,). monthly_mean, monthly_std: (month, channel, lat, lon). sigma_b: (lead, channel, lat).
        bias: (lead, channel, lat, lon).
        """
        axis = 0 if name in ("mean", "std") else 1
        stacked = []
        for variable in dict.fromkeys(c.variable for c in self.channels):
            values = np.asarray(self._root[f"statistics/{variable}_{name}"][...], dtype=np.float64)
            single = Channel(variable) in self.channels
            stacked.append(np.expand_dims(values, axis) if single else values)
        return np.concatenate(stacked, axis=axis)

    def sigma_b(self, lead: int | None = None) -> NDArray[np.float64]:
        """σ_b (channel, lat) [SI] at a lead [h] of `statistics/lead`, or the nominal one.

        Raises BadDataError when the store has no statistics at that lead.
        """
        leads = self._root["statistics/lead"][:].tolist()
        wanted = self.nominal_lead if lead is None else lead
        if wanted not in leads:
            raise BadDataError(f"{self.path}: no background error at lead {wanted} h; there are {leads}")
        return np.asarray(self.statistic("sigma_b")[leads.index(wanted)])

    def _fields(self, group: str, index: Hours) -> Fields:
        """(row, channel, lat, lon) of the rows of a group, in the order of `index`."""
        rows, place = np.unique(index, return_inverse=True)
        out = np.empty((rows.size, len(self.channels), *self.grid.shape), dtype=np.float32)
        position = 0
        for variable in dict.fromkeys(c.variable for c in self.channels):
            values = _read_rows(self._root[f"{group}/{variable}"], rows)
            count = sum(c.variable == variable for c in self.channels)
            out[:, position : position + count] = values.reshape(rows.size, count, *self.grid.shape)
            position += count
        return out[place]


def _read_rows(array: Any, rows: Hours) -> Fields:
    """Return the rows (increasing) of an array; a dense choice is read in one piece, which is several times faster."""
    if rows.size and rows[-1] - rows[0] < _DENSE * rows.size:
        return np.asarray(array[int(rows[0]) : int(rows[-1]) + 1][rows - rows[0]])
    return np.asarray(array.oindex[rows])


def require_zarr() -> Any:
    """Return the zarr module. Raises MissingExtraError where it is not installed."""
    try:
        import zarr
    except ImportError as error:
        raise MissingExtraError("the training store", "store") from error
    return zarr


def open_store(path: Path) -> TrainingStore:
    """Open a finished store for reading.

    Raises InputMissingError when there is none, BadDataError when it is another thing, unfinished or of another layout.
    """
    zarr = require_zarr()
    if not path.exists():
        raise InputMissingError(f"{path}: no such training store; make one with phyda prepare")
    try:
        root = zarr.open_group(str(path), mode="r")
    except (OSError, ValueError, KeyError) as error:
        raise BadDataError(f"{path}: not a training store; give a directory that phyda prepare has made") from error
    attributes = dict(root.attrs)
    if attributes.get("phyda_store") != LAYOUT:
        found = attributes.get("phyda_store", "none")
        raise BadDataError(f"{path}: not a training store of layout {LAYOUT} (found {found}); prepare it again")
    if attributes.get("complete") is not True:
        raise BadDataError(f"{path}: the training store is not finished; run phyda prepare again")
    return attach(path, root)


def attach(path: Path, root: Any) -> TrainingStore:
    """Return the store of an open Zarr group, finished or not."""
    attributes = dict(root.attrs)
    nature = root["nature"]
    levels = nature["level"][:].tolist()
    channels = channels_of(attributes["variables"], levels, lambda name: nature[name].ndim == 4)
    grid = LatLonGrid(tuple(nature["latitude"][:].tolist()), tuple(nature["longitude"][:].tolist()))
    splits = Splits(**{part: tuple(attributes["splits"][part]["hours"]) for part in PARTS})
    return TrainingStore(path, channels, grid, splits, attributes, root)


def channels_of(
    names: Iterable[str],
    levels: Iterable[float],
    has_levels: Callable[[str], bool] = lambda name: VARIABLES[name].pressure_level,
) -> tuple[Channel, ...]:
    """Return the channels of variables, each on all levels [Pa] or a single one."""
    return tuple(
        channel
        for name in names
        for channel in ([Channel(name, float(p)) for p in levels] if has_levels(name) else [Channel(name)])
    )


def content_digest(root: Any, known: Mapping[str, Sequence[str]] | None = None) -> str:
    """SHA-256 over path, shape, type and the digest of each shard of every array; compression and attributes do not
    matter.

    known: the digests of the shards of some arrays, by path, where they are known without reading these.
    """
    digest = hashlib.sha256()
    for name in sorted(path for path, member in root.members(max_depth=None) if hasattr(member, "dtype")):
        array = root[name]
        digest.update(f"{name} {array.shape} {array.dtype.str}\n".encode())
        of_shards = (known or {}).get(name)
        for one in _shard_digests(array) if of_shards is None else of_shards:
            digest.update(f"{one}\n".encode())
    return digest.hexdigest()


def block_digest(values: NDArray[Any]) -> str:
    """SHA-256 of the bytes of some rows."""
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def _shard_digests(array: Any) -> Iterator[str]:
    rows = None if array.shards is None else array.shards[0]
    blocks = [...] if rows is None else [slice(i, i + rows) for i in range(0, array.shape[0], rows)]
    return (block_digest(array[block]) for block in blocks)
