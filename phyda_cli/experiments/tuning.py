"""The factors of σ_b and of the correlation lengths with which 3D-Var does best at a density, on validation cases.

    score(f, ℓ) = mean over channels, cases and the area of ((x_a − x_t)/σ_b(lead))²

The least score of a grid of factors around 1; where it lies at the end of the grid, the search goes on beyond it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from phyda_cli.errors_b.background_error import BackgroundError
from phyda_cli.evaluation.scores import area_mean
from phyda_cli.experiments.cases import CaseBatch
from phyda_cli.experiments.methods.base import Analyses, Factors, solver
from phyda_cli.grids.grid import Grid

SIGMA: Final = (0.7, 0.85, 1.0, 1.2)
LENGTH: Final = (0.8, 1.0, 1.25)
_STEP: Final = 1.25
"""Ratio of the factors beyond the grid."""
_BEYOND: Final = 8
"""Steps beyond the grid, at most."""
_TOLERANCE: Final = 1e-2


@dataclass(frozen=True)
class Tuning:
    """sigma, length: the factors. score, untuned: with them and with (1, 1). tried: all scores, by factors."""

    sigma: float
    length: float
    score: float
    untuned: float
    tried: tuple[tuple[float, float, float], ...]

    @property
    def factors(self) -> Factors:
        """Of σ_b and of the lengths."""
        return self.sigma, self.length

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def tune(
    statistics: BackgroundError, batches: Sequence[CaseBatch], grid: Grid, progress: Callable[[str], None]
) -> Tuning:
    """The best factors on the batches, which are of one density."""

    def score(factors: Factors) -> float:
        method = solver(statistics, factors, tolerance=_TOLERANCE)
        total, count = 0.0, 0
        for batch in batches:
            made = Analyses.of(method.increments(batch.cases()), batch.channels)
            rest = (made.mean - batch.error) / batch.sigma
            total += float(area_mean(rest.square(), grid).mean(1).sum())
            count += len(batch)
        return total / count

    best, tried = search(score)
    density = batches[0].density
    progress(
        f"3D-Var at {density:g} %: sigma x {best[0]:.3g}, lengths x {best[1]:.3g}, score {tried[best]:.4f} "
        f"({tried[1.0, 1.0]:.4f} untuned)"
    )
    return Tuning(*best, tried[best], tried[1.0, 1.0], tuple((*key, value) for key, value in tried.items()))


def search(score: Callable[[Factors], float]) -> tuple[Factors, dict[Factors, float]]:
    """The factors of the least score, and all scores that were looked at."""
    tried = {(sigma, length): score((sigma, length)) for length in LENGTH for sigma in SIGMA}
    best = min(tried, key=lambda key: tried[key])
    for _ in range(_BEYOND):
        for factors in _neighbours(best, tried):
            tried[factors] = score(factors)
        better = min(tried, key=lambda key: tried[key])
        if better == best:
            break
        best = better
    return best, tried


def _neighbours(best: Factors, tried: dict[Factors, float]) -> list[Factors]:
    """One step further for each factor that lies at an end of its grid or beyond, unless it was tried."""
    further: list[Factors] = []
    for place, grid in ((0, SIGMA), (1, LENGTH)):
        if min(grid) < best[place] < max(grid):
            continue
        moved = list(best)
        moved[place] = round(best[place] * (_STEP if best[place] >= max(grid) else 1.0 / _STEP), 4)
        further.append((moved[0], moved[1]))
    return [factors for factors in further if factors not in tried]
