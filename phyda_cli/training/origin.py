"""What the weights' header says of their origin: data, code, settings, machine, hours and scores."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch

import phyda_cli
from phyda_cli.preparation.store import TrainingStore
from phyda_cli.training.config import TrainConfig

_PATIENCE: Final = 5.0
"""Seconds that git may take."""


def origin(
    store: TrainingStore,
    config: TrainConfig,
    device: torch.device,
    *,
    command: Mapping[str, Any],
    digests: Mapping[str, str],
) -> dict[str, Any]:
    """Entries of the header that are known before the training, as JSON values.

    command: the options given; of paths the last name only, weights travel. digests: SHA-256 of the other inputs by
    their names.
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"
    return {
        "data": str(store.attributes["digest"]),
        "source": store.attributes["source"],
        "splits": store.attributes["splits"],
        "leads": list(store.leads),
        "inputs": dict(digests),
        "commit": commit(Path(phyda_cli.__file__).resolve().parents[1]),
        "command": {option: value.name if isinstance(value, Path) else value for option, value in command.items()},
        "config": config.model_dump(mode="json"),
        "phyda": phyda_cli.__version__,
        "torch": torch.__version__,
        "device": name,
    }


def outcome(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Entries of the header that the metrics show: hours of the steps that were kept, last validation of each stage."""
    seconds = sum(float(record.get("seconds", 0.0)) for record in records if record["part"] == "train")
    names = ("stage", "part", "seconds")
    scores = {
        str(record["stage"]): {key: value for key, value in record.items() if key not in names}
        for record in records
        if record["part"] == "validation"
    }
    return {"hours": round(seconds / 3600.0, 4), "scores": scores}


def commit(root: Path) -> str | None:
    """`git describe` of the checkout at `root`; None where there is none or git is not there."""
    if not (root / ".git").exists():
        return None
    words = ["git", "-C", str(root), "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=_PATIENCE, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
