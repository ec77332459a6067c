"""Sigma to pressure levels against atmospheres whose profiles are known in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from phyda_cli.constants import GRAVITY, LAPSE_RATE, R_DRY
from phyda_cli.simulation.regrid import (
    KAPPA,
    sea_level_pressure,
    surface_pressure_change,
    to_pressure_levels,
)

PRESSURE_LEVELS = (925, 850, 700, 500, 300, 250, 200, 100)
SIGMA = np.array([0.025, 0.095, 0.2, 0.34, 0.51, 0.685, 0.835, 0.95])
SEA_LEVEL = 101_300.0
GROUND = np.array([[0.0, 500.0], [2000.0, 4500.0]])
"""Height of the ground [m]; the last two columns hide the lowest pressure levels."""


def columns(temperature, geopotential, pressure):
    """u = 3 ln p, v = −u, dry, with the profile's T(p) and Φ(p) on the sigma levels of each column."""
    p = SIGMA[:, None, None] * pressure
    u = 3.0 * np.log(p)
    return {"u": u, "v": -u, "t": temperature(p), "q": np.zeros_like(p), "z": geopotential(p)}


def standard(p):
    """The atmosphere of constant lapse rate with 288 K at sea level: T, Φ."""
    t = 288.0 * (p / SEA_LEVEL) ** KAPPA
    return t, GRAVITY * (288.0 - t) / LAPSE_RATE


def ground_pressure():
    return SEA_LEVEL * (1.0 - LAPSE_RATE * GROUND / 288.0) ** (1.0 / KAPPA)


def test_isothermal_atmosphere_is_exact_above_the_lowest_level():
    t0 = 260.0
    pressure = SEA_LEVEL * np.exp(-GRAVITY * GROUND / (R_DRY * t0))
    fields = columns(lambda p: np.full_like(p, t0), lambda p: R_DRY * t0 * np.log(SEA_LEVEL / p), pressure)
    out = to_pressure_levels(fields, SIGMA, pressure, PRESSURE_LEVELS)
    for number, level in enumerate(PRESSURE_LEVELS):
        above = level * 100.0 <= SIGMA[-1] * pressure
        np.testing.assert_allclose(out["t"][number][above], t0, rtol=1e-12)
        np.testing.assert_allclose(out["z"][number][above], R_DRY * t0 * np.log(SEA_LEVEL / (level * 100.0)), rtol=1e-9)
        np.testing.assert_allclose(out["u"][number][above], 3.0 * np.log(level * 100.0), rtol=1e-12)


def test_geopotential_is_hydrostatic_where_temperature_is_linear_in_ln_p():
    def temperature(p):
        return 288.0 + 40.0 * np.log(p / SEA_LEVEL)

    def geopotential(p):
        x = np.log(p / SEA_LEVEL)
        return -R_DRY * (288.0 * x + 20.0 * x**2)

    pressure = np.full((1, 2), SEA_LEVEL)
    out = to_pressure_levels(columns(temperature, geopotential, pressure), SIGMA, pressure, PRESSURE_LEVELS)
    expected = np.array([geopotential(100.0 * level) for level in PRESSURE_LEVELS])
    np.testing.assert_allclose(out["z"][..., 0, 0], expected, rtol=1e-9)
    np.testing.assert_allclose(out["t"][..., 0, 0], [temperature(100.0 * level) for level in PRESSURE_LEVELS])


def test_below_ground_follows_the_standard_lapse_rate_and_keeps_the_wind():
    pressure = ground_pressure()
    fields = columns(lambda p: standard(p)[0], lambda p: standard(p)[1], pressure)
    out = to_pressure_levels(fields, SIGMA, pressure, (1000, 925))
    for number, level in enumerate((1000, 925)):
        below = level * 100.0 > SIGMA[-1] * pressure
        assert below.any()
        t, z = standard(np.array(level * 100.0))
        np.testing.assert_allclose(out["t"][number][below], t, rtol=1e-9)
        np.testing.assert_allclose(out["z"][number][below], z, rtol=1e-6, atol=1e-3)
        np.testing.assert_allclose(out["u"][number][below], fields["u"][-1][below])
        np.testing.assert_allclose(out["v"][number][below], fields["v"][-1][below])


def test_sea_level_pressure_is_the_same_over_every_ground():
    pressure = ground_pressure()
    fields = columns(lambda p: standard(p)[0], lambda p: standard(p)[1], pressure)
    out = to_pressure_levels(fields, SIGMA, pressure, PRESSURE_LEVELS)
    np.testing.assert_allclose(out["msl"], SEA_LEVEL, rtol=1e-9)
    t, z = standard(np.array(70_000.0))
    assert sea_level_pressure(z, t, np.array(70_000.0)) == pytest.approx(SEA_LEVEL)


def test_surface_pressure_moves_with_the_surface():
    low, high = 300.0, 1200.0
    p_low, p_high = (SEA_LEVEL * (1.0 - LAPSE_RATE * h / 288.0) ** (1.0 / KAPPA) for h in (low, high))
    moved = surface_pressure_change(
        np.array(p_low), np.array(288.0 - LAPSE_RATE * low), np.array(GRAVITY * (high - low))
    )
    assert moved == pytest.approx(p_high, rel=1e-9)


def test_moisture_warms_the_column_and_thickens_it():
    pressure = ground_pressure()
    fields = columns(lambda p: standard(p)[0], lambda p: standard(p)[1], pressure)
    dry = to_pressure_levels(fields, SIGMA, pressure, (1000,))
    moist = to_pressure_levels({**fields, "q": np.full_like(fields["q"], 0.01)}, SIGMA, pressure, (1000,))
    assert np.all(moist["z"] < dry["z"])
    np.testing.assert_array_equal(moist["q"], 0.01)


def test_leading_axes_are_kept():
    pressure = ground_pressure()
    fields = columns(lambda p: standard(p)[0], lambda p: standard(p)[1], pressure)
    many = {name: np.stack([values, values + 0.0, values]) for name, values in fields.items()}
    out = to_pressure_levels(many, SIGMA, np.stack([pressure] * 3), PRESSURE_LEVELS)
    one = to_pressure_levels(fields, SIGMA, pressure, PRESSURE_LEVELS)
    assert out["t"].shape == (3, len(PRESSURE_LEVELS), 2, 2)
    assert out["msl"].shape == (3, 2, 2)
    np.testing.assert_array_equal(out["z"][2], one["z"])
