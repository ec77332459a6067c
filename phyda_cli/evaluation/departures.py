"""Departures in the feedback of one cycle or many: verdicts by place, levels with enough rows, the course of the means.

With d_b = y − H(x_b), d_a = y − H(x_a) and the observation error σ_o over n rows of one variable (and level, or cycle):

    RMS = √(Σ d² / n)      bias = Σ d / n      spread/skill = √(Σ (s² + σ_o²) / Σ d_a²)

The last is of withheld rows, which alone are independent of the analysis; it is 1 where the spread s is right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.evaluation.levels import nearest_standard_level
from phyda_cli.fields.variables import VARIABLES
from phyda_cli.observations.passive import is_set_aside
from phyda_cli.observations.table import Feedback, Flag, Observations, Use, concatenate

Array = NDArray[np.float64]

FEWEST: Final = 5
"""Rows below which a level or cycle has no mean."""
_MOST_VARIABLES: Final = 6


@dataclass(frozen=True)
class CycleDepartures:
    """The feedback of one cycle. time: of its rows. scale: of the background errors, NaN where it is not known."""

    feedback: Feedback
    time: np.datetime64
    scale: float

    @classmethod
    def of(cls, feedback: Feedback, scale: float) -> CycleDepartures:
        """Return the feedback of a cycle with the middle of its times."""
        times = np.sort(feedback.observations.time[~np.isnat(feedback.observations.time)])
        return cls(feedback, times[times.size // 2] if times.size else np.datetime64("NaT", "ns"), scale)


def nearest(cycles: Sequence[CycleDepartures], time: np.datetime64) -> Feedback | None:
    """Return the feedback of the cycle nearest to a time, None where there is none."""
    timed = [one for one in cycles if not np.isnat(one.time)]
    return min(timed, key=lambda one: abs(one.time - time)).feedback if timed else None


def joined(feedbacks: Sequence[Feedback]) -> Feedback:
    """Return the rows of several feedbacks as one."""
    if len(feedbacks) == 1:
        return feedbacks[0]
    return Feedback(
        concatenate([one.observations for one in feedbacks]),
        np.concatenate([one.background_equivalent for one in feedbacks]),
        np.concatenate([one.analysis_equivalent for one in feedbacks]),
        np.concatenate([one.spread for one in feedbacks]),
    )


def shown_variables(feedback: Feedback) -> list[str]:
    """Return the variables with most used rows, in the order of the table of variables."""
    o = feedback.observations
    counts = Counter(o.variable[o.used & np.isfinite(feedback.background_departure)].tolist())
    most = {name for name, _ in counts.most_common(_MOST_VARIABLES)}
    return [name for name in VARIABLES if name in most]


def verdicts(feedback: Feedback) -> NDArray[np.str_]:
    """(n,) used, withheld, monitored, or why a row was rejected, in words."""
    o = feedback.observations
    names = np.array([Flag(int(flag)).name.lower().replace("_", " ") for flag in o.flag], dtype="U16")
    names[o.used] = "used"
    for use, word in ((Use.WITHHOLD, "withheld"), (Use.MONITOR, "monitored")):
        names[is_set_aside(o, use)] = word
    return names


def commonest_verdicts(o: Observations, said: NDArray[np.str_]) -> tuple[Array, Array, NDArray[np.str_]]:
    """Return latitude, longitude and commonest verdict of every distinct place."""
    known = np.isfinite(o.latitude) & np.isfinite(o.longitude)
    places, where = np.unique(np.stack([o.latitude[known], o.longitude[known]]), axis=1, return_inverse=True)
    names, verdict = np.unique(said[known], return_inverse=True)
    counts = np.zeros((places.shape[1], names.size))
    np.add.at(counts, (where.ravel(), verdict), 1.0)
    return places[0], places[1], names[np.argmax(counts, axis=1)] if names.size else names


def filled_levels(feedback: Feedback, name: str) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Return the standard levels [Pa] with enough used rows of a variable, from below, that of each row, and which rows
    these are.
    """
    o = feedback.observations
    mine = o.used & (o.variable == name) & np.isfinite(feedback.background_departure)
    level = nearest_standard_level(o.pressure[mine])
    held, counts = np.unique(level[level > 0], return_counts=True)
    return held[counts >= FEWEST][::-1], level, mine


def course(cycles: Sequence[CycleDepartures], names: Sequence[str]) -> dict[str, list[dict[str, float]]]:
    """Return for each variable and cycle count, bias_b, bias_a, rms_b and rms_a of the used rows, the spread/skill of
    the withheld ones as skill, and scale; NaN where there are too few rows.
    """
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for one in cycles:
        o, f = one.feedback.observations, one.feedback
        withheld = is_set_aside(o, Use.WITHHOLD)
        for name in names:
            mine = o.used & (o.variable == name) & np.isfinite(f.background_departure)
            apart = withheld & (o.variable == name) & np.isfinite(f.analysis_departure) & np.isfinite(f.spread)
            entry = {"count": float(mine.sum()), "scale": one.scale}
            for end, departure in (("b", f.background_departure[mine]), ("a", f.analysis_departure[mine])):
                few = departure.size < FEWEST
                entry[f"bias_{end}"] = np.nan if few else float(np.mean(departure))
                entry[f"rms_{end}"] = np.nan if few else float(np.sqrt(np.mean(departure**2)))
            entry["skill"] = np.nan
            if apart.sum() >= FEWEST:
                expected = np.mean(f.spread[apart] ** 2 + o.error[apart] ** 2)
                entry["skill"] = float(np.sqrt(expected / np.mean(f.analysis_departure[apart] ** 2)))
            found[name].append(entry)
    return found
