"""Whole columns in training networks: brightness temperatures of a sounder and profiles of refractivity.

    places    n log-uniform between the fewest and the most, scattered or clustered
    sounder   all channels at every place, under one angle even between ±`STEEPEST`
    occultation   refractivity at every level `HEIGHTS` at every place
    noise     σ_o = table · f with ln f even between ln 0.15 and ln 1.5, one f for each channel or for all profiles

They stand beside the network of a case and leave its density ρ as it is. The encoder of a model with `columns = true`
sees them; that of any other sees what they do to the first guess.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.observations.conversion import pressure_of_height
from phyda_cli.observations.errors import ErrorTable
from phyda_cli.operators.brightness_temperature import SOUNDERS, STEEPEST
from phyda_cli.training.networks import NOISE, Network, draw_places

Floats = NDArray[np.float64]
Range = tuple[float, float]

SOUNDER: Final[Range] = (30.0, 1_000.0)
"""Fewest and most places of a sounder."""
OCCULTATIONS: Final[Range] = (20.0, 400.0)
"""Fewest and most profiles."""
HEIGHTS: Final = 1000.0 * np.arange(2.0, 20.5)
"""Of their levels [m]."""
_COLUMNS: Final = ("variable", "pressure", "latitude", "longitude", "error", "zenith", "height")


def with_sounder(generator: np.random.Generator, network: Network, table: ErrorTable) -> Network:
    """Return a network with all channels of a sounder besides."""
    latitude, longitude = _places(generator, SOUNDER)
    count, channels = latitude.size, len(SOUNDERS)
    variable = np.tile(np.array(list(SOUNDERS), dtype=object), count)
    unknown = np.full(variable.size, np.nan)
    factor = np.tile(_factors(generator, channels), count)
    zenith = np.repeat(generator.uniform(-STEEPEST, STEEPEST, count), channels)
    return _beside(
        network, variable=variable, pressure=unknown, latitude=np.repeat(latitude, channels),
        longitude=np.repeat(longitude, channels), error=table.sigma(variable, unknown) * factor, zenith=zenith,
        height=unknown,
    )  # fmt: skip


def with_occultations(generator: np.random.Generator, network: Network, table: ErrorTable) -> Network:
    """Return a network with profiles of refractivity besides. Their pressures are the standard atmosphere's."""
    latitude, longitude = (np.repeat(part, HEIGHTS.size) for part in _places(generator, OCCULTATIONS))
    variable = np.full(latitude.size, "refractivity", dtype=object)
    height = np.tile(HEIGHTS, latitude.size // HEIGHTS.size)
    pressure = pressure_of_height(height, latitude)
    error = table.sigma(variable, pressure, latitude=latitude) * _factors(generator, 1)
    return _beside(
        network, variable=variable, pressure=pressure, latitude=latitude, longitude=longitude, error=error,
        zenith=np.full(latitude.size, np.nan), height=height,
    )  # fmt: skip


def _places(generator: np.random.Generator, number: Range) -> tuple[Floats, Floats]:
    """Latitudes and longitudes (n,) [degrees]."""
    count = round(float(np.exp(generator.uniform(*np.log(number)))))
    return draw_places(generator, count, generator.choice(np.array(["scattered", "clustered"])))


def _factors(generator: np.random.Generator, count: int) -> Floats:
    """(count,) on the table's σ_o."""
    low, high = np.log(NOISE)
    return np.exp(generator.uniform(low, high, count))


def _beside(network: Network, **own: NDArray[Any]) -> Network:
    """Return a network with rows added."""
    both: dict[str, Any] = {name: np.concatenate([getattr(network, name), own[name]]) for name in _COLUMNS}
    return replace(network, **both)
