"""Wind, height and humidity: values and errors by hand, pairing of companions, nothing counted twice."""

from __future__ import annotations

import numpy as np
import pytest

from phyda_cli.fields.standard_atmosphere import standard_height
from phyda_cli.observations.conversion import convert
from phyda_cli.observations.table import Flag
from tests.support.observations import observations


def one_report(variables, values, **columns):
    return convert(observations(variables, values, **columns), np.zeros(len(values), dtype=np.int64))


@pytest.mark.parametrize(
    ("direction", "u", "v"),
    [(0.0, 0.0, -10.0), (90.0, -10.0, 0.0), (180.0, 0.0, 10.0), (270.0, 10.0, 0.0), (225.0, 7.0710678, 7.0710678)],
)
def test_wind_comes_from_its_direction(direction, u, v):
    result = one_report(["wind_speed", "wind_direction"], [10.0, direction])
    assert result.variable.tolist() == ["u", "v"]
    np.testing.assert_allclose(result.value, [u, v], atol=1e-6)
    assert result.row.tolist() == [1, 2]
    assert result.used.all()


def test_error_of_the_wind_vector():
    # West wind of 10 m/s, σ_s = 2 m/s along it; σ_D = 0.1 rad makes 1 m/s across it.
    result = one_report(["wind_direction", "wind_speed"], [270.0, 10.0], error=[np.degrees(0.1), 2.0])
    assert result.variable.tolist() == ["v", "u"]
    np.testing.assert_allclose(result.error, [1.0, 2.0], rtol=1e-12)
    isotropic = one_report(["wind_speed", "wind_direction"], [10.0, 45.0], error=[2.0, np.nan])
    np.testing.assert_allclose(isotropic.error, [2.0, 2.0])


def test_wind_without_its_companion_is_flagged():
    result = one_report(["wind_speed", "t"], [10.0, 250.0])
    assert result.flag.tolist() == [Flag.MISSING, Flag.PASS]
    assert "wind_direction" in result.reason[0]
    assert result.variable[0] == "wind_speed"


def test_a_rejected_companion_is_no_companion():
    table = observations(["wind_speed", "wind_direction"], [10.0, 270.0], flag=[0, Flag.BOUNDS])
    result = convert(table, np.zeros(2, dtype=np.int64))
    assert result.flag.tolist() == [Flag.MISSING, Flag.BOUNDS]


def test_contradicting_companions_are_flagged_in_any_order():
    variables, values = ["wind_speed", "wind_direction", "wind_direction"], [10.0, 270.0, 90.0]
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
        result = one_report([variables[i] for i in order], [values[i] for i in order])
        assert result.flag.tolist() == [Flag.PRE_QC] * 3


def test_reports_do_not_mix():
    table = observations(["wind_speed", "wind_direction"] * 2, [10.0, 270.0, 5.0, 90.0])
    result = convert(table, np.array([7, 7, 3, 3]))
    np.testing.assert_allclose(result.value, [10.0, 0.0, -5.0, 0.0], atol=1e-12)


def test_what_the_report_gives_directly_is_not_counted_twice():
    result = one_report(["u", "v", "wind_speed", "wind_direction"], [10.0, 0.0, 10.0, 270.0])
    assert result.flag.tolist() == [Flag.PASS, Flag.PASS, Flag.THINNED, Flag.THINNED]
    humid = one_report(["q", "td", "r", "t"], [0.001, 250.0, 0.5, 260.0])
    assert humid.flag.tolist() == [Flag.PASS, Flag.THINNED, Flag.THINNED, Flag.PASS]
    without_q = one_report(["td", "r", "t"], [250.0, 0.5, 260.0])
    assert without_q.flag.tolist() == [Flag.PASS, Flag.THINNED, Flag.PASS]


def test_height_is_geopotential_over_g():
    result = one_report(["gh"], [5500.0], error=[10.0])
    assert result.variable.tolist() == ["z"]
    assert result.value[0] == pytest.approx(5500.0 * 9.80665)
    assert result.error[0] == pytest.approx(98.0665)


def test_humidity_by_hand():
    # e_s at the triple point is 611.21 Pa; q = 0.62198·611.21/(85000 − 0.37802·611.21) = 0.0044847
    result = one_report(["td"], [273.16], pressure=85_000.0)
    assert result.variable.tolist() == ["q"]
    assert result.value[0] == pytest.approx(0.0044847, rel=1e-4)
    half = one_report(["r", "t"], [0.5, 273.16], pressure=85_000.0)
    assert half.value[0] == pytest.approx(0.62198 * 305.605 / (85_000 - 0.37802 * 305.605), rel=1e-4)
    assert half.variable.tolist() == ["q", "t"]


def test_errors_of_humidity_are_the_derivatives():
    step = 1e-4
    result = one_report(["td"], [280.0], error=[step])
    up, down = (one_report(["td"], [280.0 + s]).value[0] for s in (step, -step))
    assert result.error[0] == pytest.approx((up - down) / 2, rel=1e-6)

    by_r = (one_report(["r", "t"], [0.4 + 1e-6, 280.0]).value[0] - one_report(["r", "t"], [0.4, 280.0]).value[0]) / 1e-6
    by_t = (one_report(["r", "t"], [0.4, 280.001]).value[0] - one_report(["r", "t"], [0.4, 280.0]).value[0]) / 1e-3
    both = one_report(["r", "t"], [0.4, 280.0], error=[0.1, 1.5])
    assert both.error[0] == pytest.approx(np.hypot(by_r * 0.1, by_t * 1.5), rel=1e-4)
    assert both.error[1] == 1.5


def test_humidity_needs_its_pressure_and_temperature():
    assert one_report(["td"], [270.0], pressure=np.nan).flag.tolist() == [Flag.MISSING]
    alone = one_report(["r"], [0.5])
    assert alone.flag.tolist() == [Flag.MISSING]
    assert "temperature" in alone.reason[0]
    boiling = one_report(["td"], [300.0], pressure=1_000.0)
    assert boiling.flag.tolist() == [Flag.BOUNDS]


def test_surface_reports_are_at_2_and_10_metres():
    result = one_report(["t", "td", "wind_speed", "wind_direction"], [280.0, 270.0, 5.0, 270.0], report="ADPSFC")
    assert result.variable.tolist() == ["t2m", "d2m", "u10", "v10"]
    assert result.used.all()


def test_standard_heights():
    # ICAO: 500 hPa at 5574 m, 226.32 hPa at 11000 m, 100 hPa at 16180 m
    np.testing.assert_allclose(
        standard_height(np.array([50_000.0, 22_632.06, 10_000.0])), [5574, 11_000, 16_180], atol=4
    )


def test_flight_levels_are_not_height_observations():
    pressure = np.linspace(20_000.0, 90_000.0, 20)
    flight = convert(observations("gh", standard_height(pressure), pressure=pressure), np.arange(20))
    assert set(flight.flag.tolist()) == {Flag.BLACKLIST}
    real = convert(observations("gh", standard_height(pressure) - 80.0, pressure=pressure), np.arange(20))
    assert real.used.all()


def test_heights_of_wind_reports_without_temperature_are_judged_apart():
    """12 levels with temperature at real heights, 12 of wind whose heights are the standard atmosphere's."""
    pressure = np.linspace(20_000.0, 90_000.0, 24)
    height = standard_height(pressure) - np.repeat([80.0, 0.0], 12)
    variables = ["gh"] * 24 + ["t"] * 12 + ["u"] * 12
    values = np.concatenate([height, np.full(12, 255.0), np.full(12, 5.0)])
    table = observations(variables, values, pressure=np.tile(pressure, 2))
    flag = convert(table, np.tile(np.arange(24), 2)).flag
    assert set(flag[12:24].tolist()) == {Flag.BLACKLIST}
    assert not flag[:12].any()
    assert not flag[24:].any()


@pytest.mark.parametrize(("metres", "flag"), [(25.0, Flag.BLACKLIST), (35.0, Flag.PASS)])
def test_heights_within_thirty_metres_of_the_standard_ones_are_flight_levels(metres, flag):
    pressure = np.linspace(20_000, 60_000, 20)
    table = observations("gh", standard_height(pressure) + metres, pressure=pressure)
    assert set(convert(table, np.arange(20)).flag.tolist()) == {flag}


SCREEN = {"report": "synop", "pressure": np.nan}


def test_relative_humidity_at_the_screen_is_a_dew_point():
    """Over water at 20 °C and 50 %: e = 1168.9 Pa, T_d = 9.26 °C (WMO-No. 8: 9.3); at saturation T_d = T."""
    result = one_report(["t", "r"], [293.15, 0.5], error=[1.0, 0.05], **SCREEN)
    assert result.variable.tolist() == ["t2m", "d2m"]
    assert result.value[1] == pytest.approx(273.15 + 9.26, abs=0.03)
    by_humidity = one_report(["t", "r"], [293.15, 0.5005], **SCREEN).value[1] - result.value[1]
    by_warmth = one_report(["t", "r"], [293.16, 0.5], **SCREEN).value[1] - result.value[1]
    assert result.error[1] == pytest.approx(np.hypot(100.0 * by_humidity, 100.0 * by_warmth), rel=1e-2)
    assert one_report(["t", "r"], [283.15, 1.0], **SCREEN).value[1] == pytest.approx(283.15)
    assert one_report(["r"], [0.5], **SCREEN).reason.tolist() == ["the report has no valid temperature"]
    given = one_report(["t", "td", "r"], [293.15, 282.0, 0.5], **SCREEN)
    assert given.flag.tolist() == [0, 0, Flag.THINNED]


@pytest.mark.parametrize(("elevation", "pressure"), [(0.0, 101_325.0), (500.0, 95_460.8), (1500.0, 84_556.0)])
def test_an_altimeter_setting_is_the_standard_atmosphere_s_pressure_at_the_station(elevation, pressure):
    """ICAO Doc 7488: 954.61 hPa at 500 m, 845.56 hPa at 1500 m, where the setting is the standard 1013.25 hPa."""
    result = one_report(["qnh"], [101_325.0], elevation=elevation, error=[50.0], **SCREEN)
    assert result.variable.tolist() == ["sp"]
    assert result.value[0] == pytest.approx(pressure, abs=5.0)
    assert result.error[0] == pytest.approx(50.0 * pressure / 101_325.0, rel=0.05)


def test_an_altimeter_setting_beside_a_pressure_counts_only_where_that_is_reduced_from_high_up():
    for names, elevation, used in ((["qnh", "sp"], 1500.0, 0), (["qnh", "msl"], 900.0, 0), (["qnh", "msl"], 1500.0, 1)):
        result = one_report(names, [101_000.0, 101_100.0], elevation=elevation, **SCREEN)
        assert int(result.used[0]) == used
    nowhere = one_report(["qnh"], [101_000.0], **SCREEN)
    assert nowhere.reason.tolist() == ["an altimeter setting needs the station's elevation"]
