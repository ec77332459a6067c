"""Training, validation and test: three windows of the nature run in order of time, with gaps between them.

A forecast belongs to the window in which it is valid. Its perturbation comes from states at most
`perturbation_window_days` before its start, and its start lies at most the longest lead before that. With a gap of
the two together no state of one window has any part in the forecasts of the next.
"""

from __future__ import annotations

from dataclasses import dataclass

from phyda_cli.errors import BadDataError
from phyda_cli.simulation.config import HOURS_PER_DAY, SimulationConfig


@dataclass(frozen=True)
class Window:
    """A half-open stretch of time [first, last) in hours since 1970-01-01 00 UTC."""

    first: int
    last: int

    def __contains__(self, hour: object) -> bool:
        return isinstance(hour, int) and self.first <= hour < self.last


def split_windows(config: SimulationConfig, first: int, last: int) -> dict[str, Window]:
    """The windows of a nature run that has output at the hours first … last.

    The gaps are taken out first, the rest is shared by `split_fractions`; so a run that is still short, or was stopped,
    has all three windows too.
    """
    gap = HOURS_PER_DAY * config.split_gap_days
    usable = last + 1 - first - 2 * gap
    if usable < 3 * HOURS_PER_DAY:
        raise BadDataError(
            f"the nature run has {(last - first) // HOURS_PER_DAY} days, too few for three windows with two gaps of "
            f"{config.split_gap_days} days; let it run on"
        )
    training, validation, _ = (round(usable * fraction) for fraction in config.split_fractions)
    return {
        "train": Window(first, first + training),
        "validation": Window(first + training + gap, first + training + gap + validation),
        "test": Window(first + training + validation + 2 * gap, last + 1),
    }
