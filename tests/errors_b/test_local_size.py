"""The size of errors here and there: by hand at one observation, and its bounds."""

from __future__ import annotations

import numpy as np
import pytest

from phyda_cli.constants import EARTH_RADIUS
from phyda_cli.errors_b.local_size import LENGTH, PRIOR, LocalSize
from phyda_cli.grids.places import unit_vectors


def size(square, latitude=0.0, longitude=0.0) -> LocalSize:
    position = EARTH_RADIUS * unit_vectors(np.full(len(square), latitude), np.full(len(square), longitude))
    return LocalSize(position, np.asarray(square))


def test_observations_at_a_node_and_a_length_away():
    """Ten with z² = 4: s² = (n₀ + 40 w)/(n₀ + 10 w), w = 1 there and e^(−½) a length R away (a node)."""
    found = size([4.0] * 10)
    there = found.at(np.array([0.0]), np.array([0.0]))
    assert there[0] == pytest.approx(np.sqrt((PRIOR + 40.0) / (PRIOR + 10.0)))
    chord = 2.0 * EARTH_RADIUS * np.sin(np.radians(1.0))  # of two degrees
    w = np.exp(-0.5 * (chord / LENGTH) ** 2)
    beside = found.at(np.array([0.0]), np.array([2.0]))
    assert beside[0] == pytest.approx(np.sqrt((PRIOR + 40.0 * w) / (PRIOR + 10.0 * w)))


def test_between_nodes_it_is_linear_in_the_variance():
    found = size([9.0] * 20)
    low, middle, high = found.at(np.array([1.0, 1.5, 2.0]), np.zeros(3)) ** 2
    assert middle == pytest.approx((low + high) / 2)


def test_far_away_it_is_one_and_a_gross_error_does_not_count():
    assert size([9.0] * 20).at(np.array([60.0]), np.array([0.0]))[0] == 1.0
    spoiled = size([4.0] * 10 + [1e6])
    assert spoiled.at(np.array([0.0]), np.array([0.0]))[0] == size([4.0] * 10).at(np.array([0.0]), np.array([0.0]))[0]
    assert size([1e6]).at(np.array([0.0]), np.array([0.0]))[0] == 1.0


def test_across_the_date_line_and_at_the_pole():
    line = size([4.0] * 10, longitude=180.0)
    np.testing.assert_allclose(*(line.at(np.array([0.0]), np.array([x])) for x in (179.0, -179.0)), rtol=1e-9)
    pole = size([4.0] * 10, latitude=90.0)
    at_pole = pole.at(np.full(3, 90.0), np.array([0.0, 77.0, 300.0]))
    np.testing.assert_allclose(at_pole, np.sqrt((PRIOR + 40.0) / (PRIOR + 10.0)), rtol=1e-9)
