"""Background-error statistics for any short forecast: published ones, with what only states of the atmosphere tell.

    python -m phyda_cli.preparation.calibrated MATERIAL OUT

From states of a training part, the anomalies from their own seasonal cycle

    x' = x − Σ_{k ≤ 2} (a_k cos kωt + b_k sin kωt)        ω = 2π/year, least squares at every point

give the climate's covariance and, as regression of the fields on the balanced geopotential, the balance of both. The
errors of a short forecast have the sizes, lengths and spectra of the published statistics (`errors_b/published.py`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.errors_b.background_error import BackgroundError, control_channels
from phyda_cli.errors_b.fit import fit_background_error
from phyda_cli.errors_b.published import published_background_error, with_fine_temperature
from phyda_cli.errors_b.resolution import on_grid
from phyda_cli.fields.state import Channel
from phyda_cli.fields.thermodynamics import relative_humidity_from_specific_humidity
from phyda_cli.formats.gridded.background_error import to_bytes
from phyda_cli.grids.harmonics import largest_truncation
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.outputs import atomic_path
from phyda_cli.preparation.material import Material

TRUNCATION: Final = 106
"""Of the statistics."""
_CLIMATE_TRUNCATION: Final = 42
"""Of the climate's covariance: what states of 64 rows hold without aliasing."""
_EVERY: Final = 36
"""Interval of the states [h]: nearer ones are alike, and this one passes through all hours of the day."""
_YEAR: Final = 365.2425 * 24
_BATCH: Final = 20


def calibrated(material: Material, *, truncation: int = TRUNCATION) -> tuple[BackgroundError, int]:
    """Return the statistics, and how many states they come from. Raises BadDataError for fewer than two of them."""
    channels = control_channels(material.channels)
    hours, states = _states(material, channels)
    for place, channel in enumerate(channels):
        if channel.variable == "q":
            temperature = states[:, channels.index(Channel("t", channel.level))]
            relative = relative_humidity_from_specific_humidity(states[:, place], temperature, channel.level)
            states[:, place] = relative.clip(0.0, 1.0)
    _remove_seasons(hours, states)

    def anomalies() -> Iterator[torch.Tensor]:
        for start in range(0, len(states), _BATCH):
            yield torch.from_numpy(states[start : start + _BATCH].astype(np.float64))

    own = min(_CLIMATE_TRUNCATION, largest_truncation(material.grid))
    fitted = fit_background_error(anomalies, grid=material.grid, channels=channels, truncation=own)
    rows = 2 * round(0.75 * (truncation + 1))
    climate = on_grid(replace(fitted, relative_humidity=True), LatLonGrid.equiangular(rows, 2 * rows))
    short = published_background_error(climate.grid, channels, truncation, climate.regression)
    return replace(short, climate=with_fine_temperature(climate)), len(states)


def _states(material: Material, channels: tuple[Channel, ...]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return times (row,) [h] and values (row, channel, lat, lon) of the training part."""
    start, end = material.splits.train
    index = [material.channels.index(channel) for channel in channels]
    times = material.times
    chosen = np.flatnonzero((times % _EVERY == 0) & (times >= start) & (times < end))
    if chosen.size < 2:
        raise BadDataError(f"{material.source}: fewer than two states in the training part, one every {_EVERY} h")
    values = np.empty((chosen.size, len(channels), *material.grid.shape), np.float32)
    for first in range(0, chosen.size, _BATCH):
        values[first : first + _BATCH] = material.states.read(chosen[first : first + _BATCH])[:, index]
    return times[chosen], values


def _remove_seasons(hours: NDArray[np.int64], states: NDArray[np.float32]) -> None:
    """Take mean and seasonal cycle from states (row, …), in place."""
    angle = 2 * np.pi * hours / _YEAR
    waves = [np.ones_like(angle), *(f(k * angle) for k in (1, 2) for f in (np.cos, np.sin))]
    design = np.stack(waves[: 1 if np.ptp(hours) < _YEAR else 5], axis=1)
    for place in range(states.shape[1]):
        values = states[:, place].reshape(len(hours), -1).astype(np.float64)
        values -= design @ np.linalg.lstsq(design, values, rcond=None)[0]
        states[:, place] = values.reshape(states[:, place].shape)


def main() -> int:
    """Read a simulation, write the statistics."""
    from phyda_cli.preparation.from_simulation import simulation_material

    parser = argparse.ArgumentParser(prog="python -m phyda_cli.preparation.calibrated", description=__doc__)
    parser.add_argument("material", type=Path, help="directory of a simulation")
    parser.add_argument("out", type=Path)
    parser.add_argument("--truncation", type=int, default=TRUNCATION)
    arguments = parser.parse_args()
    material = simulation_material(arguments.material)
    statistics, count = calibrated(material, truncation=arguments.truncation)
    provenance = {
        "source": f"published statistics of the NCEP GFS; climate and balance: {material.source}",
        "states": count,
        "every_hours": _EVERY,
        "truncation": arguments.truncation,
    }
    with atomic_path(arguments.out, overwrite=True) as temporary:
        temporary.write_bytes(to_bytes(statistics, provenance=provenance))
    return 0


if __name__ == "__main__":
    sys.exit(main())
