"""Rounding to binary digits, by hand and by its bound."""

from __future__ import annotations

import numpy as np

from phyda_cli.fields.bit_rounding import bit_rounded


def test_numbers_go_to_the_nearest_with_three_bits_and_to_even_at_half_way():
    """With three bits 1 + k/8 are left: 1 + 1/16 is half way between two and goes to the even one, 1."""
    values = np.array([0.0, 1.0, 1.0 + 1 / 16, 1.0 + 3 / 16, 1.07, 1.99, -1.07], np.float32)
    expected = [0.0, 1.0, 1.0, 1.25, 1.125, 2.0, -1.125]
    np.testing.assert_array_equal(bit_rounded(values, 3), np.array(expected, np.float32))


def test_the_error_is_bounded_and_the_rest_is_zeros():
    values = np.random.default_rng(1).lognormal(0.0, 4.0, 10_000).astype(np.float32)
    rounded = bit_rounded(values, 10)
    assert np.max(np.abs(rounded - values) / values) <= 2.0**-11
    assert not np.any(rounded.view(np.uint32) & (2**13 - 1))
