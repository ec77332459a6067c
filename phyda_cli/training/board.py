"""TensorBoard's copy of the metrics: the whole of metrics.jsonl, written anew by each run into one event file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from phyda_cli.errors import MissingExtraError

_NAMES: Final = ("stage", "part", "step")


class Board:
    """Writes records as scalars STAGE/PART/NAME. Raises MissingExtraError where TensorBoard is not installed."""

    def __init__(self, directory: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtraError("--tensorboard", "tensorboard") from error
        directory.mkdir(exist_ok=True)
        for old in directory.glob("events.out.tfevents.*"):
            old.unlink()
        self._writer = SummaryWriter(str(directory))

    def add(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Add records and bring them to disk."""
        for record in records:
            for key, value in record.items():
                if key not in _NAMES:
                    tag = f"{record['stage']}/{record['part']}/{key}"
                    self._writer.add_scalar(tag, value, record["step"])
        self._writer.flush()
