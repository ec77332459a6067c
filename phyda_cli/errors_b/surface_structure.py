"""How background errors near the ground are correlated: by distance, by height and by what is land and what is sea.

    ρ(a, b) = exp(−½ ((l_a − l_b)/W)²) · [(1 − α) f(L, V) + α f(ℓ, v)]
    f(L, V) = (1 + r/L) exp(−r/L) · exp(−½ ((h_a − h_b)/V)²)

The first term is the error of the weather, the second, with a part α of the variance, that of the detail between
neighbouring places, of which valleys and hills know little of each other. r is the straight distance through the earth,
with which the function of second-order autoregression is a valid correlation on the sphere; h the height of the ground
or of the station, l the part of land. A factor whose scale is infinite is 1, and so is one of which a place says
nothing. Sources: Brasnett (1999) and the OI of MESCAN (Soci et al. 2016) for distance and height; gridpp for the factor
of land and sea.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.constants import EARTH_RADIUS
from phyda_cli.grids.places import unit_vectors

Floats = NDArray[np.float64]

_REACH: Final = 8.0
"""Distance in L beyond which the correlation, 0.3 %, is taken for none."""


@dataclass(frozen=True)
class GroundPlaces:
    """Places on the ground, n of them.

    position: (n, 3) [m] from the earth's centre. height: (n,) [m], land: (n,) 0 to 1; 0 where nothing is known of them.
    """

    position: torch.Tensor
    height: torch.Tensor
    land: torch.Tensor

    @classmethod
    def at(cls, latitude: Floats, longitude: Floats, height: Floats | None, land: Floats | None) -> GroundPlaces:
        """Return the places of these coordinates [degree], heights [m] and parts of land; None: not known."""
        unknown = np.zeros(latitude.shape)
        columns = (unknown if values is None else np.nan_to_num(values) for values in (height, land))
        return cls(
            torch.from_numpy(EARTH_RADIUS * unit_vectors(latitude, longitude)), *(torch.from_numpy(x) for x in columns)
        )

    def __len__(self) -> int:
        return int(self.height.shape[0])

    def take(self, index: torch.Tensor) -> GroundPlaces:
        """Return the places of an index of any shape (…,), which their arrays then have."""
        return GroundPlaces(self.position[index], self.height[index], self.land[index])


class Separation(NamedTuple):
    """How far places (…, n) and (…, m) are apart, all (…, n, m).

    distance: [m]. higher, wetter: half the squares of the differences in height [m²] and land, None where nobody asks.
    """

    distance: torch.Tensor
    higher: torch.Tensor | None
    wetter: torch.Tensor | None

    @classmethod
    def between(cls, a: GroundPlaces, b: GroundPlaces, *, heights: bool = True, land: bool = True) -> Separation:
        """Return that of places a (…, n) from places b (…, m)."""
        return cls(
            torch.cdist(a.position, b.position),
            _half_square(a.height, b.height) if heights else None,
            _half_square(a.land, b.land) if land else None,
        )


@dataclass(frozen=True)
class Detail:
    """part: α [1]. length: ℓ [m]. height: v [m]."""

    part: float
    length: float
    height: float = np.inf


@dataclass(frozen=True)
class Structure:
    """length: L [m]. height: V [m]. land: W [1]. Infinite: no such factor. detail: the second term, None for α = 0."""

    length: float
    height: float = np.inf
    land: float = np.inf
    detail: Detail | None = None

    @property
    def reach(self) -> float:
        """Distance [m] beyond which nothing is correlated."""
        return _REACH * self.length

    @property
    def _second(self) -> Detail | None:
        """The detail where it has a part."""
        return self.detail if self.detail is not None and self.detail.part > 0 else None

    def correlation(self, a: GroundPlaces, b: GroundPlaces) -> torch.Tensor:
        """ρ (…, n, m) of places a (…, n) with places b (…, m)."""
        heights = [self.height] if self._second is None else [self.height, self._second.height]
        known = {"heights": bool(np.isfinite(heights).any()), "land": bool(np.isfinite(self.land))}
        return self.at(Separation.between(a, b, **known))

    def at(self, apart: Separation) -> torch.Tensor:
        """ρ (…, n, m) of places so far apart."""
        detail = self._second

        def term(length: float, height: float) -> torch.Tensor:
            scaled = apart.distance / length
            exponent = scaled.neg()
            if apart.higher is not None and np.isfinite(height):
                exponent.sub_(apart.higher, alpha=1.0 / height**2)
            if apart.wetter is not None and np.isfinite(self.land):
                exponent.sub_(apart.wetter, alpha=1.0 / self.land**2)
            return exponent.exp_().mul_(scaled.add_(1.0))

        weather = term(self.length, self.height)
        if detail is None:
            return weather
        return weather.mul_(1.0 - detail.part).add_(term(detail.length, detail.height), alpha=detail.part)


def _half_square(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """½ (x_i − y_j)² (…, n, m)."""
    return (one[..., :, None] - other[..., None, :]).square_().mul_(0.5)
