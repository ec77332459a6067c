"""Optimal interpolation in blocks: against the dense equations and gridpp, and who decides in crowded blocks."""

from __future__ import annotations

from dataclasses import replace

import gridpp
import numpy as np
import pytest
import torch

from phyda_cli.constants import EARTH_RADIUS
from phyda_cli.errors_b.surface_structure import GroundPlaces, Structure
from phyda_cli.methods.block_interpolation import GroundData, interpolate
from phyda_cli.methods.left_out import NEIGHBOURS, left_out, nearest

STRUCTURE = Structure(60e3, 300.0, 0.5)
GRIDPP_RADIUS = 6_378_137.0
EVERYONE = 1000


class Scene:
    """Stations and grid points in a mountainous corner of the sea, at random."""

    def __init__(self, stations: int, *, seed: int = 0, rows: int = 12, columns: int = 15) -> None:
        rng = np.random.default_rng(seed)
        self.latitude, self.longitude = rng.uniform(58, 62, stations), rng.uniform(5, 12, stations)
        self.height, self.land = rng.uniform(0, 800, stations), rng.integers(0, 2, stations).astype(float)
        self.departure, self.ratio = 3.0 * rng.normal(size=stations), rng.uniform(0.1, 1.0, stations)
        self.grid = np.meshgrid(np.linspace(58, 62, rows), np.linspace(5, 12, columns), indexing="ij")
        self.ground, self.part = rng.uniform(0, 800, (rows, columns)), rng.integers(0, 2, (rows, columns)).astype(float)

    def data(self) -> GroundData:
        places = GroundPlaces.at(self.latitude, self.longitude, self.height, self.land)
        return GroundData(places, torch.from_numpy(self.departure), torch.from_numpy(self.ratio))

    def points(self) -> GroundPlaces:
        return GroundPlaces.at(*(x.ravel() for x in (*self.grid, self.ground, self.part)))

    def analysed(self, *, most: int = EVERYONE, structure: Structure = STRUCTURE):
        return interpolate(*(x.ravel() for x in self.grid), self.points(), self.data(), structure, most=most)


def rho(scene: Scene, i: int, j: int) -> float:
    """The correlation of two stations, written out."""
    lat, lon = np.radians(scene.latitude[[i, j]]), np.radians(scene.longitude[[i, j]])
    xyz = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    r = EARTH_RADIUS * np.linalg.norm(xyz[:, 0] - xyz[:, 1]) / 60e3
    high = (scene.height[i] - scene.height[j]) / 300.0
    land = (scene.land[i] - scene.land[j]) / 0.5
    return float((1 + r) * np.exp(-r - 0.5 * high**2 - 0.5 * land**2))


def test_the_structure_is_the_equation():
    scene = Scene(5)
    found = STRUCTURE.correlation(scene.data().places, scene.data().places).numpy()
    expected = [[rho(scene, i, j) for j in range(5)] for i in range(5)]
    np.testing.assert_allclose(found, expected, atol=1e-7)  # cdist rounds
    only_near = replace(STRUCTURE, height=np.inf, land=np.inf)
    assert (only_near.correlation(scene.data().places, scene.data().places).numpy() >= found - 1e-9).all()


def test_it_is_gridpp_with_the_same_structure():
    scene = Scene(60)
    made = scene.analysed()
    structure = gridpp.MultipleStructure(
        gridpp.SoarStructure(60e3 * GRIDPP_RADIUS / EARTH_RADIUS, 0, 0, 2e6),
        gridpp.BarnesStructure(60e3, 300, 0),
        gridpp.BarnesStructure(60e3, 0, 0.5),
    )
    theirs = gridpp.optimal_interpolation(
        gridpp.Grid(*scene.grid, scene.ground, scene.part),
        np.zeros(scene.ground.shape),
        gridpp.Points(scene.latitude, scene.longitude, scene.height, scene.land),
        scene.departure,
        scene.ratio,
        np.zeros(60),
        structure,
        EVERYONE,
    )
    assert np.abs(made.increment).max() > 2.0
    np.testing.assert_allclose(made.increment, np.ravel(theirs), atol=1e-4 * np.abs(made.increment).max())


def test_it_is_the_dense_analysis_and_its_error():
    scene = Scene(25)
    made, data = scene.analysed(), scene.data()
    matrix = data.matrix(STRUCTURE).numpy()
    b = STRUCTURE.correlation(data.places, scene.points()).numpy()
    weights = np.linalg.solve(matrix, b)
    np.testing.assert_allclose(made.increment, weights.T @ scene.departure, atol=1e-10)
    np.testing.assert_allclose(made.variance, 1.0 - (weights * b).sum(0), atol=1e-10)


def test_fields_with_the_same_stations_are_solved_together():
    scene = Scene(30)
    both = scene.data()
    both = replace(both, departure=torch.stack([both.departure, both.departure.flip(0)], dim=1))
    made = interpolate(*(x.ravel() for x in scene.grid), scene.points(), both, STRUCTURE)
    np.testing.assert_allclose(made.increment[:, 0], scene.analysed().increment, atol=1e-12)
    assert np.abs(made.increment[:, 1] - made.increment[:, 0]).max() > 1.0


def test_blocks_that_take_the_nearest_lose_little():
    """2 000 stations on 400 × 400 km, 120 a block: what it costs is the difference of the two error variances."""
    scene = Scene(2000, seed=3)
    structure = Structure(60e3, 600.0)
    few, all_ = scene.analysed(most=120, structure=structure), scene.analysed(most=2000, structure=structure)
    lost = few.variance - all_.variance
    assert (lost >= -1e-9).all()
    assert np.sqrt(lost.mean()) < 0.25 * np.sqrt(all_.variance.mean())


def test_what_no_station_reaches_stays():
    scene = Scene(4)
    scene.latitude = scene.latitude - 60.0
    made = scene.analysed()
    assert not made.increment.any()
    assert (made.variance == 1.0).all()


def test_leaving_one_out_is_an_analysis_without_it():
    scene = Scene(12)
    data, rows = scene.data(), torch.arange(12)
    found = left_out(data, STRUCTURE, rows, nearest(data, rows))
    for i in range(12):
        others = np.delete(np.arange(12), i)
        matrix = data.take(torch.from_numpy(others)).matrix(STRUCTURE).numpy()
        b = np.array([rho(scene, i, j) for j in others])
        weights = np.linalg.solve(matrix, b)
        assert found.residual[i] == pytest.approx(scene.departure[i] - weights @ scene.departure[others], abs=1e-6)
        assert found.variance[i] == pytest.approx(1.0 + scene.ratio[i] - weights @ b, abs=1e-6)


def test_its_square_is_the_statistic_of_the_spatial_consistency_test():
    """(y − y_a)(y − ŷ)/σ_o² of titanlib, with the analysis that has the observation and the one that has not."""
    scene = Scene(20)
    data, rows = scene.data(), torch.arange(20)
    found = left_out(data, STRUCTURE, rows, nearest(data, rows))
    matrix = data.matrix(STRUCTURE).numpy()
    gain = (matrix - np.diag(np.diag(matrix)) + np.eye(20)) @ np.linalg.inv(matrix)
    with_it = scene.departure - gain @ scene.departure
    np.testing.assert_allclose(with_it * found.residual / scene.ratio, found.residual**2 / found.variance, rtol=1e-6)


def test_the_nearest_are_the_nearest_and_never_oneself():
    scene = Scene(50)
    data, rows = scene.data(), torch.tensor([3, 40])
    found = nearest(data, rows)
    for i, near in zip(rows.tolist(), found.tolist(), strict=True):
        distance = (data.places.position - data.places.position[i]).norm(dim=1)
        distance[i] = np.inf
        assert near == distance.argsort()[:NEIGHBOURS].flip(0).tolist()
    crowd = data.take(torch.cat([torch.zeros(40, dtype=torch.int64), torch.arange(1, 50)]))
    for i in (0, 39):
        (near,) = nearest(crowd, torch.tensor([i])).tolist()
        assert i not in near
        assert set(near) <= set(range(40))
        assert len(set(near)) == NEIGHBOURS
