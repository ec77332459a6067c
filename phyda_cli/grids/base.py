"""What everything outside this room may know of a grid: its points, their areas, and those around a place.

Poles, the date line and other seams are the grid's own affair. A grid is a rectangle (rows, columns) of points in some
projection, or one row of them; fields are (…, rows, columns), wind components along east and north at every point.

A grid that does not go round the globe has a rim, its outermost points. Beyond it fields go on as they are at the rim,
as far as who asks lets them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Corners:
    """The points around n places: index into the flattened grid, interpolation weight, and sign, (n, k) each.

    sign: −1 where a wind component at that point counts reversed, as beyond a pole. beyond: (n,) how far [m] a place is
    outside of the grid, 0 within; there the points are those around the nearest place of the rim.
    """

    index: Integers
    weight: Array
    sign: Array
    beyond: Array

    @property
    def inside(self) -> NDArray[np.bool_]:
        """(n,) whether the grid covers a place."""
        return np.asarray(self.beyond == 0.0)


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

    @property
    def spacing(self) -> float:
        """Typical distance [m] between neighbouring points, the larger of its two directions."""
        ...

    @property
    def rim(self) -> Array | None:
        """(rows, columns) distance [m] of every point from the rim; None where the grid goes round the globe."""
        ...

    @property
    def turn(self) -> Array | None:
        """(rows, columns) angle [radian] of the grid's rows, counted from east to north; None where they run east."""
        ...

    def corners(self, latitude: Array, longitude: Array) -> Corners:
        """Return the points around each place (n,) [degree, any convention of longitude], with their weights."""
        ...

    def __hash__(self) -> int: ...
