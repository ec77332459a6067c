"""An analysis of the upper air and one near the ground, as one method.

    δ = δ_u + δ_g,     δ_u of all rows that the upper air's method reaches,     δ_g = K_g (d − H δ_u)

Rows near the ground serve both: the upper air for its levels, the ground for its own fields, whose analysis and spread
near stations are those of the second method (`surface.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from phyda_cli.errors_b.error_scale import ErrorScale
from phyda_cli.fields.state import State
from phyda_cli.methods.base import Case, Departures, Increment, Memory, Method
from phyda_cli.observations.predicted import Predicted
from phyda_cli.operators.operator import Operator


@dataclass(frozen=True)
class Composite(Method):
    """upper: the method of the upper air, not one for ensembles. ground: what comes after it."""

    upper: Method
    ground: Method

    @property
    def name(self) -> str:
        """Both names, joined."""
        return f"{self.upper.name}+{self.ground.name}"

    @property
    def scaling(self) -> Method | None:
        """The upper air's."""
        return self.upper.scaling

    def scaled(self, scale: ErrorScale) -> Composite:
        """Return the upper air scaled."""
        return replace(self, upper=self.upper.scaled(scale), ground=self.ground.scaled(scale))

    def trial(self) -> Composite:
        """Return both methods' own."""
        return replace(self, upper=self.upper.trial(), ground=self.ground.trial())

    def fitted(self, departures: Departures) -> Composite:
        """Return both with what the departures say of their background errors."""
        return replace(self, upper=self.upper.fitted(departures), ground=self.ground.fitted(departures))

    def remembering(self, memory: Memory) -> Composite:
        """Return the upper air with its memory."""
        return replace(self, upper=self.upper.remembering(memory))

    def predicted(self, departures: Departures, wanted: NDArray[np.bool_], judging: NDArray[np.bool_]) -> Predicted:
        """Return the ground's predictions."""
        return self.ground.predicted(departures, wanted, judging)

    def predicts(self, operator: Operator) -> NDArray[np.bool_]:
        """Return the ground's rows."""
        return self.ground.predicts(operator)

    @property
    def largest_scale(self) -> ErrorScale:
        """The upper air's."""
        return self.upper.largest_scale

    def background_error_at(self, operator: Operator, background: State) -> NDArray[np.float64]:
        """That of the ground's method where it reaches a row, else of the upper air's."""
        ground = self.ground.background_error_at(operator, background)
        return np.where(ground > 0, ground, self.upper.background_error_at(operator, background))

    def unobserved(self, background: State) -> Increment:
        """Return both, together."""
        return _together(self.upper.unobserved(background), self.ground.unobserved(background))

    def increments(self, cases: Sequence[Case]) -> list[Increment]:
        """Return the sum of both methods' increments."""
        uppers = self.upper.increments(cases)
        after = [replace(case, before=upper) for case, upper in zip(cases, uppers, strict=True)]
        return [_together(*pair) for pair in zip(uppers, self.ground.increments(after), strict=True)]


def _together(upper: Increment, ground: Increment) -> Increment:
    return replace(upper, log=ground.log | upper.log, parts=(*upper.parts, ground))
