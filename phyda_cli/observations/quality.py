"""Quality control: the checks in their order, and the counts of what they did.

missing (10) → bounds (12) → variable and levels of the background (15, 13) → time window (13) → duplicates (16) →
background check (19). Every row has exactly one verdict, the first that applies; the counts over variables and verdicts
add up to the number of rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from phyda_cli.fields.state import Channel
from phyda_cli.observations.checks import check_background, check_bounds, check_missing, check_operator, check_window
from phyda_cli.observations.duplicates import check_duplicates
from phyda_cli.observations.errors import ErrorTable
from phyda_cli.observations.table import Flag, Observations


def quality_control(
    observations: Observations,
    *,
    channels: Sequence[Channel],
    operator_defined: NDArray[np.bool_],
    background_equivalent: NDArray[np.float64],
    background_error: NDArray[np.float64],
    time: np.datetime64,
    window: np.timedelta64,
    table: ErrorTable,
) -> Observations:
    """Give each observation its verdict; the ones of the reader stay.

    observations: with their final errors (`assign_errors`). channels: what the background holds.
    operator_defined, background_equivalent, background_error: (n,) whether H exists, H(x_b) and σ_b there (SI).
    time: of the analysis (UTC). window: the largest distance from it. table: limits of the background check.
    """
    screened = screen(
        observations,
        channels=channels,
        operator_defined=operator_defined,
        background_equivalent=background_equivalent,
        time=time,
        window=window,
    )
    return check_background(screened, background_equivalent, background_error, table)


def screen(
    observations: Observations,
    *,
    channels: Sequence[Channel],
    operator_defined: NDArray[np.bool_],
    background_equivalent: NDArray[np.float64],
    time: np.datetime64,
    window: np.timedelta64,
) -> Observations:
    """The checks that come before the background check, which needs σ_b; arguments as in `quality_control`."""
    result = check_bounds(check_missing(observations))
    result = check_operator(result, operator_defined, background_equivalent, channels)
    result = check_window(result, time, window)
    return check_duplicates(result, time)


def counts(observations: Observations) -> dict[tuple[str, Flag], int]:
    """How many rows of each variable got each verdict, sorted; the values add up to the number of rows."""
    found = Counter(zip(observations.variable.tolist(), observations.flag.tolist(), strict=True))
    return {(name, Flag(flag)): found[name, flag] for name, flag in sorted(found)}
