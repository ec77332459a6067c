"""Run as a script: trainings that SIGKILL ends at chosen moments, each in a child process of its own.

killed.py PLACE DIRECTORY        →  DIRECTORY/MOMENT for every moment
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch

from phyda_cli import outputs as atomic
from phyda_cli.training import loop
from phyda_cli.training import run as whole
from tests.training.material import place_in, run


class Moment(NamedTuple):
    """module.name is replaced by a function that kills in its `call`-th call, before or after its work."""

    module: object
    name: str
    call: int
    after: bool
    resumes: tuple[str, int]
    """Stage and step from which the next run must go on."""


MOMENTS = {
    "before-the-first-state": Moment(loop, "_require_finite", 3, False, ("autoencoder", 0)),
    "between-states": Moment(loop, "_require_finite", 6 + 5, False, ("encoder", 3)),
    "while-a-state-is-written": Moment(atomic.os, "replace", 4 + 3, False, ("encoder", 3)),
    "while-a-stage-is-written": Moment(whole, "to_bytes", 3, False, ("score", 6)),
    "while-the-last-is-written": Moment(whole, "to_bytes", 4, True, ("calibration", 0)),
}
"""Every stage has 6 steps; it replaces the journal, the state after the third and the sixth step, and its own file."""


def killing(inner: Callable, moment: Moment) -> Callable:
    """The function, with SIGKILL in its chosen call."""
    calls = 0

    def wrapped(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == moment.call and not moment.after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = inner(*args, **kwargs)
        if calls == moment.call:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return wrapped


def main() -> None:
    """Run and kill them all."""
    place, directory = place_in(Path(sys.argv[1])), Path(sys.argv[2])
    data = place.data()
    torch.optim.AdamW(
        [torch.zeros(1, requires_grad=True)]
    )  # its first use imports for seconds: once, not in each child
    for name, moment in MOMENTS.items():
        child = os.fork()
        if child == 0:
            setattr(moment.module, moment.name, killing(getattr(moment.module, moment.name), moment))
            run(place, directory / name, data=data)
            os._exit(1)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
            sys.exit(f"{name}: was not killed ({status})")


if __name__ == "__main__":
    main()
