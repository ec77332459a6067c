"""Writing a training store so that nobody ever sees half of one, and a stopped run goes on where it was.

Everything goes to a hidden directory beside the target; when it is whole it gets its digest and its `complete` mark,
is flushed to the disk, and takes the target's name. The dates are known beforehand, so that the arrays have their full
size from the start and are filled shard by shard, in any order, by any process. What is on the disk is noted in a
journal beside the directory, with the digests of its values: a run of the same material goes on from there, and one of
another throws it away.

Fields are compressed one state to a chunk (Blosc, zstd with byte shuffle), so that a single pair can be read alone, and
stored in shards of up to 64 states, fewer where these are large.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli import __version__
from phyda_cli.errors import CannotWriteError
from phyda_cli.fields.state import Channel
from phyda_cli.fields.variables import VARIABLES
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.outputs import output_lock
from phyda_cli.preparation.statistics import Climatology, ErrorStatistics
from phyda_cli.preparation.store import LAYOUT, block_digest, content_digest, require_zarr

Fields = NDArray[np.floating[Any]]
Hours = NDArray[np.int64]

LARGEST_SHARD: Final = 64
"""States in one file at most."""
_SHARD_BYTES: Final = 256 * 2**20
"""A shard of all fields is as long as fits into this, by powers of two."""

NATURE: Final = "nature"
BACKGROUNDS: Final = "backgrounds"

_TIME: Final = {"units": "hours since 1970-01-01 00:00:00", "calendar": "standard"}
_COLUMNS: Final[dict[str, dict[str, Any]]] = {
    "time": {"standard_name": "time", **_TIME},
    "valid_time": {"standard_name": "time", **_TIME},
    "init_time": {"standard_name": "forecast_reference_time", **_TIME},
    "lead_hours": {"long_name": "lead of the forecast", "units": "h"},
    "truth_index": {"long_name": "place of the truth along time of the group nature", "units": "1"},
    "split": {
        "long_name": "part of the store",
        "flag_values": [0, 1, 2],
        "flag_meanings": "train validation test",
    },
}


@dataclass(frozen=True)
class Layout:
    """How channels lie in the arrays of a store.

    channels: one variable after the other, all pressure-level variables on the same levels in the same order.
    """

    channels: tuple[Channel, ...]
    grid: LatLonGrid

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables, in their order."""
        return tuple(dict.fromkeys(channel.variable for channel in self.channels))

    @property
    def levels(self) -> tuple[float, ...]:
        """The pressure levels [Pa] of the variables that have them."""
        held = (tuple(c.level for c in self.channels if c.variable == v and c.level) for v in self.variables)
        return next((levels for levels in held if levels), ())

    @property
    def shard(self) -> int:
        """States in one file."""
        fitting = max(1, _SHARD_BYTES // (4 * len(self.channels) * self.grid.shape[0] * self.grid.shape[1]))
        return int(min(LARGEST_SHARD, 2 ** int(np.log2(fitting))))

    def has_levels(self, variable: str) -> bool:
        """Return whether a variable is on pressure levels."""
        return Channel(variable) not in self.channels

    def part(self, values: Fields, variable: str, *, axis: int) -> Fields:
        """Return one variable of values with a channel axis: with an axis of levels in its place, or without."""
        index = [i for i, channel in enumerate(self.channels) if channel.variable == variable]
        span = slice(index[0], index[-1] + 1)
        part = values[(slice(None),) * axis + (span,)]
        return part if self.has_levels(variable) else np.asarray(part.squeeze(axis))


def create_rows(root: Any, layout: Layout, name: str, axis: str, columns: dict[str, NDArray[Any]]) -> None:
    """Make a group of states (`nature`, `backgrounds`) with its columns (row,) and empty fields."""
    count = len(next(iter(columns.values())))
    group = _group(root, layout, name)
    for column, values in columns.items():
        kind = np.int8 if column == "split" else np.int64
        _array(group, column, values.astype(kind), (axis,), _COLUMNS[column])
    extra = " ".join(column for column in columns if column != axis)
    for variable in layout.variables:
        known = VARIABLES[variable]
        levels = (len(layout.levels),) if layout.has_levels(variable) else ()
        shape = (*levels, *layout.grid.shape)
        about = {"standard_name": known.standard_name, "long_name": known.long_name, "units": known.units}
        group.create_array(
            variable, shape=(count, *shape), chunks=(1, *shape), shards=(layout.shard, *shape), dtype="float32",
            compressors=require_zarr().codecs.BloscCodec(cname="zstd", clevel=3, shuffle="shuffle"),
            fill_value=float("nan"), attributes={**about, "coordinates": extra},
            dimension_names=(axis, *(("level",) if levels else ()), "latitude", "longitude"),
        )  # fmt: skip


def write_shard(root: Any, layout: Layout, name: str, number: int, values: Fields) -> dict[str, str]:
    """Write a shard (row, channel, lat, lon) of a group to the disk; return the digest of each variable's values."""
    digests = {}
    start = number * layout.shard
    for variable in layout.variables:
        part = np.ascontiguousarray(layout.part(values, variable, axis=1), dtype=np.float32)
        array = root[name][variable]
        array[start : start + len(part)] = part
        digests[variable] = block_digest(part)
        _sync_tree(Path(str(root.store.root)) / name / variable / "c" / str(number))
    return digests


def write_statistics(root: Any, layout: Layout, climatology: Climatology, errors: ErrorStatistics) -> None:
    """Write the group `statistics`, in place of one that an earlier run has begun."""
    if "statistics" in root:
        del root["statistics"]
    group = _group(root, layout, "statistics")
    group.attrs["nominal_lead"] = errors.nominal_lead
    group.attrs["split"] = "train"
    hours = {"long_name": "lead of the forecast", "units": "h"}
    _array(group, "lead", errors.lead_hours, ("lead",), hours)
    _array(group, "pairs", errors.pairs, ("lead",), {"long_name": "pairs behind the statistics", "units": "1"})
    _array(group, "month", np.arange(1, 13), ("month",), {"long_name": "month of the year", "units": "1"})
    states = {"long_name": "states behind the monthly climatology", "units": "1"}
    _array(group, "monthly_count", climatology.monthly_count, ("month",), states)
    entries: tuple[tuple[str, Fields, int, str], ...] = (
        ("mean", climatology.mean, 0, "area mean of the climatology"),
        ("std", climatology.std, 0, "standard deviation in time and space"),
        ("monthly_mean", climatology.monthly_mean, 1, "mean of the month"),
        ("monthly_std", climatology.monthly_std, 1, "standard deviation within the month"),
        ("sigma_b", errors.sigma_b, 1, "root mean square error of the background"),
        ("bias", errors.bias, 1, "mean error of the background"),
    )
    first = {"monthly_mean": "month", "monthly_std": "month", "sigma_b": "lead", "bias": "lead"}
    for name, values, axis, meaning in entries:
        horizontal = ("latitude", "longitude")[: values.ndim - axis - 1]
        for variable in layout.variables:
            part = layout.part(values, variable, axis=axis)
            level = ("level",) if layout.has_levels(variable) else ()
            dims = ((first[name],) if axis else ()) + level + horizontal
            known = VARIABLES[variable]
            attributes = {"long_name": f"{known.long_name}: {meaning}", "units": known.units}
            kept = part.astype(np.float32 if len(horizontal) == 2 else np.float64)
            _array(group, f"{variable}_{name}", kept, dims, attributes)


def _group(root: Any, layout: Layout, name: str) -> Any:
    group = root.create_group(name)
    latitude = {"standard_name": "latitude", "units": "degrees_north", "axis": "Y"}
    longitude = {"standard_name": "longitude", "units": "degrees_east", "axis": "X"}
    pressure = {"standard_name": "air_pressure", "units": "Pa", "positive": "down", "axis": "Z"}
    _array(group, "latitude", np.asarray(layout.grid.latitudes), ("latitude",), latitude)
    _array(group, "longitude", np.asarray(layout.grid.longitudes), ("longitude",), longitude)
    _array(group, "level", np.asarray(layout.levels, dtype=np.float64), ("level",), pressure)
    return group


def _array(group: Any, name: str, values: NDArray[Any], dims: tuple[str, ...], attributes: dict[str, Any]) -> None:
    group.create_array(name, data=values, dimension_names=dims, attributes=attributes)


class Building:
    """A store that is being built. root: its Zarr group. begun: whether an earlier run of the same has made it."""

    def __init__(self, root: Any, journal: Path, done: dict[tuple[str, int], dict[str, str]], *, begun: bool) -> None:
        self.root, self.begun = root, begun
        self._journal, self._done = journal, done

    def is_done(self, group: str, number: int) -> bool:
        """Return whether a shard of a group is on the disk."""
        return (group, number) in self._done

    def note(self, group: str, number: int, digests: dict[str, str]) -> None:
        """Note that a shard is on the disk, with the digests of its values."""
        self._done[group, number] = digests
        with self._journal.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps([group, number, digests]) + "\n")
            stream.flush()
            os.fsync(stream.fileno())

    def digest(self) -> str:
        """Return the digest of the whole store, by those of its shards."""
        found: dict[str, list[str]] = {}
        for (group, _), digests in sorted(self._done.items()):
            for variable, digest in digests.items():
                found.setdefault(f"{group}/{variable}", []).append(digest)
        return content_digest(self.root, known=found)


@contextlib.contextmanager
def building(path: Path, identity: str, *, overwrite: bool) -> Iterator[Building]:
    """Give a Zarr group to fill, the one that a stopped run of the same identity left or an empty one; on a clean end
    it is marked complete and becomes `path`.

    What a run that fails has made stays for the next one. Raises CannotWriteError when `path` exists and may not be
    replaced or the storage gives out, LockedError when another run builds it.
    """
    zarr = require_zarr()
    target = Path(os.path.realpath(path))
    hidden = target.with_name(f".{target.name}.building")
    journal = target.with_name(f".{target.name}.journal")
    replaced = target.with_name(f".{target.name}.replaced")
    check_store_target(path, overwrite=overwrite)
    with output_lock(path):
        if replaced.exists() and not target.exists():  # killed between the two renames below
            os.rename(replaced, target)
            check_store_target(path, overwrite=overwrite)
        _remove(replaced)
        done = _done(journal, identity) if hidden.exists() else None
        try:
            if done is None:
                _remove(hidden)
                root = zarr.open_group(str(hidden), mode="w", zarr_format=3)
                root.attrs.update({"phyda_store": LAYOUT, "created_by": f"phyda {__version__}", "complete": False})
                journal.write_text(json.dumps(identity) + "\n", encoding="utf-8")
            else:
                root = zarr.open_group(str(hidden), mode="r+")
            held = Building(root, journal, done or {}, begun=bool(done))
            yield held
            root.attrs.update({"complete": True, "digest": held.digest()})
            for leftover in hidden.rglob("*.partial"):  # of a killed writer
                leftover.unlink()
            _sync_tree(hidden)
            if target.exists():
                os.rename(target, replaced)
            os.rename(hidden, target)
            journal.unlink()
            _sync(target.parent)
        except OSError as error:
            if str(error.filename or "").startswith((str(hidden), str(target), str(replaced), str(journal))):
                raise CannotWriteError(f"{path}: {error.strerror}; free space or choose another place") from error
            raise
        finally:
            if replaced.exists() and not target.exists():
                os.rename(replaced, target)
            _remove(replaced)


def _done(journal: Path, identity: str) -> dict[tuple[str, int], dict[str, str]] | None:
    """Return the shards that a journal names, None for a journal of another identity; half a line is none."""
    if not journal.exists():
        return None
    lines = journal.read_text(encoding="utf-8").split("\n")
    if lines[0] != json.dumps(identity):
        return None
    entries = [json.loads(line) for line in lines[1:-1]]
    return {(group, number): digests for group, number, digests in entries}


def identity_of(*parts: object) -> str:
    """Return what tells one material from another, short."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def version_of(path: Path) -> tuple[int, int]:
    """Return what changes with a file: its size and the time of its last change [ns]."""
    about = path.stat()
    return about.st_size, about.st_mtime_ns


def check_store_target(path: Path, *, overwrite: bool) -> None:
    """Raise CannotWriteError unless a store may be written to `path`; only a training store is ever replaced."""
    target = Path(os.path.realpath(path))
    if target.exists() and not overwrite:
        raise CannotWriteError(f"{path}: exists already; give --overwrite to replace it")
    if target.exists() and not _is_store(target):
        raise CannotWriteError(f"{path}: is no training store and will not be replaced; choose another place")
    if not target.parent.is_dir():
        raise CannotWriteError(f"{path}: the directory {target.parent} does not exist; create it first")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise CannotWriteError(f"{path}: no permission to write in {target.parent}")


def _is_store(path: Path) -> bool:
    try:
        return "phyda_store" in require_zarr().open_group(str(path), mode="r").attrs
    except (OSError, ValueError, KeyError):
        return False


def _remove(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)


def _sync_tree(directory: Path) -> None:
    for place, _, names in os.walk(directory):
        for name in names:
            _sync(Path(place) / name)
        _sync(Path(place))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
