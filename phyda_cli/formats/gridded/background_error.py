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
_LABELS: Final = ("grid", "channels", "relative_humidity", "climate")
_TENSORS: Final = tuple(f.name for f in fields(BackgroundError) if f.name not in _LABELS)
_CLIMATE: Final = "climate."
"""Before the names of the climate's tensors."""


def to_bytes(statistics: BackgroundError, *, provenance: dict[str, Any]) -> bytes:
    """Return the file's content, tensors in single precision. provenance: JSON values for the header."""
    header = {
        "format": FORMAT,
        "latitudes": list(statistics.grid.latitudes),
        "longitudes": list(statistics.grid.longitudes),
        "channels": [[channel.variable, channel.level] for channel in statistics.channels],
        "relative_humidity": statistics.relative_humidity,
        "provenance": provenance,
    }
    parts = {"": statistics} if statistics.climate is None else {"": statistics, _CLIMATE: statistics.climate}
    tensors = {
        before + name: getattr(part, name).to(torch.float32).contiguous()
        for before, part in parts.items()
        for name in _TENSORS
    }
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
            tensors = {name: file.get_tensor(name).double() for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, ValueError, OSError) as problem:
        raise BadDataError(f"{path}: not a phyda background-error file, or damaged ({problem})") from problem
    if header.get("format") != FORMAT:
        raise BadDataError(f"{path}: format {header.get('format')!r} where {FORMAT!r} is expected")
    if any(not math.isfinite(float(tensor.sum())) for tensor in tensors.values()):
        raise BadDataError(f"{path}: the background-error statistics hold NaN or infinite values")
    try:
        grid = LatLonGrid(tuple(header["latitudes"]), tuple(header["longitudes"]))
        channels = tuple(Channel(name, level) for name, level in header["channels"])
        labels: dict[str, Any] = {
            "grid": grid,
            "channels": channels,
            "relative_humidity": header.get("relative_humidity", False),
        }
        own, climate = (
            {name: tensors.pop(before + name) for name in _TENSORS if before + name in tensors}
            for before in ("", _CLIMATE)
        )
        if tensors:
            raise ValueError(f"an unknown tensor {min(tensors)}")
        grown = BackgroundError(**labels, **climate) if climate else None
        return BackgroundError(**labels, **own, climate=grown), header["provenance"]
    except (BadDataError, KeyError, TypeError, ValueError) as problem:
        raise BadDataError(f"{path}: not a phyda background-error file, or damaged ({problem})") from problem
