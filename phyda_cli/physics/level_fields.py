"""The five fields of the dynamics on their shared pressure levels, taken from a state's channels and put back.

Inside the physics, fields are (…, level, lat, lon) with levels from the top down; a state's channels come in any order
and may hold more than these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import torch

from phyda_cli.constants import EPSILON
from phyda_cli.errors import BadDataError
from phyda_cli.fields.state import Channel

VARIABLES: Final = ("u", "v", "t", "q", "z")


class LevelFields(NamedTuple):
    """u, v [m s-1], t [K], q [kg kg-1], z (geopotential) [m2 s-2], or their rates of change [per s].

    Each (…, level, lat, lon), levels from the top down.
    """

    u: torch.Tensor
    v: torch.Tensor
    t: torch.Tensor
    q: torch.Tensor
    z: torch.Tensor

    @property
    def virtual_temperature(self) -> torch.Tensor:
        """T_v = T (1 + (1/ε − 1) q) [K]."""
        return self.t * (1.0 + (1.0 / EPSILON - 1.0) * self.q)


class LevelChannels:
    """Where u, v, t, q, z lie among the channels of a state.

    pressures: (L,) the shared levels from the top down [Pa].
    Raises BadDataError when one of the five is missing or they are not on the same levels.
    """

    def __init__(self, channels: Sequence[Channel]) -> None:
        levels = {name: {c.level for c in channels if c.variable == name and c.level is not None} for name in VARIABLES}
        if not levels["u"] or any(levels[name] != levels["u"] for name in VARIABLES):
            found = ", ".join(f"{name}: {len(levels[name])}" for name in VARIABLES)
            raise BadDataError(f"the physics needs u, v, t, q and z on the same levels, found levels {found}")
        self.pressures = tuple(sorted(level for level in levels["u"] if level is not None))
        self.size = len(channels)
        self._index = [list(channels).index(Channel(name, p)) for name in VARIABLES for p in self.pressures]

    def take(self, values: torch.Tensor) -> LevelFields:
        """Return the fields of values (…, channel, lat, lon)."""
        index = torch.tensor(self._index, device=values.device)
        return LevelFields(*values.index_select(-3, index).chunk(len(VARIABLES), dim=-3))

    def put(self, fields: LevelFields) -> torch.Tensor:
        """(…, channel, lat, lon) with the fields in their channels and zero in all others."""
        stacked = torch.cat(tuple(fields), dim=-3)
        target = stacked.new_zeros(*stacked.shape[:-3], self.size, *stacked.shape[-2:])
        return target.index_copy(-3, torch.tensor(self._index, device=stacked.device), stacked)
