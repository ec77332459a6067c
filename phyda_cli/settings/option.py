"""One declaration of each option: a field of a settings class, of which the command line and the checks are made.

    @dataclass(frozen=True, kw_only=True)
    class Settings:
        seed: Annotated[int, Option("Seed of the random numbers.", "N", ge=0)] = 0

`parameters` makes the parameters of a command, which typer reads; `validated` checks values and makes the object. No
heavy library is imported before values are checked, so that `--help` starts at once.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel

Settings = TypeVar("Settings")


@dataclass(frozen=True)
class Option:
    """How an option is written, explained and checked.

    help: one sentence. metavar: what stands for the value. names: its spellings, by default --name-of-the-field.
    default: what the help says of the value that is taken without it. read: makes a value of a text or another value,
    raises ValueError. gt, ge, lt, le: limits.
    """

    help: str
    metavar: str | None = None
    names: tuple[str, ...] = ()
    default: str | None = None
    read: Callable[[Any], Any] | None = None
    gt: Any = None
    ge: Any = None
    lt: Any = None
    le: Any = None

    def with_default(self, text: str) -> Option:
        """Return the same, with another text about its default."""
        return dataclasses.replace(self, default=text)


@dataclass(frozen=True)
class Field:
    """A field of a settings class. kind: its type. default: a value, or None where it must be given."""

    name: str
    kind: Any
    option: Option
    default: Any
    required: bool

    @property
    def spelling(self) -> str:
        """The option as users write it first."""
        return self.option.names[0] if self.option.names else f"--{self.name.replace('_', '-')}"


def fields_of(settings: Any) -> tuple[Field, ...]:
    """Return the fields of a settings class, in their order."""
    return _fields_of(settings)


@cache
def _fields_of(settings: Any) -> tuple[Field, ...]:
    hints = get_type_hints(settings, include_extras=True)
    found = []
    for field in dataclasses.fields(settings):
        kind, option = get_args(hints[field.name])[:2]
        made = field.default
        if field.default_factory is not dataclasses.MISSING:
            made = field.default_factory()
        required = made is dataclasses.MISSING
        found.append(Field(field.name, kind, option, None if required else made, required))
    return tuple(found)


def parameters(fields: Iterable[Field]) -> list[inspect.Parameter]:
    """Return the parameters of a command; None stands for what was not given."""
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                _on_the_line(field.kind) | None,
                typer.Option(
                    *_declarations(field),
                    metavar=field.option.metavar,
                    help=field.option.help + (f" [default: {field.option.default}]" if field.option.default else ""),
                ),
            ],
        )
        for field in fields
    ]


def validated(settings: type[Settings], values: Mapping[str, Any]) -> Settings:
    """Checked values as settings. Raises pydantic's ValidationError."""
    kind: Any = settings
    checked = _model(kind).model_validate(dict(values))
    return settings(**{name: getattr(checked, name) for name in type(checked).model_fields})


def as_json(settings: Any) -> dict[str, Any]:
    """Return settings as JSON values."""
    kind: Any = type(settings)
    return _model(kind).model_validate(_values(settings)).model_dump(mode="json")


def _values(settings: Any) -> dict[str, Any]:
    return {field.name: getattr(settings, field.name) for field in fields_of(type(settings))}


@cache
def _model(settings: Any) -> type[BaseModel]:
    from pydantic import BeforeValidator, ConfigDict, create_model
    from pydantic import Field as PydanticField

    definitions: dict[str, Any] = {}
    for field in fields_of(settings):
        limits = {name: getattr(field.option, name) for name in ("gt", "ge", "lt", "le")}
        limits = {name: value for name, value in limits.items() if value is not None}
        if limits and float in (field.kind, *get_args(field.kind)):
            limits["allow_inf_nan"] = False
        kind = _limited(field.kind, PydanticField(**limits)) if limits else field.kind
        if field.option.read is not None:
            kind = Annotated[kind, BeforeValidator(field.option.read)]
        definitions[field.name] = (kind, ... if field.required else field.default)
    made: type[BaseModel] = create_model(
        settings.__name__, __config__=ConfigDict(extra="forbid", frozen=True, ignored_types=()), **definitions
    )
    return made


def _limited(kind: Any, limits: Any) -> Any:
    """Return a type with limits on its numbers, durations or lists; other parts of a union stay."""
    if get_origin(kind) in (Union, types.UnionType):
        parts = [Annotated[part, limits] if part in (int, float, timedelta) else part for part in get_args(kind)]
        return Union[tuple(parts)]  # noqa: UP007
    return Annotated[kind, limits]


def _declarations(field: Field) -> tuple[str, ...]:
    """Return what typer is told of the spellings; a switch has no opposite."""
    return field.option.names or ((field.spelling,) if field.kind is bool else ())


def _on_the_line(kind: Any) -> Any:
    """Return the type that a command line gives for a type."""
    parts = [part for part in get_args(kind) if part is not type(None)]
    if get_origin(kind) in (Union, types.UnionType):
        return _on_the_line(parts[0]) if len(parts) == 1 else str
    if get_origin(kind) is tuple:
        return list[Path]
    if get_origin(kind) is dict:
        return list[str]
    if kind in (timedelta, datetime):
        return str
    return kind if get_origin(kind) is Literal or kind in (int, float, bool, str, Path) else str
