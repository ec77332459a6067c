"""Fields of reduced grids on coarser latitude-longitude grids: the mean of what lies in each cell.

A point of a reduced grid stands for the cell half-way to its neighbours in its row and half-way to the neighbouring
rows. A cell of the target is the mean of the cells that it overlaps, weighted with the exact area of the overlap:

    y_t = Σ_s |t ∩ s| x_s / Σ_s |t ∩ s|,   |t ∩ s| = Δ(sin φ) Δλ

so that the mean over the sphere is conserved. Along a row the edges of both grids cut the circle into pieces, of which
each belongs to one cell of either.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.grids.reduced import ReducedGrid

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


@lru_cache(maxsize=8)
def reduced_overlap(source: ReducedGrid, target: LatLonGrid) -> Any:
    """Return the weights (target point, source point) as a sparse matrix; rows of a target point add up to 1.

    The source must go round the globe and from pole to pole.
    """
    rows, columns = target.shape
    bands = _band_overlap(np.asarray(source.latitudes), np.asarray(target.latitudes))
    starts = np.cumsum([0, *source.counts])
    place: list[Integers] = []
    point: list[Integers] = []
    weight: list[Array] = []
    for row, (count, first, step) in enumerate(zip(source.counts, source.first, source.step, strict=True)):
        own, wanted, width = _pieces(count, first, step, np.asarray(target.longitudes))
        for band in np.flatnonzero(bands[:, row]):
            place.append(band * columns + wanted)
            point.append(starts[row] + own)
            weight.append(bands[band, row] * width)
    shape = rows * columns, int(starts[-1])
    indices = np.concatenate(place), np.concatenate(point)
    matrix = scipy.sparse.csr_matrix((np.concatenate(weight), indices), shape=shape)
    return scipy.sparse.diags_array(1.0 / np.asarray(matrix.sum(axis=1)).ravel()) @ matrix


def _band_overlap(source: Array, target: Array) -> Array:
    """(target, source) area Δ(sin φ) that rows have in common."""
    own, wanted = (_edges(latitudes) for latitudes in (source, target))
    common = np.minimum(wanted[1:, None], own[None, 1:]) - np.maximum(wanted[:-1, None], own[None, :-1])
    return np.asarray(np.maximum(common, 0.0))


def _edges(latitudes: Array) -> Array:
    middles = 0.5 * (latitudes[1:] + latitudes[:-1])
    return np.asarray(np.sin(np.radians(np.concatenate([[-90.0], middles, [90.0]]))))


def _pieces(count: int, first: float, step: float, longitudes: Array) -> tuple[Integers, Integers, Array]:
    """Return the pieces of a circle of latitude: the point of the row, the column of the target, the width [degree]."""
    spacing = 360.0 / longitudes.size
    edges = np.concatenate(
        [first + (np.arange(count) - 0.5) * step, longitudes[0] + (np.arange(longitudes.size) - 0.5) * spacing]
    )
    cuts = np.unique(np.mod(edges, 360.0))
    width = np.diff(np.append(cuts, cuts[0] + 360.0))
    middle = cuts + 0.5 * width
    own = np.floor((middle - first) / step + 0.5).astype(np.int64) % count
    wanted = np.floor((middle - longitudes[0]) / spacing + 0.5).astype(np.int64) % longitudes.size
    return own, wanted, width
