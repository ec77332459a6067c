"""Heights by the gravity of the ellipsoid, and the refractivity of moist air: published numbers and closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from phyda_cli.constants import GRAVITY
from phyda_cli.fields.geometric_height import geopotential_of_height, surface_gravity
from phyda_cli.fields.refractivity import COEFFICIENTS, refractivity
from tests.support.heights import height_of_geopotential


def test_gravity_is_that_of_the_ellipsoid():
    """The published values of WGS84 at the equator, at 45° and at the poles [m s-2]."""
    np.testing.assert_allclose(
        surface_gravity([0.0, 45.0, 90.0, -90.0]), [9.7803253359, 9.8061977695, 9.8321849379, 9.8321849379], rtol=1e-10
    )


@pytest.mark.parametrize("latitude", [0.0, -30.0, 62.0, 90.0])
def test_the_geopotential_is_the_integral_of_gravity_over_height(latitude):
    """γ(h) = γ (1 − 2 h (1 + f + m − 2 f sin²φ)/a + 3 h²/a²): Heiskanen and Moritz (1967)."""
    a, f, m = 6_378_137.0, 1.0 / 298.257223563, 0.00344978650684
    height = np.linspace(0.0, 40_000.0, 40_001)
    part = 1.0 + f + m - 2.0 * f * np.sin(np.radians(latitude)) ** 2
    gravity = surface_gravity(latitude) * (1.0 - 2.0 * height / a * part + 3.0 * (height / a) ** 2)
    expected = np.append(0.0, np.cumsum(0.5 * (gravity[1:] + gravity[:-1])))
    np.testing.assert_allclose(geopotential_of_height(height, latitude), expected, rtol=5e-7, atol=1e-6)


def test_geopotential_heights_fall_short_most_over_the_equator():
    """At 20 km geopotential height is 116 m less than the height over the equator, 11 m less over the poles."""
    apart = geopotential_of_height([20_000.0, 20_000.0], [0.0, 90.0]) / GRAVITY - 20_000.0
    np.testing.assert_allclose(apart, [-116.2, -10.6], atol=0.3)


def test_heights_come_back():
    latitude, height = np.linspace(-90, 90, 19), np.linspace(-400.0, 60_000.0, 19)
    back = height_of_geopotential(geopotential_of_height(height, latitude), latitude)
    np.testing.assert_allclose(back, height, rtol=1e-12, atol=1e-9)


def test_refractivity_by_hand():
    """1000 hPa, 300 K: 77.6 · 1000/300; with 20 hPa of vapour 77.6 · 980/300 + 3.739e5 · 20/300² + 70.4 · 20/300."""
    epsilon = 287.0597 / 461.5250
    moist = epsilon * 20.0 / (1000.0 - (1.0 - epsilon) * 20.0)
    found = refractivity(np.full(2, 1e5), np.full(2, 300.0), np.array([0.0, moist]), COEFFICIENTS["bevis"])
    np.testing.assert_allclose(found, [258.66667, 253.49333 + 83.08889 + 4.69333], rtol=1e-7)
    rueger = refractivity(np.full(2, 1e5), np.full(2, 300.0), np.array([0.0, moist]), COEFFICIENTS["rueger"])
    np.testing.assert_allclose(rueger, [258.96333, 253.78407 + 83.43622 + 4.75301], rtol=1e-7)
