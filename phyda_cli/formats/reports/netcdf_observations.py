"""Observations in NetCDF or HDF5: which layout a file has, told by what it holds.

A layout is one row of `_LAYOUTS`: what claims an open file, and its reader. What none claims is read as IODA, whose
reader says what is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import netCDF4
import numpy as np

from phyda_cli.errors import BadDataError, InputMissingError
from phyda_cli.formats.declared_size import check_declared_size, declared_variables
from phyda_cli.formats.hdf5_safety import check_hdf5
from phyda_cli.formats.reports.ioda import read_ioda
from phyda_cli.formats.reports.madis import is_madis, read_madis
from phyda_cli.observations.table import Observations

_LAYOUTS: Final[tuple[tuple[Callable[[Any], bool], Callable[[Any, str], Observations]], ...]] = (
    (is_madis, read_madis),
)
"""(whether an open file is of the layout, reader of an open file and its name)."""


def read(path: Path, *, reference_time: np.datetime64 | None = None) -> Observations:
    """Read a file of any layout. reference_time: not needed, files tell their times.

    Raises InputMissingError when there is no such file, BadDataError when it is damaged or of no known layout.
    """
    label = str(path)
    if not path.is_file():
        raise InputMissingError(f"{label}: no such file")
    check_hdf5(path)
    try:
        with netCDF4.Dataset(path) as dataset:
            check_declared_size(path, declared_variables(dataset))
            for claims, reader in _LAYOUTS:
                if claims(dataset):
                    return reader(dataset, label)
            return read_ioda(dataset, label)
    except (OSError, RuntimeError):
        raise BadDataError(f"{label}: cannot be read as NetCDF or HDF5; is it cut off? fetch it again") from None
