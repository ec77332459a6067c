"""Where an output comes from: versions, digests of the inputs, settings, seed, as global attributes."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from phyda_cli import __version__
from phyda_cli.errors import ConfigError
from phyda_cli.resources import sha256

_LIBRARIES: Final = ("torch", "numpy", "xarray", "netCDF4", "eccodes")


def creation_time() -> datetime:
    """Now, or the moment that SOURCE_DATE_EPOCH sets, so that identical runs can give identical bytes.

    Raises ConfigError when SOURCE_DATE_EPOCH is no number of seconds.
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        return datetime.now(UTC) if epoch is None else datetime.fromtimestamp(int(epoch), UTC)
    except (ValueError, OverflowError, OSError):
        raise ConfigError(
            f"SOURCE_DATE_EPOCH={epoch!r} is no number of seconds since 1970; correct or unset it"
        ) from None


def provenance(
    inputs: Sequence[Path],
    *,
    weights: Sequence[Path],
    settings: Mapping[str, Any],
    log: Mapping[str, float | int | str],
) -> dict[str, str]:
    """Global attributes that say how an output was made.

    inputs: files read. weights: files of weights and statistics used. settings: the run's configuration. log: what the
    run decided.
    Raises InputMissingError when a file cannot be read.
    """
    created = f"{creation_time():%Y-%m-%dT%H:%M:%SZ}"
    digests = {str(path): sha256(path) for path in inputs if path.is_file()}
    attributes = {
        "date_created": created,
        "history": f"{created} phyda {__version__}",
        "phyda_version": __version__,
        "phyda_libraries": _json(
            {"python": platform.python_version()} | {name: metadata.version(name) for name in _LIBRARIES}
        ),
        "phyda_inputs_sha256": _json(digests),
        "phyda_settings": _json(settings),
        "phyda_log": _json(log),
    }
    used = ", ".join(f"{sha256(path)}  {path.name}" for path in weights)
    return attributes | ({"phyda_weights_sha256": used} if used else {})


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, default=str, ensure_ascii=False)
