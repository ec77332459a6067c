"""What everything outside this room may know of a grid: its points, their areas, and what lies around a place.

Poles, the date line and other seams are the grid's own affair. A grid is a rectangle (rows, columns) of points in some
projection; fields are (…, rows, columns), wind components along east and north at every point.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Corners:
    """The points around n places: index into the flattened grid, interpolation weight, and sign, (n, k) each.

    sign: −1 where a wind component at that point counts reversed, as beyond a pole. inside: (n,) whether the grid
    covers the place; where it does not all weights are zero.
    """

    index: Integers
    weight: Array
    sign: Array
    inside: NDArray[np.bool_]


@dataclass(frozen=True)
class Vicinity:
    """Some points of a grid and the places that may lie within a radius of them; others do not.

    points: (m,) indices into the flattened grid. places: (k,) indices of the places, ascending.
    """

    points: Integers
    places: Integers


class Grid(Protocol):
    """A horizontal grid; equal grids compare equal and hash alike."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        ...

    @property
    def coordinates(self) -> tuple[Array, Array]:
        """Latitude and longitude [degree] of the points, (rows · columns,) each."""
        ...

    @property
    def area(self) -> Array:
        """(rows, columns) area that a point stands for, scaled to Σ = 1."""
        ...

    def corners(self, latitude: Array, longitude: Array) -> Corners:
        """Return the points around each place (n,) [degree, any convention of longitude], with their weights."""
        ...

    def neighbours(self, latitude: Array, longitude: Array, radius: float) -> Iterator[Vicinity]:
        """Yield parts of the grid, each with those places (n,) [degree] that may lie within `radius` [m] of it."""
        ...

    def __hash__(self) -> int: ...
