"""Which dates train, which validate, which test: three intervals of time with gaps between them.

Times are hours since 1970-01-01 00 UTC; an interval is [start, end). In order of time: train, validation, test.
A pair (a forecast and its truth) belongs to a part only when the forecast's start and its valid time both do, and what
made the forecast's start imperfect came from states at most 20 days from it: with gaps of 20 days or more no state
reaches two parts.

A run too short for such gaps (a tenth of its length is less than the gap) is split in the same way with gaps of a tenth
of its length. Such a split serves tests and demonstrations; the store says so (`gap_hours`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phyda_cli.errors import BadDataError

PARTS: Final = ("train", "validation", "test")
"""The parts; the code of a part is its place here, and OUTSIDE for what belongs to none."""

OUTSIDE: Final = -1
FRACTIONS: Final = (2 / 3, 1 / 6, 1 / 6)
"""Shares of the time for training, validation and test."""

GAP_HOURS: Final = 25 * 24
"""Gap between two parts [h]: perturbations are drawn within 20 days, forecasts run for 5."""

_STEP: Final = 6


@dataclass(frozen=True)
class Splits:
    """The three intervals [start, end) in hours since 1970-01-01 00 UTC, in order of time and apart.

    Raises BadDataError when one is empty or two overlap.
    """

    train: tuple[int, int]
    validation: tuple[int, int]
    test: tuple[int, int]

    def __post_init__(self) -> None:
        previous = None
        for name in PARTS:
            start, end = self.interval(name)
            if end <= start or (previous is not None and start < previous):
                raise BadDataError(
                    f"the {name} part from {moment(start)} to {moment(end)} is empty or overlaps another"
                )
            previous = end

    def interval(self, part: str) -> tuple[int, int]:
        """[start, end) of a part. Raises BadDataError for an unknown name."""
        if part not in PARTS:
            raise BadDataError(f"no part {part!r} in a training store; the parts are {', '.join(PARTS)}")
        interval: tuple[int, int] = getattr(self, part)
        return interval

    @property
    def gap_hours(self) -> int:
        """The smaller of the two gaps [h]."""
        return min(self.validation[0] - self.train[1], self.test[0] - self.validation[1])

    def code(self, hours: ArrayLike) -> NDArray[np.int8]:
        """Return the place in PARTS of each time, OUTSIDE in the gaps and beyond."""
        time = np.asarray(hours, dtype=np.int64)
        codes = np.full(time.shape, OUTSIDE, dtype=np.int8)
        for number, name in enumerate(PARTS):
            start, end = self.interval(name)
            codes[(time >= start) & (time < end)] = number
        return codes

    def pair_code(self, init: ArrayLike, valid: ArrayLike) -> NDArray[np.int8]:
        """Return the part that holds both the start and the valid time of each forecast, else OUTSIDE."""
        first, last = self.code(init), self.code(valid)
        return np.where(first == last, first, np.int8(OUTSIDE)).astype(np.int8)


def split_by_fraction(
    start: int, end: int, *, fractions: tuple[float, float, float] = FRACTIONS, gap_hours: int = GAP_HOURS
) -> Splits:
    """Split [start, end) by shares of what the two gaps leave; boundaries fall on multiples of 6 h from the start."""
    gap = min(gap_hours, (end - start) // 10) // _STEP * _STEP
    usable = end - start - 2 * gap
    first = start + int(usable * fractions[0]) // _STEP * _STEP
    second = first + gap + int(usable * fractions[1]) // _STEP * _STEP
    return Splits((start, first), (first + gap, second), (second + gap, end))


def split_by_year(start: int, end: int, *, validation: int, test: int, gap_hours: int = GAP_HOURS) -> Splits:
    """Train on what lies before the validation year; a gap is taken from the end of the part before it.

    Raises BadDataError when a part is empty: the years lie in the data, validation before test, something before.
    """
    val_start, val_end, test_start, test_end = (
        _new_year(year) for year in (validation, validation + 1, test, test + 1)
    )
    return Splits(
        (start, min(end, val_start - gap_hours)),
        (max(start, val_start), min(end, val_end, test_start - gap_hours)),
        (max(start, test_start), min(end, test_end)),
    )


def moment(hours: int) -> str:
    """Return the ISO date of an hour since 1970-01-01 00 UTC."""
    return f"{np.datetime64(0, 'h') + np.timedelta64(int(hours), 'h')}Z"


def _new_year(year: int) -> int:
    return int(np.datetime64(f"{year:04d}-01-01T00", "h").astype(np.int64))
