"""Checks of input and output paths, made before any work."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from phyda_cli.errors import CannotWriteError, InputMissingError, UsageError
from phyda_cli.formats.atomic import check_target


def check_inputs(paths: Iterable[Path]) -> None:
    """Raises InputMissingError for the first that is not there or not readable."""
    for path in paths:
        if not path.exists():
            raise InputMissingError(f"{path}: no such file")
        if not os.access(path, os.R_OK):
            raise InputMissingError(f"{path}: no permission to read it")


def check_outputs(
    outputs: Mapping[str, Path], inputs: Iterable[Path], *, overwrite: bool, updated: Iterable[str] = ()
) -> None:
    """Every output, by its option, can be written, is no input and no other output.

    updated: options whose files are read and written anew. Raises UsageError for two outputs in one place,
    CannotWriteError for all else.
    """
    taken = {os.path.realpath(path) for path in inputs}
    places: dict[str, str] = {}
    for option, path in outputs.items():
        place = os.path.realpath(path)
        if place in taken:
            raise CannotWriteError(f"{option} {path}: is an input too; choose another output")
        if place in places:
            raise UsageError(f"{option} {path}: is the file of {places[place]} too; choose another")
        places[place] = option
        check_target(path, overwrite=overwrite or option in updated)
