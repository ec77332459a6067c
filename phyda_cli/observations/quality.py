"""Quality control: the checks in their order, and the counts of what they did.

missing (10) → bounds (12) → variable and levels of the background (15, 13) → time window (13) → duplicates (16): here;
then, with σ_b known, background check (19, `checks.py`) → whole reports (22, `reports.py`) and, where the background is
much worse than a short forecast, neighbours (22, `neighbours.py`): in `assimilation.py`. Every row has exactly one
verdict, the first that applies; the counts over variables and verdicts add up to the number of rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from phyda_cli.fields.state import Channel
from phyda_cli.observations.checks import check_bounds, check_missing, check_operator, check_window
from phyda_cli.observations.duplicates import check_duplicates
from phyda_cli.observations.table import Flag, Observations


def screen(
    observations: Observations,
    *,
    channels: Sequence[Channel],
    operator_defined: NDArray[np.bool_],
    background_equivalent: NDArray[np.float64],
    time: np.datetime64,
    window: np.timedelta64,
) -> Observations:
    """The checks that need no σ_b; verdicts of the reader stay.

    observations: with their final errors (`assign_errors`). channels: what the background holds.
    operator_defined, background_equivalent: (n,) whether H exists, and H(x_b) there (SI).
    time: of the analysis (UTC). window: the largest distance from it.
    """
    result = check_bounds(check_missing(observations))
    result = check_operator(result, operator_defined, background_equivalent, channels)
    result = check_window(result, time, window)
    return check_duplicates(result, time)


def counts(observations: Observations) -> dict[tuple[str, Flag], int]:
    """How many rows of each variable got each verdict, sorted; the values add up to the number of rows."""
    found = Counter(zip(observations.variable.tolist(), observations.flag.tolist(), strict=True))
    return {(name, Flag(flag)): found[name, flag] for name, flag in sorted(found)}
