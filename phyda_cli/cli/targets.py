"""Checks of input and output paths, made before any work."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from phyda_cli.errors import CannotWriteError, InputMissingError, UsageError
from phyda_cli.outputs import check_name, check_target, is_reserved


def check_inputs(paths: Iterable[Path]) -> None:
    """Raises InputMissingError for the first that is not there or not readable, UsageError for a temporary of phyda."""
    for path in paths:
        _check_input_name(path)
        if is_reserved(path):
            raise UsageError(f"{path}: names of this form are those of phyda's own temporaries; rename the file first")
        if not path.exists():
            raise InputMissingError(f"{path}: no such file")
        if not os.access(path, os.R_OK):
            raise InputMissingError(f"{path}: no permission to read it")


def _check_input_name(path: Path) -> None:
    """Raises InputMissingError for a path that the file system or the libraries cannot take."""
    try:
        str(path).encode()
        path.stat()
    except FileNotFoundError:
        pass  # said by the caller
    except UnicodeEncodeError:
        raise InputMissingError(f"{path}: a path that is not UTF-8, which NetCDF needs; rename the file") from None
    except ValueError as error:
        raise InputMissingError(f"{path}: cannot be a path ({error})") from None
    except OSError as error:
        raise InputMissingError(f"{path}: cannot be read ({error.strerror}); check the path") from None


def check_outputs(
    outputs: Mapping[str, Path], inputs: Iterable[Path], *, overwrite: bool, updated: Iterable[str] = ()
) -> None:
    """Every output, by its option, can be written, is no input and no other output.

    updated: options whose files are read and written anew. Raises UsageError for two outputs in one place,
    CannotWriteError for all else.
    """
    inputs = list(inputs)
    places: dict[Path, str] = {}
    for option, path in outputs.items():
        check_name(path)
        for source in inputs:
            _check_against(option, path, source)
        place = Path(os.path.realpath(path))
        same = next((other for taken, other in places.items() if taken == place or _is_same(taken, place)), None)
        if same is not None:
            raise UsageError(f"{option} {path}: is the file of {same} too; choose another")
        places[place] = option
        check_target(path, overwrite=overwrite or option in updated)


def check_not_inside(inputs: Iterable[Path], directory: Path, option: str) -> None:
    """Raises CannotWriteError for an input in a directory that is to be replaced as a whole."""
    for path in inputs:
        place = Path(os.path.realpath(path))
        if any(_is_same(parent, directory) for parent in (place, *place.parents)):
            raise CannotWriteError(f"{option} {directory}: holds the input {path}; choose another output")


def _check_against(option: str, path: Path, source: Path) -> None:
    """Raises CannotWriteError for an output that is an input, by whatever name, or lies in an input that is a store."""
    place, taken = Path(os.path.realpath(path)), Path(os.path.realpath(source))
    if place == taken or _is_same(place, taken):
        same = "" if path == source else f" ({source})"
        raise CannotWriteError(f"{option} {path}: is an input too{same}; choose another output")
    if any(parent == taken or _is_same(parent, taken) for parent in place.parents if taken.is_dir()):
        raise CannotWriteError(f"{option} {path}: lies inside the input {source}; choose another output")


def _is_same(first: Path, second: Path) -> bool:
    """Return whether two paths name one file: hard links, mounts, names that differ in case only."""
    try:
        return os.path.samefile(first, second)
    except (OSError, ValueError):
        return False
