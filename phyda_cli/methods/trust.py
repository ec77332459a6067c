"""How far a learned correction is to be trusted, judged by observations that it has not seen.

The departures are split by their places into two halves, A and B. 3D-Var's x_g and the reconstruction μ are made from A
and compared with B, in three bands of latitude with shares w_k(φ), Σ_k w_k = 1:

    r = d − H x_g,    c = H (μ − x_g),    v = σ_o² + s² σ_b²                              at B
    P_k = Σ w_k r c / v + f P_k',     Q_k = Σ w_k c² / v + f Q_k'         P', Q': the same of the analysis before
    τ_k = (P_k + κ τ₀) / (Q_k + κ),    within [0, 1];    τ(φ) = Σ_k w_k(φ) τ_k

is the factor on c that leaves least of r, drawn to τ₀ with the weight κ: first for each variable on the whole globe
with τ₀ = 0.7, then for the variable in each band, then for each of its channels there, each with the τ before as τ₀.
Where errors are like those of the training τ comes near 1; where they are not, as against a climatology or another
model's stratosphere, the analysis falls back to 3D-Var. One analysis tells little of a channel in a band; in a cycle
the sums go on with the forgetting f, so that a correction which does harm there is found out within days. An
observation between levels counts for the nearest one. Source: stacked regressions (Breiman 1996), with two members.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.fields.state import Channel
from phyda_cli.methods.base import Departures, Memory

WEIGHT: Final = 5.0
"""κ: a sum of c²/v as large as this makes observations count as much as what is believed before."""
FORGETTING: Final = 0.98
"""F, of 6 h: what is fifty cycles old counts for a third."""
PRIOR: Final = 0.7
"""τ₀ where nothing is known: 0.91 of what a right correction gains, as that is 2τ − τ² of it, and half of its risk."""
BANDS: Final = ("south", "tropics", "north")
_EDGE: Final = 20.0
"""Latitude between the tropics and the rest [degrees]; the shares change linearly within _RAMP of it."""
_RAMP: Final = 5.0


def halves(case: Departures, time: np.datetime64) -> NDArray[np.bool_]:
    """(n,) True for half A, another one at every time (UTC).

    Observations at one place go together; the split does not depend on the order of rows.
    """
    places = np.stack([case.latitude, case.longitude], axis=1)
    unique, index = np.unique(places, axis=0, return_inverse=True)
    hours = int(time.astype("datetime64[h]").astype(np.int64))
    shuffled = np.random.default_rng(abs(hours)).permutation(len(unique))
    return np.asarray(shuffled[index.reshape(-1)] % 2 == 0)


def nearest_channels(case: Departures, channels: Sequence[Channel]) -> NDArray[np.int64]:
    """(n,) the channel of the same variable whose level is nearest in ln p, and −1 where there is none."""
    result = np.full(len(case), -1, dtype=np.int64)
    level = case.operator.level
    for variable in np.unique(case.variable.astype(str)):
        own = [number for number, channel in enumerate(channels) if channel.variable == variable]
        rows = np.flatnonzero(case.variable.astype(str) == variable)
        levels = np.array([channels[number].level or np.nan for number in own], dtype=np.float64)
        if not own:
            continue
        if np.isnan(levels).all():
            result[rows] = own[0]
            continue
        distance = np.abs(np.log(level[rows])[:, None] - np.log(levels))
        result[rows] = np.asarray(own)[np.argmin(distance, axis=1)]
    return result


def shares(latitude: NDArray[np.float64]) -> torch.Tensor:
    """w_k (band, n) of latitudes [degrees]."""
    outside = np.clip((np.abs(latitude) - _EDGE + _RAMP) / (2.0 * _RAMP), 0.0, 1.0)
    south, north = outside * (latitude < 0), outside * (latitude >= 0)
    return torch.from_numpy(np.stack([south, 1.0 - outside, north]))


@dataclass(frozen=True)
class Evidence:
    """What observations say of a correction. agreement: P_k (band, channel). size: Q_k (band, channel)."""

    agreement: torch.Tensor
    size: torch.Tensor

    @classmethod
    def none(cls, channels: int) -> Evidence:
        """Nothing is known."""
        nothing = torch.zeros(len(BANDS), channels, dtype=torch.float64)
        return cls(nothing, nothing)

    @classmethod
    def of(
        cls,
        residual: torch.Tensor,
        correction: torch.Tensor,
        variance: torch.Tensor,
        *,
        latitude: NDArray[np.float64],
        channel: NDArray[np.int64],
        channels: int,
    ) -> Evidence:
        """Return the sums of r, c, v (n,) at half B. channel: (n,) of each, −1 counts nowhere."""
        index = torch.from_numpy(np.where(channel < 0, channels, channel))

        def summed(values: torch.Tensor) -> torch.Tensor:
            result = torch.zeros(len(BANDS), channels + 1, dtype=torch.float64)
            return result.index_add_(1, index, shares(latitude) * values.double())[:, :channels]

        return cls(summed(residual * correction / variance), summed(correction.square() / variance))

    def after(self, before: Evidence) -> Evidence:
        """Return these sums, with what is remembered of those before."""
        return Evidence(
            self.agreement + FORGETTING * before.agreement,
            self.size + FORGETTING * before.size,
        )

    def trust(self, channels: Sequence[Channel]) -> torch.Tensor:
        """τ_k (band, channel)."""
        result = torch.full((len(BANDS), len(channels)), PRIOR, dtype=torch.float64)
        for variable in dict.fromkeys(c.variable for c in channels):
            own = [number for number, c in enumerate(channels) if c.variable == variable]
            agreement, size = self.agreement[:, own], self.size[:, own]
            everywhere = _drawn(agreement.sum(), size.sum(), torch.tensor(PRIOR))
            band = _drawn(agreement.sum(1, keepdim=True), size.sum(1, keepdim=True), everywhere)
            result[:, own] = _drawn(agreement, size, band)
        return result

    def memory(self, channels: Sequence[Channel]) -> Memory:
        """Return the sums under the names of bands and channels."""
        return {
            f"{band} {channel}": [float(self.agreement[k, c]), float(self.size[k, c])]
            for k, band in enumerate(BANDS)
            for c, channel in enumerate(channels)
        }

    @classmethod
    def remembered(cls, memory: Memory, channels: Sequence[Channel]) -> Evidence:
        """Return the sums of a memory; 0 of what it does not name. Raises BadDataError for other than two numbers."""
        result = cls.none(len(channels))
        sums = torch.stack([result.agreement, result.size])
        for k, band in enumerate(BANDS):
            for c, channel in enumerate(channels):
                values = memory.get(f"{band} {channel}", [0.0, 0.0])
                if len(values) != 2 or not np.isfinite(values).all() or values[1] < 0:
                    raise BadDataError(f"the memory of {band} {channel} holds {values}, not a finite sum and a size")
                sums[:, k, c] = torch.tensor(values, dtype=torch.float64)
        return cls(sums[0], sums[1])


def _drawn(agreement: torch.Tensor, size: torch.Tensor, prior: torch.Tensor) -> torch.Tensor:
    return ((agreement + WEIGHT * prior) / (size + WEIGHT)).clamp(0.0, 1.0)


def at_rows(trust: torch.Tensor, latitude: NDArray[np.float64]) -> torch.Tensor:
    """τ(φ) (channel, n) of latitudes [degrees]."""
    return trust.mT @ shares(latitude)
