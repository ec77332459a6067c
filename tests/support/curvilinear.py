"""A domain of 2-D coordinates: points that are even in a rotated system, as regional models have them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from phyda_cli.grids.base import Corners, Vicinity
from phyda_cli.grids.places import distance


@dataclass(frozen=True)
class RotatedGrid:
    """`rows` × `columns` points `step` degrees apart around a centre, even in the system whose equator passes there."""

    latitude: float
    longitude: float
    rows: int
    columns: int
    step: float

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows, self.columns

    def _axes(self) -> tuple[np.ndarray, np.ndarray]:
        return tuple(self.step * (np.arange(n) - (n - 1) / 2) for n in self.shape)

    @property
    def coordinates(self) -> tuple[np.ndarray, np.ndarray]:
        phi, lam = (x.ravel() for x in np.meshgrid(*self._axes(), indexing="ij"))
        x, y, z = _vector(phi, lam)
        tilt = np.radians(self.latitude)
        x, z = x * np.cos(tilt) - z * np.sin(tilt), x * np.sin(tilt) + z * np.cos(tilt)
        return np.degrees(np.arcsin(z)), np.mod(np.degrees(np.arctan2(y, x)) + self.longitude, 360.0)

    @property
    def area(self) -> np.ndarray:
        weight = np.cos(np.radians(self._axes()[0]))[:, None] * np.ones(self.columns)
        return weight / weight.sum()

    def corners(self, latitude: np.ndarray, longitude: np.ndarray) -> Corners:
        x, y, z = _vector(latitude, longitude - self.longitude)
        tilt = np.radians(self.latitude)
        x, z = x * np.cos(tilt) + z * np.sin(tilt), -x * np.sin(tilt) + z * np.cos(tilt)
        phi, lam = np.degrees(np.arcsin(z)), np.degrees(np.arctan2(y, x))
        position = [(at - axis[0]) / self.step for at, axis in zip((phi, lam), self._axes(), strict=True)]
        inside = np.all([(p >= 0) & (p <= n - 1) for p, n in zip(position, self.shape, strict=True)], axis=0)
        low = [np.clip(np.floor(p).astype(int), 0, n - 2) for p, n in zip(position, self.shape, strict=True)]
        share = [p - at for p, at in zip(position, low, strict=True)]
        index, weight = [], []
        for row in (0, 1):
            for column in (0, 1):
                index.append((low[0] + row) * self.columns + low[1] + column)
                weight.append((share[0] if row else 1 - share[0]) * (share[1] if column else 1 - share[1]))
        kept = np.where(inside[:, None], np.stack(weight, axis=1), 0.0)
        return Corners(np.stack(index, axis=1), kept, np.ones_like(kept), inside)

    def neighbours(self, latitude: np.ndarray, longitude: np.ndarray, radius: float) -> Iterator[Vicinity]:
        own = self.coordinates
        for point in range(self.rows * self.columns):
            apart = distance(own[0][point], own[1][point], latitude, longitude)
            near = np.flatnonzero(apart <= radius * (1 + 1e-9))
            if near.size:
                yield Vicinity(np.array([point]), near)


def _vector(latitude: np.ndarray, longitude: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    phi, lam = np.radians(latitude), np.radians(longitude)
    return np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)
