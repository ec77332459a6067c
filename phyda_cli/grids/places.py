"""Places on the sphere: distances, cells of nearly equal size, and what lies beside a point of a global grid.

    d = a · 2 arcsin ½‖n₁ − n₂‖,     n = (cos φ cos λ, cos φ sin λ, sin φ)

Cells: the latitudes are cut into N = round(π a / h) bands, each band at φ_c into round(2π a cos φ_c / h) cells from
0° eastward. It is the partition of UFO's Gaussian_Thinning with `round_horizontal_bin_count_to_nearest`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import avg_pool2d, pad

from phyda_cli.constants import EARTH_RADIUS
from phyda_cli.grids.base import Grid

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_LARGEST_CELL: Final = 2e6
"""Of the parts of a grid that look for places together [m]."""


class Cells(NamedTuple):
    """The cell of each place: number (n,), and its centre in degrees (n,), (n,)."""

    number: Integers
    latitude: Floats
    longitude: Floats


class Vicinity(NamedTuple):
    """Some points and the places that may lie within a radius of them; others do not.

    points: (m,) indices of points. places: (k,) indices of places, ascending.
    """

    points: Integers
    places: Integers


def unit_vectors(latitude: Floats, longitude: Floats) -> Floats:
    """n (n, 3) of places in degrees."""
    phi, lam = np.radians(latitude), np.radians(longitude)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)


def chord_distance(first: Floats, second: Floats) -> Floats:
    """d [m] between unit vectors (…, 3)."""
    half = 0.5 * np.linalg.norm(first - second, axis=-1)
    return np.asarray(2.0 * EARTH_RADIUS * np.arcsin(np.minimum(half, 1.0)))


def distance(latitude: Floats, longitude: Floats, other_latitude: Floats, other_longitude: Floats) -> Floats:
    """d [m] between places in degrees."""
    return chord_distance(unit_vectors(latitude, longitude), unit_vectors(other_latitude, other_longitude))


def even_places(random: np.random.Generator, count: int) -> tuple[Floats, Floats]:
    """Draw places even on the sphere: sin φ ~ U(−1, 1), λ ~ U(0, 360); latitudes and longitudes (count,) [degree]."""
    return np.degrees(np.arcsin(random.uniform(-1.0, 1.0, count))), random.uniform(0.0, 360.0, count)


def cells(latitude: Floats, longitude: Floats, size: float) -> Cells:
    """Return the cell of each place (degrees, any longitude convention) in a partition into cells of `size` [m]."""
    bands = max(1, round(np.pi * EARTH_RADIUS / size))
    band = np.clip(np.floor((latitude + 90.0) / 180.0 * bands), 0, bands - 1).astype(np.int64)
    middle = (np.arange(bands) + 0.5) * 180.0 / bands - 90.0
    columns = np.maximum(1, np.rint(2.0 * np.pi * EARTH_RADIUS * np.cos(np.radians(middle)) / size)).astype(np.int64)
    first = np.cumsum(columns) - columns
    around = columns[band]
    column = np.floor(np.mod(longitude, 360.0) / 360.0 * around).astype(np.int64) % around
    return Cells(first[band] + column, middle[band], (column + 0.5) * 360.0 / around)


def vicinities(at: tuple[Floats, Floats], latitude: Floats, longitude: Floats, radius: float) -> Iterator[Vicinity]:
    """Yield some points by cells, each with those places (n,) [degree] that may lie within `radius` [m] of one.

    at: latitude and longitude (m,) [degree] of the points. A cell that no place is near is left out.
    """
    points, places = unit_vectors(*at), unit_vectors(latitude, longitude)
    number = cells(*at, min(2.0 * radius, _LARGEST_CELL)).number
    order = np.argsort(number, kind="stable")
    for own in np.split(order, np.flatnonzero(np.diff(number[order])) + 1):
        middle = points[own].sum(0)
        middle /= np.linalg.norm(middle)
        reach = (float(chord_distance(points[own], middle).max()) + radius) / EARTH_RADIUS + 1e-9
        near = np.flatnonzero(places @ middle >= np.cos(min(reach, np.pi)) - 1e-15)
        if near.size:
            yield Vicinity(own, near)


def grid_unit_vectors(grid: Grid, device: torch.device | str) -> torch.Tensor:
    """n (points, 3) of a grid's points, double precision, on a device."""
    return torch.from_numpy(unit_vectors(*grid.coordinates)).to(device)


def pad_sphere(x: torch.Tensor, rows: int = 1) -> torch.Tensor:
    """Return fields (…, H, W) of a global grid without pole rows → (…, H + 2 rows, W + 2 rows), without seam or edge.

    A field on rows φ_1 … φ_H goes on across the pole to the opposite meridian: row H + k is row H + 1 − k turned by
    half the circle, and columns are periodic. Raises ValueError for an odd W.
    """
    if x.shape[-1] % 2:
        raise ValueError(f"{x.shape[-1]} meridians have no opposite ones: their number must be even")
    south = x[..., :rows, :].flip(-2).roll(x.shape[-1] // 2, -1)
    north = x[..., -rows:, :].flip(-2).roll(x.shape[-1] // 2, -1)
    tall = torch.cat([south, x, north], dim=-2)
    return torch.cat([tall[..., -rows:], tall, tall[..., :rows]], dim=-1)


def local_mean(x: torch.Tensor, reach: int = 1) -> torch.Tensor:
    """Return means of (…, channel, lat, lon) over the points within `reach` rows and columns; round in longitude.

    Beyond the outermost rows these stand for what is not there.
    """
    flat = x.reshape(-1, 1, *x.shape[-2:])
    wide = pad(pad(flat, (reach, reach, 0, 0), mode="circular"), (0, 0, reach, reach), mode="replicate")
    return avg_pool2d(wide, 2 * reach + 1, stride=1).reshape(x.shape)
