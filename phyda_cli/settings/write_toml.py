"""Settings as a TOML file that `--config` reads: one line a key, with what its option says as a comment."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from phyda_cli.settings.option import Field


def as_toml(fields: Iterable[Field], values: Mapping[str, Any], *, needed: Iterable[str] = ()) -> str:
    """Return the values (JSON) of the fields as TOML. needed: keys without a value that a run needs.

    Keys without a value stand as comments.
    """
    lines = []
    for field in fields:
        lines.append(f"# {field.option.help}")
        value = values.get(field.name)
        if value is not None and value != {} and value != []:
            lines.append(f"{field.name} = {_toml(value)}")
        else:
            lines.append(f"# {field.name} ={' …  needed' if field.name in needed else ''}")
    return "\n".join(lines)


def _toml(value: Any) -> str:
    """A JSON value as TOML: strings, numbers, switches and lists are written alike; mappings as inline tables."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(held)}" for key, held in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
