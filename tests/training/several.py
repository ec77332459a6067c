"""Run as a script: one training by several processes at once, and some of them ended by SIGKILL.

several.py PLACE DIRECTORY        →  DIRECTORY/NAME for every name of RUNS

A process that is killed makes torchrun end the others and start all anew; here the script does what torchrun does.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch

from phyda_cli.training import loop
from phyda_cli.training.config import TrainConfig
from phyda_cli.training.processes import process_group
from phyda_cli.training.run import train
from tests.training.material import ABOUT, place_in, tiny


class Run(NamedTuple):
    """world: processes. then: as many go on after the last process was killed in the encoder's third step."""

    world: int
    then: int | None = None
    sharded: bool = False


RUNS: Final = {
    "one": Run(1),
    "two": Run(2),
    "two-killed": Run(2, then=2),
    "two-killed-then-four": Run(2, then=4),
    "one-killed-then-two-sharded": Run(1, then=2, sharded=True),
}
"""The encoder is the second of the stages, each of which has three steps and saves a state after the second."""
_STEPS: Final = 3
_CASES: Final = 6
"""Cases of the validation: four processes do not share them evenly."""


def config(sharded: bool) -> TrainConfig:
    """The preset in single precision, shorter."""
    changes = {"steps": _STEPS, "validate_every": 2, "save_every": 2}
    stages = {name: stage.model_copy(update=changes) for name, stage in tiny().stages.items()}
    return tiny(precision="float32", sharded=sharded, stages=stages)


def work(place, data, directory: Path, run: Run, *, kill: bool) -> None:
    """Be one process of a training; with `kill` end in the encoder's third step."""
    if kill:
        inner, calls = loop._require_finite, 0

        def killing(*args, **kwargs):
            nonlocal calls
            calls += 1
            if calls == 2 * _STEPS:
                os.kill(os.getpid(), signal.SIGKILL)
            return inner(*args, **kwargs)

        loop._require_finite = killing
    with process_group("cpu") as group:
        own = loop.Workplace(directory, group.device, group.rank, group.world)
        train(config(run.sharded), data, own, about=ABOUT, start=None, progress=lambda *_: None)


def start(place, data, directory: Path, run: Run, world: int, *, kill: bool) -> list[int]:
    """Fork the processes and wait for all; their wait statuses. When one is killed the others are ended."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(world):
        child = os.fork()
        if child == 0:
            os.environ |= {
                "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world),
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
            }  # fmt: skip
            try:
                work(place, data, directory, run, kill=kill and rank == world - 1)
            except BaseException as error:
                if not kill:
                    print(f"{directory.name}, {rank}: {error!r}", file=sys.stderr)
                os._exit(1)
            os._exit(0)
        children.append(child)
    return [os.waitpid(child, 0)[1] for child in children]


def main() -> None:
    """Run them all."""
    place, directory = place_in(Path(sys.argv[1])), Path(sys.argv[2])
    data = place.data()
    data = replace(data, validation=data.validation.rows(range(_CASES)))
    torch.optim.AdamW([torch.zeros(1, requires_grad=True)])  # its first use imports for seconds: once
    for name, run in RUNS.items():
        (directory / name).mkdir()
        if run.then is not None:
            statuses = start(place, data, directory / name, run, run.world, kill=True)
            if not os.WIFSIGNALED(statuses[-1]) or (directory / name / "encoder.safetensors").exists():
                sys.exit(f"{name}: was not killed ({statuses})")
        if any(start(place, data, directory / name, run, run.then or run.world, kill=False)):
            sys.exit(f"{name}: failed")


if __name__ == "__main__":
    main()
