"""Reader of NetCDF (classic and NetCDF-4) and of Zarr stores in the WeatherBench 2 and ARCO-ERA5 layout.

Old and new Climate Data Store files, GFS, CF model output and what cfgrib writes differ in names, axis order, units and
time axes only: `netcdf_time` chooses the time, `netcdf_fields` finds the variables, and this module does the rest.
"""

from __future__ import annotations

import importlib.util
import os
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import xarray as xr

from phyda_cli.errors import BadDataError, MissingExtraError
from phyda_cli.formats.file_safety import check_declared_size, check_hdf5, declared_variables, expected_size
from phyda_cli.formats.gridded.assemble import Wanted
from phyda_cli.formats.gridded.contents import MEMBER_NAMES, Contents
from phyda_cli.formats.gridded.folding import unfold
from phyda_cli.formats.gridded.members import MemberChoice, member_index
from phyda_cli.formats.gridded.model_levels import on_pressure_levels
from phyda_cli.formats.gridded.netcdf_fields import find_fields, pressures
from phyda_cli.formats.gridded.netcdf_grid import Horizontal, horizontal
from phyda_cli.formats.gridded.netcdf_time import align_other_axes, select_indices, select_time
from phyda_cli.formats.gridded.valid_time import VALID_TIME, decode_times, valid_times
from phyda_cli.formats.sniff import FileFormat
from phyda_cli.outputs import LOCK_HINT, locks_work

_UNREADABLE: Final = (
    OSError, RuntimeError, ValueError, KeyError, IndexError, TypeError, AttributeError, NotImplementedError,
)  # fmt: skip
"""What the libraries raise for damaged files and for types that they cannot decode."""
_LONGEST: Final = 100_000_000


def read_netcdf(
    path: Path,
    kind: FileFormat,
    *,
    time: np.datetime64 | None,
    member: MemberChoice,
    select: Mapping[str, str],
    wanted: Wanted | None = None,
) -> Contents:
    """Read one valid time of a NetCDF file or Zarr store.

    select: dimension → coordinate value; dimensions that the file does not have are left to other files.
    wanted: the variables to read, all where None. Raises BadDataError for damaged files, unknown grids and units and
    ambiguous times; MissingExtraError.
    """
    notes: list[str] = []
    with _open(path, kind, notes) as opened:
        return read_dataset(opened, str(path), time=time, member=member, select=select, notes=notes, wanted=wanted)


def read_dataset(
    opened: xr.Dataset,
    source: str,
    *,
    time: np.datetime64 | None,
    member: MemberChoice,
    select: Mapping[str, str],
    notes: Iterable[str] = (),
    wanted: Wanted | None = None,
) -> Contents:
    """Read one valid time of an open dataset, which stays as it is; its times may be decoded or not.

    source: its name for messages. notes: what opening it said. Raises as `read_netcdf`.
    """
    _refuse_empty(opened, source)
    notes = list(notes)
    opened = _without_spreads(opened.copy(deep=False), source, notes)
    opened, folding = unfold(opened)
    dataset, selected = select_indices(opened, select, source)
    relabel = any(decode_times(opened[name].variable, name) is not None for name in selected if name in opened)
    dataset, valid = select_time(dataset, time, relabel, source)
    if valid is not None and not relabel:
        dataset, left_out = align_other_axes(dataset, valid, source)
        notes += left_out
    grid = horizontal(dataset, source, notes)
    latitude, longitude = grid.rows, grid.columns
    dataset = dataset.set_coords(grid.coordinates)
    dataset, member_dim = choose_member(dataset, member, source)
    dataset = _squeeze(dataset, (latitude, longitude, member_dim), source)
    _check_memory(dataset, source)
    dataset, model = on_pressure_levels(dataset, (latitude, longitude), member_dim, source, notes)
    fields, found = find_fields(dataset, (latitude, longitude), member_dim, source)
    if wanted is not None:
        fields = tuple(field for field in fields if wanted.keeps(field.variable))
        dataset = dataset[[field.name for field in fields]]
    _refuse_differences(dataset[[field.name for field in fields]], source)
    try:
        dataset = dataset.load()
    except _UNREADABLE as error:
        raise BadDataError(f"{source}: cannot be read ({error}); the file is damaged, fetch it again") from None
    for name in dataset.variables:
        dataset[name].attrs.pop("coordinates", None)
    if valid is None and time is not None:
        dataset = _label_time(dataset, time)
    if member_dim is not None and not any(member_dim in dataset[field.name].dims for field in fields):
        dataset, member_dim = dataset.isel({member_dim: 0}), None
    for field in fields:
        if member_dim is not None and member_dim not in dataset[field.name].dims:
            raise BadDataError(
                f"{source}: variable {field.name!r} has no axis {member_dim!r}, others have; choose one with --member"
            )
    notes += found
    return Contents(
        dataset,
        latitude,
        longitude,
        grid.orientation,
        member_dim,
        valid,
        fields,
        source,
        selected,
        tuple(notes),
        folding=folding,
        model=model,
    )


def read_surface(path: Path, kind: FileFormat) -> tuple[xr.Dataset, Horizontal]:
    """Return the fields of a file that need not be those of an analysis, at its first time, and their grid.

    Raises BadDataError as `read_netcdf` does.
    """
    notes: list[str] = []
    with _open(path, kind, notes) as opened:
        dataset, _ = unfold(opened)
        times = [dim for dim in dataset.dims if str(dim).casefold() == "time"]
        dataset = dataset.isel(dict.fromkeys(times, 0))
        grid = horizontal(dataset, str(path), notes)
        return dataset.load(), grid


def netcdf_fields(path: Path, kind: FileFormat) -> frozenset[object]:
    """Return the names of a file's fields, known or not."""
    with _open(path, kind, []) as opened:
        return frozenset(name for name, variable in opened.data_vars.items() if variable.ndim >= 2)


def netcdf_times(path: Path, kind: FileFormat, select: Mapping[str, str]) -> list[np.datetime64]:
    """Return the valid times of a file, in order; none when it tells none."""
    with _open(path, kind, []) as opened:
        dataset, _ = select_indices(opened, select, str(path))
        valid = valid_times(dataset, str(path))
        return [] if valid is None else list(np.unique(valid.values.astype("datetime64[ns]")))


def _open(path: Path, kind: FileFormat, notes: list[str]) -> xr.Dataset:
    """Open lazily, times undecoded. What xarray warns about the file's encoding becomes a note."""
    if kind is FileFormat.NETCDF_CLASSIC:
        _check_size(path)
    if kind is FileFormat.HDF5:
        check_hdf5(path)
    if kind is not FileFormat.ZARR:
        _check_dimensions(path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            if kind is FileFormat.ZARR:
                dataset = _open_zarr(path)
            else:
                dataset = xr.open_dataset(path, engine="netcdf4", decode_times=False, decode_timedelta=False)
        except _UNREADABLE as error:
            reason = str(error).split("\n")[0].replace(f": '{path}'", "")
            remedy = "fetch the file again" if path.is_dir() or locks_work(path) else LOCK_HINT
            raise BadDataError(f"{path}: cannot be opened as {kind.value} ({reason}); {remedy}") from None
    for warning in caught:
        if issubclass(warning.category, xr.SerializationWarning):
            notes.append(f"{path}: {warning.message}")
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return dataset


def _refuse_empty(dataset: xr.Dataset, source: str) -> None:
    """Raises BadDataError for a dimension without entries."""
    empty = sorted(str(dim) for dim, size in dataset.sizes.items() if size == 0)
    if empty:
        names = ",".join(str(name) for name, variable in dataset.variables.items() if set(variable.dims) & set(empty))
        raise BadDataError(
            f"{source}: its dimension {empty[0]!r} has no entries, so {names or 'nothing'} holds nothing; "
            f"fetch the file again, or leave that out, with ncks -C -x -v {names}"
        )


def _check_dimensions(path: Path) -> None:
    """Raise BadDataError for axes and variables beyond all bounds, before xarray reads the coordinates.

    A file that cannot be opened is left to xarray, which says why.
    """
    import netCDF4

    try:
        file = netCDF4.Dataset(path)
    except (OSError, RuntimeError):
        return
    with file:
        for name, dimension in file.dimensions.items():
            if len(dimension) > _LONGEST:
                raise BadDataError(
                    f"{path}: its dimension {name!r} has {len(dimension)} entries, far more than a background has: the "
                    f"header is damaged or the file no background; leave out what is on it, with ncks -x -v NAME"
                )
        check_declared_size(path, declared_variables(file))


def _check_memory(dataset: xr.Dataset, source: str) -> None:
    """Raises BadDataError, naming the largest variable, when the fields cannot fit into this machine's memory."""
    size, memory = dataset.nbytes, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if size > memory:
        name, largest = max(dataset.variables.items(), key=lambda item: item[1].nbytes)
        shape = " × ".join(f"{length} {dim}" for dim, length in largest.sizes.items())
        raise BadDataError(
            f"{source}: its fields take {size / 1e9:.0f} GB, this machine has {memory / 1e9:.0f} GB; the largest is "
            f"{str(name)!r} ({shape}): leave out what is not needed, with ncks -x -v {name}, or choose with --select"
        )


def _refuse_differences(dataset: xr.Dataset, source: str) -> None:
    """Raises BadDataError for an increment: CF marks differences of temperature, `--increment` names what it writes."""
    for name, variable in dataset.data_vars.items():
        marked = str(variable.attrs.get("units_metadata", "")).replace(" ", "") == "temperature:difference"
        if marked or str(variable.attrs.get("long_name", "")).startswith("analysis increment of "):
            raise BadDataError(
                f"{source}: its {str(name)!r} is a difference, not the quantity itself; "
                f"give the background or the analysis, not an increment"
            )


def _without_spreads(dataset: xr.Dataset, source: str, notes: list[str]) -> xr.Dataset:
    """Without the `NAME_spread` of an earlier analysis beside its NAME: they say nothing about this one."""
    ending = "_spread"
    stale = [n for n in map(str, dataset.data_vars) if n.endswith(ending) and n.removesuffix(ending) in dataset]
    if stale:
        notes.append(f"{source}: an earlier analysis: its {', '.join(stale)} are left out")
    return dataset.drop_vars(stale)


def _open_zarr(path: Path) -> xr.Dataset:
    if importlib.util.find_spec("zarr") is None:
        raise MissingExtraError("reading Zarr", "store")
    metadata = path / "zarr.json"
    consolidated = "consolidated_metadata" in metadata.read_text() if metadata.is_file() else None
    if consolidated is None:
        consolidated = (path / ".zmetadata").is_file()
    dataset = xr.open_dataset(
        path, engine="zarr", chunks=None, consolidated=consolidated, decode_times=False, decode_timedelta=False
    )
    # how many objects a chunk holds stands in the chunk, so that one with a wrong number would fill the memory
    objects = [str(name) for name, variable in dataset.variables.items() if variable.dtype == object]
    if any(dataset[name].ndim > 1 for name in objects):
        raise BadDataError(f"{path}: {objects[0]!r} holds objects and no numbers; the store is damaged, fetch it again")
    return dataset


def _check_size(path: Path) -> None:
    try:
        expected = expected_size(path)
    except (EOFError, KeyError, IndexError):
        raise BadDataError(f"{path}: its NetCDF header is cut off or garbled; fetch the file again") from None
    size = path.stat().st_size
    if size < expected:
        raise BadDataError(f"{path}: is cut off: {size} of {expected} bytes; fetch the file again")


def choose_member(dataset: xr.Dataset, member: MemberChoice, source: str) -> tuple[xr.Dataset, str | None]:
    """Return the dataset of the chosen members and the name of their axis, None without one.

    Raises BadDataError for a member that is not there.
    """

    def is_of_members(name: str) -> bool:
        told = name in dataset and dataset[name].attrs.get("standard_name") == "realization"
        return told or name.casefold() in MEMBER_NAMES

    dim = next((name for name in map(str, dataset.dims) if is_of_members(name)), None)
    if dim is None:
        scalar = next((dataset[name] for name in MEMBER_NAMES if name in dataset.variables), None)
        there = [] if scalar is None or scalar.ndim else [int(scalar)]
        if member is None or member in there or member == tuple(there):
            return dataset, None
        raise BadDataError(f"{source}: holds no member {member}: it has no ensemble axis; leave --member out")
    if member is None:
        return (dataset.isel({dim: 0}), None) if dataset.sizes[dim] == 1 else (dataset, dim)
    index = member_index([int(value) for value in dataset[dim].values], member, source)
    return dataset.isel({dim: index}), None if isinstance(member, int) else dim


def _squeeze(dataset: xr.Dataset, kept: tuple[str | None, ...], source: str) -> xr.Dataset:
    """Drop axes of one entry that are neither horizontal, nor members, nor pressure levels."""
    single = [
        dim
        for dim, size in dataset.sizes.items()
        if size == 1 and dim not in kept and pressures(dataset, str(dim), source, []) is None
    ]
    return dataset.squeeze(single)


def _label_time(dataset: xr.Dataset, time: np.datetime64) -> xr.Dataset:
    """Give a dataset that tells no valid time the one the user names; an undecodable scalar `time` gives way."""
    name = VALID_TIME if "time" in dataset.dims else "time"
    label = xr.Variable((), time.astype("datetime64[ns]"), {"standard_name": "time", "long_name": "valid time"})
    return dataset.drop_vars([name], errors="ignore").assign_coords({name: label})
