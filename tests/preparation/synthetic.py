"""A tiny synthetic material for training stores: two variables on two levels and msl, six-hourly, on a 4×8 grid."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from phyda_cli.fields.state import Channel
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.preparation.material import Material
from phyda_cli.preparation.split import split_by_fraction
from tests.support.rows import Held

GRID = LatLonGrid.equiangular(4, 8)
CHANNELS = (
    Channel("u", 85_000.0),
    Channel("u", 50_000.0),
    Channel("t", 85_000.0),
    Channel("t", 50_000.0),
    Channel("msl"),
)
START = int(np.datetime64("2001-01-01T00", "h").astype(np.int64))
DAYS = 60
LEADS = (6, 24)


@dataclass(frozen=True)
class Synthetic:
    """Arrays behind a material; states (time, channel, lat, lon), forecasts likewise."""

    times: np.ndarray
    states: np.ndarray
    init: np.ndarray
    valid: np.ndarray
    forecasts: np.ndarray

    def material(self) -> Material:
        """Return the material."""
        splits = split_by_fraction(int(self.times[0]), int(self.times[-1]) + 6)
        states, forecasts = Held(self.states), Held(self.forecasts)
        return Material(
            "synthetic",
            7,
            {"kind": "test"},
            CHANNELS,
            GRID,
            splits,
            self.times,
            states,
            self.init,
            self.valid,
            forecasts,
            {},
        )

    def where(self, **changes) -> Synthetic:
        return replace(self, **changes)


def synthetic(seed: int = 0, days: int = DAYS) -> Synthetic:
    """Random states, and forecasts at each lead from every 12 h: the truth plus noise where there is a truth."""
    rng = np.random.default_rng(seed)
    times = START + 6 * np.arange(days * 4)
    states = rng.normal(size=(times.size, len(CHANNELS), *GRID.shape)).astype(np.float32)
    init = np.repeat(times[::2], len(LEADS))
    valid = init + np.tile(LEADS, times[::2].size)
    place = (valid - START) // 6
    truth = states[np.minimum(place, times.size - 1)]
    noise = rng.normal(size=truth.shape).astype(np.float32)
    return Synthetic(times, states, init, valid, truth + noise)


def quiet(stage: str, done: int, total: int) -> None:
    """A progress that says nothing."""
