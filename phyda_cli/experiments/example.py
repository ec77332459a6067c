"""One date of the experiment with its fields, for the maps of the report: analysed again, so that nothing is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phyda_cli.experiments.cases import CaseBatch, CaseDrawer
from phyda_cli.experiments.methods.base import ExperimentMethod
from phyda_cli.fields.state import Channel
from phyda_cli.grids.grid import Grid

Array = NDArray[np.float64]

WANTED = (("z", 50_000.0), ("t", 85_000.0))
"""The channel that is shown, the first of these that the store has."""
NEAR_DENSITY = 2.0


@dataclass(frozen=True)
class Example:
    """One channel of one date. Fields (lat, lon), SI. analyses, spreads: by method, spreads of ensembles only.

    latitude, longitude, departure: of the observations of this channel.
    """

    channel: Channel
    grid: Grid
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
    """The middle date, at the density nearest to `NEAR_DENSITY`."""
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
