"""Brightness temperatures of AMSU-A, channels 5 to 9: clear-sky microwave transfer, emulated.

    y = y₁ + (1 − ε) · 2 (y_½ − y₁)              exactly linear in the emissivity ε of the ground
    (y₁, y_½) = m + s (A f + W₃ tanh(b₂ + W₂ tanh(b₁ + W₁ f)))
    f = ((T_k − m_k)/s_k, (q_k − m_k)/s_k, (T_s − m)/s, (ln p_s − m)/s, (1/cos θ − m)/s)

T_k at 17 pressures from 1000 to 10 hPa, q_k at 8 from 1000 to 300 hPa, T_s of the air at the ground, p_s the pressure
there, θ the zenith angle of the satellite. The numbers A, W, b, m, s are fitted to a line-by-line model (pyrtlib with
the absorption of Rosenkranz) by `benchmarks/radiance_emulator.py` and lie beside this module. Slopes are by automatic
differentiation. ε is 0.93 on land and 0.55 at sea, between them where the ground is not known; at sea level it counts
for 7 K a unit in channel 5, for 0.4 K in channel 6 and for nothing above.

Where a background has no level the profile goes on as the mean one of the fit does from the outermost level; T_s is
t2m, or the profile at p_s.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

import numpy as np
import torch

from phyda_cli.constants import LAPSE_RATE
from phyda_cli.fields.standard_atmosphere import SEA_LEVEL_PRESSURE, SEA_LEVEL_TEMPERATURE, standard_pressure
from phyda_cli.fields.state import Channel
from phyda_cli.operators.kind import Floats, Ground, Mixed, Sites, Vertical, between_levels, nothing

WARM_NODES: Final = tuple(
    100.0 * p for p in (1000, 925, 850, 700, 600, 500, 400, 300, 250, 200, 150, 100, 70, 50, 30, 20, 10)
)
WET_NODES: Final = WARM_NODES[:8]
"""Pressures [Pa] of the temperatures and of the humidities that the emulator is given."""
ANY_LEVEL: Final = 50_000.0
"""A pressure [Pa] that every background has which reaches far enough."""
LAND: Final = 0.93
SEA: Final = 0.55
"""Emissivities of the ground near 54 GHz."""
STEEPEST: Final = 60.0
"""Largest zenith angle [degree] of the fit."""


@dataclass(frozen=True)
class Sounder:
    """A channel. frequency: its centre [GHz]. level: the pressure [Pa] where its weighting function has its maximum.
    top: the pressure [Pa] up to which a background must reach, at least.
    """

    channel: int
    frequency: float
    level: float
    top: float


SOUNDERS: Final = {
    f"tb{own.channel}": own
    for own in (
        Sounder(5, 53.596, 70_000.0, 10_000.0),
        Sounder(6, 54.4, 40_000.0, 10_000.0),
        Sounder(7, 54.94, 27_000.0, 10_000.0),
        Sounder(8, 55.5, 17_000.0, 5_000.0),
        Sounder(9, 57.290344, 9_000.0, 5_000.0),
    )
}
"""The channels by the short names of their brightness temperatures."""
_LOWEST: Final = 85_000.0
"""Down to here [Pa] a background must reach, at least."""


@dataclass(frozen=True)
class BrightnessTemperature(Mixed):
    """y [K] of one channel; inputs are T at 500 hPa, which only says whether there is H, T_k, q_k and t2m."""

    variable: str

    def lacks(self, variables: Collection[str]) -> tuple[str, ...]:
        return () if "t" in variables else ("t",)

    def inputs(self, channels: Sequence[Channel], sites: Sites, *, beyond: bool) -> tuple[Vertical, ...]:
        n = sites.pressure.size
        levels = [c.level for c in channels if c.variable == "t" and c.level is not None]
        nodes = [("t", p) for p in WARM_NODES] + [("q", p) for p in WET_NODES] + [("t2m", np.nan)]
        reaches = bool(levels) and max(levels) >= _LOWEST and min(levels) <= SOUNDERS[self.variable].top
        if not (reaches or beyond):
            return (nothing(n),) * (len(nodes) + 1)
        return tuple(
            between_levels(channels, name, np.full(n, p), beyond=beyond) for name, p in [("t", ANY_LEVEL), *nodes]
        )

    def value(self, inputs: Floats, sites: Sites) -> Floats:
        return np.asarray(self._seen(torch.from_numpy(inputs), sites).numpy())

    def slopes(self, inputs: Floats, sites: Sites) -> Floats:
        given = torch.from_numpy(inputs.copy()).requires_grad_()
        (slopes,) = torch.autograd.grad(self._seen(given, sites).sum(), given)
        return np.asarray(np.nan_to_num(slopes.numpy()))

    def level(self, pressure: Floats) -> Floats:
        return np.full(pressure.shape, SOUNDERS[self.variable].level)

    def ground(self, inputs: Floats, sites: Sites) -> Ground:
        black, half, temperature = self._ends(torch.from_numpy(inputs), sites)
        return Ground((2.0 * (black - half)).numpy(), temperature.numpy())

    def _seen(self, inputs: torch.Tensor, sites: Sites) -> torch.Tensor:
        """y (n,) of inputs (27, n)."""
        black, half, _ = self._ends(inputs, sites)
        land = np.where(np.isfinite(sites.land), sites.land, 0.5)
        reflected = torch.from_numpy(1.0 - (SEA + (LAND - SEA) * land))
        return torch.as_tensor(black + reflected * 2.0 * (half - black))

    def _ends(self, inputs: torch.Tensor, sites: Sites) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """y₁, y_½ and T_s (n,) of inputs (27, n)."""
        fitted = emulator()
        warm_end = 1 + len(WARM_NODES)
        warm = _filled(inputs[1:warm_end], fitted["mean"][: len(WARM_NODES)])
        wet = _filled(inputs[warm_end : warm_end + len(WET_NODES)], fitted["mean"][warm.shape[0] : -3])
        pressure = ground_pressure(sites)
        screen = inputs[warm_end + len(WET_NODES)]
        ground = torch.where(screen > 0, screen, _at(warm, pressure))
        slant = 1.0 / np.cos(np.radians(np.clip(np.abs(np.nan_to_num(sites.zenith)), 0.0, STEEPEST)))
        features = torch.cat([warm, wet, ground[None], torch.from_numpy(np.stack([np.log(pressure), slant]))])
        number = list(SOUNDERS).index(self.variable)
        black, half = emulated(fitted, features.mT)[:, [number, len(SOUNDERS) + number]].mT
        return black, half, ground


def emulated(fitted: Mapping[str, torch.Tensor], features: torch.Tensor) -> torch.Tensor:
    """Return y₁ and y_½ of the channels (n, 10) [K] for features (n, 28) in SI: T_k, q_k, T_s, ln p_s, 1/cos θ."""
    f = (features - fitted["mean"]) / fitted["size"]
    hidden = torch.tanh(f @ fitted["first"].mT + fitted["first_bias"])
    hidden = torch.tanh(hidden @ fitted["second"].mT + fitted["second_bias"])
    return fitted["out_mean"] + fitted["out_size"] * (f @ fitted["linear"].mT + hidden @ fitted["third"].mT)


@cache
def emulator() -> Mapping[str, torch.Tensor]:
    """Return the fitted numbers."""
    with files("phyda_cli.operators").joinpath("amsua.npz").open("rb") as stream, np.load(stream) as held:
        return {name: torch.from_numpy(held[name].astype(np.float64)) for name in held.files}


def ground_pressure(sites: Sites) -> Floats:
    """p_s (n,) [Pa]: the background's, or that of the standard atmosphere at its ground, or at sea level."""
    height = (SEA_LEVEL_TEMPERATURE - sites.ground_temperature) / LAPSE_RATE
    standard = np.where(np.isfinite(height), standard_pressure(np.nan_to_num(height)), SEA_LEVEL_PRESSURE)
    return np.where(np.isfinite(sites.surface_pressure), sites.surface_pressure, standard)


def _filled(profile: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    """Return a profile (k, n), from the ground up, whose missing ends (0) go on as the mean (k,) does."""
    known = profile > 0
    any_known = known.any(0)
    lowest, highest = known.int().argmax(0), known.shape[0] - 1 - known.flip(0).int().argmax(0)
    number = torch.arange(profile.shape[0])[:, None]
    nearest = torch.where(number < lowest, lowest, torch.where(number > highest, highest, number))
    moved = profile.gather(0, nearest) + mean[:, None] - mean[nearest]
    return torch.where(any_known, torch.where(known, profile, moved), mean[:, None])


def _at(profile: torch.Tensor, pressure: Floats) -> torch.Tensor:
    """Return the temperature (n,) at pressures (n,) [Pa], linear in ln p between the nodes, constant below them."""
    nodes = -np.log(np.array(WARM_NODES))
    place = np.clip(-np.log(pressure), nodes[0], nodes[-1])
    lower = np.clip(np.searchsorted(nodes, place, side="right") - 1, 0, nodes.size - 2)
    share = torch.from_numpy((place - nodes[lower]) / (nodes[lower + 1] - nodes[lower]))
    column = torch.arange(profile.shape[1])
    below, above = profile[torch.from_numpy(lower), column], profile[torch.from_numpy(lower + 1), column]
    return below + share * (above - below)
