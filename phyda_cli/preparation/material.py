"""What a training store is made of, wherever it comes from: dates, known beforehand, and fields, by their rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from phyda_cli.fields.state import Channel
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.preparation.split import Splits

Fields = NDArray[np.floating[Any]]
Hours = NDArray[np.int64]


class Rows(Protocol):
    """States or forecasts in an order of their own; other processes get copies of it."""

    def read(self, rows: Hours) -> Fields:
        """Return the fields (row, channel, lat, lon) [SI] of some rows, numbered from 0, in increasing order."""
        ...


@dataclass(frozen=True)
class Material:
    """What a store is made of.

    source: where it comes from, one line. seed: of what was drawn at random, None when nothing was.
    config: JSON values that made it. splits: the parts. Times are hours since 1970-01-01 00 UTC.
    times: (state,) of the states, increasing. states: their fields.
    init_times, valid_times: (forecast,) of the forecasts. forecasts: their fields.
    skipped: forecasts left out before they came here, by reason.
    identity: what tells apart the versions of the input that the dates do not; a run goes on from what another has
    made of the same.
    """

    source: str
    seed: int | None
    config: dict[str, Any]
    channels: tuple[Channel, ...]
    grid: LatLonGrid
    splits: Splits
    times: Hours
    states: Rows
    init_times: Hours
    valid_times: Hours
    forecasts: Rows
    skipped: dict[str, int]
    identity: str = ""
