"""Vertical interpolation: exact at levels, linear in ln p between, its two extensions."""

from __future__ import annotations

import numpy as np
import pytest

from phyda_cli.errors import BadDataError
from phyda_cli.fields.vertical import vertical_weights

LEVELS = (100_000.0, 85_000.0, 50_000.0, 20_000.0)


def test_matching_levels_are_exact():
    np.testing.assert_array_equal(vertical_weights(LEVELS, LEVELS), np.eye(4))


def test_order_of_levels_does_not_matter():
    targets = [92_500.0, 70_000.0, 17_000.0]
    forward, backward = vertical_weights(LEVELS, targets), vertical_weights(LEVELS[::-1], targets)
    np.testing.assert_array_equal(forward, backward[:, ::-1])


def test_linear_in_the_logarithm_of_pressure():
    """Half-way in ln p between 850 and 500 hPa is their geometric mean."""
    middle = np.sqrt(85_000.0 * 50_000.0)
    np.testing.assert_allclose(vertical_weights(LEVELS, [middle]), [[0, 0.5, 0.5, 0]], atol=1e-15)
    targets = np.array([95_000.0, 70_000.0, 30_000.0])
    np.testing.assert_allclose(vertical_weights(LEVELS, targets) @ np.log(LEVELS), np.log(targets), rtol=1e-15)


def test_constant_below_and_tapered_above():
    """At p_top/√2 half of the increment is left, at p_top/2 and above nothing."""
    targets = [105_000.0, 20_000.0, 20_000.0 / np.sqrt(2), 10_000.0, 1_000.0]
    expected = [[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0.5], [0, 0, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(vertical_weights(LEVELS, targets), expected, atol=1e-15)
    np.testing.assert_array_equal(vertical_weights(LEVELS, [1_000.0], above="constant"), [[0, 0, 0, 1]])


def test_one_level_reaches_down_and_tapers_up():
    weights = vertical_weights((50_000.0,), [100_000.0, 50_000.0, 25_000.0 * np.sqrt(2), 25_000.0])
    np.testing.assert_allclose(weights[:, 0], [1, 1, 0.5, 0], atol=1e-15)


@pytest.mark.parametrize(
    ("levels", "targets", "message"),
    [
        ((), [50_000.0], "distinct levels"),
        ((50_000.0, 50_000.0), [50_000.0], "distinct levels"),
        ((50_000.0, 0.0), [50_000.0], "found 0 Pa"),
        ((50_000.0,), [-1.0], "found -1 Pa"),
        ((50_000.0,), [float("nan")], "found nan Pa"),
    ],
)
def test_impossible_levels_are_refused(levels, targets, message):
    with pytest.raises(BadDataError, match=message):
        vertical_weights(levels, targets)
