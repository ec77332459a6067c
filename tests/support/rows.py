"""Rows of a store's material that are an array in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Held:
    """values: (row, channel, lat, lon)."""

    values: np.ndarray

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Some of the rows."""
        return self.values[rows]
