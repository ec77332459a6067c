"""Writing a training store so that nobody ever sees half of one.

Everything goes to a hidden directory beside the target; when it is whole it gets its digest and its `complete` mark,
is flushed to the disk, and takes the target's name. A run that is killed leaves only the hidden directory, which the
next run for the same target throws away and builds anew; expensive input, such as a simulation, keeps its own progress.

Fields are compressed one state to a chunk (Blosc, zstd with byte shuffle) and stored 64 chunks to a file (shard), so
that a single pair can be read alone and a store of three years has some hundred files per group.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
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
from phyda_cli.preparation.store import LAYOUT, content_digest, require_zarr

Fields = NDArray[np.floating[Any]]
Hours = NDArray[np.int64]

SHARD: Final = 64
"""States in one file."""

_TIME: Final = {"units": "hours since 1970-01-01 00:00:00", "calendar": "standard"}
_SPLIT: Final = {"long_name": "part of the store", "flag_values": [0, 1, 2], "flag_meanings": "train validation test"}


class Rows:
    """Collects rows (row, …) of several arrays of a group and appends them in whole shards."""

    def __init__(self, group: Any, names: tuple[str, ...]) -> None:
        self._group = group
        self._waiting: dict[str, list[NDArray[Any]]] = {name: [] for name in names}
        self._count = 0

    def append(self, rows: dict[str, NDArray[Any]]) -> None:
        """Take in rows of every array; all have the same length."""
        for name, waiting in self._waiting.items():
            waiting.append(rows[name])
        self._count += len(next(iter(rows.values())))
        self._flush(self._count // SHARD * SHARD)

    def close(self) -> None:
        """Write what is left."""
        self._flush(self._count)

    def _flush(self, count: int) -> None:
        if not count:
            return
        for name, waiting in self._waiting.items():
            values = np.concatenate(waiting)
            array = self._group[name]
            start = array.shape[0]
            array.resize((start + count, *array.shape[1:]))
            array[start:] = values[:count].astype(array.dtype)
            self._waiting[name] = [values[count:]]
        self._count -= count


class StoreWriter:
    """The arrays of a store that is being built; `building` makes one."""

    def __init__(self, root: Any, channels: tuple[Channel, ...], grid: LatLonGrid) -> None:
        """channels: one variable after the other, all pressure-level variables on the same levels in the same order."""
        self.root = root
        self.channels = channels
        self.grid = grid
        self.variables = tuple(dict.fromkeys(channel.variable for channel in channels))
        self.levels = next(
            (held for v in self.variables if (held := tuple(c.level for c in channels if c.variable == v and c.level))),
            (),
        )
        root.attrs["variables"] = list(self.variables)
        self.nature = self._rows("nature", "time", {"time": {"standard_name": "time", **_TIME}, "split": _SPLIT})
        self.backgrounds = self._rows(
            "backgrounds",
            "pair",
            {
                "valid_time": {"standard_name": "time", **_TIME},
                "init_time": {"standard_name": "forecast_reference_time", **_TIME},
                "lead_hours": {"long_name": "lead of the forecast", "units": "h"},
                "truth_index": {"long_name": "place of the truth along time of the group nature", "units": "1"},
                "split": _SPLIT,
            },
        )

    def planes(self, values: Fields) -> dict[str, Fields]:
        """Return fields (row, channel, lat, lon) by variable: (row, level, lat, lon) or (row, lat, lon)."""
        return {name: self._part(values, name, axis=1) for name in self.variables}

    def write_statistics(self, climatology: Climatology, errors: ErrorStatistics) -> None:
        """The group `statistics`."""
        group = self._group("statistics")
        group.attrs["nominal_lead"] = errors.nominal_lead
        group.attrs["split"] = "train"
        hours = {"long_name": "lead of the forecast", "units": "h"}
        self._array(group, "lead", errors.lead_hours, ("lead",), hours)
        self._array(group, "pairs", errors.pairs, ("lead",), {"long_name": "pairs behind the statistics", "units": "1"})
        self._array(group, "month", np.arange(1, 13), ("month",), {"long_name": "month of the year", "units": "1"})
        states = {"long_name": "states behind the monthly climatology", "units": "1"}
        self._array(group, "monthly_count", climatology.monthly_count, ("month",), states)
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
            for variable in self.variables:
                part = self._part(values, variable, axis=axis)
                level = ("level",) if self._has_levels(variable) else ()
                dims = ((first[name],) if axis else ()) + level + horizontal
                known = VARIABLES[variable]
                attributes = {"long_name": f"{known.long_name}: {meaning}", "units": known.units}
                kept = part.astype(np.float32 if len(horizontal) == 2 else np.float64)
                self._array(group, f"{variable}_{name}", kept, dims, attributes)

    def _rows(self, name: str, axis: str, columns: dict[str, dict[str, Any]]) -> Rows:
        group = self._group(name)
        for column, attributes in columns.items():
            kind = "int8" if column == "split" else "int64"
            group.create_array(
                column, shape=(0,), chunks=(4096,), dtype=kind, dimension_names=(axis,), attributes=attributes
            )
        extra = [column for column in columns if column != axis]
        for variable in self.variables:
            known = VARIABLES[variable]
            levels = (len(self.levels),) if self._has_levels(variable) else ()
            shape = (*levels, *self.grid.shape)
            about = {"standard_name": known.standard_name, "long_name": known.long_name, "units": known.units}
            group.create_array(
                variable, shape=(0, *shape), chunks=(1, *shape), shards=(SHARD, *shape), dtype="float32",
                compressors=require_zarr().codecs.BloscCodec(cname="zstd", clevel=3, shuffle="shuffle"),
                fill_value=float("nan"), attributes={**about, "coordinates": " ".join(extra)},
                dimension_names=(axis, *(("level",) if levels else ()), "latitude", "longitude"),
            )  # fmt: skip
        return Rows(group, (*columns, *self.variables))

    def _group(self, name: str) -> Any:
        group = self.root.create_group(name)
        latitude = {"standard_name": "latitude", "units": "degrees_north", "axis": "Y"}
        longitude = {"standard_name": "longitude", "units": "degrees_east", "axis": "X"}
        pressure = {"standard_name": "air_pressure", "units": "Pa", "positive": "down", "axis": "Z"}
        self._array(group, "latitude", np.asarray(self.grid.latitudes), ("latitude",), latitude)
        self._array(group, "longitude", np.asarray(self.grid.longitudes), ("longitude",), longitude)
        self._array(group, "level", np.asarray(self.levels, dtype=np.float64), ("level",), pressure)
        return group

    def _array(
        self, group: Any, name: str, values: NDArray[Any], dims: tuple[str, ...], attributes: dict[str, Any]
    ) -> None:
        group.create_array(name, data=values, dimension_names=dims, attributes=attributes)

    def _has_levels(self, variable: str) -> bool:
        return Channel(variable) not in self.channels

    def _part(self, values: Fields, variable: str, *, axis: int) -> Fields:
        index = [i for i, channel in enumerate(self.channels) if channel.variable == variable]
        part = np.take(values, index, axis=axis)
        return part if self._has_levels(variable) else np.asarray(part.squeeze(axis))


@contextlib.contextmanager
def building(path: Path, *, overwrite: bool) -> Iterator[Any]:
    """Give an empty Zarr group to fill; on a clean end it is marked complete and becomes `path`, else it is removed.

    Raises CannotWriteError when `path` exists and may not be replaced or the storage gives out, LockedError when
    another run builds it.
    """
    zarr = require_zarr()
    target = Path(os.path.realpath(path))
    hidden = target.with_name(f".{target.name}.building")
    replaced = target.with_name(f".{target.name}.replaced")
    check_store_target(path, overwrite=overwrite)
    with output_lock(path):
        if replaced.exists() and not target.exists():  # killed between the two renames below
            os.rename(replaced, target)
            check_store_target(path, overwrite=overwrite)
        _remove(hidden)
        _remove(replaced)
        try:
            root = zarr.open_group(str(hidden), mode="w", zarr_format=3)
            root.attrs.update({"phyda_store": LAYOUT, "created_by": f"phyda {__version__}", "complete": False})
            yield root
            root.attrs.update({"complete": True, "digest": content_digest(root)})
            _sync_tree(hidden)
            if target.exists():
                os.rename(target, replaced)
            os.rename(hidden, target)
            _sync(target.parent)
        except OSError as error:
            if str(error.filename or "").startswith((str(hidden), str(target), str(replaced))):
                raise CannotWriteError(f"{path}: {error.strerror}; free space or choose another place") from error
            raise
        finally:
            if replaced.exists() and not target.exists():
                os.rename(replaced, target)
            _remove(hidden)
            _remove(replaced)


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
