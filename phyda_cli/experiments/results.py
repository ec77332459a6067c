"""The records of an experiment as arrays, and the pooling of dates and channels.

A score has one value for each date and channel. Groups of channels pool them: each variable, and `all`; only scores
that are divided by σ_b (or are relative themselves) are pooled over channels. Means over dates, and over channels, are
weighted with the number of withheld observations where the score counts them, and are plain means elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.experiments.journal import Key
from phyda_cli.experiments.measure import Record
from phyda_cli.experiments.score import Of, Part, Quantity, Score, spectral_key
from phyda_cli.fields.state import Channel

Array = NDArray[np.float64]

ALL: Final = "all"
"""The group of all channels."""


@dataclass(frozen=True)
class Results:
    """records: of every method, density and pair. valid_time: of the pairs, increasing. labels: of the channels."""

    records: Mapping[Key, Record]
    pairs: tuple[int, ...]
    valid_time: NDArray[np.int64]
    methods: tuple[str, ...]
    densities: tuple[float, ...]
    channels: tuple[Channel, ...]

    @property
    def variables(self) -> tuple[str, ...]:
        """In the order of the channels."""
        return tuple(dict.fromkeys(channel.variable for channel in self.channels))

    def values(self, method: str, density: float, key: str) -> Array | None:
        """(date, …) of a key of the records; None where the method has no such thing."""
        rows = [self.records[method, density, pair].get(key) for pair in self.pairs]
        return None if any(row is None for row in rows) else np.asarray(rows, dtype=np.float64)

    def of(self, method: str, density: float, score: Score) -> Array | None:
        """(date, …) of what is kept of a score; None where the method has none."""
        return self.values(method, density, (score if self.members(method) else score.alone).key)

    def spectrum(self, method: str, density: float, quantity: Quantity, of: Of, part: Part) -> Array | None:
        """(date, …) of a spectrum; those of the members of a single analysis are its own."""
        own = "mean" if part == "members" and not self.members(method) else part
        return self.values(method, density, spectral_key(quantity, of, own))

    def members(self, method: str) -> int:
        """M, 0 for a method without members."""
        return int(self.records[method, self.densities[0], self.pairs[0]]["members"])

    def mean(self, method: str, density: float, key: str) -> float | None:
        """Of a number that each date has, over the dates; None where the method has no such thing."""
        values = self.values(method, density, key)
        return None if values is None else float(values.mean())

    def weights(self, method: str, density: float, score: Score) -> Array:
        """(date, channel)."""
        if score.weight is None:
            return np.ones((len(self.pairs), len(self.channels)))
        held = self.values(method, density, score.weight)
        assert held is not None
        return held

    def groups(self) -> dict[str, list[int]]:
        """Return the channels of each group: each channel alone, each variable, all."""
        groups = {str(channel): [number] for number, channel in enumerate(self.channels)}
        for variable in self.variables:
            groups.setdefault(variable, [i for i, c in enumerate(self.channels) if c.variable == variable])
        return groups | {ALL: list(range(len(self.channels)))}

    def columns(self, method: str, density: float, score: Score) -> tuple[list[str], Array, Array] | None:
        """Return names of the groups that the score has, and its values and weights (date, group), channels pooled."""
        values = self.of(method, density, score)
        if values is None:
            return None
        weights = self.weights(method, density, score)
        named = [(name, own) for name, own in self.groups().items() if score.pooled or len(own) == 1]
        total = np.stack([weights[:, own].sum(1) for _, own in named], axis=1)
        summed = np.stack([(weights * values)[:, own].sum(1) for _, own in named], axis=1)
        mean = np.divide(summed, total, out=np.zeros_like(summed), where=total > 0)
        return [name for name, _ in named], mean, total

    def pooled(self, method: str, density: float, score: Score) -> dict[str, float]:
        """Return the score of each group over all dates; empty where the method has none."""
        held = self.columns(method, density, score)
        if held is None:
            return {}
        names, values, weights = held
        with np.errstate(invalid="ignore"):
            mean = (values * weights).sum(0) / weights.sum(0)
        result = np.sqrt(mean) if score.root else mean
        return dict(zip(names, result.tolist(), strict=True))

    def scalar(self, method: str, density: float, score: Score) -> float | None:
        """Return a score of dates as a whole; None where the method, or the density, has none."""
        values = self.of(method, density, score)
        if values is None:
            return None
        return float(np.sqrt(values.mean())) if score.root else float(values.mean())
