"""Quality control: all checks of a row, in the order in which they are made, and the counts of what they did.

A check takes rows and what is known of them before an analysis, in one object for all (`Guess`), and flags what it
finds: `check(rows, guess) -> rows`. A row keeps its first verdict, those of its reader included, so the order matters:
stuck values and tracks come before duplicates, which would make time series sparse. Those of `SCREENING` need no σ_b;
the size of the background's errors is then estimated from what they leave (`methods/scale.py`), and those of
`JUDGEMENT` use it. Where the background is much worse than a short forecast, trial analyses stand in for the buddies
(`neighbours.py`). `REDUCTION` makes fewer of what has passed.

Readers have looked at bounds (12) when rows come here (`formats/reports/build.py`).

Every row has exactly one verdict; the counts over variables and verdicts add up to the number of rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.errors_b.error_scale import ErrorScale
from phyda_cli.fields.state import Channel
from phyda_cli.observations.errors import ErrorTable
from phyda_cli.observations.passive import apart, set_aside
from phyda_cli.observations.settings import Quality
from phyda_cli.observations.table import Flag, Observations
from phyda_cli.quality.ambiguity import choose_solutions
from phyda_cli.quality.buddies import check_buddies
from phyda_cli.quality.checks import (
    check_area,
    check_background,
    check_below_ground,
    check_missing,
    check_operator,
    check_surface,
    check_window,
)
from phyda_cli.quality.consistency import Predict, check_consistency
from phyda_cli.quality.duplicates import check_duplicates
from phyda_cli.quality.neighbours import WORTHWHILE_SCALE, check_reports
from phyda_cli.quality.occultation import check_occultations
from phyda_cli.quality.profile import check_profile
from phyda_cli.quality.selection import check_blacklist
from phyda_cli.quality.sounder import check_clouds, check_ground
from phyda_cli.quality.superob import superob
from phyda_cli.quality.thinning import thin
from phyda_cli.quality.track import check_stuck, check_track

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Guess:
    """The first guess at n observations, and by what it is judged.

    channels: what the background holds. time: of the analysis (UTC). window: the largest distance from it.
    equivalent: (n,) H(x_b), SI. defined: (n,) whether H exists. beyond: (n,) distance [m] outside of the background's
    grid, 0 within. surface_pressure: (n,) of the background [Pa], NaN
    where it has none. difference: (n,) height of a station above the background's ground [m], NaN where not known.
    sigma: (n,) σ_b of a short forecast, SI, 0 where the method does not reach. scaled_sigma: (n,) that of this
    background, whose errors are larger by `scale`. method: the method's name. predicted: (n,) rows of which `predict`,
    the method's own prediction from all rows, says something. ground_error: (n,) σ_g, how uncertain the ground makes
    brightness temperatures [K].
    table: observation errors and limits. quality: settings. margin: how far outside H exists [m].
    """

    channels: tuple[Channel, ...]
    time: np.datetime64
    window: np.timedelta64
    equivalent: Floats
    defined: NDArray[np.bool_]
    beyond: Floats
    surface_pressure: Floats
    difference: Floats
    sigma: Floats
    scaled_sigma: Floats
    ground_error: Floats
    method: str
    table: ErrorTable
    quality: Quality
    margin: float = 0.0
    scale: ErrorScale = field(default_factory=lambda: ErrorScale.uniform(1.0))
    predicted: NDArray[np.bool_] | None = None
    predict: Predict | None = None

    def take(self, index: NDArray[np.int64]) -> Guess:
        """Return the guess at the rows of an index."""
        of_rows = (
            "equivalent", "defined", "beyond", "surface_pressure", "difference", "sigma", "scaled_sigma",
            "ground_error",
        )  # fmt: skip
        return replace(self, **{name: getattr(self, name)[index] for name in of_rows})


Check = Callable[[Observations, Guess], Observations]


def _check_reach(rows: Observations, guess: Guess) -> Observations:
    """PASSIVE: what the method does not reach."""
    reason = f"{guess.method} does not reach this variable or level"
    return rows.reject(~(guess.sigma > 0), Flag.PASSIVE, reason)


def _check_buddies(rows: Observations, guess: Guess) -> Observations:
    """BUDDY, where the background is a short forecast; it looks at active and passive rows together by itself."""
    if guess.scale.dynamics > WORTHWHILE_SCALE:
        return rows
    sigma = guess.scaled_sigma if guess.predicted is None else np.where(guess.predicted, 0.0, guess.scaled_sigma)
    return check_buddies(rows, guess.equivalent, sigma, guess.table, guess.quality.buddy)


def _check_clouds(rows: Observations, guess: Guess) -> Observations:
    """CLOUD, of active and passive rows apart."""
    return check_clouds(rows, guess.equivalent, guess.scaled_sigma, guess.quality.sounder)


def _check_consistency(rows: Observations, guess: Guess) -> Observations:
    """BUDDY, of rows near the ground that the method predicts from one another."""
    return rows if guess.predict is None else check_consistency(rows, guess.predict, guess.quality.consistency)


SCREENING: Final[tuple[Check, ...]] = (
    lambda rows, guess: check_missing(rows),
    lambda rows, guess: check_area(rows, guess.beyond, guess.margin),
    lambda rows, guess: check_operator(rows, guess.defined, guess.equivalent, guess.channels),
    lambda rows, guess: choose_solutions(rows, guess.equivalent, enabled=guess.quality.ambiguity.enabled),
    lambda rows, guess: check_below_ground(rows, guess.surface_pressure, guess.quality.domain),
    lambda rows, guess: check_surface(rows, guess.difference, guess.quality.surface),
    lambda rows, guess: check_window(rows, guess.time, guess.window),
    lambda rows, guess: check_blacklist(rows, guess.quality.blacklist, guess.quality.allow),
    lambda rows, guess: check_track(rows, guess.quality.track),
    lambda rows, guess: check_stuck(rows, guess.quality.stuck),
    lambda rows, guess: check_duplicates(rows, guess.time, guess.quality.duplicates),
    lambda rows, guess: check_profile(rows, guess.quality.profile),
)
"""Flags 10 missing, 15 and 13 area, variable, levels, ground and time, 14 blacklist, 21 track and stuck, 16
duplicate, 24 profile."""

JUDGEMENT: Final[tuple[Check, ...]] = (
    _check_reach,
    lambda rows, guess: check_occultations(rows, guess.equivalent, guess.quality.refractivity),
    lambda rows, guess: check_ground(rows, guess.ground_error, guess.quality.sounder),
    lambda rows, guess: apart(rows, lambda own, index: _check_clouds(own, guess.take(index))),
    lambda rows, guess: check_background(rows, guess.equivalent, guess.scaled_sigma, guess.table),
    _check_buddies,
    _check_consistency,
    lambda rows, guess: apart(rows, lambda own, _: check_reports(own)),
)
"""Flags 1 out of reach, 30 super-refraction, 13 ground, 18 cloud, 19 background, 22 buddies and whole reports."""

REDUCTION: Final[tuple[Check, ...]] = (
    lambda rows, guess: thin(rows, guess.quality.thinning, time=guess.time, window=guess.window),
    lambda rows, guess: superob(rows, guess.equivalent, guess.quality.superob, time=guess.time, window=guess.window),
    lambda rows, guess: set_aside(rows),
)
"""Flags 16 thinned, 31 superob, 1 withheld or monitored."""


def screen(rows: Observations, guess: Guess) -> Observations:
    """`SCREENING`, over active and passive rows apart. rows: with their final errors (`assign_errors`)."""
    return apart(rows, lambda own, index: checked(own, guess.take(index), SCREENING))


def checked(rows: Observations, guess: Guess, checks: Sequence[Check]) -> Observations:
    """Return the rows after some checks, in their order."""
    for check in checks:
        rows = check(rows, guess)
    return rows


def counts(observations: Observations) -> dict[tuple[str, Flag], int]:
    """Return how many rows of each variable got each verdict, sorted; the values add up to the number of rows."""
    found = Counter(zip(observations.variable.tolist(), observations.flag.tolist(), strict=True))
    return {(name, Flag(flag)): found[name, flag] for name, flag in sorted(found)}
