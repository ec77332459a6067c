"""The user's files of observation errors (`--errors`) and of quality control (`--quality`), TOML.

Both extend what ships: a file says only what is to be different.
"""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from phyda_cli.errors import ConfigError, InputMissingError
from phyda_cli.observations.error_settings import ErrorDocument
from phyda_cli.observations.errors import ErrorTable, default_error_table
from phyda_cli.observations.settings import Quality

Model = TypeVar("Model", bound=BaseModel)


def read_quality(path: Path) -> Quality:
    """Settings of quality control. Raises InputMissingError, or ConfigError naming file, key and value."""
    return _read(path, Quality)


def read_errors(path: Path) -> ErrorTable:
    """The shipped error table, extended by a file. Raises as `read_quality`."""
    return default_error_table().extended(_read(path, ErrorDocument))


def _read(path: Path, model: type[Model]) -> Model:
    try:
        with path.open("rb") as stream:
            document = tomllib.load(stream)
    except OSError as error:
        raise InputMissingError(f"{path}: {error.strerror}") from error
    except ValueError as error:  # TOMLDecodeError, or bytes that are no UTF-8
        raise ConfigError(f"{path}: not a TOML file: {error}") from error
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deeply; write a flat TOML file") from None
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise ConfigError(f"{path}: {_first_problem(error, model)}") from error


def _first_problem(error: ValidationError, model: type[BaseModel]) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        close = difflib.get_close_matches(str(first["loc"][-1]), _names(model), n=1, cutoff=0.6)
        return f"unknown key {key!r}" + (f"; did you mean {close[0]!r}?" if close else "")
    reason = first["msg"].removeprefix("Value error, ")
    shown = "" if isinstance(first["input"], dict) else f" (got {str(first['input'])[:60]})"
    return (f"key {key!r}: " if key else "") + reason + shown


def _names(model: type[BaseModel]) -> list[str]:
    """All keys of a settings class and of the classes within it."""
    found: list[str] = []

    def walk(kind: Any) -> None:
        for inner in getattr(kind, "__args__", ()):
            walk(inner)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            for name, field in kind.model_fields.items():
                if name not in found:
                    found.append(name)
                    walk(field.annotation)

    walk(model)
    return found
