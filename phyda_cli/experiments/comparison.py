"""Ratios of every method to the references, and all cells in which the method in question is worse than another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Final

import numpy as np

from phyda_cli.experiments.intervals import Bootstrap
from phyda_cli.experiments.results import ALL, Results
from phyda_cli.experiments.score import SCALARS, SCORES, Score

REFERENCES: Final = ("3dvar", "background")
"""Every method's scores are divided by those of these."""


@dataclass(frozen=True)
class Cell:
    """The ratio of a score of `method` to that of `other`, with the interval's ends. channel: a channel or a group."""

    method: str
    other: str
    density: float
    channel: str
    score: Score
    ratio: float
    low: float
    high: float

    @property
    def significant(self) -> bool:
        """1 lies outside the interval."""
        return self.low > 1.0 or self.high < 1.0

    def document(self) -> dict[str, str | float | bool]:
        """As JSON values."""
        return asdict(self) | {"score": self.score.name, "significant": self.significant}


@dataclass(frozen=True)
class Comparison:
    """Of all methods with the references."""

    results: Results
    bootstrap: Bootstrap

    @cached_property
    def _cells(self) -> dict[tuple[str, str], tuple[Cell, ...]]:
        return {}

    def cells(self, method: str, other: str) -> tuple[Cell, ...]:
        """Return all ratios of one method to another."""
        if (method, other) not in self._cells:
            self._cells[method, other] = tuple(
                cell
                for density in self.results.densities
                for score in (*SCORES, *SCALARS)
                if score.kind != "bias"
                for cell in self._of(method, other, density, score)
            )
        return self._cells[method, other]

    def _of(self, method: str, other: str, density: float, score: Score) -> list[Cell]:
        if score in SCALARS:
            first, second = (self.results.of(name, density, score) for name in (method, other))
            if first is None or second is None:
                return []
            names, a, b = [ALL], first[:, None], second[:, None]
            weights = np.ones_like(a)
        else:
            held, reference = (self.results.columns(name, density, score) for name in (method, other))
            if held is None or reference is None:
                return []
            names, a, weights = held
            b = reference[1]
        ratio = self.bootstrap.ratio(a, b, weights, root=score.root)
        return [
            Cell(method, other, density, name, score, *map(float, numbers))
            for name, *numbers in zip(names, ratio.value, ratio.low, ratio.high, strict=True)
        ]

    def losses(self, method: str, others: Sequence[str]) -> tuple[Cell, ...]:
        """Return every cell in which the method is worse than one of the others, by however little.

        The MSE is left out: it loses where the RMSE does.
        """
        cells = (cell for other in others for cell in self.cells(method, other))
        return tuple(cell for cell in cells if cell.ratio > 1.0 and cell.score.kind != "mse")

    def find(self, method: str, other: str, density: float, score: Score, channel: str = ALL) -> Cell | None:
        """Return one cell."""
        wanted = (density, score, channel)
        cells = self.cells(method, other)
        return next((cell for cell in cells if (cell.density, cell.score, cell.channel) == wanted), None)
