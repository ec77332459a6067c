"""The typed state of the atmosphere: a stack of horizontal fields on one grid, valid at one time.

A state is x ∈ R^(channels × lat × lon); a channel is one variable at one level. Leading axes are members or cases.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
import torch

from phyda_cli.errors import BadDataError
from phyda_cli.fields.variables import VARIABLES
from phyda_cli.grids.base import Grid


class Channel(NamedTuple):
    """One variable at one level.

    variable: short name, a key of `VARIABLES`.
    level: pressure [Pa], or None for a single-level field.
    """

    variable: str
    level: float | None = None

    def __str__(self) -> str:
        return self.variable if self.level is None else f"{self.variable}{self.level / 100:g}"


@dataclass(frozen=True)
class State:
    """Fields on one grid at one time.

    values: (…, channel, lat, lon), SI units, canonical orientation of `grid`.
    channels: what each entry of the channel axis is; no channel twice.
    grid: the horizontal grid.
    time: valid time (UTC).
    Raises BadDataError when shape and labels disagree.
    """

    values: torch.Tensor
    channels: tuple[Channel, ...]
    grid: Grid
    time: np.datetime64

    def __post_init__(self) -> None:
        expected = (len(self.channels), *self.grid.shape)
        if tuple(self.values.shape[-3:]) != expected:
            raise BadDataError(f"state values have shape {tuple(self.values.shape)}, the labels say {expected}")
        if len(set(self.channels)) != len(self.channels):
            raise BadDataError("a state holds the same channel twice")
        unknown = [c.variable for c in self.channels if c.variable not in VARIABLES]
        if unknown:
            raise BadDataError(f"unknown variable {unknown[0]!r} in a state")

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables present, in order of first appearance."""
        return tuple(dict.fromkeys(channel.variable for channel in self.channels))

    def levels(self, variable: str) -> tuple[float, ...]:
        """Return the pressure levels [Pa] of one variable, in the order of the channels; empty for a single-level
        field.
        """
        return tuple(c.level for c in self.channels if c.variable == variable and c.level is not None)

    def index(self, channel: Channel) -> int:
        """Position of a channel on the channel axis. Raises BadDataError when the state does not hold it."""
        try:
            return self.channels.index(channel)
        except ValueError:
            raise BadDataError(f"the state holds no {channel}") from None

    def plane(self, channel: Channel) -> torch.Tensor:
        """(…, lat, lon) of one channel. Raises BadDataError when the state does not hold it."""
        return self.values[..., self.index(channel), :, :]

    def select(self, channels: tuple[Channel, ...]) -> State:
        """Return the state with just these channels, in this order."""
        index = torch.tensor([self.index(c) for c in channels], device=self.values.device, dtype=torch.long)
        return replace(self, values=self.values.index_select(-3, index), channels=channels)


class Planes(Protocol):
    """Fields that are asked for one channel at a time: a State, or `PlanesOnDemand`."""

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Those that there are."""
        ...

    @property
    def grid(self) -> Grid:
        """Of every field."""
        ...

    def plane(self, channel: Channel) -> torch.Tensor:
        """(…, lat, lon) of one channel."""
        ...


@dataclass(frozen=True)
class PlanesOnDemand:
    """Fields that are made when they are asked for, so that a fine grid's are never in memory together.

    made: a channel's field (lat, lon), SI.
    """

    made: Callable[[Channel], torch.Tensor]
    channels: tuple[Channel, ...]
    grid: Grid

    def plane(self, channel: Channel) -> torch.Tensor:
        """(lat, lon) of one channel."""
        return self.made(channel)
