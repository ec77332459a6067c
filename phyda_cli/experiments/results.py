"""The records of an experiment as arrays, and the pooling of dates and channels.

A score has one value for each date and channel. Groups of channels pool them: each variable, and `all`; only scores
that are divided by σ_b (or are relative themselves) are pooled over channels. Means over dates, and over channels, are
weighted with the number of withheld observations where the score counts them, and are plain means elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.experiments.journal import Key
from phyda_cli.experiments.measure import Record
from phyda_cli.fields.state import Channel

Array = NDArray[np.float64]

ALL: Final = "all"
"""The group of all channels."""


@dataclass(frozen=True)
class Score:
    """One column of the tables. key: of the records. root: of the mean. weight: key of the weights, None: 1.

    pooled: whether channels may be pooled. signed: neither small nor large is better.
    """

    name: str
    key: str
    root: bool = False
    weight: str | None = None
    pooled: bool = False
    signed: bool = False


def _family(prefix: str, weight: str | None) -> tuple[Score, ...]:
    names = (("rmse", "mse", True), ("mse", "mse", False), ("mae", "mae", False), ("crps", "crps", False))
    scores = []
    for name, key, root in names:
        scores.append(Score(f"{prefix}{name}", f"{prefix}{key}", root, weight))
        scores.append(Score(f"{prefix}n{name}", f"{prefix}n{key}", root, weight, pooled=True))
    return (*scores, Score(f"{prefix}bias", f"{prefix}bias", False, weight, signed=True))


SCORES: Final = (
    *_family("", None),
    *_family("withheld_", "withheld_count"),
    Score("specdiv_mean", "specdiv_mean", pooled=True),
    Score("specdiv_members", "specdiv_members", pooled=True),
    Score("specdiv_increment_mean", "specdiv_increment_mean", pooled=True),
    Score("specdiv_increment_members", "specdiv_increment_members", pooled=True),
)
"""By channel, with ratios and intervals."""

SCALARS: Final = (
    Score("hydrostatic_mean", "hydrostatic_mean", root=True),
    Score("hydrostatic_members", "hydrostatic_members", root=True),
    Score("geostrophic_mean", "geostrophic_mean", root=True),
    Score("geostrophic_members", "geostrophic_members", root=True),
)
"""Of a date, with ratios and intervals: root mean square of the residual's difference to the truth's."""

PLAIN: Final = (
    Score("spread", "variance", root=True),
    Score("nspread", "nvariance", root=True, pooled=True),
    Score("nincrement", "nincrement", root=True, pooled=True),
)
"""By channel, without ratios: of ensembles, and the size of the (mean) increment."""

CONSISTENCY: Final = ("chi2_innovation", "chi2_residual", "desroziers_o", "desroziers_b")
"""Of a date; 1 is right, so that no ratio says who is better."""


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
        """(date, …) of a key; None where the method has no such thing.

        Without members the analysis itself is the only member: its CRPS is its absolute error.
        """
        held = self.records[method, density, self.pairs[0]]
        if key not in held and not held["members"]:
            key = _alone(key)
        rows = [self.records[method, density, pair].get(key) for pair in self.pairs]
        return None if any(row is None for row in rows) else np.asarray(rows, dtype=np.float64)

    def members(self, method: str) -> int:
        """M, 0 for a method without members."""
        return int(self.records[method, self.densities[0], self.pairs[0]]["members"])

    def seconds(self, method: str, density: float) -> float:
        """Of the processor, for a date."""
        values = self.values(method, density, "seconds")
        assert values is not None
        return float(values.mean())

    def weights(self, method: str, density: float, score: Score) -> Array:
        """(date, channel)."""
        if score.weight is None:
            return np.ones((len(self.pairs), len(self.channels)))
        held = self.values(method, density, score.weight)
        assert held is not None
        return held

    def groups(self) -> dict[str, list[int]]:
        """The channels of each group: each channel alone, each variable, all."""
        groups = {str(channel): [number] for number, channel in enumerate(self.channels)}
        for variable in self.variables:
            groups.setdefault(variable, [i for i, c in enumerate(self.channels) if c.variable == variable])
        return groups | {ALL: list(range(len(self.channels)))}

    def columns(self, method: str, density: float, score: Score) -> tuple[list[str], Array, Array] | None:
        """Names of the groups that the score has, and its values and weights (date, group), channels pooled."""
        values = self.values(method, density, score.key)
        if values is None:
            return None
        weights = self.weights(method, density, score)
        named = [(name, own) for name, own in self.groups().items() if score.pooled or len(own) == 1]
        total = np.stack([weights[:, own].sum(1) for _, own in named], axis=1)
        summed = np.stack([(weights * values)[:, own].sum(1) for _, own in named], axis=1)
        mean = np.divide(summed, total, out=np.zeros_like(summed), where=total > 0)
        return [name for name, _ in named], mean, total

    def pooled(self, method: str, density: float, score: Score) -> dict[str, float]:
        """The score of each group over all dates; empty where the method has none."""
        held = self.columns(method, density, score)
        if held is None:
            return {}
        names, values, weights = held
        with np.errstate(invalid="ignore"):
            mean = (values * weights).sum(0) / weights.sum(0)
        result = np.sqrt(mean) if score.root else mean
        return dict(zip(names, result.tolist(), strict=True))

    def scalar(self, method: str, density: float, score: Score) -> float | None:
        """A score of dates as a whole; None where the method, or the density, has none."""
        values = self.values(method, density, score.key)
        if values is None:
            return None
        return float(np.sqrt(values.mean())) if score.root else float(values.mean())


def _alone(key: str) -> str:
    """The key of a single analysis that says what a key of members says."""
    return f"{key.removesuffix('_members')}_mean" if key.endswith("_members") else key.replace("crps", "mae")


def find(name: str, scores: Sequence[Score] = (*SCORES, *SCALARS)) -> Score:
    """The score of a name."""
    return next(score for score in scores if score.name == name)
