"""Nothing is written that is not finite: fields are checked as they are asked for, one at a time."""

from __future__ import annotations

from pathlib import Path

import torch

from phyda_cli.errors import BadDataError
from phyda_cli.fields.state import Channel, Planes, PlanesOnDemand, State


def require_finite(path: Path, state: State, what: str) -> None:
    """Raise BadDataError where a state is not finite."""
    checked = finite(path, state, what)
    for channel in state.channels:
        checked.plane(channel)


def checked_finite(path: Path, state: State, what: str) -> State:
    """Return a state. Raises BadDataError where it is not finite."""
    require_finite(path, state, what)
    return state


def finite(path: Path, fields: Planes, what: str) -> Planes:
    """Return fields that raise BadDataError where one is asked for that is not finite."""

    def made(channel: Channel) -> torch.Tensor:
        plane = fields.plane(channel)
        bad = plane.numel() - int(plane.isfinite().sum())
        if bad:
            raise BadDataError(f"{path}: not written: {bad} values of the {what} of {channel} are not finite")
        return plane

    return PlanesOnDemand(made, fields.channels, fields.grid)
