"""The spatial consistency test near the ground: an observation must agree with what its neighbours say of it.

    rejected where  (y − ŷ)² / s² > k²,     ŷ, s: prediction and its standard deviation, the observation left out

It is the test of titanlib (Lussana et al. 2010): with analyses y_a with and ŷ without the observation
(y − y_a)(y − ŷ)/σ_o² is the same statistic. The predictions are those of the analysis near the ground itself, with the
error sizes and lengths that the departures show (`methods/surface_fit.py`), differences of height included. A bad
observation makes its neighbours look bad, so of those that fail in a cell only the worst goes, and the rest are judged
anew. Only active rows predict; the others are judged by those that are left. An observation with too few neighbours is
not judged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.constants import EARTH_RADIUS
from phyda_cli.grids.places import cells, unit_vectors
from phyda_cli.observations.passive import is_active
from phyda_cli.observations.predicted import Predicted
from phyda_cli.observations.settings import Consistency
from phyda_cli.observations.table import Flag, Observations
from phyda_cli.quality.groups import group

Mask = NDArray[np.bool_]
Predict = Callable[[Observations, Mask, Mask], Predicted]
"""(rows, which are predicted, which predict others) → predictions of all rows."""

ROUNDS: Final = 12
"""Most times that the worst go; a real table needs half of them."""
_CELL: Final = 300e3
"""Size [m] of the cells in which the worst goes first."""
_AROUND: Final = 500e3
"""How far [m] from those that went others are judged anew."""


def check_consistency(observations: Observations, predict: Predict, settings: Consistency) -> Observations:
    """BUDDY: |y − ŷ| > k s, the worst of each cell first."""
    active, result = is_active(observations), observations
    if not settings.enabled:
        return result
    places = _placed(observations)
    cell, position = group([observations.variable, cells(*places, _CELL).number]), unit_vectors(*places)
    touched = np.ones(len(observations), dtype=bool)
    for _ in range(ROUNDS):
        judging = result.used & active
        if not (judging & touched).any():
            break
        found, excess = _excess(predict(result, judging & touched, judging), settings)
        suspect = np.flatnonzero(excess > 1.0)
        if not suspect.size:
            break
        order = suspect[np.lexsort((observations.value[suspect], -excess[suspect], cell[suspect]))]
        worst = order[np.append(True, np.diff(cell[order]) != 0)]
        result = _rejected(result, worst, found)
        touched = np.zeros(len(observations), dtype=bool)
        for variable in np.unique(observations.variable[worst].astype(str)):
            own = observations.variable == variable
            near = position[own] @ position[worst[own[worst]]].T
            touched[own] = near.max(1) >= np.cos(_AROUND / EARTH_RADIUS)
    if active.all():
        return result
    found, excess = _excess(predict(result, result.used & ~active, result.used & active), settings)
    return _rejected(result, np.flatnonzero((excess > 1.0) & ~active), found)


def _excess(found: Predicted, settings: Consistency) -> tuple[Predicted, NDArray[np.float64]]:
    with np.errstate(invalid="ignore"):
        excess = np.abs(found.residual) / (settings.limit * found.expected)
    return found, np.where((found.count >= settings.neighbours) & np.isfinite(excess), excess, 0.0)


def _rejected(observations: Observations, rows: NDArray[np.int64], found: Predicted) -> Observations:
    mask = np.zeros(len(observations), dtype=bool)
    mask[rows] = True
    return observations.reject(
        mask,
        Flag.BUDDY,
        lambda i: (
            f"{found.residual[i]:.4g} from what {found.count[i]} neighbours say, whose expected error is "
            f"{found.expected[i]:.4g}"
        ),
    )


def _placed(observations: Observations) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the coordinates, 0 where there are none."""
    return np.clip(np.nan_to_num(observations.latitude), -90.0, 90.0), np.nan_to_num(observations.longitude)
