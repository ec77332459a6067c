"""Distances and cells on the sphere."""

from __future__ import annotations

import numpy as np
import pytest

from phyda_cli.constants import EARTH_RADIUS
from phyda_cli.grids.places import cells, distance


def one(*numbers):
    return [np.array([float(number)]) for number in numbers]


def test_distances_of_known_arcs():
    quarter = 0.5 * np.pi * EARTH_RADIUS
    assert distance(*one(0, 0, 0, 90))[0] == pytest.approx(quarter, rel=1e-12)
    assert distance(*one(90, 17, -90, 200))[0] == pytest.approx(2 * quarter, rel=1e-9)
    # across the date line and the pole: 2 degrees each
    assert distance(*one(0, 359, 0, 1))[0] == pytest.approx(quarter / 45, rel=1e-12)
    assert distance(*one(89, 0, 89, 180))[0] == pytest.approx(quarter / 45, rel=1e-12)


def test_a_hundred_thousandth_of_a_degree_is_a_metre():
    assert distance(*one(45, 7, 45.00001, 7))[0] == pytest.approx(1.112, rel=1e-3)


def test_cells_do_not_depend_on_the_longitude_convention():
    latitude, longitude = np.array([0.0, 10.0, -89.9]), np.array([-170.0, -0.001, -90.0])
    east = cells(latitude, longitude + 360.0, 250_000.0)
    west = cells(latitude, longitude, 250_000.0)
    assert east.number.tolist() == west.number.tolist()
    np.testing.assert_allclose(east.longitude, west.longitude)


def test_cells_are_of_equal_size_to_the_poles():
    # 20 015 km / 2000 km: ten bands of 18 degrees; the one at 81 degrees holds round(40 030 · cos 81° / 2000) = 3 cells
    longitudes = np.arange(0.0, 360.0, 1.0)
    polar = cells(np.full(360, 85.0), longitudes, 2_000_000.0)
    assert np.unique(polar.number).size == 3
    assert np.unique(polar.longitude).tolist() == [60.0, 180.0, 300.0]
    assert np.unique(polar.latitude).tolist() == [81.0]
    assert np.unique(cells(np.zeros(360), longitudes, 2_000_000.0).number).size == 20
    assert cells(*one(90, 0), 2_000_000.0).number[0] == polar.number[0]


def test_numbers_of_cells_are_not_shared_between_bands():
    latitude = np.repeat(np.arange(-89.0, 90.0), 36)
    longitude = np.tile(np.arange(0.0, 360.0, 10.0), 179)
    found = cells(latitude, longitude, 1_000_000.0)
    centres = np.stack([found.latitude, found.longitude], axis=1)
    assert np.unique(found.number).size == np.unique(centres, axis=0).shape[0]
