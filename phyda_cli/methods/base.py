"""The seam between the command and the methods: what an assimilation method gets and what it returns."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.errors_b.error_scale import ErrorScale
from phyda_cli.fields.state import Channel, State


@dataclass(frozen=True)
class Departures:
    """The observations that passed quality control, as a method sees them (n of them).

    channel variable and pressure [Pa, NaN for single-level]: where the observation lives.
    latitude, longitude: degrees, longitude in [0, 360).
    departure: y − H(x_b), SI. error: σ_o, SI.
    equivalents: H(x_i) (member, n), SI, of the members of a background that is an ensemble; H(x_b) is their mean.
    """

    variable: NDArray[np.object_]
    pressure: NDArray[np.float64]
    latitude: NDArray[np.float64]
    longitude: NDArray[np.float64]
    departure: NDArray[np.float64]
    error: NDArray[np.float64]
    equivalents: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return int(self.departure.shape[0])

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> Departures:
        """The rows of an index or mask, in that order."""
        columns: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: x[..., index] for name, x in columns.items() if x is not None})


@dataclass(frozen=True)
class Increment:
    """What a method returns, on the method's own grid and channels.

    mean: δ = x_a − x_b as a State. spread: analysis standard deviation, or None where the method has none.
    members: (member, channel, lat, lon) increments, each from the background, or where that is an ensemble from its own
    member of it; or None.
    log: what a reader of the log should know (scale used, iterations, cost before and after).
    """

    mean: State
    spread: State | None = None
    members: torch.Tensor | None = None
    log: dict[str, float | int | str] | None = None


class Method(Protocol):
    """An assimilation method: background and departures in, increment out. No I/O."""

    @property
    def name(self) -> str:
        """The name by which the command knows the method."""
        ...

    def channels(self) -> tuple[Channel, ...]:
        """The channels that the method can update."""
        ...

    def scaled(self, scale: ErrorScale) -> Method:
        """The same method for background errors that are larger by these factors."""
        ...

    def without_members(self) -> Method:
        """The same method for the mean alone: what a trial analysis needs."""
        ...

    def background_error(self) -> State:
        """σ_b on the method's grid and channels, SI, as used (after any scaling)."""
        ...

    def prior_members(self) -> torch.Tensor | None:
        """Draws of the background error (member, channel, lat, lon), SI: the members when nothing is observed.

        None where the method has no members.
        """
        ...

    def increment(self, background: State, departures: Departures) -> Increment:
        """The increment on the method's own grid. Zero departures make a zero increment."""
        ...


@runtime_checkable
class EnsembleMethod(Method, Protocol):
    """A method for a background that is an ensemble: its departures carry H(x_i), and it moves every member.

    The mean that `increment` returns is that of the members.
    """

    @property
    def background_members(self) -> State:
        """The background's members (member, channel, lat, lon), SI."""
        ...
