"""Draws near the ground: variance 1, the correlation of their structure, the same field wherever they are evaluated."""

from __future__ import annotations

import numpy as np
import pytest

from phyda_cli.constants import EARTH_RADIUS
from phyda_cli.errors_b.ground_draws import draw
from phyda_cli.errors_b.surface_structure import Detail, GroundPlaces, Structure

PLACES = GroundPlaces.at(
    np.degrees(np.array([0.0, 50e3, 200e3, 800e3, 0.0, 0.0]) / EARTH_RADIUS),
    np.zeros(6),
    np.array([0.0, 0.0, 0.0, 0.0, 400.0, 0.0]),
    np.array([1.0, 1.0, 1.0, 1.0, 1.0, 0.0]),
)
"""A place at sea level, three north of it, one above it, one at sea."""


@pytest.mark.parametrize(
    "structure",
    [
        Structure(200e3),
        Structure(200e3, 600.0, 1.0),
        Structure(400e3, 2000.0, 2.0, Detail(0.4, 50e3, 300.0)),
    ],
)
def test_draws_have_the_correlation_of_their_structure(structure):
    drawn = np.stack([draw(structure, PLACES, np.random.default_rng(seed)) for seed in range(4000)])
    found, expected = drawn.T @ drawn / len(drawn), structure.correlation(PLACES, PLACES).numpy()
    assert np.abs(drawn.mean(0)).max() < 0.06
    np.testing.assert_allclose(found, expected, atol=0.07)  # four standard errors of 4000 draws
    assert expected[0].min() < 0.7


def test_a_draw_is_one_field_wherever_it_is_evaluated():
    some = PLACES.take(np.array([3, 1]))
    whole, part = (draw(Structure(300e3), places, np.random.default_rng(5)) for places in (PLACES, some))
    np.testing.assert_allclose(part, whole[[3, 1]], rtol=1e-12)
