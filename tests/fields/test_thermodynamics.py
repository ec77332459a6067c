from __future__ import annotations

import numpy as np
import pytest
import torch

from phyda_cli.fields.thermodynamics import (
    dewpoint_from_specific_humidity,
    relative_humidity_from_specific_humidity,
    saturation_specific_humidity,
    saturation_vapour_pressure,
    saturation_vapour_pressure_water,
    specific_humidity_from_dewpoint,
    specific_humidity_from_relative_humidity,
    temperature_from_virtual,
)


@pytest.mark.parametrize(
    ("celsius", "pascal", "relative"),
    [(0.0, 611.2, 0.5 / 611.2), (20.0, 2339.0, 3e-3), (30.0, 4246.0, 3e-3), (-30.0, 38.0, 5e-3)],
)
def test_saturation_vapour_pressure_agrees_with_published_tables(celsius, pascal, relative):
    # WMO No. 8 / Goff-Gratch tables over water (0, 20, 30 °C) and over ice (−30 °C, colder than the all-ice limit).
    value = saturation_vapour_pressure(np.array([celsius + 273.15]))[0]
    assert value == pytest.approx(pascal, rel=relative)


def test_mixture_is_water_above_the_triple_point_and_lies_between_water_and_ice_below():
    warm = np.array([273.16, 290.0, 310.0])
    np.testing.assert_array_equal(saturation_vapour_pressure(warm), saturation_vapour_pressure_water(warm))
    cold = np.linspace(200.0, 273.0, 80)
    mixed = saturation_vapour_pressure(cold)
    assert np.all(mixed < saturation_vapour_pressure_water(cold))
    assert np.all(np.diff(mixed) > 0)


def test_specific_humidity_at_saturation_by_hand():
    # 20 °C, 1000 hPa: e = 2335.8 Pa, ε = 0.62198; q = 0.62198·2335.8/(100000 − 0.37802·2335.8) = 0.014658.
    q = saturation_specific_humidity(np.array([293.15]), 100000.0)
    assert q[0] == pytest.approx(0.014658, abs=2e-6)


def test_humidity_conversions_are_inverse_of_each_other():
    temperature = np.linspace(210.0, 310.0, 21)
    pressure = np.linspace(20000.0, 100000.0, 21)
    humidity = np.linspace(0.05, 1.1, 21)
    q = specific_humidity_from_relative_humidity(humidity, temperature, pressure)
    np.testing.assert_allclose(relative_humidity_from_specific_humidity(q, temperature, pressure), humidity, rtol=1e-12)
    dewpoint = dewpoint_from_specific_humidity(q, pressure)
    np.testing.assert_allclose(specific_humidity_from_dewpoint(dewpoint, pressure), q, rtol=1e-11)


def test_saturated_warm_air_has_its_temperature_as_dew_point():
    temperature = np.array([275.0, 300.0])
    q = specific_humidity_from_relative_humidity(np.ones(2), temperature, 90000.0)
    np.testing.assert_allclose(dewpoint_from_specific_humidity(q, 90000.0), temperature, rtol=1e-12)


def test_dry_and_impossible_air_stay_finite():
    assert specific_humidity_from_relative_humidity(np.array([-0.1]), np.array([280.0]), 50000.0)[0] == 0.0
    assert np.isfinite(dewpoint_from_specific_humidity(np.zeros(1), 50000.0))[0]
    # At 1 hPa and 290 K saturation exceeds the pressure: pure vapour, q = 1.
    assert saturation_specific_humidity(np.array([290.0]), 100.0)[0] == pytest.approx(1.0)


def test_tensors_give_the_same_numbers_and_a_gradient():
    temperature = torch.tensor([260.0, 285.0], dtype=torch.float64, requires_grad=True)
    humidity = torch.tensor([0.3, 0.9], dtype=torch.float64)
    q = specific_humidity_from_relative_humidity(humidity, temperature, 70000.0)
    expected = specific_humidity_from_relative_humidity(humidity.numpy(), temperature.detach().numpy(), 70000.0)
    np.testing.assert_allclose(q.detach().numpy(), expected, rtol=1e-14)
    q.sum().backward()
    step = 1e-4
    shifted = specific_humidity_from_relative_humidity(humidity.numpy(), temperature.detach().numpy() + step, 70000.0)
    np.testing.assert_allclose(temperature.grad.numpy(), (shifted - expected) / step, rtol=1e-4)


def test_virtual_temperature_is_that_of_lighter_moist_air():
    # 1/ε = 461.5250/287.0597 = 1.607767
    assert temperature_from_virtual(300.0, 0.02) == pytest.approx(300.0 / (1.0 + 0.607767 * 0.02), rel=1e-7)
    assert temperature_from_virtual(300.0, 0.0) == 300.0
