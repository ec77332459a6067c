"""What other observations say of an observation: the result of a prediction that leaves it out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Predicted:
    """Of n observations: residual, y minus its prediction, and expected, the standard deviation of that [SI].

    NaN where nothing is predicted. count: how many others are within a correlation length.
    """

    residual: NDArray[np.float64]
    expected: NDArray[np.float64]
    count: NDArray[np.int64]

    @classmethod
    def none(cls, n: int) -> Predicted:
        """Return no prediction of n."""
        return cls(np.full(n, np.nan), np.full(n, np.nan), np.zeros(n, dtype=np.int64))

    def among(self, n: int, index: NDArray[np.int64]) -> Predicted:
        """Return these predictions as those at an index among n."""
        result = Predicted.none(n)
        result.residual[index], result.expected[index], result.count[index] = self.residual, self.expected, self.count
        return result
