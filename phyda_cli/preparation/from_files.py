"""A training store from a user's files: analyses as truth, forecasts valid at the same times as backgrounds.

Files may be GRIB, NetCDF or Zarr, one date or many in each. States are brought to the store's grid (`fields.regrid`)
and levels (linear in ln p, never beyond the levels that a file has). A forecast is paired with the analysis of its
valid time; one that has none is left out and counted.

The valid time and the start of every state in the files are found without reading the states (`catalogue`):

    valid, start = what `valid_time.py` finds; in a GRIB message validityDate and -Time, dataDate and -Time

A file that tells no start gives None there. Files of one state (one for each variable, say) are put together.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.fields.state import Channel, State
from phyda_cli.fields.variables import VARIABLES
from phyda_cli.fields.vertical import vertical_weights
from phyda_cli.formats.file_safety import check_hdf5
from phyda_cli.formats.gridded.background import read_background
from phyda_cli.formats.gridded.valid_time import find_lead, start_times, valid_times
from phyda_cli.formats.sniff import FileFormat, sniff
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.grids.regrid import regrid
from phyda_cli.preparation.build import Forecasts, Material
from phyda_cli.preparation.split import GAP_HOURS, PARTS, Splits, moment, split_by_fraction, split_by_year
from phyda_cli.preparation.store import channels_of
from phyda_cli.simulation.config import SimulationConfig

Fields = NDArray[np.floating[Any]]
Hours = NDArray[np.int64]

_log = logging.getLogger(__name__)
_MODELS: Final = SimulationConfig()

STORE_GRID: Final = LatLonGrid.equiangular(_MODELS.rows, 2 * _MODELS.rows)
"""The grid that the models of phyda live on."""

STORE_LEVELS: Final = tuple(100.0 * level for level in _MODELS.levels_hpa)
"""The levels that the models of phyda live on [Pa]."""


def files_material(
    analyses: Sequence[Path],
    forecasts: Sequence[Path],
    *,
    lead_hours: int | None = None,
    years: tuple[int, int] | None = None,
    grid: LatLonGrid = STORE_GRID,
    levels: Sequence[float] = STORE_LEVELS,
) -> Material:
    """Return what a store of a user's files is made of.

    lead_hours: of forecasts whose files do not tell their start. years: of validation and test; shares of the time when
    None. The variables are those of u v t q z msl that the first analysis and the first forecast both hold.
    Raises BadDataError when nothing pairs up, a lead is unknown, or files lack variables or levels.
    """
    truths = catalogue(analyses, forecasts=False)
    begun = [_begun(entry, lead_hours) for entry in catalogue(forecasts, forecasts=True)]
    times = np.array([hours(entry.valid) for entry in truths], dtype=np.int64)
    paired = [entry for entry in begun if hours(entry.valid) in set(times.tolist())]
    if not paired:
        raise BadDataError(
            f"none of {len(begun)} forecasts (from {forecasts[0]} on) is valid at the time of one of {len(truths)}"
            f" analyses (from {analyses[0]} on); give files of the same dates"
        )
    splits = _splits(times, years)
    _check_parts(splits, paired)
    held = set(_read(truths[0]).variables) & set(_read(paired[0]).variables)
    channels = channels_of([name for name in _MODELS.fields if name in held], levels)
    if not channels:
        raise BadDataError(f"{analyses[0]} and {forecasts[0]}: have none of {', '.join(_MODELS.fields)} in common")

    def states() -> Iterator[tuple[Hours, Fields]]:
        for entry in truths:
            yield np.array([hours(entry.valid)]), _on_store(entry, channels, grid)

    def pairs() -> Iterator[Forecasts]:
        for entry in paired:
            assert entry.start is not None
            init, valid = np.array([hours(entry.start)]), np.array([hours(entry.valid)])
            yield Forecasts(init, valid, _on_store(entry, channels, grid))

    return Material(
        source=f"files: {len(truths)} analyses from {analyses[0]} on, {len(begun)} forecasts from {forecasts[0]} on",
        seed=None,
        config={"analyses": [str(p) for p in analyses], "forecasts": [str(p) for p in forecasts]},
        channels=channels,
        grid=grid,
        splits=splits,
        states=states,
        forecasts=pairs,
        skipped={"forecasts_without_truth": len(begun) - len(paired)},
    )


def _check_parts(splits: Splits, forecasts: Sequence[Entry]) -> None:
    """Raises BadDataError for a part to train or to validate on that would be empty; says so of the test part."""
    begun = [hours(entry.start) for entry in forecasts if entry.start is not None]
    code = splits.pair_code(begun, [hours(entry.valid) for entry in forecasts])
    for number, part in enumerate(PARTS):
        if (code == number).any():
            continue
        start, end = map(moment, splits.interval(part))
        says = f"none of {code.size} forecasts starts and ends in the {part} part, {start} to {end}"
        if part != "test":
            raise BadDataError(f"{says}; give more dates, or choose the parts by --validation-year and --test-year")
        _log.warning("%s: the store will serve training, but no phyda experiment on its test part", says)


def to_store(state: State, channels: Sequence[Channel], grid: LatLonGrid, source: str) -> torch.Tensor:
    """Return a state's values (channel, lat, lon) on other channels and another grid: linear in ln p, then `regrid`.

    Raises BadDataError, naming `source`, when a variable is missing or a level lies outside those of the state.
    """
    planes = []
    for name in dict.fromkeys(channel.variable for channel in channels):
        wanted = [channel.level for channel in channels if channel.variable == name]
        own = [channel for channel in state.channels if channel.variable == name]
        if not own:
            raise BadDataError(f"{source}: holds no {name}, other states of the store do; add it")
        values = state.select(tuple(own)).values.double()
        if own[0].level is not None:
            held, targets = [c.level or 0.0 for c in own], [p or 0.0 for p in wanted]
            outside = [p for p in targets if not min(held) * 0.999 <= p <= max(held) * 1.001]
            if outside:
                raise BadDataError(
                    f"{source}: {name} reaches from {max(held) / 100:g} to {min(held) / 100:g} hPa, the store needs"
                    f" {outside[0] / 100:g} hPa; add that level"
                )
            weights = torch.from_numpy(vertical_weights(held, targets, above="constant"))
            values = torch.einsum("kl,lyx->kyx", weights, values)
        planes.append(regrid(values, state.grid, grid, vector=VARIABLES[name].is_wind_component))
    return torch.cat(planes)


def _on_store(entry: Entry, channels: Sequence[Channel], grid: LatLonGrid) -> Fields:
    values = to_store(_read(entry), channels, grid, str(entry.paths[0]))
    return np.asarray(values.to(torch.float32).numpy()[None])


def _read(entry: Entry) -> State:
    background = read_background(entry.paths, time=entry.valid.astype("datetime64[ns]"), select=dict(entry.select))
    return background.ensemble_mean().state


def _begun(entry: Entry, lead_hours: int | None) -> Entry:
    """Return the entry with its start; `lead_hours` fills in for files that tell none."""
    if entry.start is not None:
        return entry
    if lead_hours is None:
        raise BadDataError(
            f"{entry.paths[0]}: tells no start of the forecast valid {entry.valid}Z; give its lead with --lead-hours"
        )
    return replace(entry, start=entry.valid - np.timedelta64(lead_hours, "h"))


def _splits(times: Hours, years: tuple[int, int] | None) -> Splits:
    step = int(np.min(np.diff(times))) if times.size > 1 else 1
    start, end = int(times[0]), int(times[-1]) + step
    if years is None:
        return split_by_fraction(start, end, gap_hours=GAP_HOURS)
    return split_by_year(start, end, validation=years[0], test=years[1])


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
    """Return every state in the files, by start and valid time; of analyses (forecasts False) the start is not looked
    at.

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
    valid = valid_times(dataset, str(path))
    if valid is None:
        raise BadDataError(f"{path}: tells no valid time; a training store needs the date of every state")
    lead = find_lead(dataset)
    # The lead axis comes last, so that it is what `select` names.
    last = [dim for dim in valid.dims if lead is not None and dim in dataset[lead].dims]
    return valid.transpose(*(dim for dim in valid.dims if dim not in last), *last), start_times(dataset)


def hours(time: np.datetime64) -> int:
    """Return hours since 1970-01-01 00 UTC. Raises BadDataError for a time that is no whole hour."""
    seconds = int(time.astype("datetime64[s]").astype(np.int64))
    if seconds % 3600:
        raise BadDataError(f"a state is valid at {time}, which is no full hour; a training store holds full hours only")
    return seconds // 3600
