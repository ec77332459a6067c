"""Moist thermodynamics, heights and winds as another library has them (earthkit-meteo), over the whole atmosphere."""

from __future__ import annotations

import numpy as np
import pytest

from phyda_cli.fields import thermodynamics as own
from phyda_cli.formats.reports.observations import read_observations

theirs = pytest.importorskip("earthkit.meteo.thermo.array", reason="the library earthkit-meteo is not installed")

EVERYWHERE = np.random.default_rng(7)
TEMPERATURE = EVERYWHERE.uniform(190.0, 320.0, 5000)
PRESSURE = EVERYWHERE.uniform(5_000.0, 105_000.0, 5000)
RELATIVE = EVERYWHERE.uniform(0.02, 1.1, 5000)
CLOSE = {"rtol": 5e-6}
"""Their gas constant of vapour and their R_d/R_v have fewer digits than ours."""


def moist() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """T, p, RH and q of air whose vapour is at most a tenth of it."""
    some = RELATIVE * own.saturation_vapour_pressure(TEMPERATURE) < 0.1 * PRESSURE
    t, p, r = TEMPERATURE[some], PRESSURE[some], RELATIVE[some]
    return t, p, r, own.specific_humidity_from_relative_humidity(r, t, p)


def test_saturation_over_water_and_over_the_mixture():
    for phase, values in (
        ("mixed", own.saturation_vapour_pressure(TEMPERATURE)),
        ("water", own.saturation_vapour_pressure_water(TEMPERATURE)),
    ):
        np.testing.assert_allclose(values, theirs.saturation_vapour_pressure(TEMPERATURE, phase=phase), **CLOSE)


def test_humidities_and_dew_points():
    t, p, r, q = moist()
    assert t.size > 4000
    np.testing.assert_allclose(q, theirs.specific_humidity_from_relative_humidity(t, 100.0 * r, p), **CLOSE)
    np.testing.assert_allclose(
        100.0 * own.relative_humidity_from_specific_humidity(q, t, p),
        theirs.relative_humidity_from_specific_humidity(t, q, p), **CLOSE,
    )  # fmt: skip
    dewpoint = own.dewpoint_from_specific_humidity(q, p)
    np.testing.assert_allclose(dewpoint, theirs.dewpoint_from_specific_humidity(q, p), **CLOSE)
    np.testing.assert_allclose(
        own.specific_humidity_from_dewpoint(dewpoint, p), theirs.specific_humidity_from_dewpoint(dewpoint, p), **CLOSE
    )
    np.testing.assert_allclose(own.vapour_pressure(q, p), theirs.vapour_pressure_from_specific_humidity(q, p), **CLOSE)
    np.testing.assert_allclose(own.temperature_from_virtual(theirs.virtual_temperature(t, q), q), t, rtol=1e-6)


def test_winds_heights_and_dew_points_of_a_table(tmp_path):
    wind = pytest.importorskip("earthkit.meteo.wind.array")
    vertical = pytest.importorskip("earthkit.meteo.vertical.array")
    rng = np.random.default_rng(3)
    count = 200
    pressure, dewpoint = rng.uniform(300.0, 1000.0, count).round(1), rng.uniform(230.0, 290.0, count).round(2)
    speed, direction = rng.uniform(1.0, 60.0, count).round(1), rng.integers(1, 361, count)
    height = (7500.0 * np.log(1020.0 / pressure) + rng.uniform(-50.0, 50.0, count)).round(0)
    lines = ["time,latitude,longitude,pressure_hpa,t [K],td [K],wind_speed [m/s],wind_direction [degree],gh [gpm]"]
    lines += [
        f"2020-01-01T00:00Z,{10 + 0.2 * n:.1f},{n},{p},{td + 3:.2f},{td},{f},{d},{z:.0f}"
        for n, (p, td, f, d, z) in enumerate(zip(pressure, dewpoint, speed, direction, height, strict=True))
    ]
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    read = read_observations(tmp_path / "table.csv")
    u, v = wind.polar_to_xy(speed, direction)
    expected = {
        "t": dewpoint + 3.0, "u": u, "v": v,
        "q": theirs.specific_humidity_from_dewpoint(dewpoint, 100.0 * pressure),
        "z": vertical.geopotential_from_geopotential_height(height),
    }  # fmt: skip
    for name, values in expected.items():
        rows = read.variable == name
        assert read.used[rows].all()
        np.testing.assert_allclose(read.value[rows], values, rtol=1e-5, atol=1e-9, err_msg=name)
