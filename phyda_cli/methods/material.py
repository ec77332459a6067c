"""What a method may be made of beside its settings: the background, the device, files that are read when asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from phyda_cli.errors_b.background_error import BackgroundError
from phyda_cli.fields.ground import Ground
from phyda_cli.fields.state import State
from phyda_cli.grids.base import Grid
from phyda_cli.networks.checkpoint import Checkpoint


class Lagged(NamedTuple):
    """Another forecast valid at the time of the background. source: what messages call it. read: returns its state."""

    source: str
    read: Callable[[], State]


class Material(Protocol):
    """Handed to the function `make(settings, material)` of a method's file."""

    @property
    def background(self) -> State:
        """The background (channel, lat, lon), or its members (member, channel, lat, lon)."""
        ...

    @property
    def grid(self) -> Grid:
        """That of the background, or of all backgrounds that there will be."""
        ...

    @property
    def ground(self) -> Ground:
        """What is known of the background's ground."""
        ...

    @property
    def numbers(self) -> tuple[int, ...]:
        """The members' numbers; () where the background is one."""
        ...

    @property
    def lagged(self) -> tuple[Lagged, ...]:
        """Other forecasts valid at the time of the background."""
        ...

    @property
    def device(self) -> str:
        """Where to compute."""
        ...

    @property
    def seed(self) -> int:
        """Of every random number."""
        ...

    def background_error(self, path: Path | None, *, option: str = "--weights") -> BackgroundError:
        """Return the statistics of a file, or those shipped. option: how a user names the file.

        Raises BadDataError for a file that is none, ConfigError for shipped statistics that are missing or damaged.
        """
        ...

    def checkpoint(self, path: Path | None) -> Checkpoint:
        """Return the learned model of a file, or the one shipped. Raises as `background_error` does."""
        ...
