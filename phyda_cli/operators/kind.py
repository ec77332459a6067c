"""The seam of the kinds: what one way of looking at a column gives, and the plain one, a level.

    y = f(g_1, …, g_m) + c,      g_j = Σ_k a_jk x[channel_jk] interpolated to the place

An input g_j is linear: weights a over the channels of the column. f and its slopes ∂f/∂g_j are the identity and 1 of a
level. c is a constant of the row. With `beyond` an increment goes on outside the levels: constant below the lowest one,
linear in ln p to zero at half the pressure of the highest. Otherwise H is defined from the highest to the lowest level
only.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from phyda_cli.fields.refractivity import BEVIS, Coefficients
from phyda_cli.fields.state import Channel

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_LEVEL_TOLERANCE: Final = 1e-6
"""How far (in ln p) beyond the outermost level an observation may lie by rounding and still count as on it."""

WATER_LEVEL: Final = 85_000.0
"""Half of the water of a column with a scale height of 2 km is below this pressure [Pa]."""


class Sites(NamedTuple):
    """What is known about n observations of one variable.

    pressure: [Pa]. surface_pressure: of the background there [Pa], NaN unless known. difference: δ [m], NaN unless
    known. ground_temperature: of the standard atmosphere at the background's ground [K]. height: of the station, or of
    what is placed by height [m]. relief: k. land: 1 on land, 0 at sea, NaN unless known. latitude: [degree]. zenith: of
    the satellite [degree], top: of a layer [Pa], NaN for none. below, above: the background's levels [Pa] around that
    height, NaN where it has none. coefficients: of refractivity.
    """

    pressure: Floats
    surface_pressure: Floats
    difference: Floats
    ground_temperature: Floats
    height: Floats
    relief: Floats
    land: Floats
    latitude: Floats
    zenith: Floats
    top: Floats
    below: Floats
    above: Floats
    coefficients: Coefficients = BEVIS


class Vertical(NamedTuple):
    """channel, weight: (n, k) of one input; a channel of −1 stands for none."""

    channel: Integers
    weight: Floats


class Ground(NamedTuple):
    """What n observations see of the ground. slope: (n,) ∂y/∂ε, of its emissivity; 0 for what does not see it.

    temperature: (n,) of the air there [K], NaN for what does not see it.
    """

    slope: Floats
    temperature: Floats


class Kind(Protocol):
    """One way of looking at a column."""

    def lacks(self, variables: Collection[str]) -> tuple[str, ...]:
        """Return the variables that it would need beside these, none where they are enough."""
        ...

    def inputs(self, channels: Sequence[Channel], sites: Sites, *, beyond: bool) -> tuple[Vertical, ...]:
        """Return the inputs that these channels give, at least one."""
        ...

    def constant(self, first: Vertical, channels: Sequence[Channel], sites: Sites) -> Floats:
        """c (n,) of full states."""
        ...

    def value(self, inputs: Floats, sites: Sites) -> Floats:
        """f (n,) of inputs (m, n)."""
        ...

    def slopes(self, inputs: Floats, sites: Sites) -> Floats:
        """∂f/∂g (m, n) at inputs (m, n)."""
        ...

    def spread(self, first: Floats) -> Floats:
        """Return the standard deviation (n,) of y by that of its first input, as if all its errors were one, or NaN."""
        ...

    def level(self, pressure: Floats) -> Floats:
        """Return the pressure (n,) [Pa] that stands for what is seen, NaN for the ground."""
        ...

    def integrates(self, channels: Sequence[Channel]) -> bool:
        """Return whether several of these channels are seen at once, not one of them at one place."""
        ...


@runtime_checkable
class SeesGround(Protocol):
    """A kind that looks down to the ground."""

    def ground(self, inputs: Floats, sites: Sites) -> Ground:
        """Return what is seen of the ground at inputs (m, n)."""
        ...


@dataclass(frozen=True)
class Level:
    """A variable on its levels, or a single-level field: linear."""

    variable: str

    def lacks(self, variables: Collection[str]) -> tuple[str, ...]:
        return () if self.variable in variables else (self.variable,)

    def inputs(self, channels: Sequence[Channel], sites: Sites, *, beyond: bool) -> tuple[Vertical, ...]:
        return (between_levels(channels, self.variable, sites.pressure, beyond=beyond),)

    def constant(self, first: Vertical, channels: Sequence[Channel], sites: Sites) -> Floats:
        return np.zeros(sites.pressure.shape)

    def value(self, inputs: Floats, sites: Sites) -> Floats:
        return np.asarray(inputs[0])

    def slopes(self, inputs: Floats, sites: Sites) -> Floats:
        return np.concatenate([np.ones((1, inputs.shape[1])), np.zeros((len(inputs) - 1, inputs.shape[1]))])

    def spread(self, first: Floats) -> Floats:
        return first

    def level(self, pressure: Floats) -> Floats:
        return pressure

    def integrates(self, channels: Sequence[Channel]) -> bool:
        return False


class Mixed(Level):
    """What several variables together make: no spread of one input is that of y, and no one place holds it."""

    def spread(self, first: Floats) -> Floats:
        return np.full(first.shape, np.nan)

    def integrates(self, channels: Sequence[Channel]) -> bool:
        return True


def between_levels(channels: Sequence[Channel], variable: str, pressure: Floats, *, beyond: bool) -> Vertical:
    """Return the two channels around each pressure (n,) and their weights, or the single-level field; none where
    undefined.
    """
    n = pressure.size
    index, weight = np.full((n, 2), -1, dtype=np.int64), np.zeros((n, 2))
    held = [(c.level, position) for position, c in enumerate(channels) if c.variable == variable]
    single = [position for level, position in held if level is None]
    if single:
        index[:], weight[:] = single[0], np.array([1.0, 0.0])
    levels = sorted((float(np.log(level)), position) for level, position in held if level is not None)
    if single or not levels:
        return Vertical(index, weight)
    nodes, positions = np.array([ln for ln, _ in levels]), np.array([position for _, position in levels])
    with np.errstate(divide="ignore", invalid="ignore"):
        at = np.log(pressure)
    inside = (at >= nodes[0] - _LEVEL_TOLERANCE) & (at <= nodes[-1] + _LEVEL_TOLERANCE)
    rows = np.flatnonzero(np.isfinite(at) if beyond else inside)
    at = at[rows]
    upper = np.clip(np.searchsorted(nodes, at, side="right") - 1, 0, max(nodes.size - 2, 0))
    lower = np.minimum(upper + 1, nodes.size - 1)
    width = np.where(lower > upper, nodes[lower] - nodes[upper], 1.0)
    fraction = np.where(lower > upper, np.clip((at - nodes[upper]) / width, 0.0, 1.0), 0.0)
    fade = np.clip(1.0 + (at - nodes[0]) / np.log(2.0), 0.0, 1.0) if beyond else np.ones_like(at)
    index[rows] = np.stack([positions[upper], positions[lower]], axis=1)
    weight[rows] = np.stack([1.0 - fraction, fraction], axis=1) * fade[:, None]
    return Vertical(index, weight)


def nothing(n: int) -> Vertical:
    """Return an input that no channel gives."""
    return Vertical(np.full((n, 1), -1, dtype=np.int64), np.zeros((n, 1)))


def holds_water(levels: Sequence[float]) -> bool:
    """Return whether levels [Pa] hold nearly all water of a column: from 850 hPa or below to 500 hPa or above."""
    return max(levels) >= WATER_LEVEL and min(levels) <= 50_000.0
