"""The valid times of background files, for first guesses at the observations' own times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from phyda_cli.formats.sniff import FileFormat, sniff


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
