"""Background-error statistics in a file: safetensors with a JSON header, no pickle.

Tensors have the names and shapes of `BackgroundError`; the header's `phyda` entry says format, grid and channels, and
carries what the estimator wants a reader to know (data, sizes, tuning).
"""

from __future__ import annotations

import json
import math
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from phyda_cli.errors import BadDataError, InputMissingError
from phyda_cli.errors_b.background_error import BackgroundError
from phyda_cli.fields.state import Channel
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.resources import phyda_header

FORMAT: Final = "phyda-background-error-1"
_TENSORS: Final = tuple(f.name for f in fields(BackgroundError) if f.name not in ("grid", "channels"))


def to_bytes(statistics: BackgroundError, *, provenance: dict[str, Any]) -> bytes:
    """Return the file's content, tensors in single precision. provenance: JSON values for the header."""
    header = {
        "format": FORMAT,
        "latitudes": list(statistics.grid.latitudes),
        "longitudes": list(statistics.grid.longitudes),
        "channels": [[channel.variable, channel.level] for channel in statistics.channels],
        "provenance": provenance,
    }
    tensors = {name: getattr(statistics, name).to(torch.float32).contiguous() for name in _TENSORS}
    return bytes(save(tensors, metadata={"phyda": json.dumps(header, sort_keys=True)}))


def read_background_error(path: Path) -> tuple[BackgroundError, dict[str, Any]]:
    """Return the statistics (double precision) and their provenance.

    Raises InputMissingError when there is no file, BadDataError when it is damaged or something else.
    """
    if not path.is_file():
        raise InputMissingError(f"{path}: no such background-error file")
    try:
        with safe_open(path, framework="pt") as file:
            header = phyda_header(file.metadata())
            tensors = {name: file.get_tensor(name).double() for name in _TENSORS}
    except (SafetensorError, ValueError, OSError) as problem:
        raise BadDataError(f"{path}: not a phyda background-error file, or damaged ({problem})") from problem
    if header.get("format") != FORMAT:
        raise BadDataError(f"{path}: format {header.get('format')!r} where {FORMAT!r} is expected")
    if any(not math.isfinite(float(tensor.sum())) for tensor in tensors.values()):
        raise BadDataError(f"{path}: the background-error statistics hold NaN or infinite values")
    try:
        grid = LatLonGrid(tuple(header["latitudes"]), tuple(header["longitudes"]))
        channels = tuple(Channel(name, level) for name, level in header["channels"])
        return BackgroundError(grid=grid, channels=channels, **tensors), header["provenance"]
    except (BadDataError, KeyError, TypeError, ValueError) as problem:
        raise BadDataError(f"{path}: not a phyda background-error file, or damaged ({problem})") from problem
