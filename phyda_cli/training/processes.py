"""Processes that share a training: what each holds, and how they come together (`torchrun`).

    replicated (DDP)    each process holds all parameters; gradients are averaged: g = (1/P) Σ_p g_p
    sharded (FSDP)      each holds a P-th of parameters, average and moments; a block's parameters are gathered when it
                        computes, its gradients are averaged into the shards

Every process takes its share of each batch, so that both are the training of one process up to rounding. gloo on CPU,
NCCL on CUDA, one card a process. When a process is lost torchrun (`--max-restarts`) starts all anew, also in another
number, and the training goes on from its last state. Source: Rajbhandari et al. (2020), ZeRO, stage 3.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import torch
from torch import distributed, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from phyda_cli.errors import ConfigError
from phyda_cli.networks.layers import Attention, Residual

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
    """Join the group that the environment of `torchrun` describes.

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
    """Return a number of the environment. Raises ConfigError when it is none."""
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise ConfigError(f"{name}={text!r} is no number; unset it, or start with torchrun")
    return int(text)


def shard(module: nn.Module) -> None:
    """Leave each process of the group its part of what is trained, in place; frozen networks and buffers stay whole.

    What frozen networks are asked for may depend on a process's cases, and gathering is done by all together.
    """
    frozen = {parameter for parameter in module.parameters() if not parameter.requires_grad}
    for inner in module.modules():
        if isinstance(inner, Residual | Attention) and not frozen.intersection(inner.parameters()):
            fully_shard(inner)
    fully_shard(module, ignored_params=frozen)


def whole(value: torch.Tensor) -> torch.Tensor:
    """Return a tensor with the parts of all processes, all of which must ask for it."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def laid_out(value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return this process's part of a whole tensor, where `like` has been shared out; all processes must ask."""
    return distribute_tensor(value, like.device_mesh, like.placements) if isinstance(like, DTensor) else value


def averaged(values: torch.Tensor, world: int) -> torch.Tensor:
    """Return the mean over the processes."""
    if world > 1:
        distributed.all_reduce(values)
    return values / world
