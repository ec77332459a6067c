"""The user's observation errors (`--errors`) and quality control (`--quality`), as TOML files or as their content.

Both extend what ships: they say only what is to be different.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from phyda_cli.observations.errors import ErrorDocument, ErrorTable, default_error_table
from phyda_cli.observations.settings import Quality
from phyda_cli.settings.toml import read_settings, validated

Source = Path | Mapping[str, Any] | None
"""A file, its content, or nothing but what ships."""


def read_quality(source: Source) -> Quality:
    """Return settings of quality control. Raises InputMissingError, or ConfigError naming file, key and value."""
    if source is None:
        return Quality()
    return read_settings(source, Quality) if isinstance(source, Path) else validated(Quality, source, "quality")


def read_errors(source: Source) -> ErrorTable:
    """Return the shipped error table, extended. Raises as `read_quality`."""
    table = default_error_table()
    if source is None:
        return table
    if isinstance(source, Path):
        return table.extended(read_settings(source, ErrorDocument))
    return table.extended(validated(ErrorDocument, source, "errors"))
