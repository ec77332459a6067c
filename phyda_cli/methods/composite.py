"""Several methods that live on grids of their own, as one: each assimilates the observations that it reaches.

δ = Σ_k δ_k onto the background's grid,    method k sees the rows that none before it reaches
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from phyda_cli.errors_b.error_scale import ErrorScale
from phyda_cli.fields.state import State
from phyda_cli.methods.base import Case, Increment, Method
from phyda_cli.operators.operator import Operator


@dataclass(frozen=True)
class Composite(Method):
    """Methods in order of precedence, at least one; none of them for ensembles."""

    methods: tuple[Method, ...]

    @property
    def name(self) -> str:
        """The names of all, joined."""
        return "+".join(method.name for method in self.methods)

    def scaled(self, scale: ErrorScale) -> Composite:
        """Return every method scaled."""
        return replace(self, methods=tuple(method.scaled(scale) for method in self.methods))

    def trial(self) -> Composite:
        """Return every method's own."""
        return replace(self, methods=tuple(method.trial() for method in self.methods))

    @property
    def largest_scale(self) -> ErrorScale:
        """The smallest of the methods' own."""
        scales = [method.largest_scale for method in self.methods]
        return ErrorScale(min(s.dynamics for s in scales), min(s.humidity for s in scales))

    def background_error_at(self, operator: Operator, background: State) -> NDArray[np.float64]:
        """That of the first method that reaches a row."""
        known = np.stack([method.background_error_at(operator, background) for method in self.methods])
        return np.asarray(np.take_along_axis(known, (known > 0).argmax(0)[None], axis=0)[0])

    def unobserved(self, background: State) -> Increment:
        """Return the methods' own, together."""
        return _together([method.unobserved(background) for method in self.methods])

    def increments(self, cases: Sequence[Case]) -> list[Increment]:
        """Return the sum of the methods' increments, each of its own rows."""
        owners = [self._owner(case) for case in cases]
        made = []
        for number, method in enumerate(self.methods):
            own = [
                replace(case, departures=case.departures.take(owner == number))
                for case, owner in zip(cases, owners, strict=True)
            ]
            made.append(method.increments(own))
        return [_together(list(parts)) for parts in zip(*made, strict=True)]

    def _owner(self, case: Case) -> NDArray[np.int64]:
        """(n,) the number of the method that assimilates a row."""
        reached = np.stack(
            [method.background_error_at(case.departures.operator, case.background) > 0 for method in self.methods]
        )
        return np.asarray(reached.argmax(0))


def _together(parts: Sequence[Increment]) -> Increment:
    first, *others = parts
    log = {key: value for part in reversed(parts) for key, value in part.log.items()}
    return replace(first, log=log, parts=(*first.parts, *others), weights=None)
