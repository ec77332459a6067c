"""What each observed variable sees of a column: one kind for each way of looking, in one registry.

    y = f(g_1, …, g_m) + c,      g_j = Σ_k a_jk x[channel_jk] interpolated to the place

An input g_j is linear: weights a over the channels of the column. f and its slopes ∂f/∂g_j are the identity and 1 for
every kind but those that say otherwise. c is a constant of the row.

    a level             x(p), linear in ln p between the two levels that enclose p; a single-level field as it is
    z                   the same of what z has above the standard atmosphere s: c = s(p) − Σ a s(p_k)
    t2m, d2m            brought to the station's height: c = −Γ δ,    δ = h_station − h_ground
    sp                  brought to the station's height: f = k sp (1 − Γ δ/T)^(g/(R_d Γ)),    T = t2m, or the standard
                        one, k as if each grid point's sp were brought there;
                        without sp from msl:  f = msl (1 − Γ h/T₀)^(g/(R_d Γ)),    T₀ = T + Γ (h − δ),   h = h_station
    tcwv                the field of it, or where the channels have none the column ∫ q dp/g (`fields/column.py`)

With `beyond` an increment goes on outside the levels: constant below the lowest one, linear in ln p to zero at half the
pressure of the highest. Otherwise H is defined from the highest to the lowest level only. Increments without a channel
of sp move it by as much of ln p as msl: a_sp = sp/p₀ of msl.
Source: UFO's surface operators, which bring pressure to the station in this way; ICAO (Doc 7488) for Γ.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.constants import GRAVITY, LAPSE_RATE, R_DRY
from phyda_cli.fields.column import column_weights
from phyda_cli.fields.standard_atmosphere import SEA_LEVEL_PRESSURE, SEA_LEVEL_TEMPERATURE, standard_height
from phyda_cli.fields.state import Channel

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_LEVEL_TOLERANCE: Final = 1e-6
"""How far (in ln p) beyond the outermost level an observation may lie by rounding and still count as on it."""
_WATER_LEVEL: Final = 85_000.0
"""Half of the water of a column with a scale height of 2 km is below this pressure [Pa]."""
_EXPONENT: Final = GRAVITY / (R_DRY * LAPSE_RATE)


class Sites(NamedTuple):
    """What is known about n observations of one variable.

    pressure: [Pa]. surface_pressure: of the background there [Pa], NaN unless known. difference: δ [m], NaN unless
    known. ground_temperature: of the standard atmosphere at the background's ground [K]. height: of the station [m].
    relief: k.
    """

    pressure: Floats
    surface_pressure: Floats
    difference: Floats
    ground_temperature: Floats
    height: Floats
    relief: Floats


class Vertical(NamedTuple):
    """channel, weight: (n, k) of one input; a channel of −1 stands for none."""

    channel: Integers
    weight: Floats


class Kind(Protocol):
    """One way of looking at a column."""

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

    def level(self, pressure: Floats) -> Floats:
        """Return the pressure (n,) [Pa] that stands for what is seen, NaN for the ground."""
        ...

    def integrates(self, channels: Sequence[Channel]) -> bool:
        """Return whether of these channels a whole column is seen, not one place."""
        ...


@dataclass(frozen=True)
class Level:
    """A variable on its levels, or a single-level field: linear."""

    variable: str

    def inputs(self, channels: Sequence[Channel], sites: Sites, *, beyond: bool) -> tuple[Vertical, ...]:
        return (between_levels(channels, self.variable, sites.pressure, beyond=beyond),)

    def constant(self, first: Vertical, channels: Sequence[Channel], sites: Sites) -> Floats:
        return np.zeros(sites.pressure.shape)

    def value(self, inputs: Floats, sites: Sites) -> Floats:
        return np.asarray(inputs[0])

    def slopes(self, inputs: Floats, sites: Sites) -> Floats:
        return np.concatenate([np.ones((1, inputs.shape[1])), np.zeros((len(inputs) - 1, inputs.shape[1]))])

    def level(self, pressure: Floats) -> Floats:
        return pressure

    def integrates(self, channels: Sequence[Channel]) -> bool:
        return False


class Geopotential(Level):
    """Geopotential bends in ln p; what it has above the standard atmosphere hardly does."""

    def constant(self, first: Vertical, channels: Sequence[Channel], sites: Sites) -> Floats:
        standard = np.array([0.0 if c.level is None else GRAVITY * float(standard_height(c.level)) for c in channels])
        with np.errstate(invalid="ignore"):
            own = GRAVITY * standard_height(sites.pressure)
        return np.asarray(own - (first.weight * standard[first.channel]).sum(1))


class ScreenTemperature(Level):
    """t2m or d2m at the station's height, as it is where δ is not known.

    Where relative humidity goes on with height the dew point falls by Γ (T_d/T)², which is near Γ.
    """

    def constant(self, first: Vertical, channels: Sequence[Channel], sites: Sites) -> Floats:
        return -LAPSE_RATE * np.nan_to_num(sites.difference)


class StationPressure(Level):
    """sp at the station's height, as it is where δ is not known; without sp that of msl there.

    The second input is t2m, 0 where there is none; the third is 1 · msl where the first is msl, else 0.
    """

    def inputs(self, channels: Sequence[Channel], sites: Sites, *, beyond: bool) -> tuple[Vertical, ...]:
        own = super().inputs(channels, sites, beyond=beyond)[0]
        temperature = between_levels(channels, "t2m", sites.pressure, beyond=beyond)
        if Channel(self.variable) in channels or Channel("msl") not in channels:
            return own, temperature, _nothing(sites.pressure.size)
        reduced = between_levels(channels, "msl", sites.pressure, beyond=beyond)
        if beyond:
            part = np.nan_to_num(sites.surface_pressure / SEA_LEVEL_PRESSURE, nan=1.0)
            return Vertical(reduced.channel, reduced.weight * part[:, None]), temperature, reduced
        known = np.isfinite(sites.height)[:, None]
        reduced = Vertical(np.where(known, reduced.channel, -1), reduced.weight)
        return reduced, temperature, reduced

    def value(self, inputs: Floats, sites: Sites) -> Floats:
        return np.asarray(inputs[0] * self._factor(inputs, sites))

    def slopes(self, inputs: Floats, sites: Sites) -> Floats:
        base, of_pressure = self._base(inputs, sites), self._factor(inputs, sites)
        reduced, below = self._fall(inputs, sites)
        with np.errstate(divide="ignore", invalid="ignore"):
            shift = inputs[0] * _EXPONENT * of_pressure / base * LAPSE_RATE * below / reduced**2
        known = (base > 0) & (inputs[1] > 0) & np.isfinite(shift)
        return np.stack([of_pressure, np.where(known, shift, 0.0), np.zeros_like(base)])

    def _factor(self, inputs: Floats, sites: Sites) -> Floats:
        relief = np.where(inputs[2] > 0, 1.0, sites.relief)
        return np.asarray(relief * self._base(inputs, sites) ** _EXPONENT)

    def _base(self, inputs: Floats, sites: Sites) -> Floats:
        temperature, below = self._fall(inputs, sites)
        with np.errstate(divide="ignore", invalid="ignore"):
            base = 1.0 - LAPSE_RATE * below / temperature
        return np.where(np.isfinite(base), np.maximum(base, 0.0), 1.0)

    def _fall(self, inputs: Floats, sites: Sites) -> tuple[Floats, Floats]:
        """T or T₀ [K] where the pressure is given, and how far [m] the station is above that."""
        standard = np.where(np.isfinite(sites.ground_temperature), sites.ground_temperature, SEA_LEVEL_TEMPERATURE)
        ground = np.where(inputs[1] > 0, inputs[1], standard)
        above_sea = np.nan_to_num(sites.height - sites.difference)  # of the ground
        reduced = inputs[2] > 0
        return np.where(reduced, ground + LAPSE_RATE * above_sea, ground), np.where(
            reduced, sites.height, sites.difference
        )


class WaterColumn(Level):
    """Total column water vapour: its own field, or the integral of q over the levels that there are."""

    def inputs(self, channels: Sequence[Channel], sites: Sites, *, beyond: bool) -> tuple[Vertical, ...]:
        if Channel(self.variable) in channels:
            return super().inputs(channels, sites, beyond=beyond)
        held = [(number, c.level) for number, c in enumerate(channels) if c.variable == "q" and c.level is not None]
        n = sites.pressure.size
        if not held or not (beyond or _spans(level for _, level in held)):
            return (_nothing(n),)
        surface = np.where(np.isfinite(sites.surface_pressure), sites.surface_pressure, SEA_LEVEL_PRESSURE)
        weights = column_weights([level for _, level in held], torch.from_numpy(surface)).numpy().T
        return (Vertical(np.tile(np.array([number for number, _ in held]), (n, 1)), np.ascontiguousarray(weights)),)

    def level(self, pressure: Floats) -> Floats:
        return np.full(pressure.shape, _WATER_LEVEL)

    def integrates(self, channels: Sequence[Channel]) -> bool:
        return Channel(self.variable) not in channels


KINDS: Final[dict[str, Kind]] = {
    kind.variable: kind
    for kind in (
        Geopotential("z"),
        ScreenTemperature("t2m"),
        ScreenTemperature("d2m"),
        StationPressure("sp"),
        WaterColumn("tcwv"),
    )
}
"""The kinds that are more than a level; every other variable is a `Level`."""


def kind_of(variable: str) -> Kind:
    """Return how a variable is observed."""
    return KINDS.get(variable) or Level(variable)


def station_pressure(pressure: Floats, temperature: Floats, above: Floats) -> Floats:
    """p (1 − Γ δ/T)^(g/(R_d Γ)) [Pa] so far [m] above where pressure and temperature are."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(pressure * np.maximum(1.0 - LAPSE_RATE * above / temperature, 0.0) ** _EXPONENT)


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


def _nothing(n: int) -> Vertical:
    return Vertical(np.full((n, 1), -1, dtype=np.int64), np.zeros((n, 1)))


def _spans(levels: Iterable[float]) -> bool:
    """Return whether levels hold nearly all water of a column: from 850 hPa or below to 500 hPa or above."""
    held = list(levels)
    return max(held) >= _WATER_LEVEL and min(held) <= 50_000.0
