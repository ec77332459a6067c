"""Fields from one grid to another: linear where the target is no coarser, area-weighted where it is coarser.

Between grids of any kind it is the interpolation of `Grid.corners` at the target's points, zero outside the source.
Between global latitude-longitude grids the two axes are independent, y = R_lat x R_lonᵀ, and each has its own rule, by
the number of points alone:

- as many points or more: linear interpolation in degrees, periodic in longitude. Beyond the last row the field is taken
  linearly to its value at the pole (below).
- fewer points: each target cell is the mean of the source cells that it overlaps, weighted with the exact area of the
  overlap (sin φ in latitude, λ in longitude). With both axes coarser the mean over the sphere is conserved.

At the pole a scalar has one value: the mean of the row (zonal wavenumber 0). The components of a vector turn with the
meridian that they are seen from, A cos λ + B sin λ, and so change sign across the pole: they keep the wavenumber 1 of
the row. The pole rows of a source are used as they are; those of the target always hold such values.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.grids.base import Grid
from phyda_cli.grids.latlon import LatLonGrid

Array = NDArray[np.float64]


def regrid(x: torch.Tensor, source: Grid, target: Grid, *, vector: bool = False) -> torch.Tensor:
    """Bring fields (…, lat, lon) from the source grid to the target grid; the same grid gives back x itself.

    vector: x is one component of a wind, which changes sign across the pole.
    Constants (scalars) are kept to rounding. Raises BadDataError when x is not on the source grid.
    """
    if tuple(x.shape[-2:]) != source.shape:
        raise BadDataError(f"fields of shape {tuple(x.shape[-2:])} are not on the grid {source}")
    if source == target:
        return x
    if not (isinstance(source, LatLonGrid) and isinstance(target, LatLonGrid)):
        return _gathered(x, source, target, vector=vector)
    if source.longitudes != target.longitudes:
        x = x @ _tensor(_longitude_matrix(source.longitudes, target.longitudes), x).mT
    if source.latitudes != target.latitudes:
        if len(target.latitudes) < len(source.latitudes):
            matrix = _latitude_overlap(source.latitudes, target.latitudes)
        else:
            south, north = (_polar_row(x[..., row, :], target, vector=vector)[..., None, :] for row in (0, -1))
            x = torch.cat([south, x, north], dim=-2)
            matrix = _latitude_interpolation(source.latitudes, target.latitudes)
        x = _tensor(matrix, x) @ x
    for row, latitude in ((0, -90.0), (-1, 90.0)):
        if target.latitudes[row] == latitude:
            x = x.clone()
            x[..., row, :] = _polar_row(x[..., row, :], target, vector=vector)
    return x


def _gathered(x: torch.Tensor, source: Grid, target: Grid, *, vector: bool) -> torch.Tensor:
    """Return fields at the points of a target of any kind."""
    corners = source.corners(*target.coordinates)
    weight = torch.from_numpy(corners.weight * corners.sign if vector else corners.weight).to(x)
    index = torch.from_numpy(corners.index).to(x.device)
    near = x.flatten(-2).index_select(-1, index.flatten()).unflatten(-1, index.shape)  # type: ignore[no-untyped-call]
    result: torch.Tensor = (near * weight).sum(-1).reshape(*x.shape[:-2], *target.shape)
    return result


def _polar_row(row: torch.Tensor, grid: LatLonGrid, *, vector: bool) -> torch.Tensor:
    """Return what remains at the pole of a row (…, lon): zonal wavenumber 0 of a scalar, 1 of a vector component."""
    if not vector:
        return row.mean(-1, keepdim=True).expand_as(row)
    longitude = 2 * np.pi * np.arange(row.shape[-1]) / row.shape[-1]
    wave = _tensor(np.stack([np.cos(longitude), np.sin(longitude)]), row)
    return (2 / row.shape[-1]) * (row @ wave.mT) @ wave


def _tensor(matrix: Array, like: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(matrix, device=like.device).to(like.dtype)


@lru_cache(maxsize=16)
def _longitude_matrix(source: tuple[float, ...], target: tuple[float, ...]) -> Array:
    """(target, source) weights around the circle, linear or by overlap."""
    n, m = len(source), len(target)
    # Both axes are even, so positions count in source steps from the first source point.
    position = ((target[0] - source[0]) / 360.0 + np.arange(m) / m) * n
    matrix = np.zeros((m, n))
    if m >= n:
        left = np.floor(position).astype(np.int64)
        weight = position - left
        np.add.at(matrix, (np.arange(m), left % n), 1.0 - weight)
        np.add.at(matrix, (np.arange(m), (left + 1) % n), weight)
        return matrix
    # A cell of either axis reaches half a step to both sides; unwrapped source cells cover a turn on either side.
    cells = np.arange(-n, 2 * n)
    half = 0.5 * n / m
    overlap = np.minimum(position[:, None] + half, cells + 0.5) - np.maximum(position[:, None] - half, cells - 0.5)
    matrix = np.maximum(overlap, 0.0).reshape(m, 3, n).sum(1)
    return np.asarray(matrix / matrix.sum(1, keepdims=True))


@lru_cache(maxsize=16)
def _latitude_interpolation(source: tuple[float, ...], target: tuple[float, ...]) -> Array:
    """(target, source + 2) weights, linear in degrees, on the source rows with a pole row added at either end."""
    rows = np.array([-90.0, *np.clip(source, -90.0, 90.0), 90.0])
    upper = np.clip(np.searchsorted(rows, target), 1, rows.size - 1)
    # A source that has its own pole row makes an empty first or last interval: stay within the real ones.
    upper = np.where(rows[upper] > rows[upper - 1], upper, np.where(upper == 1, 2, upper - 1))
    weight = (np.asarray(target) - rows[upper - 1]) / (rows[upper] - rows[upper - 1])
    matrix = np.zeros((len(target), rows.size))
    matrix[np.arange(len(target)), upper - 1] = 1.0 - weight
    matrix[np.arange(len(target)), upper] = weight
    return matrix


@lru_cache(maxsize=16)
def _latitude_overlap(source: tuple[float, ...], target: tuple[float, ...]) -> Array:
    """(target, source) share of each target row's area that each source row covers."""
    fine, coarse = _edges(source), _edges(target)
    overlap = np.minimum(coarse[1:, None], fine[None, 1:]) - np.maximum(coarse[:-1, None], fine[None, :-1])
    matrix = np.maximum(overlap, 0.0)
    return np.asarray(matrix / matrix.sum(1, keepdims=True))


def _edges(latitudes: tuple[float, ...]) -> Array:
    """Sines of the cell edges: half-way between rows, and the poles."""
    lat = np.asarray(latitudes)
    return np.asarray(np.sin(np.radians(np.concatenate([[-90.0], 0.5 * (lat[1:] + lat[:-1]), [90.0]]))))
