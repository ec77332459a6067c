"""What times a user's files hold: the valid time and the start of every state in them, without reading the states.

    valid = the variable `valid_time`, else the file's time (+ lead, where a lead axis stands beside it)
    start = the forecast reference time; in a GRIB message dataDate and dataTime

A file that tells no start gives None there. Files of one state (one for each variable, say) are put together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from phyda_cli.errors import BadDataError
from phyda_cli.formats.netcdf_time import VALID_TIME, decode_times
from phyda_cli.formats.sniff import FileFormat, sniff

_LEADS: Final = ("step", "prediction_timedelta", "lead_time", "leadtime", "lead", "forecast_period")
_STARTS: Final = ("forecast_reference_time", "init_time")
_UNIT_SECONDS: Final = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "n": 1e-9}
"""Seconds in a unit of lead time, by its first letter."""


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
    """Every state in the files, by start and valid time; of analyses (forecasts False) the start is not looked at.

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
        yield Entry(_date(day, clock), _date(start_day, start_clock), (path,), select)


def _date(day: int, clock: int) -> np.datetime64:
    text = f"{day:08d}{clock:04d}"
    return np.datetime64(f"{text[:4]}-{text[4:6]}-{text[6:8]}T{text[8:10]}:{text[10:]}", "s")


def _netcdf(path: Path, kind: FileFormat) -> Iterator[Entry]:
    engine: Any = "zarr" if kind is FileFormat.ZARR else "netcdf4"
    try:
        with xr.open_dataset(path, engine=engine, decode_times=False, decode_timedelta=False, cache=False) as dataset:
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
    decoded = {
        str(name): xr.DataArray(times, name=name)
        for name, variable in dataset.variables.items()
        if (times := decode_times(variable, str(name))) is not None and not str(name).endswith(("_bnds", "_bounds"))
    }
    starts = [name for name in decoded if dataset[name].attrs.get("standard_name") == "forecast_reference_time"]
    starts += [name for name in _STARTS if name in decoded]
    lead = _lead(dataset)
    if VALID_TIME in decoded:
        valid = decoded[VALID_TIME]
        begun = [*starts, *(name for name in ("time",) if name in decoded)]
        return _ordered(valid, lead), decoded[begun[0]] if begun else None
    bases = [name for name in decoded if name not in starts and name.casefold().startswith("time")] or list(decoded)
    if not bases:
        raise BadDataError(f"{path}: tells no valid time; a training store needs the date of every state")
    base = decoded[bases[0]]
    if lead is not None and (bases[0] in starts or not starts):
        return _ordered(base + lead, lead), base
    return base, decoded[starts[0]] if starts and starts[0] != bases[0] else None


def _ordered(valid: xr.DataArray, lead: xr.DataArray | None) -> xr.DataArray:
    """Lead axis last, so that it is what `select` names."""
    last = [dim for dim in valid.dims if lead is not None and dim in lead.dims]
    return valid.transpose(*(dim for dim in valid.dims if dim not in last), *last)


def _lead(dataset: xr.Dataset) -> xr.DataArray | None:
    name = next((n for n in _LEADS if n in dataset.variables), None)
    if name is None:
        return None
    unit = str(dataset[name].attrs.get("units", "hours")).strip().casefold()
    if dataset[name].dtype.kind == "m":
        return dataset[name].astype("timedelta64[ns]")
    seconds = np.round(np.asarray(dataset[name].values, dtype=np.float64) * _UNIT_SECONDS.get(unit[:1], 3600.0))
    return xr.DataArray((seconds * 1e9).astype("timedelta64[ns]"), dims=dataset[name].dims)


def hours(time: np.datetime64) -> int:
    """Hours since 1970-01-01 00 UTC. Raises BadDataError for a time that is no whole hour."""
    seconds = int(time.astype("datetime64[s]").astype(np.int64))
    if seconds % 3600:
        raise BadDataError(f"a state is valid at {time}, which is no full hour; a training store holds full hours only")
    return seconds // 3600
