"""The factors of σ_b and of the correlation lengths with which 3D-Var does best at a density, on validation cases.

    score(f, ℓ) = mean over channels, cases and the area of ((x_a − x_t)/σ_b(lead))²

The least score of a grid of factors around 1; where it lies at the end of the grid, the search goes on beyond it.
The factors are kept in DIRECTORY/tuning.json, so that a density is tuned once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from phyda_cli.errors_b.background_error import BackgroundError
from phyda_cli.evaluation.scores import area_mean
from phyda_cli.experiments.cases import CaseBatch, CaseDrawer
from phyda_cli.experiments.dates import batches_of, choose_pairs
from phyda_cli.experiments.methods.base import Analyses, Factors, solver
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.outputs import atomic_path

SIGMA: Final = (0.7, 0.85, 1.0, 1.2)
LENGTH: Final = (0.8, 1.0, 1.25)
_STEP: Final = 1.25
"""Ratio of the factors beyond the grid."""
_BEYOND: Final = 8
"""Steps beyond the grid, at most."""
_TOLERANCE: Final = 1e-2


FILE: Final = "tuning.json"
PART: Final = "validation"


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
    statistics: BackgroundError, batches: Sequence[CaseBatch], grid: LatLonGrid, progress: Callable[[str], None]
) -> Tuning:
    """Return the best factors on the batches, which are of one density."""

    def score(factors: Factors) -> float:
        method = solver(statistics, factors, tolerance=_TOLERANCE)
        total, count = 0.0, 0
        for batch in batches:
            made = Analyses.of(method.increments(batch.cases()), batch)
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
    """Return the factors of the least score, and all scores that were looked at."""
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
    """Return one step further for each factor that lies at an end of its grid or beyond, unless it was tried."""
    further: list[Factors] = []
    for place, grid in ((0, SIGMA), (1, LENGTH)):
        if min(grid) < best[place] < max(grid):
            continue
        moved = list(best)
        moved[place] = round(best[place] * (_STEP if best[place] >= max(grid) else 1.0 / _STEP), 4)
        further.append((moved[0], moved[1]))
    return [factors for factors in further if factors not in tried]


def tuned_factors(
    directory: Path,
    drawer: CaseDrawer,
    statistics: BackgroundError,
    inputs: tuple[str, ...],
    say: Callable[[str], None],
) -> dict[float, Tuning]:
    """Return the factors for each density of the settings above zero. inputs: digests of the store and of B.

    Cases are of the validation part, whatever part the experiment is on.
    """
    settings = drawer.settings
    path = directory / FILE
    key = settings.model_copy(update={"part": PART, "dates": settings.tuning_cases}).digest(*inputs, "tuning")
    held = _read_tuning(path, key)
    for density in settings.densities:
        if density == 0 or density in held:
            continue
        pairs = choose_pairs(drawer.store, PART, settings.leads, settings.tuning_cases)
        batches = [drawer.draw(own, drawer.read(own), density) for own in batches_of(pairs, settings.batch)]
        held[density] = tune(statistics, batches, drawer.store.grid, say)
        content = {"digest": key, "tuning": {str(d): tuning.document() for d, tuning in held.items()}}
        with atomic_path(path, overwrite=True) as temporary:
            temporary.write_text(f"{json.dumps(content, indent=1)}\n", encoding="utf-8")
    return {density: held[density] for density in settings.densities if density in held}


def _read_tuning(path: Path, key: str) -> dict[float, Tuning]:
    """Return what is there of this digest; nothing where the file is missing, damaged or of something else."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if content["digest"] != key:
            return {}
        return {
            float(density): Tuning(**{**entry, "tried": tuple(map(tuple, entry["tried"]))})
            for density, entry in content["tuning"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
