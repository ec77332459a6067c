"""An invented observation network: as dense over land, and as thin over the sea, as the real one, but no copy of it.

Places are drawn at random: sondes and surface stations on land by region, ships and islands over the open sea, aircraft
along great circles between regions with much traffic. Two stations of one kind keep a least distance.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from matplotlib.path import Path
from numpy.typing import NDArray

from phyda_cli.evaluation.coastline import land_rings

Array = NDArray[np.float64]


class Region(NamedTuple):
    """south, north, west, east [degree]; sondes, surface: how many stations of each kind lie there, on land."""

    south: float
    north: float
    west: float
    east: float
    sondes: int
    surface: int


REGIONS: Final = (
    Region(36, 70, -10, 40, 58, 50),  # Europe
    Region(45, 72, 40, 180, 38, 20),  # Northern Asia
    Region(20, 46, 98, 146, 46, 35),  # East Asia
    Region(7, 33, 66, 96, 20, 20),  # South Asia
    Region(-10, 20, 95, 127, 15, 15),  # South-East Asia
    Region(13, 40, 34, 63, 10, 10),  # Middle East
    Region(25, 50, -125, -67, 52, 45),  # North America, south
    Region(50, 76, -166, -56, 20, 15),  # North America, north
    Region(7, 27, -112, -60, 8, 10),  # Central America
    Region(-55, 8, -80, -35, 17, 20),  # South America
    Region(8, 36, -17, 34, 8, 10),  # Northern Africa
    Region(-35, 8, 9, 50, 9, 15),  # Southern Africa
    Region(-47, -11, 113, 179, 18, 20),  # Australia and New Zealand
    Region(-79, -65, -180, 180, 8, 10),  # Antarctica
)
OPEN_SEA: Final = Region(-60, 62, -180, 180, 18, 60)
"""Islands with a sonde, and ships that report the pressure."""

SEPARATION: Final = {"sonde": 1.6, "surface": 1.0, "sea": 12.0, "ship": 5.0}
"""Least distance of two stations of one kind [degree]."""

ROUTES: Final = (
    ((40, -74), (51, -1), 6),  # North Atlantic
    ((33, -84), (48, 8), 3),
    ((34, -118), (36, 140), 4),  # North Pacific
    ((48, -122), (23, 114), 2),
    ((40, -74), (36, -119), 5),  # North America
    ((50, 8), (14, 101), 3),  # Europe to Asia
    ((52, 0), (37, 127), 3),
    ((50, 5), (-26, 28), 2),  # Europe to Africa
    ((41, -4), (-23, -46), 2),  # Europe to South America
    ((-33, 151), (1, 104), 2),  # Australia to Asia
    ((34, -118), (-34, 151), 1),  # Across the Pacific
)
"""Ends (latitude, longitude) of air routes, and the number of aircraft on each."""


class Places(NamedTuple):
    """latitude, longitude [degree], longitude within ±180: (n,) each."""

    latitude: Array
    longitude: Array


def sonde_stations(random: np.random.Generator) -> Places:
    """Places of radiosonde stations, islands last."""
    on_land = [(r, r.sondes, True, SEPARATION["sonde"]) for r in REGIONS]
    return _draw([*on_land, (OPEN_SEA, OPEN_SEA.sondes, False, SEPARATION["sea"])], random)


def surface_stations(random: np.random.Generator) -> Places:
    """Places of surface stations on land and of ships."""
    on_land = [(r, r.surface, True, SEPARATION["surface"]) for r in REGIONS]
    return _draw([*on_land, (OPEN_SEA, OPEN_SEA.surface, False, SEPARATION["ship"])], random)


def flights(random: np.random.Generator) -> list[Places]:
    """Places of the reports of each aircraft, along its route."""
    tracks = []
    for start, end, aircraft in ROUTES:
        for _ in range(aircraft):
            first = np.asarray(start, float) + random.normal(0.0, 2.0, 2)
            last = np.asarray(end, float) + random.normal(0.0, 2.0, 2)
            tracks.append(_great_circle(first, last, np.sort(random.uniform(0.08, 0.92, size=11))))
    return tracks


def is_land(places: Places) -> NDArray[np.bool_]:
    """(n,) whether a place lies on land: inside an odd number of rings."""
    points = np.stack([places.longitude, places.latitude], axis=1)
    inside = np.zeros(len(points), dtype=int)
    for ring in land_rings():
        near = np.all((points >= ring.min(axis=0)) & (points <= ring.max(axis=0)), axis=1)
        inside[near] += Path(ring).contains_points(points[near])
    return inside % 2 == 1


def _draw(wanted: list[tuple[Region, int, bool, float]], random: np.random.Generator) -> Places:
    """Draw the wanted number of places of each region, none nearer than its distance to one drawn before."""
    kept = np.zeros((0, 2))
    for region, count, land, distance in wanted:
        bounds = np.sin(np.radians([region.south, region.north]))
        latitude = np.degrees(np.arcsin(random.uniform(*bounds, size=400 * count)))
        candidates = Places(latitude, random.uniform(region.west, region.east, size=latitude.size))
        allowed = np.stack(candidates, axis=1)[is_land(candidates) == land]
        target = len(kept) + count
        for point in allowed:
            if len(kept) == target:
                break
            if len(kept) == 0 or _distance(kept, point).min() > distance:
                kept = np.vstack([kept, np.round(point, 2)])
        if len(kept) < target:
            raise RuntimeError(f"no room for {count} stations in {region}")
    return Places(kept[:, 0], kept[:, 1])


def _vectors(latitude: Array, longitude: Array) -> Array:
    phi, lam = np.radians(latitude), np.radians(longitude)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)


def _distance(points: Array, point: Array) -> Array:
    """Great-circle distances [degree] of places (n, 2) from one (2,)."""
    cosine = _vectors(points[:, 0], points[:, 1]) @ _vectors(point[0], point[1])
    return np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))


def _great_circle(first: Array, last: Array, fractions: Array) -> Places:
    """Places at fractions of the way from one place (2,) to another."""
    a, b = _vectors(first[0], first[1]), _vectors(last[0], last[1])
    angle = np.arccos(np.clip(a @ b, -1.0, 1.0))
    way = fractions[:, None]
    points = (np.sin((1 - way) * angle) * a + np.sin(way * angle) * b) / np.sin(angle)
    latitude, longitude = np.arcsin(points[:, 2]), np.arctan2(points[:, 1], points[:, 0])
    return Places(np.round(np.degrees(latitude), 2), np.round(np.degrees(longitude), 2))
