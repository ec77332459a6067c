"""An ensemble as so many runs of a program that knows one state, each in a directory of its own.

    00007/member-003/background.nc     also analysis.nc, increment.nc, and what the program left to go on

Every member moves from its own state by its own increment, one after another.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from phyda_cli.forecast.base import BACKGROUND, Forecast, Step


class MemberModel(Forecast, Protocol):
    """A forecast model whose first state can be one of several."""

    def first_member(self, number: int, target: Path, time: np.datetime64) -> None:
        """Put the first background of a member, valid at `time`, into its directory."""
        ...


@dataclass(frozen=True)
class MemberForecasts:
    """The forecasts of an ensemble. one: the model. count: how many members."""

    one: MemberModel
    count: int

    @property
    def own(self) -> bool:
        """As of the model."""
        return self.one.own

    def first(self, target: Path, time: np.datetime64) -> None:
        """Put the first background of every member into its directory."""
        for number in range(self.count):
            self.one.first_member(number, member_place(target, number), time)

    def run(self, step: Step) -> None:
        """Forecast every member. step: with an increment (member, channel, lat, lon)."""
        for number in range(self.count):
            own = replace(step.increment, values=step.increment.values[number])
            source, target = (member_place(place, number) for place in (step.source, step.target))
            self.one.run(replace(step, source=source, target=target, increment=own, member=number))


def member_place(place: Path, number: int) -> Path:
    """Return the directory of a member."""
    return place / f"member-{number:03d}"


def backgrounds(place: Path) -> list[Path]:
    """Return the background files of a cycle: one, or one a member in their order."""
    return sorted(place.glob(f"member-*/{BACKGROUND}")) or [place / BACKGROUND]
