"""What a training keeps on disk: its state, from which it goes on after a kill, and one line of JSON a record.

The state is one safetensors file: the networks, their exponential moving average, AdamW's moments, and in the header
the stage, the step and the digest of the settings. It is replaced atomically: a kill at any moment leaves the last one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from phyda_cli.errors import BadDataError, MissingExtraError
from phyda_cli.outputs import atomic_path
from phyda_cli.training.config import TrainConfig
from phyda_cli.training.processes import laid_out, whole

Record = dict[str, float | int | str]


@dataclass(frozen=True)
class Position:
    """Where a training stands: `step` steps of a stage are done."""

    stage: str
    step: int


def state_of(model: nn.Module, average: nn.Module, optimizer: torch.optim.AdamW) -> dict[str, torch.Tensor]:
    """Return what a training goes on from, on the processor; all processes must ask."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in average.state_dict().items()}
    for number, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"adam.{number}.{name}": value for name, value in moments.items()}
    return {name: whole(value.detach()).cpu().contiguous().clone() for name, value in tensors.items()}


def write_state(path: Path, position: Position, state: Mapping[str, torch.Tensor], *, run: str) -> None:
    """Write the state. run: digest of what the training is made from."""
    header = {"stage": position.stage, "step": str(position.step), "run": run}
    content = save(dict(state), header)
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_bytes(content)


def read_state(
    path: Path, stage: str, model: nn.Module, average: nn.Module, optimizer: torch.optim.AdamW, *, run: str
) -> int:
    """Load the state of a stage and give its step; 0 where there is none, or that of another stage.

    Raises BadDataError for a damaged file or one of another training.
    """
    if not path.exists():
        return 0
    try:
        with safe_open(str(path), framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except SafetensorError as error:
        raise BadDataError(
            f"{path}: not the state of a training, or damaged: {error}; delete it to start anew"
        ) from error
    if header.get("run") != run:
        raise BadDataError(f"{path}: state of a training with other settings or data; give another directory")
    if header["stage"] != stage:
        return 0

    def part(prefix: str) -> dict[str, torch.Tensor]:
        return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

    try:
        for network, values in ((model, part("model.")), (average, part("average."))):
            own = network.state_dict()
            network.load_state_dict({name: laid_out(value, own[name]) for name, value in values.items()})
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in part("adam.").items():
            number, _, moment = name.partition(".")
            own_part = value if moment == "step" else laid_out(value, parameters[int(number)])
            moments.setdefault(int(number), {})[moment] = own_part
        optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    except (RuntimeError, ValueError, LookupError) as error:
        raise BadDataError(f"{path}: state of other networks, or damaged; delete it to start the stage anew") from error
    return int(header["step"])


def digest_of(config: TrainConfig, data: str) -> str:
    """SHA-256 of the settings and of the data's own digest."""
    return hashlib.sha256(f"{config.model_dump_json()}\n{data}".encode()).hexdigest()


class Metrics:
    """Metrics as JSON lines. Records of steps that a resumed run does again are dropped."""

    def __init__(self, path: Path, position: Position) -> None:
        self.path = path
        kept = []
        for record in read_metrics(path):
            if record["stage"] == position.stage and int(record["step"]) > position.step:
                break
            kept.append(record)
        with atomic_path(path, overwrite=True) as temporary:
            temporary.write_text("".join(f"{json.dumps(record)}\n" for record in kept), encoding="utf-8")

    def write(self, record: Record) -> None:
        """Add a record, at once on disk."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(record)}\n")
            file.flush()
            os.fsync(file.fileno())


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return all whole records; a line that a kill cut short is left out."""
    if not path.exists():
        return []
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records


class Board:
    """TensorBoard's copy of the metrics, written anew by each run: scalars STAGE/PART/NAME.

    Raises MissingExtraError where TensorBoard is not installed.
    """

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
                if key not in ("stage", "part", "step"):
                    tag = f"{record['stage']}/{record['part']}/{key}"
                    self._writer.add_scalar(tag, value, record["step"])
        self._writer.flush()
