"""Weights on disk: one safetensors file whose header says all that is needed to use them. No pickle anywhere.

header (JSON): format, config (`ModelConfig`), channels, grid, about (data digest, commit, stage, scores, …)
tensors: model.* of the networks, statistics.* of `Statistics`, calibration.factor of `Calibration`

Finished weights hold the networks in half precision: that halves the file and moves an analysis by a thousandth of σ_b.
Networks compute in single precision whatever the file holds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from phyda_cli.errors import BadDataError, InputMissingError, PhydaError
from phyda_cli.fields.state import Channel
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.networks.calibration import Calibration
from phyda_cli.networks.config import ModelConfig
from phyda_cli.networks.phyda import PhyDA
from phyda_cli.networks.statistics import Statistics
from phyda_cli.resources import phyda_header

FORMAT: Final = "phyda-model-1"

_FIELDS: Final = ("sigma_b", "mean", "std", "error_maps")


@dataclass(frozen=True)
class Checkpoint:
    """model: in evaluation mode. about: free entries of the header, such as the data's digest and scores."""

    model: PhyDA
    statistics: Statistics
    calibration: Calibration
    about: Mapping[str, Any]


def to_bytes(
    model: PhyDA,
    statistics: Statistics,
    *,
    about: Mapping[str, Any],
    calibration: Calibration | None = None,
    half: bool = False,
) -> bytes:
    """Return the file's content. The same model gives the same bytes.

    calibration: None is no inflation. half: whether the networks are rounded to half precision.
    """
    header = {
        "format": FORMAT,
        "config": model.config.model_dump(mode="json"),
        "channels": [[channel.variable, channel.level] for channel in statistics.channels],
        "grid": {
            "latitudes": np.asarray(statistics.grid.latitudes).tolist(),
            "longitudes": np.asarray(statistics.grid.longitudes).tolist(),
        },
        "about": dict(about),
    }
    dtype = torch.float16 if half else torch.float32
    tensors = {
        f"model.{name}": value.detach().to("cpu", dtype).contiguous() for name, value in model.state_dict().items()
    }
    tensors |= {f"statistics.{name}": getattr(statistics, name).detach().cpu().contiguous() for name in _FIELDS}
    inflation = calibration or Calibration.none(len(statistics.channels))
    tensors["calibration.factor"] = inflation.factor.detach().cpu().contiguous()
    return save(dict(sorted(tensors.items())), {"phyda": json.dumps(header, sort_keys=True)})


def read_checkpoint(path: Path) -> Checkpoint:
    """Read weights. Raises InputMissingError, or BadDataError for another, damaged or unfitting file."""
    if not path.is_file():
        raise InputMissingError(f"{path}: no such weights")
    try:
        with safe_open(str(path), framework="pt") as file:
            header = phyda_header(file.metadata())
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        if header["format"] != FORMAT:
            raise ValueError(f"weights of format {header['format']}, this phyda reads {FORMAT}")
        channels = tuple(Channel(variable, level) for variable, level in header["channels"])
        grid = LatLonGrid(**{name: tuple(values) for name, values in header["grid"].items()})
        statistics = Statistics(channels, grid, *(tensors[f"statistics.{name}"] for name in _FIELDS))
        calibration = Calibration(tensors["calibration.factor"])
        model = PhyDA(len(channels), grid.shape, ModelConfig.model_validate(header["config"]))
        own = {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
        model.load_state_dict(own)
        about = dict(header["about"])
    except (SafetensorError, PhydaError, LookupError, AttributeError, ValueError, TypeError, RuntimeError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BadDataError(f"{path}: not weights of the learned model, or damaged: {first}") from error
    return Checkpoint(model.eval(), statistics, calibration, about)
