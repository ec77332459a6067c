"""Backgrounds from files (GRIB, NetCDF or Zarr), parts of one or its members, and their valid times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from phyda_cli.errors import UsageError
from phyda_cli.formats.gridded.assemble import Wanted, assemble
from phyda_cli.formats.gridded.contents import Contents
from phyda_cli.formats.gridded.layout import Background
from phyda_cli.formats.gridded.members import MemberChoice, choose_members, merge_contents, stack_members
from phyda_cli.formats.sniff import FileFormat, sniff


def read_background(
    paths: Sequence[Path],
    *,
    time: np.datetime64 | None = None,
    member: MemberChoice = None,
    select: Mapping[str, str] | None = None,
    as_members: bool = False,
    own: bool = False,
    wanted: Wanted | None = None,
    as_stored: bool = False,
) -> Background:
    """Read a background from GRIB, NetCDF or Zarr files.

    Several files are merged (one per variable, say), or with as_members, when all of them hold the same fields, are
    the members of an ensemble (`members`).

    time: valid time (UTC) to read; sets the valid time of files that tell none, and of NetCDF files whose time axis
    `select` indexes. member: one ensemble member, or several; None keeps them all. select: further choices, NetCDF
    dimension or GRIB key → value. own: a model of phyda wrote the files, so their values are SI and need not be
    credible. wanted: the variables to read, all where None. as_stored: as of `assemble`. Raises InputMissingError,
    BadDataError or UsageError with one line.
    """
    if not paths:
        raise UsageError("no background file was given; name one with --background")
    choice = dict(select or {})
    formats = [(path, sniff(path)) for path in paths]
    if as_members and len(paths) > 1 and _are_members(formats, time, choice):
        each = [_read([path], kind, time=time, member=None, select=choice) for path, kind in formats]
        contents = [choose_members(stack_members(each), member)]
    else:
        contents = _parts(formats, time=time, member=member, select=choice, wanted=wanted)
    return _assembled(contents, choice, time, tuple(str(path) for path in paths), own=own, as_stored=as_stored)


def background_of(
    dataset: xr.Dataset,
    *,
    time: np.datetime64 | None = None,
    member: MemberChoice = None,
    select: Mapping[str, str] | None = None,
    name: str = "dataset",
    as_stored: bool = False,
) -> Background:
    """Return the background in an xarray dataset, which stays as it is; read as if it came from a NetCDF file.

    time, member, select, as_stored: as of `read_background`. name: what messages and `sources` call it. Raises as that
    does.
    """
    from phyda_cli.formats.gridded.netcdf import read_dataset

    choice = dict(select or {})
    contents = read_dataset(dataset, name, time=time, member=member, select=choice)
    return _assembled([contents], choice, time, (name,), as_stored=as_stored)


def _assembled(
    contents: Sequence[Contents],
    select: Mapping[str, str],
    time: np.datetime64 | None,
    sources: tuple[str, ...],
    *,
    own: bool = False,
    as_stored: bool = False,
) -> Background:
    """Return the parts as one background. Raises UsageError for a choice that none of them knew."""
    unknown = sorted(set(select) - frozenset().union(*(item.selected for item in contents)))
    if unknown:
        raise UsageError(f"--select {unknown[0]}={select[unknown[0]]}: no background file has a {unknown[0]!r}")
    return assemble(merge_contents(contents), time=time, sources=sources, own=own, as_stored=as_stored)


def _are_members(
    formats: Sequence[tuple[Path, FileFormat]], time: np.datetime64 | None, select: Mapping[str, str]
) -> bool:
    """Return whether all files hold the same fields, GRIB files also of the same member numbers."""
    held: list[frozenset[object]] = []
    for path, kind in formats:
        if kind is FileFormat.GRIB:
            from phyda_cli.formats.gridded.grib import grib_fields

            held.append(grib_fields(path, time=time, select=select))
        else:
            from phyda_cli.formats.gridded.netcdf import netcdf_fields

            held.append(netcdf_fields(path, kind))
        if held[-1] != held[0]:
            return False
    return bool(held[0])


def _read(
    paths: Sequence[Path],
    kind: FileFormat,
    *,
    time: np.datetime64 | None,
    member: MemberChoice,
    select: Mapping[str, str],
    wanted: Wanted | None = None,
) -> Contents:
    if kind is FileFormat.GRIB:
        from phyda_cli.formats.gridded.grib import read_grib  # loads the GRIB library only where there is GRIB

        return read_grib(paths, time=time, member=member, select=select, wanted=wanted)
    from phyda_cli.formats.gridded.netcdf import read_netcdf

    return read_netcdf(paths[0], kind, time=time, member=member, select=select, wanted=wanted)


def _parts(
    formats: Sequence[tuple[Path, FileFormat]],
    *,
    time: np.datetime64 | None,
    member: MemberChoice,
    select: Mapping[str, str],
    wanted: Wanted | None,
) -> list[Contents]:
    grib = [path for path, kind in formats if kind is FileFormat.GRIB]
    files = [([path], kind) for path, kind in formats if kind is not FileFormat.GRIB]
    groups = [(grib, FileFormat.GRIB)] * bool(grib) + files
    return [_read(paths, kind, time=time, member=member, select=select, wanted=wanted) for paths, kind in groups]


def background_times(
    paths: Sequence[Path], select: Mapping[str, str] | None = None
) -> dict[np.datetime64, tuple[Path, ...]]:
    """Valid time (UTC, ns), in order → the files that hold it. A file that tells no time is left out.

    select: as of `read_background`. Raises InputMissingError and BadDataError as it does.
    """
    held: dict[np.datetime64, list[Path]] = {}
    for path in paths:
        for time in _times(path, sniff(path), select or {}):
            held.setdefault(time, []).append(path)
    return {time: tuple(held[time]) for time in sorted(held)}


def _times(path: Path, kind: FileFormat, select: Mapping[str, str]) -> list[np.datetime64]:
    if kind is FileFormat.GRIB:
        from phyda_cli.formats.gridded.grib import grib_times  # loads the GRIB library only where there is GRIB

        return grib_times(path, select)
    from phyda_cli.formats.gridded.netcdf import netcdf_times

    return netcdf_times(path, kind, select)
