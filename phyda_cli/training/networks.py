"""Observation networks drawn at random: what the learned model meets in training.

Each network is a table of places; the values come from the truth by H, plus noise. One draw:

    none      with probability 0.1: no observation at all
    density   ρ log-uniform in [0.1 %, 20 %]: n = ρ · (number of grid values) observations
    places    scattered (even on the sphere) or clustered (around centres that are even on the sphere, 15° wide), or a
              mixture, each with probability 1/3
    kind      single values (any channel), columns (all kept channels at a place), or one level (all kept channels of a
              level), each with probability 1/3
    missing   each variable is left out with probability 0.15, at least one stays
    noise     σ_o = table · f with ln f even between ln 0.15 and ln 1.5, one factor f for each variable: from a good
              instrument's error, where the truth is known on the grid, to more than that of an ordinary report

A share of the cases has networks as a forecast centre has them (`operational_network`): sondes at their places,
surface, aircraft, satellites at the case's time, as the cycles of `phyda prepare --cycle` have them for days. Either
kind may have whole columns seen from space besides (`from_space.py`).

Source: the random networks of the design's section 3; densities as in the paper's experiments (0.5 to 10 %) and beyond.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from phyda_cli.fields.state import Channel
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.grids.places import even_places
from phyda_cli.observations.errors import ErrorTable
from phyda_cli.simulation.config import NetworkRanges
from phyda_cli.simulation.networks import Network as Centre

Floats = NDArray[np.float64]
Places = Literal["scattered", "clustered", "mixed"]
Kind = Literal["values", "columns", "level"]

NONE: Final = 0.1
LEAST_DENSITY: Final = 1e-3
LARGEST_DENSITY: Final = 0.2
MISSING: Final = 0.15
NOISE: Final = (0.15, 1.5)
"""Least and largest factor on the table's σ_o."""
CLUSTER_WIDTH: Final = 15.0
"""Standard deviation of the distance from a cluster's centre [degrees of arc]."""
PLACES_PER_CLUSTER: Final = 40


@dataclass(frozen=True)
class Network:
    """n observations: where they are and how exact.

    variable, pressure [Pa, NaN for a single level], latitude, longitude [degrees], error σ_o [SI], zenith angle of the
    satellite [degrees] and height [m] of what is placed by it, NaN for none: (n,). density: the ρ that was asked for.
    """

    variable: NDArray[np.object_]
    pressure: Floats
    latitude: Floats
    longitude: Floats
    error: Floats
    zenith: Floats
    height: Floats
    density: float

    def __len__(self) -> int:
        return int(self.error.size)


def draw_network(
    generator: np.random.Generator, *, grid: LatLonGrid, channels: tuple[Channel, ...], table: ErrorTable
) -> Network:
    """Return one random network, as the module's docstring says. The same generator state draws the same network."""
    if generator.random() < NONE:
        return _network(generator, np.zeros(0, dtype=int), np.zeros(0), np.zeros(0), channels, table, 0.0)
    density = float(np.exp(generator.uniform(np.log(LEAST_DENSITY), np.log(LARGEST_DENSITY))))
    places: Places = generator.choice(np.array(["scattered", "clustered", "mixed"]))
    kind: Kind = generator.choice(np.array(["values", "columns", "level"]))
    names = list(dict.fromkeys(channel.variable for channel in channels))
    kept = {name for name in names if generator.random() >= MISSING} or {names[int(generator.integers(len(names)))]}
    allowed = np.array([i for i, channel in enumerate(channels) if channel.variable in kept])
    if kind == "level":
        level = channels[int(generator.choice(allowed))].level
        allowed = np.array([i for i in allowed if channels[i].level == level])
    wanted = density * len(channels) * grid.shape[0] * grid.shape[1]
    if kind == "values":
        count = max(round(wanted), 1)
        latitude, longitude = draw_places(generator, count, places)
        return _network(generator, generator.choice(allowed, count), latitude, longitude, channels, table, density)
    count = max(round(wanted / allowed.size), 1)
    latitude, longitude = draw_places(generator, count, places)
    index = np.tile(allowed, count)
    columns = (np.repeat(latitude, allowed.size), np.repeat(longitude, allowed.size))
    return _network(generator, index, *columns, channels, table, density)


def operational_network(
    generator: np.random.Generator, hours: int, *, grid: LatLonGrid, channels: tuple[Channel, ...], table: ErrorTable
) -> Network:
    """Return what a network as a forecast centre has it sees of the channels at a time [h since 1970-01-01 00 UTC]."""
    drawn = Centre.draw(NetworkRanges(), generator.integers(2**32, size=4).tolist())
    seen = drawn(hours)
    held = [
        Channel(name, None if np.isnan(pressure) else float(pressure)) in channels
        for name, pressure in zip(seen.variable, seen.pressure, strict=True)
    ]
    rows = np.flatnonzero(held)
    variable, pressure = seen.variable[rows], seen.pressure[rows]
    error = drawn.errors * table.sigma(variable, pressure, seen.report[rows]) if rows.size else np.zeros(0)
    density = rows.size / (len(channels) * grid.shape[0] * grid.shape[1])
    unknown = np.full(rows.size, np.nan)
    return Network(variable, pressure, seen.latitude[rows], seen.longitude[rows], error, unknown, unknown, density)


def uniform_network(
    generator: np.random.Generator,
    density: float,
    *,
    grid: LatLonGrid,
    channels: tuple[Channel, ...],
    table: ErrorTable,
    noise: float = 1.0,
    observed: tuple[int, ...] | None = None,
) -> Network:
    """Return the paper's network: single values of any channel at places even on the sphere, σ_o = noise · table.

    observed: numbers of the channels that are observed, None for all; the density is of these channels' values.
    """
    allowed = np.arange(len(channels)) if observed is None else np.asarray(observed)
    count = round(density * allowed.size * grid.shape[0] * grid.shape[1])
    latitude, longitude = draw_places(generator, count, "scattered")
    index = allowed[generator.integers(allowed.size, size=count)]
    return _network(generator, index, latitude, longitude, channels, table, density, noise=(noise, noise))


def draw_places(generator: np.random.Generator, count: int, places: Places) -> tuple[Floats, Floats]:
    """Return latitudes and longitudes [degrees], (count,) each."""
    latitude, longitude = even_places(generator, count)
    if places == "scattered":
        return latitude, longitude
    clusters = max(count // PLACES_PER_CLUSTER, 1)
    centre = generator.integers(clusters, size=count)
    near = _displaced(generator, *(part[centre] for part in even_places(generator, clusters)))
    if places == "clustered":
        return near
    pick = generator.random(count) < 0.5
    return np.where(pick, near[0], latitude), np.where(pick, near[1], longitude)


def _displaced(generator: np.random.Generator, latitude: Floats, longitude: Floats) -> tuple[Floats, Floats]:
    """Moved along a great circle by |N(0, width²)| degrees in an even direction."""
    distance = np.radians(np.abs(generator.normal(0.0, CLUSTER_WIDTH, latitude.size)))
    bearing = generator.uniform(0.0, 2.0 * np.pi, latitude.size)
    phi = np.radians(latitude)
    sine = np.sin(phi) * np.cos(distance) + np.cos(phi) * np.sin(distance) * np.cos(bearing)
    moved = np.arcsin(np.clip(sine, -1.0, 1.0))
    east = np.arctan2(np.sin(bearing) * np.sin(distance) * np.cos(phi), np.cos(distance) - np.sin(phi) * sine)
    return np.degrees(moved), np.mod(longitude + np.degrees(east), 360.0)


def _network(
    generator: np.random.Generator,
    index: NDArray[np.int64],
    latitude: Floats,
    longitude: Floats,
    channels: tuple[Channel, ...],
    table: ErrorTable,
    density: float,
    *,
    noise: tuple[float, float] = NOISE,
) -> Network:
    """Return the table of the observations of channels[index], with σ_o from the error table times a factor by
    variable.
    """
    names = np.array([channel.variable for channel in channels], dtype=object)
    levels = np.array([np.nan if channel.level is None else channel.level for channel in channels])
    variable, pressure = names[index], levels[index]
    low, high = np.log(noise)
    factor = {name: float(np.exp(generator.uniform(low, high))) for name in dict.fromkeys(names)}
    scale = np.array([factor[name] for name in variable])
    error = table.sigma(variable, pressure) * scale if index.size else np.zeros(0)
    unknown = np.full(index.size, np.nan)
    return Network(variable, pressure, latitude, longitude, error, unknown, unknown, density)
