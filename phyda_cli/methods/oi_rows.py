"""What observations see, as sums of points of a column, and the vertical correlations of such sums.

    y_i = Σ_k s_ik x(v_ik, h_ik)            a level is one point of one variable, h = ln p; a column of water,
                                            refractivity or a brightness temperature are several
    cor(i, j) = Σ_kl s_ik s_jl [v_ik = v_jl] ρ(h_ik − h_jl) = V_i · V_j
    ρ(h − h') = exp(−(h − h')²/2L²) = Σ_m φ_m(h) φ_m(h'),     φ_m(h) = √(Δ √(2/π)) exp(−(h/L − u_m)²),   u_m = Δ m

Background errors of different variables have no correlation. The sum over m is the trapezoidal rule for a Gaussian as a
convolution of two, which with Δ = 0.36 is right to the last digit; by it a row is D numbers, however many points it
sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.fields.state import Channel, State
from phyda_cli.operators.operator import Operator

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

_STEP: Final = 0.36
"""Δ."""
_TAIL: Final = 5.8
"""exp(−h²) beyond is below 3e-15."""


@dataclass(frozen=True)
class Points:
    """What n rows see. variable: (n, k) its number, −1 for none. height: (n, k) ln p, 0 of what has no level.

    share: (n, k) weight of each point, in units that make the whole row's standard deviation 1.
    """

    variable: Integers
    height: Floats
    share: Floats

    @classmethod
    def of_channels(cls, channels: Sequence[Channel], names: Sequence[str]) -> Points:
        """Return a row for each channel; names: the variables by their number."""
        number = np.array([names.index(channel.variable) for channel in channels], dtype=np.int64)[:, None]
        height = np.log(np.array([channel.level or 1.0 for channel in channels]))[:, None]
        return cls(number, height, np.ones(number.shape))

    def take(self, index: Integers) -> Points:
        """Return the rows of an index."""
        return replace(self, variable=self.variable[index], height=self.height[index], share=self.share[index])

    def sees(self, count: int) -> Mask:
        """(n, count) which of so many variables each row sees."""
        return np.stack([(self.variable == number).any(1) for number in range(count)], axis=1)


@dataclass(frozen=True)
class Seen:
    """points: of n observations. names: the variables by their number. sigma: (n,) σ_b of the whole row, 0 of none."""

    points: Points
    names: tuple[str, ...]
    sigma: Floats

    @classmethod
    def by(cls, operator: Operator, sigma_b: State, scale: float) -> Seen:
        """Return what observations see of a σ_b (channel, lat, lon). scale: L."""
        channels, values = sigma_b.channels, sigma_b.values.cpu().double()
        names = tuple(dict.fromkeys(channel.variable for channel in channels))
        rows = operator.increments(sigma_b.grid, channels)
        sigma = rows.of_spread(values).numpy()
        single = [channel.variable for channel in channels if channel.level is None]
        columns = np.flatnonzero(operator.integrates(channels) & rows.defined)
        terms = rows.take(columns).by_channel(values).numpy()
        held = np.flatnonzero((terms != 0).any(0))
        terms, seen = terms[:, held], Points.of_channels([channels[i] for i in held], names)
        level = seen.height / scale
        correlation = (seen.variable == seen.variable.T) * np.exp(-0.5 * (level - level.T) ** 2)
        sigma[columns] = np.sqrt(np.einsum("nk,kl,nl->n", terms, correlation, terms))

        # a level is the first point of a row, what a column sees are the others
        shape = len(operator), 1 + held.size
        variable, height, share = np.full(shape, -1, dtype=np.int64), np.zeros(shape), np.zeros(shape)
        variable[:, 0] = [names.index(name) if name in names else -1 for name in operator.variable]
        height[:, 0] = np.log(np.where(np.isin(operator.variable.astype(str), single), 1.0, operator.pressure))
        share[:, 0], variable[columns, 0] = 1.0, -1
        variable[columns, 1:] = np.where(terms != 0, seen.variable.T, -1)
        height[:, 1:] = seen.height.T
        share[columns, 1:] = terms / np.where(sigma[columns] > 0, sigma[columns], 1.0)[:, None]
        return cls(Points(variable, height, share), names, sigma)

    def tied(self) -> list[Integers]:
        """Return the groups of variables that rows see together, directly or by others; not those that none sees."""
        sees = self.points.sees(len(self.names))[self.sigma > 0]
        groups: list[set[int]] = []
        for pattern in np.unique(sees, axis=0):
            own = set(np.flatnonzero(pattern).tolist())
            apart = [group for group in groups if not group & own]
            groups = [*apart, own.union(*(group for group in groups if group & own))]
        return [np.array(sorted(group), dtype=np.int64) for group in groups if group]


def features(rows: Sequence[Points], variables: Integers, scale: float) -> list[Floats]:
    """V (n, D) of several sets of rows, for variables by their numbers; the others count for nothing. scale: L."""
    parts: list[list[Floats]] = [[np.zeros((own.height.shape[0], 0))] for own in rows]
    for number in variables:
        heights = np.concatenate([own.height[own.variable == number] for own in rows]) / scale
        if not heights.size:
            continue
        nodes = np.arange(heights.min() - _TAIL, heights.max() + _TAIL + _STEP, _STEP)
        for own, part in zip(rows, parts, strict=True):
            block = np.zeros((own.height.shape[0], nodes.size))
            for point in range(own.height.shape[1]):
                held = np.flatnonzero(own.variable[:, point] == number)
                distance = own.height[held, point, None] / scale - nodes
                block[held] += own.share[held, point, None] * np.exp(-(distance**2))
            part.append((_STEP * np.sqrt(2.0 / np.pi)) ** 0.5 * block)
    return [np.concatenate(part, axis=1) for part in parts]
