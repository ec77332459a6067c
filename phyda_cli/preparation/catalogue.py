"""The states in a user's files, found without reading them: the valid time and the start of each.

    valid, start = what `valid_time.py` finds; in a GRIB message validityDate and -Time, dataDate and -Time

A file that tells no start gives None there. Files of one state (one for each variable, say) are put together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from phyda_cli.errors import BadDataError
from phyda_cli.formats.file_safety import check_hdf5
from phyda_cli.formats.gridded.valid_time import lead_last, start_times, valid_times
from phyda_cli.formats.sniff import FileFormat, sniff


@dataclass(frozen=True)
class Entry:
    """One state in a user's files.

    valid, start: UTC; start None where the files tell none. paths: the files that hold it.
    select: what besides the valid time singles it out, as `read_background` takes it.
    """

    valid: np.datetime64
    start: np.datetime64 | None
    paths: tuple[Path, ...]
    select: tuple[tuple[str, str], ...] = ()


def catalogue(paths: Sequence[Path], *, forecasts: bool) -> list[Entry]:
    """Return every state in GRIB and NetCDF files, by start and valid time; of analyses (forecasts False) the start is
    not looked at.

    Raises InputMissingError and BadDataError as the readers do, and when a file tells no time.
    """
    together: dict[tuple[Any, Any], Entry] = {}
    for path in paths:
        found = _grib(path) if (kind := sniff(path)) is FileFormat.GRIB else _netcdf(path, kind)
        for entry in found:
            key = (entry.valid, entry.start if forecasts else None)
            known = together.get(key)
            chosen = entry.select if forecasts else ()
            paths_of = (path,) if known is None else tuple(dict.fromkeys((*known.paths, path)))
            merged = chosen if known is None else tuple(dict((*known.select, *chosen)).items())
            together[key] = Entry(entry.valid, key[1], paths_of, merged)
    return sorted(together.values(), key=lambda e: (e.valid if e.start is None else e.start, e.valid))


def _grib(path: Path) -> Iterator[Entry]:
    import eccodes

    from phyda_cli.formats.gridded.grib_header import grib_moment

    seen: set[tuple[int, int, int, int]] = set()
    with path.open("rb") as stream:
        while True:
            try:
                message = eccodes.codes_grib_new_from_file(stream, headers_only=True)
            except eccodes.CodesInternalError as error:
                raise BadDataError(f"{path}: a message cannot be read ({error}); fetch the file again") from None
            if message is None:
                break
            try:
                keys = ("validityDate", "validityTime", "dataDate", "dataTime")
                seen.add(tuple(int(eccodes.codes_get(message, key)) for key in keys))  # type: ignore[arg-type]
            finally:
                eccodes.codes_release(message)
    for day, clock, start_day, start_clock in sorted(seen):
        select = (("dataDate", str(start_day)), ("dataTime", str(start_clock)))
        yield Entry(grib_moment(day, clock), grib_moment(start_day, start_clock), (path,), select)


def _netcdf(path: Path, kind: FileFormat) -> Iterator[Entry]:
    if kind is FileFormat.HDF5:
        check_hdf5(path)
    try:
        with xr.open_dataset(
            path, engine="netcdf4", decode_times=False, decode_timedelta=False, cache=False
        ) as dataset:
            valid, start = _times(dataset, path)
            raw = {str(dim): dataset[dim].values for dim in valid.dims[1:]}
            starts = None if start is None else start.broadcast_like(valid).transpose(*valid.dims).values
            seconds = list(valid.values.astype("datetime64[s]").ravel())
            begun = [None] * len(seconds) if starts is None else list(starts.astype("datetime64[s]").ravel())
            for place, time, start_time in zip(np.ndindex(valid.shape), seconds, begun, strict=True):
                select = tuple((name, str(raw[name][i])) for name, i in zip(raw, place[1:], strict=True))
                yield Entry(time, start_time, (path,), select)
    except (OSError, RuntimeError, ValueError) as error:
        raise BadDataError(f"{path}: cannot be opened as {kind.value} ({error}); fetch the file again") from None


def _times(dataset: xr.Dataset, path: Path) -> tuple[xr.DataArray, xr.DataArray | None]:
    """Valid times over the time axis first and the lead axis second, and the starts."""
    valid = valid_times(dataset, str(path))
    if valid is None:
        raise BadDataError(f"{path}: tells no valid time; a training store needs the date of every state")
    return lead_last(dataset, valid), start_times(dataset)
