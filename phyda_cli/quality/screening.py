"""Quality control: the checks in their order, and the counts of what they did.

Without σ_b (`screen`): missing (10) → bounds (12) → variable and levels of the background (15, 13), below its ground
(13), station too far from its ground (13) → time window (13) → blacklist (14) → track (21) → stuck values (21) →
duplicates (16) → profiles (24).
Then, with σ_b known (`assimilation.py`): background check (19, `checks.py`) → buddies (22, `buddies.py`) or, where the
background is much worse than a short forecast, trial analyses (22, `neighbours.py`) → whole reports (22, `reports.py`).
What is left is made fewer (`reduce`): thinning (16) → superobs (31).

Every row has exactly one verdict, the first that applies, those of the reader included; the counts over variables and
verdicts add up to the number of rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.fields.state import Channel
from phyda_cli.observations.settings import Quality
from phyda_cli.observations.table import Flag, Observations
from phyda_cli.operators.surface import check_surface
from phyda_cli.quality.checks import (
    check_below_ground,
    check_bounds,
    check_missing,
    check_operator,
    check_window,
)
from phyda_cli.quality.duplicates import check_duplicates
from phyda_cli.quality.profile import check_profile
from phyda_cli.quality.selection import check_blacklist
from phyda_cli.quality.stuck import check_stuck
from phyda_cli.quality.superob import superob
from phyda_cli.quality.thinning import thin
from phyda_cli.quality.track import check_track

_DEFAULT: Final = Quality()


def screen(
    observations: Observations,
    *,
    channels: Sequence[Channel],
    operator_defined: NDArray[np.bool_],
    background_equivalent: NDArray[np.float64],
    time: np.datetime64,
    window: np.timedelta64,
    surface_pressure: NDArray[np.float64] | None = None,
    height_difference: NDArray[np.float64] | None = None,
    quality: Quality = _DEFAULT,
) -> Observations:
    """The checks that need no σ_b; verdicts of the reader stay.

    observations: with their final errors (`assign_errors`). channels: what the background holds.
    operator_defined, background_equivalent: (n,) whether H exists, and H(x_b) there (SI).
    time: of the analysis (UTC). window: the largest distance from it.
    surface_pressure: (n,) of the background at the observations [Pa], or None where it has none.
    height_difference: (n,) of a station to the background's ground [m] (`surface.py`).
    """
    result = check_bounds(check_missing(observations))
    result = check_operator(result, operator_defined, background_equivalent, channels)
    if surface_pressure is not None:
        result = check_below_ground(result, surface_pressure, quality.domain)
    if height_difference is not None:
        result = check_surface(result, height_difference, quality.surface)
    result = check_window(result, time, window)
    result = check_blacklist(result, quality.blacklist, quality.allow)
    # Before duplicates, which would make the time series sparse
    result = check_stuck(check_track(result, quality.track), quality.stuck)
    result = check_duplicates(result, time, quality.duplicates)
    return check_profile(result, quality.profile)


def reduce(
    observations: Observations,
    background_equivalent: NDArray[np.float64],
    *,
    time: np.datetime64,
    window: np.timedelta64,
    quality: Quality,
) -> Observations:
    """Thinning and superobs of what has passed every check; arguments as of `screen`."""
    thinned = thin(observations, quality.thinning, time=time, window=window)
    return superob(thinned, background_equivalent, quality.superob, time=time, window=window)


def counts(observations: Observations) -> dict[tuple[str, Flag], int]:
    """How many rows of each variable got each verdict, sorted; the values add up to the number of rows."""
    found = Counter(zip(observations.variable.tolist(), observations.flag.tolist(), strict=True))
    return {(name, Flag(flag)): found[name, flag] for name, flag in sorted(found)}
