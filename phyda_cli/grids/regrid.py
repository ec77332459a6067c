"""Fields from one grid to another: linear where the target is no coarser, area-weighted where it is coarser.

Between grids of any kind it is the interpolation of `Grid.corners` at the target's points; from a reduced grid to a
coarser one it is the mean of what lies in each cell (`overlap.py`). Between latitude-longitude grids, global ones and
cut-outs, the two axes are independent, y = R_lat x R_lonᵀ, and each has its own rule, by the steps alone:

- as small steps or smaller: linear interpolation in degrees, periodic in longitude. Beyond the last row of a global
  source the field is taken linearly to its value at the pole (below).
- larger steps: each target cell is the mean of the source cells that it overlaps, weighted with the exact area of the
  overlap (sin φ in latitude, λ in longitude). With both axes coarser the mean over the sphere is conserved.

Where the source does not cover a point, or a cell of larger steps wholly, the result is zero. So a cut-out gives the
same as its global field, point for point.

At the pole a scalar has one value: the mean of the row (zonal wavenumber 0). The components of a vector turn with the
meridian that they are seen from, A cos λ + B sin λ, and so change sign across the pole: they keep the wavenumber 1 of
the row. The pole rows of a source are used as they are; those of a global target always hold such values.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.grids.base import Grid
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.grids.overlap import reduced_overlap
from phyda_cli.grids.plane import Geographic, PlaneGrid
from phyda_cli.grids.reduced import ReducedGrid

Array = NDArray[np.float64]

_ALIKE: Final = 0.02
"""Steps that differ by less are the same: rows with and without poles."""
_SLACK: Final = 1e-3
"""How far, in steps, a point may lie beyond the rim by the rounding of coordinates."""


@dataclass(frozen=True, eq=False)
class _Weights:
    """Weights (target, source) along an axis."""

    dense: Array

    @cached_property
    def double(self) -> Any:
        """The weights as a sparse matrix."""
        return scipy.sparse.csr_array(self.dense)

    @cached_property
    def single(self) -> Any:
        """The same in single precision."""
        return self.double.astype(np.float32)


class _Axes(NamedTuple):
    """The axes of a latitude-longitude grid, and whether it goes round the globe and from pole to pole."""

    latitudes: tuple[float, ...]
    longitudes: tuple[float, ...]
    around: bool
    polar: bool


def regrid(x: torch.Tensor, source: Grid, target: Grid, *, vector: bool = False) -> torch.Tensor:
    """Bring fields (…, lat, lon) from the source grid to the target grid; the same grid gives back x itself.

    vector: x is one component of a wind, which changes sign across the pole.
    Constants (scalars) are kept to rounding. Raises BadDataError when x is not on the source grid.
    """
    if tuple(x.shape[-2:]) != source.shape:
        raise BadDataError(f"fields of shape {tuple(x.shape[-2:])} are not on the grid {source}")
    if source == target:
        return x
    own, wanted = _axes(source), _axes(target)
    if own is None or wanted is None:
        return _gathered(x, source, target, vector=vector)
    if own.latitudes != wanted.latitudes:
        if _coarser(own.latitudes, wanted.latitudes, counted=own.polar and wanted.polar):
            x = _of_rows(_latitude_overlap(own, wanted), x)
        else:
            if own.polar:
                ends = [_polar_row(x[..., row, :], own.longitudes, vector=vector)[..., None, :] for row in (0, -1)]
                x = torch.cat([ends[0], x, ends[1]], dim=-2)
            x = _of_rows(_latitude_interpolation(own, wanted), x)
    rows = x
    if own.longitudes != wanted.longitudes:
        x = _of_rows(_longitude_matrix(own, wanted), x.mT).mT
    if own.polar:
        for row in (0, -1):
            if abs(wanted.latitudes[row]) == 90.0:
                x = x.clone()
                x[..., row, :] = _polar_row(rows[..., row, :], own.longitudes, wanted.longitudes, vector=vector)
    return x


def _axes(grid: Grid) -> _Axes | None:
    """Return the axes of a latitude-longitude grid, None for others and where an axis has one point."""
    if isinstance(grid, LatLonGrid):
        return _Axes(grid.latitudes, grid.longitudes, True, True)
    if isinstance(grid, PlaneGrid) and isinstance(grid.projection, Geographic) and min(grid.shape) > 1:
        return _Axes(grid.y, grid.x, grid.periodic, False)
    return None


def _of_rows(matrix: _Weights, x: torch.Tensor) -> torch.Tensor:
    """Return matrix @ x for fields x (…, row, column).

    A row needs few of the others: on the processor, where no gradient is asked for, only these are read.
    """
    if x.requires_grad or x.device.type != "cpu":
        return torch.as_tensor(matrix.dense, device=x.device).to(x.dtype) @ x
    sparse = matrix.single if x.dtype is torch.float32 else matrix.double
    planes = x.numpy().reshape(-1, *x.shape[-2:])
    result = np.empty((len(planes), len(matrix.dense), x.shape[-1]), planes.dtype)
    for number, plane in enumerate(planes):
        result[number] = sparse @ plane
    return torch.from_numpy(result.reshape(*x.shape[:-2], *result.shape[1:]))


def _gathered(x: torch.Tensor, source: Grid, target: Grid, *, vector: bool) -> torch.Tensor:
    """Return fields at the points of a target of any kind."""
    if isinstance(source, ReducedGrid) and isinstance(target, LatLonGrid) and _is_coarser(target, source):
        matrix = reduced_overlap(source, target)
        points = x.detach().cpu().double().numpy().reshape(-1, source.shape[1])
        return torch.from_numpy(matrix @ points.T).T.reshape(*x.shape[:-2], *target.shape).to(x)
    corners = source.corners(*target.coordinates)
    held = corners.weight * corners.inside[:, None]
    weight = torch.from_numpy(held * corners.sign if vector else held).to(x)
    index = torch.from_numpy(corners.index).to(x.device)
    near = x.flatten(-2).index_select(-1, index.flatten()).unflatten(-1, index.shape)  # type: ignore[no-untyped-call]
    result: torch.Tensor = (near * weight).sum(-1).reshape(*x.shape[:-2], *target.shape)
    return result


def _is_coarser(target: LatLonGrid, source: ReducedGrid) -> bool:
    """Return whether the cells of a target, none of them at a pole, are larger than those of a whole reduced grid."""
    coarser = target.spacing > (1.0 + _ALIKE) * source.spacing
    return coarser and source.rim is None and abs(target.latitudes[0]) < 90.0 and abs(target.latitudes[-1]) < 90.0


def _polar_row(
    row: torch.Tensor, source: tuple[float, ...], target: tuple[float, ...] | None = None, *, vector: bool
) -> torch.Tensor:
    """Return what remains at the pole of a row (…, lon) round the globe, on other meridians where they are given.

    That is zonal wavenumber 0 of a scalar, 1 of a vector component.
    """
    wanted = source if target is None else target
    if not vector:
        return row.mean(-1, keepdim=True).expand(*row.shape[:-1], len(wanted))
    waves = [
        _tensor(np.stack([np.cos(angle), np.sin(angle)]), row) for angle in (np.radians(source), np.radians(wanted))
    ]
    return (2 / row.shape[-1]) * (row @ waves[0].mT) @ waves[1]


def _tensor(matrix: Array, like: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(matrix, device=like.device).to(like.dtype)


def _coarser(source: tuple[float, ...], target: tuple[float, ...], *, counted: bool) -> bool:
    """Return whether the steps of an axis are larger than another's; of whole axes the number of points decides."""
    if counted:
        return len(target) < len(source)
    return float(np.median(np.diff(target)) / np.median(np.diff(source))) > 1.0 + _ALIKE


@lru_cache(maxsize=16)
def _longitude_matrix(source: _Axes, target: _Axes) -> _Weights:
    """(target, source) weights around the circle, linear or by overlap; zero for what the source does not cover."""
    held, wanted = np.asarray(source.longitudes), np.asarray(target.longitudes)
    if _coarser(source.longitudes, target.longitudes, counted=source.around and target.around):
        own, cells = (_meridians(axes) for axes in (source, target))
        turns = 360.0 * np.arange(-2, 3)[:, None, None]
        west = np.maximum(cells[:-1, None], own[None, :-1] + turns)
        east = np.minimum(cells[1:, None], own[None, 1:] + turns)
        return _Weights(_shares(np.maximum(east - west, 0.0).sum(0), np.diff(cells)))
    nodes = np.append(held, held[0] + 360.0) if source.around else held
    slack = _SLACK * float(np.median(np.diff(held)))
    place = np.mod(wanted - held[0] + slack, 360.0) - slack + held[0]
    matrix = np.zeros((wanted.size, held.size))
    inside = np.flatnonzero(place <= nodes[-1] + slack)
    west = np.clip(np.searchsorted(nodes, place[inside], side="right") - 1, 0, nodes.size - 2)
    share = (place[inside] - nodes[west]) / (nodes[west + 1] - nodes[west])
    matrix[inside, west] = 1.0 - share
    matrix[inside, (west + 1) % held.size] += share
    return _Weights(matrix)


def _meridians(axes: _Axes) -> Array:
    """Edges of the cells around meridians: half-way between them, half a step beyond the ends of a cut-out."""
    lon = np.asarray(axes.longitudes)
    middles = 0.5 * (lon[1:] + lon[:-1])
    if axes.around:
        first = 0.5 * (lon[0] + lon[-1] - 360.0)
        return np.concatenate([[first], middles, [first + 360.0]])
    return np.concatenate([[lon[0] - 0.5 * (lon[1] - lon[0])], middles, [lon[-1] + 0.5 * (lon[-1] - lon[-2])]])


@lru_cache(maxsize=16)
def _latitude_interpolation(source: _Axes, target: _Axes) -> _Weights:
    """(target, source) weights, linear in degrees; a global source has a pole row added at either end."""
    held = np.clip(source.latitudes, -90.0, 90.0)
    rows = np.concatenate([[-90.0], held, [90.0]]) if source.polar else held
    wanted = np.asarray(target.latitudes)
    slack = _SLACK * float(np.median(np.diff(held)))
    inside = np.flatnonzero((wanted >= rows[0] - slack) & (wanted <= rows[-1] + slack))
    upper = np.clip(np.searchsorted(rows, wanted[inside]), 1, rows.size - 1)
    # A source that has its own pole row makes an empty first or last interval: stay within the real ones.
    upper = np.where(rows[upper] > rows[upper - 1], upper, np.where(upper == 1, 2, upper - 1))
    weight = (wanted[inside] - rows[upper - 1]) / (rows[upper] - rows[upper - 1])
    matrix = np.zeros((wanted.size, rows.size))
    matrix[inside, upper - 1] = 1.0 - weight
    matrix[inside, upper] = weight
    return _Weights(matrix)


@lru_cache(maxsize=16)
def _latitude_overlap(source: _Axes, target: _Axes) -> _Weights:
    """(target, source) share of each target row's area that each source row covers; zero where it does not wholly."""
    fine, coarse = _edges(source), _edges(target)
    overlap = np.minimum(coarse[1:, None], fine[None, 1:]) - np.maximum(coarse[:-1, None], fine[None, :-1])
    return _Weights(_shares(np.maximum(overlap, 0.0), np.diff(coarse)))


def _shares(overlap: Array, whole: Array) -> Array:
    """Return overlaps (target, source) as shares that add up to 1, zero where they leave some of the whole out."""
    covered = overlap.sum(1)
    return np.where(
        (covered > (1.0 - _SLACK) * whole)[:, None], overlap / np.where(covered > 0, covered, 1.0)[:, None], 0.0
    )


def _edges(axes: _Axes) -> Array:
    """Sines of the cell edges: half-way between rows, and the poles or half a step beyond the ends of a cut-out."""
    lat = np.asarray(axes.latitudes)
    ends = (-90.0, 90.0)
    if not axes.polar:
        ends = max(-90.0, 1.5 * lat[0] - 0.5 * lat[1]), min(90.0, 1.5 * lat[-1] - 0.5 * lat[-2])
    return np.asarray(np.sin(np.radians(np.concatenate([ends[:1], 0.5 * (lat[1:] + lat[:-1]), ends[1:]]))))
