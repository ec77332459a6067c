"""How large background errors are, relative to those of a short forecast: a factor by kind of variable and latitude.

    s(variable, φ) = Σ_b w_b(φ) s_kind,b        bands b: south, tropics, north

The weights w_b are 1 in a band and change linearly with latitude over the 20 degrees around its border. Humidity has
factors of its own: an old forecast or a climatology loses the jets by a factor of 7 and more, but humidity's errors are
within a factor of 3 of the weather's own variations already in a short forecast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

BORDER: Final = 20.0
"""Latitude of the borders of the tropics [degree]."""
_HALF_WIDTH: Final = 10.0
"""Half of the zone over which the factors change from one band's to the next one's [degree]."""
HUMIDITY: Final = frozenset({"q", "r", "td", "d2m", "tcwv"})
"""The variables that have humidity's factors."""

Bands = tuple[float, float, float]
"""One factor each for south, tropics and north."""


@dataclass(frozen=True)
class ErrorScale:
    """Factors on the background error of dynamics (wind, mass, temperature) and humidity: south, tropics, north."""

    dynamics: Bands
    humidity: Bands

    @classmethod
    def uniform(cls, factor: float) -> ErrorScale:
        """One factor for all."""
        return cls((factor,) * 3, (factor,) * 3)

    @property
    def is_uniform(self) -> bool:
        """Whether all factors are the same."""
        return len({*self.dynamics, *self.humidity}) == 1

    @property
    def typical(self) -> float:
        """The geometric mean over the globe of the dynamics' factors, by area: one number for logs and carry files."""
        if len(set(self.dynamics)) == 1:
            return self.dynamics[0]
        area = np.array([1.0 - _sine(BORDER), 2.0 * _sine(BORDER), 1.0 - _sine(BORDER)]) / 2.0
        return float(np.exp(area @ np.log(self.dynamics)))

    def times(self, other: ErrorScale) -> ErrorScale:
        """The factors of both, multiplied."""
        return ErrorScale(_product(self.dynamics, other.dynamics), _product(self.humidity, other.humidity))

    def at(self, variables: Sequence[str] | NDArray[np.object_], latitudes: ArrayLike) -> NDArray[np.float64]:
        """(n,) factors for variables (n,) at latitudes (n,) [degree]."""
        weights = band_weights(latitudes)
        is_humidity = np.isin(np.asarray(variables, dtype=str), list(HUMIDITY))
        return np.asarray(np.where(is_humidity, weights @ np.array(self.humidity), weights @ np.array(self.dynamics)))

    def rows(self, variables: Sequence[str], latitudes: ArrayLike) -> NDArray[np.float64]:
        """(variable, row) factors for variables on rows of latitude [degree]."""
        latitude = np.asarray(latitudes, dtype=np.float64)
        return np.stack([self.at([name] * latitude.size, latitude) for name in variables])


def band_weights(latitudes: ArrayLike) -> NDArray[np.float64]:
    """(n, 3) how much a latitude [degree] belongs to the south, the tropics and the north."""
    latitude = np.asarray(latitudes, dtype=np.float64)
    north = np.clip((latitude - BORDER + _HALF_WIDTH) / (2.0 * _HALF_WIDTH), 0.0, 1.0)
    south = np.clip((-latitude - BORDER + _HALF_WIDTH) / (2.0 * _HALF_WIDTH), 0.0, 1.0)
    return np.stack([south, 1.0 - south - north, north], axis=-1)


def _product(one: Bands, other: Bands) -> Bands:
    return one[0] * other[0], one[1] * other[1], one[2] * other[2]


def _sine(degrees: float) -> float:
    return float(np.sin(np.radians(degrees)))
