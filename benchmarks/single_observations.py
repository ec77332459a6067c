"""Draw what one observation does to the fields around it: docs/single-observations.png.

    python -m benchmarks.single_observations docs/single-observations.png

Above maps at the observation's level (colours: its own variable, lines: geopotential height, arrows: wind), below
sections along its parallel. One observation of 1 K or 1 m/s with an error of the same size, s = 1, the shipped B.
"""

from __future__ import annotations

import sys
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from benchmarks.background_error import at, nothing, statistics
from phyda_cli.constants import EARTH_RADIUS, GRAVITY
from phyda_cli.fields.state import Channel, State
from phyda_cli.methods.base import Case, Departures
from phyda_cli.methods.threedvar import ThreeDVar

mpl.use("Agg")
from matplotlib.figure import Figure

OBSERVATIONS: Final = (("t", 500, 45.0), ("t", 500, 0.0), ("u", 250, 45.0), ("u", 250, 0.0))
REACH: Final = 2500.0
"""Of the maps from the observation [km]."""
UNITS: Final = {"t": "K", "u": "m/s"}
_CALM: Final = 0.01
"""Weaker winds have no arrows [m s-1]."""
Floats = NDArray[np.float64]


def draw(path: str) -> None:
    """Write the picture."""
    figure = Figure(figsize=(15, 7.6), layout="constrained", dpi=110)
    axes = figure.subplots(2, len(OBSERVATIONS))
    method = ThreeDVar(statistics())
    start = nothing(method.statistics)
    for column, (name, level, latitude) in enumerate(OBSERVATIONS):
        operator = at([(name, 100.0 * level, latitude, 180.0)])
        made = method.increments([Case(start, Departures(operator, np.ones(1), np.ones(1)))])[0].mean
        shown = _Shown(made, name, 100.0 * level, latitude)
        size = float(np.abs(shown.field(name)).max())
        where = "on the equator" if latitude == 0 else f"at {latitude:.0f}° N"
        axes[0, column].set_title(f"{name} {level} hPa {where}", fontsize=12)
        shown.map(axes[0, column], size)
        image = shown.section(axes[1, column], size)
        figure.colorbar(
            image,
            ax=axes[1, column],
            orientation="horizontal",
            label=f"δ{name} [{UNITS[name]}]",
            ticks=[-size, 0, size],
            format="%.2f",
        )
    figure.savefig(path)


class _Shown:
    """An increment around one observation."""

    def __init__(self, made: State, name: str, level: float, latitude: float) -> None:
        self.made, self.name, self.level = made, name, level
        rows, columns = (x.reshape(made.grid.shape) for x in made.grid.coordinates)
        self.y = np.radians(rows[:, 0] - latitude) * EARTH_RADIUS / 1e3
        self.x = np.radians(columns[0] - 180.0) * EARTH_RADIUS * np.cos(np.radians(latitude)) / 1e3
        self.row = int(np.argmin(np.abs(self.y)))

    def field(self, name: str) -> Floats:
        """(lat, lon) of a variable at the observation's level."""
        return self.made.values[self.made.channels.index(Channel(name, self.level))].numpy()

    def map(self, axis: Any, size: float) -> None:
        """Colours, lines and arrows at the observation's level."""
        axis.pcolormesh(self.x, self.y, self.field(self.name), cmap="RdBu_r", vmin=-size, vmax=size)
        height = self.field("z") / GRAVITY
        steps = np.abs(height).max() * np.array([-0.8, -0.5, -0.2, 0.2, 0.5, 0.8])
        lines = axis.contour(self.x, self.y, height, steps, colors="k", linewidths=0.8)
        axis.clabel(lines, fmt="%.2g m", fontsize=7)
        u, v = self.field("u"), self.field("v")
        largest, few = float(np.hypot(u, v).max()), slice(None, None, 3)
        x, y, east, north = (a[few, few] for a in (*np.meshgrid(self.x, self.y), u, v))
        felt = (np.hypot(x, y) < REACH) & (np.hypot(east, north) > 0.03 * largest)
        if largest > _CALM:
            axis.quiver(
                x[felt], y[felt], east[felt], north[felt], color="#444444", width=0.005, scale=largest / 500.0,
                scale_units="xy", angles="xy", pivot="mid",
            )  # fmt: skip
        axis.set(xlim=(-REACH, REACH), ylim=(-REACH, REACH), aspect="equal", xlabel="km", ylabel="km")
        axis.text(0.03, 0.03, f"strongest wind {largest:.1g} m/s", transform=axis.transAxes, fontsize=9)

    def section(self, axis: Any, size: float) -> Any:
        """The own variable along the parallel, by pressure."""
        held = [(c.level, n) for n, c in enumerate(self.made.channels) if c.variable == self.name and c.level]
        pressure, places = zip(*sorted(held), strict=True)
        values = self.made.values[list(places), self.row].numpy()
        image = axis.contourf(
            self.x, np.array(pressure) / 100, values, np.linspace(-size, size, 21), cmap="RdBu_r", extend="both"
        )
        axis.set(xlim=(-REACH, REACH), yscale="log", ylim=(1000, 50), xlabel="km", ylabel="hPa")
        ticks = [1000, 700, 500, 300, 200, 100, 50]
        axis.set_yticks(ticks, [str(tick) for tick in ticks], minor=False)
        axis.minorticks_off()
        axis.plot([0], [self.level / 100], "k+", markersize=9)
        return image


if __name__ == "__main__":
    draw(sys.argv[1])
