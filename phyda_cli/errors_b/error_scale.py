"""How large background errors are, relative to those of a short forecast: one factor for dynamics, one for humidity.

An old forecast or a climatology loses the jets by a factor of 7 and more, while humidity's errors are within a factor
of 3 of the weather's own variations already in a short forecast: one factor for both empties the humidity. Factors by
band of latitude were tried as well: at withheld stations of real cases they gained nothing over one for the globe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

HUMIDITY: Final = frozenset({"q", "r", "td", "d2m", "tcwv", "ztd"})
"""The variables that have humidity's factor."""


@dataclass(frozen=True)
class ErrorScale:
    """Factors on the background error of dynamics (wind, mass, temperature) and of humidity."""

    dynamics: float
    humidity: float

    @classmethod
    def uniform(cls, factor: float) -> ErrorScale:
        """Return one factor for all."""
        return cls(factor, factor)

    @property
    def is_uniform(self) -> bool:
        """Whether both factors are the same."""
        return self.dynamics == self.humidity

    def times(self, other: ErrorScale) -> ErrorScale:
        """Return the factors of both, multiplied."""
        return ErrorScale(self.dynamics * other.dynamics, self.humidity * other.humidity)

    def of(self, variables: Sequence[str] | NDArray[np.object_]) -> NDArray[np.float64]:
        """(n,) factors of variables (n,)."""
        return np.where(is_humidity(variables), self.humidity, self.dynamics)


def is_humidity(variables: Sequence[str] | NDArray[np.object_]) -> NDArray[np.bool_]:
    """(n,) which variables have humidity's factor."""
    return np.isin(np.asarray(variables, dtype=str), list(HUMIDITY))


LARGEST: Final = ErrorScale(dynamics=9.0, humidity=3.0)
"""The largest scale of statistics that only grow in size: their variance stays within about twice the weather's own."""
