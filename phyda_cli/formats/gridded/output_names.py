"""Which format an output gets: GRIB where its name ends so, else NetCDF."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from phyda_cli.formats.gridded.layout import Background

_GRIB: Final = (".grib", ".grib1", ".grib2", ".grb", ".grb1", ".grb2")


def is_grib_name(path: Path) -> bool:
    """Whether an output of this name is to be GRIB."""
    return path.suffix.casefold() in _GRIB


def check_output_names(outputs: Mapping[str, Path | None], background: Background, *, members: str) -> None:
    """Raise UsageError where an output, by its option, is to be GRIB and cannot. members: the option of the members."""
    named = {option: path for option, path in outputs.items() if path is not None and is_grib_name(path)}
    if not named:
        return
    from phyda_cli.formats.gridded.grib_write import check_grib  # loads the GRIB library only where there is GRIB

    for option, path in named.items():
        check_grib(f"{option} {path}", background, members=option == members)
