"""The observation operator H: fields on a grid at the places of the observations.

    (H x)_k = Σ_{l=1,2} a_l(p_k) Σ_{m=1..4} b_m(φ_k, λ_k) x[c_l, j_m, i_m]

Horizontal: bilinear in latitude and longitude, periodic. Poleward of the last row the field goes on across the pole to
the same row on the opposite meridian (φ → 180° − φ, λ → λ + 180°); wind components change sign there.
Vertical: linear in ln p between the two levels of the variable that enclose p. With `extend="increment"` an increment
goes on outside the levels: constant below the lowest one, linear in ln p to zero at half the pressure of the highest.
H is linear and stored as eight grid indices and eight weights for each observation; Hᵀ is its exact transpose.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.fields.state import Channel
from phyda_cli.fields.variables import VARIABLES
from phyda_cli.grids.grid import Grid

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_LEVEL_TOLERANCE: Final = 1e-6
"""How far (in ln p) beyond the outermost level an observation may lie by rounding and still count as on it."""


class _Corners(NamedTuple):
    """Rows, columns, weights (n, 4) in the horizontal; across: (n, 4) True for a corner beyond the pole."""

    rows: Integers
    columns: Integers
    weights: Floats
    across: NDArray[np.bool_]


class ObservationOperator:
    """H for a set of n observations on one grid and one stack of channels.

    grid, channels: what the fields are on. variable (n,): short names. latitude (n,): degrees north; longitude (n,):
    degrees east in any convention; pressure (n,): Pa, not looked at for single-level variables.
    extend: "none": H is defined from the highest to the lowest level only; "increment": see the module's docstring.
    dtype, device: of the weights; fields of another floating type are served in their own type.

    defined: (n,) True where H exists: the variable is among the channels, the place is finite and, unless extended,
    the pressure within the variable's levels. Elsewhere all weights are zero: H x is 0 there, Hᵀ takes nothing from it.
    indices: (n, 8) into the flattened (channel, lat, lon) axes. weights: (n, 8).
    """

    def __init__(
        self,
        grid: Grid,
        channels: Sequence[Channel],
        variable: NDArray[np.object_],
        latitude: Floats,
        longitude: Floats,
        pressure: Floats,
        *,
        extend: Literal["none", "increment"] = "none",
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> None:
        self.grid = grid
        self.channels = tuple(channels)
        latitude, longitude = np.asarray(latitude, dtype=np.float64), np.asarray(longitude, dtype=np.float64)
        pressure = np.asarray(pressure, dtype=np.float64)
        placed = np.isfinite(latitude) & np.isfinite(longitude) & (np.abs(np.nan_to_num(latitude)) <= 90.0)
        corners = _horizontal(grid, np.where(placed, latitude, 0.0), np.where(placed, longitude, 0.0))
        level_index, level_weight, flips = _vertical(self.channels, variable, pressure, extended=extend == "increment")
        self.defined: NDArray[np.bool_] = placed & np.any(level_index >= 0, axis=1)

        rows, columns = grid.shape
        sign = np.where(corners.across & flips[:, None], -1.0, 1.0)
        horizontal = corners.rows * columns + corners.columns
        indices = np.maximum(level_index, 0)[:, :, None] * (rows * columns) + horizontal[:, None, :]
        weights = level_weight[:, :, None] * (corners.weights * sign)[:, None, :]
        weights[~self.defined] = 0.0
        indices[~self.defined] = 0
        n = latitude.shape[0]
        self.indices = torch.from_numpy(indices.reshape(n, 8)).to(device)
        self.weights = torch.from_numpy(weights.reshape(n, 8)).to(device=device, dtype=dtype)

    def __len__(self) -> int:
        return int(self.weights.shape[0])

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """H x: values (…, channel, lat, lon) → (…, n), differentiable; 0 where H is not defined."""
        return self._gather(values, self.weights)

    def of_spread(self, values: torch.Tensor) -> torch.Tensor:
        """|H| x: a standard deviation (…, channel, lat, lon) → (…, n); it keeps its sign where winds change theirs."""
        return self._gather(values, self.weights.abs())

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Hᵀ y: (…, n) → (…, channel, lat, lon)."""
        spread = (y[..., None] * self.weights.to(y.dtype)).reshape(*y.shape[:-1], -1)
        shape = (len(self.channels), *self.grid.shape)
        flat = y.new_zeros(*y.shape[:-1], int(np.prod(shape)))
        return flat.index_add(-1, self.indices.reshape(-1), spread).reshape(*y.shape[:-1], *shape)

    def _gather(self, values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Σ weights (n, 8) · values at `indices`: (…, channel, lat, lon) → (…, n)."""
        flat = values.reshape(*values.shape[:-3], -1)
        corners = flat.index_select(-1, self.indices.reshape(-1)).reshape(*values.shape[:-3], len(self), 8)
        return (corners * weights.to(values.dtype)).sum(-1)


def _horizontal(grid: Grid, latitude: Floats, longitude: Floats) -> _Corners:
    """The four corners of the cell that holds each place, with their bilinear weights."""
    lat = np.asarray(grid.latitudes)
    last = lat.size - 1
    lower = np.clip(np.searchsorted(lat, latitude, side="right") - 1, 0, last - 1)
    fraction = (latitude - lat[lower]) / (lat[lower + 1] - lat[lower])
    north, south = latitude > lat[-1], latitude < lat[0]
    # Beyond the last row at φ_N the next row is its own mirror image at 180° − φ_N: 2(90° − φ_N) away.
    with np.errstate(divide="ignore", invalid="ignore"):
        beyond = np.where(north, (latitude - lat[-1]) / (2 * (90 - lat[-1])), (lat[0] - latitude) / (2 * (90 + lat[0])))
    across = north | south
    first_row = np.where(north, last, np.where(south, 0, lower))
    second_row = np.where(across, first_row, lower + 1)
    second_weight = np.where(across, beyond, fraction)

    near = _bracket(np.asarray(grid.longitudes), longitude)
    far = _bracket(np.asarray(grid.longitudes), np.where(across, longitude + 180.0, longitude))
    first_weight = 1.0 - second_weight
    return _Corners(
        rows=np.stack([first_row, first_row, second_row, second_row], axis=1),
        columns=np.stack([near[0], near[1], far[0], far[1]], axis=1),
        weights=np.stack(
            [
                first_weight * (1.0 - near[2]),
                first_weight * near[2],
                second_weight * (1.0 - far[2]),
                second_weight * far[2],
            ],
            axis=1,
        ),
        across=np.stack([np.zeros_like(across), np.zeros_like(across), across, across], axis=1),
    )


def _bracket(meridians: Floats, longitude: Floats) -> tuple[Integers, Integers, Floats]:
    """The columns west and east of each longitude, and the weight of the eastern one."""
    # np.mod of a tiny negative number rounds to 360 itself, which lies west of the first meridian as 0 does
    wrapped = np.mod(longitude, 360.0)
    west = np.mod(np.searchsorted(meridians, wrapped, side="right") - 1, meridians.size)
    east = np.mod(west + 1, meridians.size)
    width = np.mod(meridians[east] - meridians[west], 360.0)
    return west, east, np.mod(wrapped - meridians[west], 360.0) / width


def _vertical(
    channels: tuple[Channel, ...], variable: NDArray[np.object_], pressure: Floats, *, extended: bool
) -> tuple[Integers, Floats, NDArray[np.bool_]]:
    """The two channels (n, 2) around each observation (−1: none), their weights, and who changes sign at a pole."""
    n = pressure.shape[0]
    index, weight = np.full((n, 2), -1, dtype=np.int64), np.zeros((n, 2))
    flips = np.zeros(n, dtype=bool)
    with np.errstate(divide="ignore", invalid="ignore"):
        height = np.log(pressure)
    for name in dict.fromkeys(channel.variable for channel in channels):
        rows = np.flatnonzero(variable == name)
        flips[rows] = VARIABLES[name].is_wind_component
        held = [(c.level, position) for position, c in enumerate(channels) if c.variable == name]
        single = [position for level, position in held if level is None]
        if single:
            index[rows], weight[rows] = single[0], np.array([1.0, 0.0])
            continue
        levels = sorted((float(np.log(level)), position) for level, position in held if level is not None)
        nodes, positions = np.array([ln for ln, _ in levels]), np.array([position for _, position in levels])
        at = height[rows]
        inside = (at >= nodes[0] - _LEVEL_TOLERANCE) & (at <= nodes[-1] + _LEVEL_TOLERANCE)
        kept = np.isfinite(at) if extended else inside
        rows, at = rows[kept], at[kept]
        upper = np.clip(np.searchsorted(nodes, at, side="right") - 1, 0, max(nodes.size - 2, 0))
        lower = np.minimum(upper + 1, nodes.size - 1)
        width = np.where(lower > upper, nodes[lower] - nodes[upper], 1.0)
        fraction = np.where(lower > upper, np.clip((at - nodes[upper]) / width, 0.0, 1.0), 0.0)
        fade = np.clip(1.0 + (at - nodes[0]) / np.log(2.0), 0.0, 1.0) if extended else np.ones_like(at)
        index[rows] = np.stack([positions[upper], positions[lower]], axis=1)
        weight[rows] = np.stack([1.0 - fraction, fraction], axis=1) * fade[:, None]
    return index, weight, flips
