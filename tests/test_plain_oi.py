"""The plain optimal interpolation of the real cases against its closed forms."""

import numpy as np
import pytest

from benchmarks.plain_oi import LENGTH, interpolate, interval
from phyda_cli.constants import EARTH_RADIUS
from phyda_cli.grids.places import unit_vectors

ERROR = np.array([1.0, 1.0])


def place(*longitude: float) -> np.ndarray:
    return unit_vectors(np.zeros(len(longitude)), np.array(longitude))


def test_far_apart_stations_keep_the_weight_of_one_departure_and_neighbours_get_the_gaussian() -> None:
    chord = LENGTH / EARTH_RADIUS  # one L, as a chord
    away = float(np.degrees(2 * np.arcsin(chord / 2)))
    departure = np.array([4.0, -4.0])
    increments, sigma = interpolate(place(0.0, 180.0), departure, ERROR, place(0.0, away, 90.0))
    variance = 16.0 - 1.0
    weight = variance / (variance + 1.0)
    assert sigma == pytest.approx(np.sqrt(variance))
    assert increments == pytest.approx([4 * weight, 4 * weight * np.exp(-0.5), 0.0], abs=1e-12)


def test_departures_that_are_no_larger_than_the_observation_errors_move_next_to_nothing() -> None:
    increments, sigma = interpolate(place(0.0, 180.0), np.array([0.5, -0.5]), ERROR, place(0.0))
    assert sigma == pytest.approx(0.1)
    assert increments[0] == pytest.approx(0.5 * 0.01 / 1.01)


def test_the_interval_of_a_ratio_counts_stations_and_not_values() -> None:
    errors = np.random.default_rng(1).normal(size=400)
    alike = interval(np.arange(400), 0.8 * errors, errors)
    assert alike == pytest.approx((0.8, 0.8, 0.8))  # paired: whatever is drawn, the ratio is the same

    factor = np.where(np.arange(400) < 200, 0.5, 1.0)  # two stations: draws of both, or of one of them twice
    two = interval(np.arange(400) >= 200, factor * errors, errors)
    assert (two.low, two.high) == pytest.approx((0.5, 1.0))
    apart = interval(np.arange(400), factor * errors, errors)
    assert two.low < apart.low < apart.ratio < apart.high < two.high
    assert apart.ratio == pytest.approx(two.ratio)
