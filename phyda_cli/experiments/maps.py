"""Maps of one date: truth, background, every method's analysis, its error and spread, the observations.

The date is analysed again for them, so that no fields need be kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.evaluation import plots
from phyda_cli.evaluation.map_view import MapView, map_of
from phyda_cli.experiments.cases import CaseBatch, CaseDrawer
from phyda_cli.experiments.methods.base import ExperimentMethod
from phyda_cli.fields.display import display
from phyda_cli.fields.state import Channel
from phyda_cli.grids.latlon import LatLonGrid

Array = NDArray[np.float64]

_INK: Final = "#222222"
_WIDTH, _HEIGHT = 12.5, 2.55

WANTED: Final = (("z", 50_000.0), ("t", 85_000.0))
"""The channel that is shown, the first of these that the store has."""
NEAR_DENSITY: Final = 2.0
"""The density [%] that is shown, or the one nearest to it."""


@dataclass(frozen=True)
class Example:
    """One channel of one date. Fields (lat, lon), SI. analyses, spreads: by method, spreads of ensembles only.

    latitude, longitude, departure: of the observations of this channel.
    """

    channel: Channel
    grid: LatLonGrid
    time: np.datetime64
    lead: int
    density: float
    truth: Array
    background: Array
    analyses: dict[str, Array]
    spreads: dict[str, Array]
    latitude: Array
    longitude: Array
    departure: Array


def make_example(drawer: CaseDrawer, pairs: NDArray[np.int64], methods: Sequence[ExperimentMethod]) -> Example:
    """Return the middle date, at the density nearest to `NEAR_DENSITY`."""
    densities = [density for density in drawer.settings.densities if density > 0] or [0.0]
    density = min(densities, key=lambda value: abs(value - NEAR_DENSITY))
    own = pairs[pairs.size // 2 : pairs.size // 2 + 1]
    batch = drawer.draw(own, drawer.read(own), density)
    channels = drawer.store.channels
    number = next((i for name in WANTED for i, c in enumerate(channels) if (c.variable, c.level) == name), 0)
    background = batch.background[0, number].double().numpy()
    analyses, spreads = {}, {}
    for method in methods:
        made = method.analyse(batch)
        analyses[method.name] = background + made.mean[0, number].double().numpy()
        if made.members is not None:
            spreads[method.name] = made.members[0, :, number].double().std(0).numpy()
    latitude, longitude, departure = _observed(batch, channels[number])
    return Example(
        channels[number], drawer.store.grid, batch.times[0], int(batch.lead_hours[0]), density,
        background + batch.error[0, number].double().numpy(), background, analyses, spreads,
        latitude, longitude, departure,
    )  # fmt: skip


def _observed(batch: CaseBatch, channel: Channel) -> tuple[Array, Array, Array]:
    case = batch.departures[0]
    mine = case.variable == channel.variable
    if channel.level is not None:
        mine &= case.operator.pressure == channel.level
    return case.latitude[mine], case.longitude[mine], case.departure[mine]


def maps(example: Example) -> bytes:
    """A row of truth, background and observations, then one row of analysis, error and spread for each method."""
    shown = display(example.channel.variable)
    rows = list(example.analyses)
    drawn = plots.figure(_WIDTH, _HEIGHT * (len(rows) + 1), layout="constrained")
    place = drawn.add_gridspec(len(rows) + 1, 3)
    truth, background = shown.factor * example.truth, shown.factor * example.background
    values = {name: shown.factor * field for name, field in example.analyses.items()}
    errors = {name: field - truth for name, field in values.items()}
    limit = plots.symmetric_limit(background - truth, *errors.values())
    levels, steps = plots.symmetric_levels(limit), plots.even_levels([truth, background, *values.values()])
    spreads = {name: shown.factor * field for name, field in example.spreads.items()}
    widths = plots.even_levels([np.zeros(1), *spreads.values()])

    def full(axes: Any, field: Array, title: str) -> Any:
        return _field(axes, field, example.grid, title, plots.SEQUENTIAL, steps)

    first = full(drawn.add_subplot(place[0, 0]), truth, "truth")
    full(
        drawn.add_subplot(place[0, 1]),
        background,
        f"background, {example.lead} h: {_size(background - truth, example)}",
    )
    _observations(drawn.add_subplot(place[0, 2]), example, limit)
    second = third = None
    for row, name in enumerate(rows, start=1):
        full(drawn.add_subplot(place[row, 0]), values[name], f"{name}: analysis")
        title = f"{name}: error, {_size(errors[name], example)}"
        second = _field(drawn.add_subplot(place[row, 1]), errors[name], example.grid, title, plots.DIVERGING, levels)
        axes = drawn.add_subplot(place[row, 2])
        if name in spreads:
            third = _field(axes, spreads[name], example.grid, f"{name}: spread", "magma_r", widths)
        else:
            axes.axis("off")
    own = drawn.axes
    for handle, column, label in ((first, 0, shown.name), (second, 1, "error"), (third, 2, "spread")):
        if handle is not None:
            bar = drawn.colorbar(handle, ax=own[column::3], orientation="horizontal", shrink=0.7, aspect=40)
            bar.set_label(f"{label} [{shown.unit}]", fontsize=9)
            bar.ax.tick_params(labelsize=8)
    return plots.png(drawn)


def _size(error: Array, example: Example) -> str:
    return f"RMSE {plots.root_mean_square(error, example.grid):.3g} {display(example.channel.variable).unit}"


def _field(axes: Any, field: Array, grid: LatLonGrid, title: str, colours: str, levels: Array) -> Any:
    view = map_of(grid)
    drawn = plots.draw_field(axes, field, view, levels, colours)
    _frame(axes, view, title)
    return drawn


def _observations(axes: Any, example: Example, limit: float) -> None:
    shown = display(example.channel.variable)
    axes.scatter(
        (example.longitude + 180.0) % 360.0 - 180.0, example.latitude, c=shown.factor * example.departure, s=9,
        cmap=plots.DIVERGING, vmin=-limit, vmax=limit, edgecolors=_INK, linewidths=0.3,
    )  # fmt: skip
    _frame(axes, map_of(example.grid), f"departures y − H(x$_b$): {example.departure.size} of this channel")


def _frame(axes: Any, view: MapView, title: str) -> None:
    view.frame(axes, 0.4)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, fontsize=9, loc="left")
