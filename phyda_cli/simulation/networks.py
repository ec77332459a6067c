"""Networks of observations as a forecast centre has them: sondes, surface, aircraft, satellites, columns anywhere.

A network is drawn once for a segment of a cycle (`Network.draw`); what moves (aircraft on their routes, winds, swaths)
is drawn anew at every time from the network's own generator of that time, so that it depends on nothing else.

    track of a polar orbit:  sin φ = sin i sin u,   λ = λ_0 + atan2(cos i sin u, cos u) − ω t,   u = u_0 + 2π t / P

Places of sondes are those of 420 real stations (WMO, to a tenth of a degree, `sondes.csv`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phyda_cli.constants import EARTH_RADIUS
from phyda_cli.grids.places import chord_distance, even_places, unit_vectors
from phyda_cli.simulation.config import NetworkRanges, Range

Floats = NDArray[np.float64]
Heads = tuple[tuple[str, float], ...]
"""What is seen at one place: (variable, pressure [Pa])."""

LEVELS: Final = (1000, 925, 850, 700, 500, 400, 300, 250, 200, 100)
LOWEST_Q: Final = 300
"""Humidity is seen from the ground up to here [hPa]."""
COLUMN: Final[Heads] = (
    *((name, 100.0 * level) for level in LEVELS for name in "uvtqz" if name != "q" or level >= LOWEST_Q),
    ("msl", np.nan),
)
SURFACE: Final[Heads] = (("msl", np.nan),)
SOUNDING: Final[Heads] = tuple(("t", 100.0 * level) for level in (850, 700, 500, 300, 200, 100))
CRUISE: Final = (300, 250, 200)
CLIMB: Final = (925, 850, 700, 500, 400)
WIND_LEVELS: Final = (850, 700, 500, 300, 250, 200)
ROUTE: Final = (800e3, 9000e3)
"""Shortest and longest route [m]."""
SPACING: Final = 400e3
"""Between reports of an aircraft [m]."""
SIGHT: Final = 55.0
"""How far from its place over the equator a satellite sees winds [degree]."""
INCLINATION: Final = np.radians(98.6)
PERIOD: Final = 101.0
"""Of a polar orbit [min]."""
SAMPLING: Final = 80.0 / 60.0
"""Between soundings along a track [min]."""
ACROSS: Final = (-600e3, 0.0, 600e3)
"""Of the soundings beside a track [m]."""
WINDOW: Final = 180.0
"""Soundings so long before and after the time of an analysis count as of that time [min]."""
TURN: Final = 2.0 * np.pi / 1440.0
"""ω, of the earth against a sun-synchronous orbit [rad min⁻¹]."""
NEAR: Final = 3.0
"""How far from a sonde station the dense half of the surface stations lies [degree]."""


class Seen(NamedTuple):
    """What a network sees: variable, place [degree] and pressure [Pa] of n values, their station and kind of report."""

    variable: NDArray[np.object_]
    latitude: NDArray[np.float64]
    longitude: NDArray[np.float64]
    pressure: NDArray[np.float64]
    station: NDArray[np.object_]
    report: NDArray[np.object_]


@cache
def sonde_places() -> tuple[Floats, Floats]:
    """Return latitude and longitude [degree] of the real sonde stations."""
    with files("phyda_cli.simulation").joinpath("sondes.csv").open("rb") as stream:
        table = pd.read_csv(stream)
    return table.latitude.to_numpy(np.float64), table.longitude.to_numpy(np.float64)


@dataclass(frozen=True)
class Network:
    """What is drawn for a segment.

    sondes, between, surface, columns: places (n, 2) [degree], sondes at 00 and 12 UTC, `between` those that report at
    06 and 18 UTC. routes: ends (n, 2, 3) as unit vectors; cruise: their levels (n,) [hPa]. winds: how many in each
    cycle, in the sight of satellites at these longitudes. orbits: (u_0, λ_0) [rad] each. errors: factor on σ_o.
    seed: of what moves.
    """

    sondes: Floats
    between: Floats
    surface: Floats
    columns: Floats
    routes: Floats
    cruise: Floats
    winds: int
    satellites: Floats
    orbits: Floats
    errors: float
    seed: tuple[int, ...]

    @classmethod
    def draw(cls, ranges: NetworkRanges, seed: Sequence[int]) -> Network:
        """Return the network of a seed."""
        random = np.random.default_rng([*seed, 0])
        stations = np.stack(sonde_places(), axis=-1)

        def number(between: Range) -> int:
            value = round(random.uniform(*between))
            return value if random.uniform() < ranges.presence else 0

        share = random.uniform(*ranges.sondes) if random.uniform() < ranges.presence else 0.0
        sondes = stations[random.uniform(size=len(stations)) < share]
        between = sondes[random.uniform(size=len(sondes)) < random.uniform(*ranges.sondes_between)]
        stay = number(ranges.surface)
        close = stations[random.integers(len(stations), size=stay // 2)]
        close = close + random.uniform(-NEAR, NEAR, close.shape)
        close[:, 0] = np.clip(close[:, 0], -90.0, 90.0)
        columns = number(ranges.columns)
        if not len(sondes):
            columns = max(columns, round(ranges.columns[1]))
        ends = unit_vectors(*stations[random.integers(len(stations), size=(number(ranges.routes), 2))].T)
        ends = np.swapaxes(ends, 0, 1)
        length = chord_distance(ends[:, 0], ends[:, 1])
        ends = ends[(length >= ROUTE[0]) & (length <= ROUTE[1])]
        return cls(
            sondes=sondes,
            between=between,
            surface=np.concatenate([close, _anywhere(random, stay - stay // 2)]),
            columns=_anywhere(random, columns),
            routes=ends,
            cruise=random.choice(CRUISE, size=len(ends)).astype(np.float64),
            winds=number(ranges.winds),
            satellites=random.uniform(0.0, 360.0, random.integers(1, 5)),
            orbits=random.uniform(0.0, 2.0 * np.pi, (number(ranges.swaths), 2)),
            errors=float(random.uniform(*ranges.errors)),
            seed=tuple(seed),
        )

    def __call__(self, hours: int) -> Seen:
        """Return what the network sees at a time [h since 1970-01-01 00 UTC]."""
        random = np.random.default_rng([*self.seed, 1, hours])
        parts = [
            _at(self.sondes if hours % 12 == 0 else self.between, COLUMN, "sonde"),
            _at(self.columns, COLUMN, "sonde"),
            _at(self.surface, SURFACE, "surface"),
            *self._aircraft(random),
            *self._winds(random),
            *(_at(_track(u, lam, 60.0 * hours), SOUNDING, "sounding") for u, lam in self.orbits),
        ]
        return Seen(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    def _aircraft(self, random: np.random.Generator) -> list[Seen]:
        """u, v and T along half of each route, and in every other climb or descent at its ends."""
        parts = []
        for (begin, end), level in zip(self.routes, self.cruise, strict=True):
            angle = float(chord_distance(begin, end)) / EARTH_RADIUS
            along = np.arange(random.uniform(), angle * EARTH_RADIUS / SPACING) * SPACING / (angle * EARTH_RADIUS)
            along = along[random.uniform(size=along.size) < 0.5, None]
            way = (np.sin((1 - along) * angle) * begin + np.sin(along * angle) * end) / np.sin(angle)
            parts.append(_at(_degrees(way), _of("uvt", [level]), "aircraft"))
            ends = np.stack([begin, end])[random.uniform(size=2) < 0.5]
            parts.append(_at(_degrees(ends), _of("uvt", CLIMB), "aircraft"))
        return parts

    def _winds(self, random: np.random.Generator) -> list[Seen]:
        """u and v in the sight of the satellites."""
        reach = np.sin(np.radians(SIGHT))
        latitude = np.degrees(np.arcsin(random.uniform(-reach, reach, self.winds)))
        longitude = random.choice(self.satellites, self.winds) + random.uniform(-SIGHT, SIGHT, self.winds)
        level = random.choice(WIND_LEVELS, self.winds)
        places = np.stack([latitude, longitude % 360.0], axis=-1)
        return [_at(places[level == one], _of("uv", [one]), "satwind") for one in WIND_LEVELS]


def _of(variables: str, levels: Sequence[float]) -> Heads:
    return tuple((name, 100.0 * level) for level in levels for name in variables)


def _at(places: Floats, heads: Heads, report: str) -> Seen:
    """Return the same heads at each of the places (n, 2)."""
    n, k = len(places), len(heads)
    names = np.array([f"{report}{number}" for number in range(n)], dtype=object)
    return Seen(
        variable=np.array([name for name, _ in heads] * n, dtype=object),
        latitude=np.repeat(places[:, 0], k),
        longitude=np.repeat(places[:, 1], k),
        pressure=np.array([pressure for _, pressure in heads] * n, dtype=np.float64),
        station=np.repeat(names, k),
        report=np.full(n * k, report, dtype=object),
    )


def _anywhere(random: np.random.Generator, count: int) -> Floats:
    """Places (n, 2) [degree], even on the sphere."""
    return np.stack(even_places(random, count), axis=-1)


def _degrees(vectors: Floats) -> Floats:
    """Places (n, 2) [degree] of unit vectors (n, 3)."""
    x, y, z = vectors.T
    return np.stack([np.degrees(np.arcsin(np.clip(z, -1.0, 1.0))), np.degrees(np.arctan2(y, x)) % 360.0], axis=-1)


def _track(phase: float, node: float, minutes: float) -> Floats:
    """Places (n, 2) [degree] that a polar orbiter sounds within the window around a time [min since 1970]."""
    t = minutes + np.arange(-WINDOW, WINDOW, SAMPLING)
    u = phase + 2.0 * np.pi * t / PERIOD
    longitude = node + np.arctan2(np.cos(INCLINATION) * np.sin(u), np.cos(u)) - TURN * t
    latitude = np.arcsin(np.sin(INCLINATION) * np.sin(u))
    below = unit_vectors(np.degrees(latitude), np.degrees(longitude))
    ahead = np.gradient(below, axis=0)
    side = np.cross(ahead / np.linalg.norm(ahead, axis=-1, keepdims=True), below)
    angles = np.array(ACROSS)[:, None, None] / EARTH_RADIUS
    return _degrees((np.cos(angles) * below + np.sin(angles) * side).reshape(-1, 3))
