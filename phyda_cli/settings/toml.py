"""TOML files as settings: what is wrong with one is a single line that names the file, the key and the value."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from phyda_cli.errors import ConfigError, InputMissingError

Model = TypeVar("Model", bound=BaseModel)

_LONGEST: Final = 60
"""Characters of a value in a message."""


def read_settings(path: Path, model: type[Model]) -> Model:
    """Return the settings of a file. Raises InputMissingError without it, ConfigError when anything in it is wrong."""
    return validated(model, read_toml(path), str(path))


def read_toml(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file. Raises InputMissingError without it, ConfigError when it is none."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputMissingError(f"{path}: {error.strerror}") from error
    return parse_toml(content, str(path))


def parse_toml(content: bytes, label: str) -> dict[str, Any]:
    """Return the content of a TOML document, whose name for messages is `label`. Raises ConfigError when it is none."""
    try:
        return tomllib.loads(content.decode("utf-8"))
    except ValueError as error:  # TOMLDecodeError, or bytes that are no UTF-8
        raise ConfigError(f"{label}: not a TOML file: {error}") from error
    except RecursionError:
        raise ConfigError(f"{label}: is nested too deeply; write a flat TOML file") from None


def validated(model: type[Model], document: Mapping[str, Any], label: str) -> Model:
    """Return a document as settings. Raises ConfigError for the first key that is wrong."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise unknown_key(label, key, _names(model)) from error
        shown = reason(error, show=not isinstance(first["input"], dict))
        raise ConfigError(f"{label}: " + (f"key {key!r}: " if key else "") + shown) from error


def reason(error: ValidationError, *, show: bool = True) -> str:
    """Return what the first problem is, and with `show` the value, said once."""
    first = error.errors()[0]
    text, value = first["msg"].removeprefix("Value error, "), first["input"]
    if not show or (not isinstance(value, int | float) and repr(value) in text):
        return text
    shown = str(value) if isinstance(value, str | Path) else repr(value)
    return f"{text} (got {shown if len(shown) <= _LONGEST else shown[: _LONGEST - 3] + '...'})"


def unknown_key(label: str, key: str, known: Iterable[str]) -> ConfigError:
    """Return the error for a key that is none, with the one that may be meant."""
    close = difflib.get_close_matches(key.rpartition(".")[2], list(known), n=1, cutoff=0.6)
    return ConfigError(f"{label}: unknown key {key!r}" + (f"; did you mean {close[0]!r}?" if close else ""))


def _names(model: type[BaseModel]) -> list[str]:
    """Return all keys of a settings class and of the classes within it."""
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
