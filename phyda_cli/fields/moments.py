"""Mean and standard deviation of fields that come one after the other (Welford 1962): only sums are kept.

m_k = m_{k−1} + (x_k − m_{k−1})/k,     s_k = s_{k−1} + (x_k − m_{k−1})(x_k − m_k),     σ² = s_N/(N − 1)
"""

from __future__ import annotations

import torch


class Moments:
    """The moments of what was added. mean: of any shape, zero before the first."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros((), dtype=torch.float64)
        self._squares = torch.zeros((), dtype=torch.float64)

    def add(self, values: torch.Tensor) -> None:
        """Count one more set of values, all of one shape."""
        self.count += 1
        before = values - self.mean
        self.mean = self.mean + before / self.count
        self._squares = self._squares + before * (values - self.mean)

    def spread(self) -> torch.Tensor:
        """Return the standard deviation with N − 1; at least two sets must have been added."""
        return (self._squares / (self.count - 1)).sqrt()
