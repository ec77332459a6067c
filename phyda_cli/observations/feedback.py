"""Feedback: what became of every input observation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phyda_cli.observations.table import Observations


@dataclass(frozen=True)
class Feedback:
    """One entry for every input row, in input order.

    observations: values, final σ_o, flags and reasons.
    background_equivalent: (n,) H(x_b), SI, NaN where H is not defined.
    analysis_equivalent: (n,) H(x_a), SI, NaN where H is not defined.
    spread: (n,) standard deviation of the analysis in observation space, SI, NaN where the method has none.
    """

    observations: Observations
    background_equivalent: NDArray[np.float64]
    analysis_equivalent: NDArray[np.float64]
    spread: NDArray[np.float64]

    @property
    def background_departure(self) -> NDArray[np.float64]:
        """(n,) O − B = y − H(x_b)."""
        return self.observations.value - self.background_equivalent

    @property
    def analysis_departure(self) -> NDArray[np.float64]:
        """(n,) O − A = y − H(x_a)."""
        return self.observations.value - self.analysis_equivalent
