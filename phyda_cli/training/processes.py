"""The processes that share a training: those of `torchrun`, or this one alone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import torch
from torch import distributed

from phyda_cli.errors import ConfigError

PATIENCE: Final = timedelta(hours=24)
"""How long processes wait for each other: the first makes the cases while the others wait."""


@dataclass(frozen=True)
class Processes:
    """rank: this process's number of `world`. device: its own."""

    rank: int
    world: int
    device: torch.device

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.world > 1:
            distributed.barrier()


@contextlib.contextmanager
def process_group(device: str) -> Iterator[Processes]:
    """Join the group that the environment of `torchrun` describes: gloo on CPU, NCCL on CUDA, one card a process.

    device: cpu or cuda. Raises ConfigError when the environment is incomplete or has more processes than cards.
    """
    world, rank, local = (
        _number(name, default) for name, default in (("WORLD_SIZE", 1), ("RANK", 0), ("LOCAL_RANK", 0))
    )
    if world == 1:
        yield Processes(0, 1, torch.device(device))
        return
    if device == "cuda":
        if local >= torch.cuda.device_count():
            raise ConfigError(f"LOCAL_RANK={local}: this machine has {torch.cuda.device_count()} CUDA devices")
        torch.cuda.set_device(local)
    try:
        distributed.init_process_group("nccl" if device == "cuda" else "gloo", timeout=PATIENCE)
    except (ValueError, RuntimeError) as error:
        raise ConfigError(
            f"WORLD_SIZE={world}: the processes do not find each other ({error}); use torchrun"
        ) from error
    try:
        yield Processes(rank, world, torch.device("cuda", local) if device == "cuda" else torch.device("cpu"))
    finally:
        distributed.destroy_process_group()


def _number(name: str, default: int) -> int:
    """A number of the environment. Raises ConfigError when it is none."""
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise ConfigError(f"{name}={text!r} is no number; unset it, or start with torchrun")
    return int(text)
