"""How a map shows a grid: its own plane where it has one, else latitude and longitude.

    global latitude-longitude         the whole globe, −180° to 180°
    axes in a plane (PlaneGrid)       the plane itself, a Lambert domain as Lambert saw it
    any other grid                    a raster of latitude and longitude around it, by the grid's own interpolation

Coastlines are laid through the same projection and cut where it tears them apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.evaluation.coastline import coastline, land_rings
from phyda_cli.grids.base import Grid
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.grids.plane import Geographic, PlaneGrid

Array = NDArray[np.float64]

INK, MUTED, LAND = "#222222", "#6b6b6b", "#ececea"
_RASTER: Final = 240
"""Points along the longer side of a raster."""
_TORN: Final = 0.25
"""A step of a coastline longer than this part of the map is where the projection tears it apart."""


@dataclass(frozen=True)
class MapView:
    """A map of a grid.

    x, y: (columns,), (rows,) of the picture. forward: latitude, longitude → y, x. sample: a field (lat, lon) of the
    grid → (rows, columns). geographic: whether x and y are degrees.
    """

    x: Array
    y: Array
    forward: Callable[[Array, Array], tuple[Array, Array]]
    sample: Callable[[Array], Array]
    geographic: bool
    whole_globe: bool = False

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """West, east, south and north end."""
        if self.whole_globe:
            return -180.0, 180.0, -90.0, 90.0
        return float(self.x[0]), float(self.x[-1]), float(self.y[0]), float(self.y[-1])

    @property
    def aspect(self) -> float:
        """Length of a unit of y over that of x on the picture."""
        if not self.geographic or self.whole_globe:
            return 1.0
        return float(1.0 / max(np.cos(np.radians(0.5 * (self.y[0] + self.y[-1]))), 0.2))

    @property
    def shape(self) -> float:
        """Height over width of the picture."""
        west, east, south, north = self.extent
        return self.aspect * (north - south) / (east - west)

    def fill(self, axes: Any, field: Array, levels: Array, colours: str, *, extend: str) -> Any:
        """Fill the map with a field (lat, lon) in the steps of the levels."""
        filled = axes.contourf(
            self.x, self.y, np.ma.masked_invalid(self.sample(field)), levels=levels, cmap=colours, extend=extend,
            zorder=1,
        )  # fmt: skip
        filled.set_edgecolor("face")
        return filled

    def scatter(self, axes: Any, latitude: Array, longitude: Array, **style: Any) -> Any:
        """Draw points at places."""
        y, x = self.forward(latitude, longitude)
        return axes.scatter(x, y, **style)

    def land(self, axes: Any) -> None:
        """Fill the land of a map of the globe; on others the coastline says enough."""
        if not self.whole_globe:
            return
        from matplotlib.collections import PathCollection
        from matplotlib.path import Path

        land = Path.make_compound_path(*(Path(ring, closed=True) for ring in land_rings()))
        axes.add_collection(PathCollection([land], facecolors=[LAND], edgecolors="none", zorder=1))

    def frame(self, axes: Any, width: float) -> None:
        """Draw the coastlines [points] and set the ends of the map."""
        from matplotlib.collections import LineCollection

        axes.add_collection(LineCollection(self._coast(), colors=INK, linewidths=width, zorder=3))
        west, east, south, north = self.extent
        axes.set_xlim(west, east)
        axes.set_ylim(south, north)
        axes.set_aspect(self.aspect)

    def decorate(self, axes: Any, *, left: bool = True, bottom: bool = True) -> None:
        """Coastlines, a graticule and its labels."""
        self.frame(axes, 0.6)
        meridians, parallels = _steps(self) if self.geographic else (np.array([]), np.array([]))
        # where two maps of a row meet, labels would run into each other
        shared = (180.0 if left else -180.0) if self.whole_globe else None
        axes.set_xticks(meridians, [degrees(v, "W", "E") if v != shared else "" for v in meridians] if bottom else [])
        axes.set_yticks(parallels, [degrees(v, "S", "N") for v in parallels] if left else [])
        if self.geographic:
            axes.grid(color=MUTED, linewidth=0.3, linestyle=(0, (2, 3)), zorder=2)
        else:
            self._graticule(axes)
        axes.set_axisbelow(False)
        axes.tick_params(labelsize=8.5, length=2.5, color=MUTED, labelcolor=MUTED)
        for spine in axes.spines.values():
            spine.set(linewidth=0.6, color=MUTED)

    def _graticule(self, axes: Any) -> None:
        """Every tenth meridian and parallel, through the projection."""
        from matplotlib.collections import LineCollection

        along = np.linspace(-180.0, 180.0, 721)
        lines = [np.stack([along, np.full_like(along, lat)], 1) for lat in np.arange(-80.0, 81.0, 10.0)]
        up = np.linspace(-80.0, 89.9, 341)
        lines += [np.stack([np.full_like(up, lon), up], 1) for lon in np.arange(-180.0, 180.0, 10.0)]
        style: dict[str, Any] = {"colors": MUTED, "linewidths": 0.3, "linestyles": (0, (2, 3)), "zorder": 2}
        axes.add_collection(LineCollection(self._through(lines), **style))

    def _coast(self) -> list[Array]:
        return list(coastline()) if self.whole_globe else self._through(coastline())

    def _through(self, lines: Any) -> list[Array]:
        """Lines of longitude and latitude on the picture, without what is far outside or torn apart."""
        west, east, south, north = self.extent
        longest = _TORN * max(east - west, north - south)
        found: list[Array] = []
        for line in lines:
            y, x = self.forward(line[:, 1], line[:, 0])
            places = np.stack([x, y], axis=1)
            finite = np.isfinite(places).all(axis=1)
            near = finite & (x > 2 * west - east) & (x < 2 * east - west)
            near &= (y > 2 * south - north) & (y < 2 * north - south)
            with np.errstate(invalid="ignore"):
                steps = np.hypot(*np.diff(places, axis=0).T)
            torn = ~(near[1:] & near[:-1] & (steps < longest))
            found += [piece for piece in np.split(places, np.flatnonzero(torn) + 1) if len(piece) > 1]
        return found


def map_of(grid: Grid) -> MapView:
    """Return how a grid is shown."""
    if isinstance(grid, LatLonGrid):
        return _globe(grid)
    if isinstance(grid, PlaneGrid) and min(grid.shape) > 1:
        x, y = np.asarray(grid.x), np.asarray(grid.y)
        return MapView(x, y, grid.projection.forward, lambda field: field, isinstance(grid.projection, Geographic))
    return _raster(grid)


def _raster(grid: Grid) -> MapView:
    latitude, longitude = grid.coordinates
    direction = np.exp(1j * np.radians(longitude)).sum()
    middle = float(np.degrees(np.angle(direction))) if abs(direction) > 0.05 * longitude.size else 0.0
    projection = Geographic(middle)
    y, x = projection.forward(latitude, longitude)
    whole = bool(np.ptp(x) > 340.0 and np.ptp(y) > 160.0)
    if whole:
        projection, columns, rows = Geographic(0.0), np.linspace(-180.0, 180.0, 361), np.linspace(-90.0, 90.0, 181)
    else:
        step = max(np.ptp(x), np.ptp(y)) / _RASTER
        columns, rows = (np.arange(v.min(), v.max() + step / 2, step) for v in (x, y))
    places = [part.ravel() for part in np.meshgrid(rows, columns, indexing="ij")]
    corners = grid.corners(*projection.inverse(*places))
    inside = corners.inside.reshape(rows.size, columns.size)

    def sample(field: Array) -> Array:
        values = (field.ravel()[corners.index] * corners.weight).sum(axis=1).reshape(inside.shape)
        return np.asarray(np.where(inside, values, np.nan))

    return MapView(columns, rows, projection.forward, sample, geographic=True, whole_globe=whole)


def _globe(grid: LatLonGrid) -> MapView:
    """The globe from −180° to 180°: the meridians at both ends are interpolated between their neighbours.

    Where the grid has no pole row, the pole holds the mean of the last row.
    """
    longitudes = (np.asarray(grid.longitudes) + 180.0) % 360.0 - 180.0
    order = np.argsort(longitudes)
    longitudes = longitudes[order]
    around = np.concatenate([[longitudes[-1] - 360.0], longitudes, [longitudes[0] + 360.0]])
    x = np.concatenate([[-180.0], longitudes[(longitudes > -180.0) & (longitudes < 180.0)], [180.0]])
    y = np.asarray(grid.latitudes)
    poles = (y[0] > -90.0, y[-1] < 90.0)

    def sample(field: Array) -> Array:
        turned = field[:, order]
        columns = np.concatenate([turned[:, -1:], turned, turned[:, :1]], axis=1)
        values = np.stack([np.interp(x, around, row) for row in columns])
        south = [np.full((1, x.size), field[0].mean())] if poles[0] else []
        north = [np.full((1, x.size), field[-1].mean())] if poles[1] else []
        return np.vstack([*south, values, *north])

    rows = np.concatenate([[-90.0] if poles[0] else [], y, [90.0] if poles[1] else []])
    return MapView(x, rows, Geographic(0.0).forward, sample, geographic=True, whole_globe=True)


def _steps(view: MapView) -> tuple[Array, Array]:
    """Meridians and parallels of the graticule."""
    if view.whole_globe:
        return np.arange(-180.0, 181.0, 60.0), np.arange(-90.0, 91.0, 30.0)
    from matplotlib.ticker import MaxNLocator

    west, east, south, north = view.extent
    return tuple(  # type: ignore[return-value]
        ticks[(ticks >= low) & (ticks <= high)]
        for low, high in ((west, east), (south, north))
        for ticks in [np.asarray(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]).tick_values(low, high))]
    )


def degrees(value: float, negative: str, positive: str) -> str:
    """Return a meridian or parallel as text, such as 60°W."""
    value = (value + 180.0) % 360.0 - 180.0 if abs(value) > 180.0 else value
    if value == 0 or abs(value) == 180:
        return f"{abs(value):g}°"
    return f"{abs(value):g}°{negative if value < 0 else positive}"
