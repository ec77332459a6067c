"""The user's files of observation errors (`--errors`) and of quality control (`--quality`), TOML.

Both extend what ships: a file says only what is to be different.
"""

from __future__ import annotations

from pathlib import Path

from phyda_cli.observations.error_settings import ErrorDocument
from phyda_cli.observations.errors import ErrorTable, default_error_table
from phyda_cli.observations.settings import Quality
from phyda_cli.settings.toml import read_settings


def read_quality(path: Path) -> Quality:
    """Settings of quality control. Raises InputMissingError, or ConfigError naming file, key and value."""
    return read_settings(path, Quality)


def read_errors(path: Path) -> ErrorTable:
    """The shipped error table, extended by a file. Raises as `read_quality`."""
    return default_error_table().extended(read_settings(path, ErrorDocument))
