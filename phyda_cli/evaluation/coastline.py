"""Land and coastlines for maps, from `coastline.npz` beside this file.

Source: Natural Earth 1:110m, its countries united (naturalearthdata.com), public domain; see `tools/make_coastline.py`.
The file holds `vertices` (n, 2) int16, longitude and latitude in hundredths of a degree, and `lengths`, the number of
vertices of each ring. Rings are closed: land anticlockwise, lakes clockwise. Land that crosses the dateline, and
Antarctica, are closed along it and along the south pole; these edges are no coast.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_EDGE = 1e-6
"""How near [degree] to the map's edge a vertex lies on it."""


@cache
def land_rings() -> tuple[Array, ...]:
    """Closed rings (n, 2) of longitude in [−180, 180] and latitude [degree]; land inside, by the even-odd rule."""
    with (
        files("phyda_cli.evaluation").joinpath("coastline.npz").open("rb") as stream,
        np.load(stream, allow_pickle=False) as stored,
    ):
        vertices, lengths = stored["vertices"] / 100.0, stored["lengths"].astype(np.int64)
    return tuple(np.split(vertices, np.cumsum(lengths)[:-1]))


@cache
def coastline() -> tuple[Array, ...]:
    """Open or closed lines (n ≥ 2, 2) of longitude and latitude [degree]: the rings without the edges of the map."""
    lines = []
    for ring in land_rings():
        at_dateline = np.abs(ring[:, 0]) > 180.0 - _EDGE
        at_pole = ring[:, 1] < -90.0 + _EDGE
        artificial = (at_dateline[:-1] & at_dateline[1:]) | (at_pole[:-1] & at_pole[1:])
        cuts = np.flatnonzero(artificial)
        lines += [piece for piece in np.split(ring, cuts + 1) if len(piece) > 1]
    return tuple(lines)
