"""Places where the weights of a filter are computed, and which of them each point of the background lies between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phyda_cli.grids.base import Grid
from phyda_cli.grids.reduced import ReducedGrid

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Anchors:
    """Points of a grid between the places of a coarser one.

    latitude, longitude: (a,) of the places [degree]. columns: (m,) index of a point on its grid. corners: (m, 4) index
    of the places around it. weights: (m, 4) of these, which add up to 1.
    """

    latitude: Floats
    longitude: Floats
    columns: Integers
    corners: Integers
    weights: Floats

    @classmethod
    def of(cls, grid: Grid, spacing: float) -> Anchors:
        """Return the places `spacing` [m] apart that points of a grid lie between, south to north."""
        coarse = ReducedGrid.even(spacing)
        found = coarse.corners(*grid.coordinates)
        order = np.argsort(found.index.min(1), kind="stable")
        latitude, longitude = coarse.coordinates
        return cls(latitude, longitude, order, found.index[order], found.weight[order])._used()

    @property
    def count(self) -> int:
        """How many places there are."""
        return int(self.latitude.size)

    def parts(self, most: int) -> Iterator[Anchors]:
        """Yield the points in parts, each with its own places, of which there are `most` or fewer.

        Two rows of places are never parted, however many they are.
        """
        row = np.cumsum(np.append(0, np.diff(self.latitude) > 0))
        size = np.bincount(row)
        first = row[self.corners.min(1)]
        begin = 0
        while begin < self.columns.size:
            rows = np.cumsum(size[first[begin] :])
            held = int(np.searchsorted(rows, most, side="right"))
            last = first[begin] + (held if held == rows.size else max(held - 1, 1))
            part = slice(begin, begin + int(np.searchsorted(first[begin:], last)))
            yield Anchors(
                self.latitude, self.longitude, self.columns[part], self.corners[part], self.weights[part]
            )._used()
            begin = part.stop

    def _used(self) -> Anchors:
        """Return the same with only those places that a point needs."""
        places, corners = np.unique(self.corners, return_inverse=True)
        corners = corners.reshape(self.corners.shape)
        return Anchors(self.latitude[places], self.longitude[places], self.columns, corners, self.weights)
