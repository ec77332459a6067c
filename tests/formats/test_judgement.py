"""Numbers judge labels: what must be seen, and what can be real and must never be condemned."""

from __future__ import annotations

import numpy as np
import pytest

from phyda_cli.formats.judgement import Verdict, judge
from phyda_cli.formats.units import candidates, find_unit

NOWHERE = np.array(np.nan)
LEVELS = np.array([1000.0, 925.0, 850.0, 700.0, 500.0, 400.0, 300.0, 250.0, 200.0, 100.0]) * 100.0
HEIGHTS = np.array([100.0, 760.0, 1450.0, 2980.0, 5560.0, 7180.0, 9140.0, 10340.0, 11770.0, 16200.0])
SONDE_Q = np.array([9.1, 7.4, 5.2, 2.1, 0.62, 0.28, 0.09, 0.04, 0.015, 0.003])  # g/kg, a summer sonde
ANTARCTIC_P = np.array([690.0, 680.0, 650.0, 600.0, 550.0, 500.0, 450.0, 400.0, 350.0, 300.0, 250.0]) * 100.0
ANTARCTIC_Q = np.array([0.011, 0.02, 0.06, 0.09, 0.07, 0.05, 0.03, 0.014, 0.008, 0.005, 0.003])  # g/kg, a winter night


def unit(quantity, text):
    si = {"z": "m2 s-2", "gh": "m", "pressure": "Pa", "wind_speed": "m s-1", "q": "kg kg-1", "r": "1"}
    found = find_unit(text, si.get(quantity, "Pa" if quantity in ("msl", "sp") else "K"))
    return found or find_unit(text, "m")


MISLABELLED = [
    ("z", HEIGHTS, LEVELS, "m2 s-2", "m"),
    ("z", 9.80665 * HEIGHTS, LEVELS, "m", "m2 s-2"),
    ("gh", HEIGHTS / 10.0, LEVELS, "m", "dam"),
    ("gh", HEIGHTS / 0.3048, LEVELS, "m", "ft"),
    ("r", np.array([0.85, 0.6, 0.99, 0.4, 0.7, 0.75, 0.55, 0.9, 0.3, 0.65]), np.full(10, 9.5e4), "%", "1"),
    ("r", np.array([85.0, 40.0, 12.0, 2.0, 1.0, 1.5, 1.0]), LEVELS[:7], "1", "%"),
    ("q", SONDE_Q, LEVELS, "kg kg-1", "g kg-1"),
    ("q", ANTARCTIC_Q, ANTARCTIC_P, "kg kg-1", "g kg-1"),
    ("q", np.linspace(0.002, 0.011, 12), np.full(12, 8.5e4), "g kg-1", "kg kg-1"),
    ("q", np.linspace(2e-4, 6e-3, 200), np.full(200, 5e4), "g kg-1", "kg kg-1"),
    ("t", np.array([15.0, 8.0, 2.0, -9.0, -21.0]), LEVELS[:5], "K", None),
    ("t", np.array([290.0, 281.0, 270.0, 255.0, 221.0]), LEVELS[:5], "degC", "K"),
    ("t2m", np.array([40.0, 55.0, 71.0, 88.0, 90.0]), NOWHERE, "degC", "°F"),
    ("msl", np.array([1013.2, 1008.0, 996.4, 1021.0, 1003.3]), NOWHERE, "Pa", "hPa"),
    ("msl", np.array([101.3, 100.8, 99.6, 102.1, 100.3]), NOWHERE, "hPa", "kPa"),
    ("sp", np.array([101.3, 80.8, 99.6, 102.1, 70.3]), NOWHERE, "Pa", "kPa"),
    ("sp", np.array([101320.0, 80800.0, 99640.0, 102100.0, 70330.0]), NOWHERE, "hPa", "Pa"),
    ("pressure", LEVELS / 100.0, NOWHERE, "Pa", "hPa"),
    ("pressure", LEVELS, NOWHERE, "hPa", "Pa"),
]


@pytest.mark.parametrize(("quantity", "values", "pressures", "label", "fits"), MISLABELLED)
def test_a_label_against_the_numbers_is_condemned_with_the_unit_that_fits(quantity, values, pressures, label, fits):
    verdict = judge(quantity, values, pressures, unit(quantity, label))
    assert verdict.credible is False
    assert (verdict.unit.label if verdict.unit else None) == fits


def test_heights_of_the_same_rows_tell_the_unit_of_the_pressure():
    levels = np.array([1000.0, 700.0, 500.0, 300.0, 200.0, 100.0])  # also the stratosphere's in Pa
    heights = np.array([100.0, 2980.0, 5560.0, 9140.0, 11770.0, 16200.0])
    in_pascal, in_hectopascal = unit("pressure", "Pa"), unit("pressure", "hPa")
    assert judge("pressure", levels, NOWHERE, in_pascal).credible is True
    assert judge("pressure", levels, NOWHERE, in_pascal, heights=heights) == Verdict(False, in_hectopascal)
    assert judge("pressure", levels, NOWHERE, in_hectopascal, heights=heights).credible is True
    high = np.array([31_200.0, 33_700.0, 36_000.0, 39_800.0, 42_800.0, 48_000.0])
    assert judge("pressure", levels, NOWHERE, in_pascal, heights=high).credible is True
    assert judge("pressure", levels / 10.0, NOWHERE, heights=heights).unit == unit("pressure", "kPa")
    assert judge("pressure", levels, NOWHERE, heights=high).unit == in_pascal


REAL = [
    ("q", ANTARCTIC_Q, ANTARCTIC_P, "g kg-1"),
    ("q", ANTARCTIC_Q / 1000.0, ANTARCTIC_P, "kg kg-1"),
    ("q", np.full(150, 5e-6), np.full(150, 3e4), "kg kg-1"),  # the upper troposphere, as dry as it likes
    ("r", np.full(300, 0.011), np.full(300, 3e4), "1"),
    ("q", np.full(300, 2.5e-3), np.full(300, 6.5e4), "g kg-1"),  # the plateau at -70 degrees C
    ("q", np.linspace(2e-6, 4e-6, 500), np.linspace(1e3, 1e4, 500), "kg kg-1"),  # the stratosphere
    ("q", np.linspace(2e-3, 4e-3, 500), np.linspace(1e3, 1e4, 500), "g kg-1"),
    ("q", np.linspace(0.02, 0.06, 20), np.full(20, 9.8e4), "g kg-1"),  # Yakutsk in January
    ("q", np.linspace(0.012, 0.022, 20), np.full(20, 1e5), "kg kg-1"),  # the tropics
    ("r", np.linspace(0.2, 3.0, 200), np.linspace(1e3, 2e4, 200), "%"),  # the stratosphere
    ("r", np.linspace(2.0, 9.0, 40), np.full(40, 9.3e4), "%"),  # a desert
    ("r", np.linspace(0.7, 2.5, 60), np.full(60, 6e4), "%"),  # subsidence
    ("r", np.linspace(0.3, 1.08, 40), np.full(40, 3e4), "1"),  # over ice
    ("t", np.linspace(-89.0, -60.0, 20), np.full(20, 6.5e4), "degC"),
    ("t", np.linspace(184.0, 200.0, 20), np.full(20, 1e4), "K"),
    ("t2m", np.linspace(-40.0, 54.0, 20), NOWHERE, "degC"),
    ("t2m", np.linspace(-60.0, 125.0, 20), NOWHERE, "°F"),
    ("gh", np.array([4650.0, 6070.0, 7900.0, 10300.0, 14500.0]), np.array([5e4, 4e4, 3e4, 2e4, 1e4]), "m"),
    ("gh", np.array([30_500.0, 33_000.0, 42_500.0, 47_500.0, 64_000.0]), np.array([1e3, 700, 200, 100, 10]), "m"),
    ("pressure", np.array([1000.0, 700.0, 500.0, 300.0, 200.0]), NOWHERE, "Pa"),
    ("pressure", np.array([100.0, 70.0, 50.0, 30.0, 20.0, 10.0]), NOWHERE, "hPa"),
    ("pressure", np.array([100.0, 70.0, 50.0, 30.0, 20.0, 10.0]), NOWHERE, "Pa"),
    ("sp", np.array([520.0, 690.0, 655.0, 1010.0, 987.0]), NOWHERE, "hPa"),
    ("msl", np.array([87_000.0, 95_000.0, 101_000.0, 108_500.0, 99_000.0]), NOWHERE, "Pa"),
    ("wind_speed", np.linspace(0.0, 118.0, 30), NOWHERE, "m s-1"),
]


@pytest.mark.parametrize(("quantity", "values", "pressures", "label"), REAL)
def test_what_can_be_real_is_never_condemned(quantity, values, pressures, label):
    assert judge(quantity, values, pressures, unit(quantity, label)).credible is True


def test_few_values_condemn_no_label_but_tell_the_unit():
    assert judge("z", HEIGHTS[4:8], LEVELS[4:8], unit("z", "m2 s-2")) == Verdict(None, unit("z", "m"))
    assert judge("t", np.array([]), NOWHERE, unit("t", "K")) == Verdict(None)
    assert judge("z", HEIGHTS, NOWHERE, unit("z", "m2 s-2")) == Verdict(None)
    assert judge("tcwv", np.full(9, 1e9), NOWHERE, candidates("kg m-2")[0]) == Verdict(None)


def test_single_gross_errors_condemn_nothing():
    values = np.append(np.linspace(250.0, 290.0, 18), [12.0, 5000.0])
    assert judge("t", values, NOWHERE, unit("t", "K")).credible is True


def test_knots_are_seen_only_where_no_jet_is_that_fast():
    jet = np.array([90.0, 110.0, 138.0, 150.0, 160.0, 120.0, 60.0])
    assert judge("wind_speed", jet, NOWHERE, unit("wind_speed", "m/s")).credible is False
    assert judge("wind_speed", jet / 2.0, NOWHERE, unit("wind_speed", "m/s")).credible is True
    assert judge("wind_speed", jet / 2.0, NOWHERE) == Verdict(None)


INFERRED = [
    ("t", np.array([288.0, 255.0]), NOWHERE, "K"),
    ("t", np.array([12.0, -5.0]), NOWHERE, None),  # degrees C or F
    ("t", np.array([80.0, 95.0]), NOWHERE, "°F"),
    ("r", np.array([85.0, 40.0, 12.0, 2.0, 1.0, 1.5, 1.0]), LEVELS[:7], "%"),
    ("r", np.array([0.85, 0.4, 0.12]), LEVELS[:3], None),
    ("r", np.linspace(0.05, 0.95, 300), np.full(300, 7e4), "1"),
    ("q", SONDE_Q, LEVELS, "g kg-1"),
    ("q", SONDE_Q / 1000.0, LEVELS, None),
    ("q", np.linspace(1e-3, 9e-3, 50), np.full(50, 8.5e4), "kg kg-1"),
    ("q", np.linspace(1e-6, 5e-6, 500), np.linspace(1e3, 1e4, 500), None),
    ("z", HEIGHTS, LEVELS, "m"),
    ("z", 9.80665 * HEIGHTS, LEVELS, "m2 s-2"),
    ("z", HEIGHTS[:1], LEVELS[:1], None),
    ("msl", np.array([1013.0]), NOWHERE, "hPa"),
    ("pressure", np.array([500.0]), NOWHERE, "hPa"),
    ("pressure", np.array([50_000.0, 100.0]), NOWHERE, "Pa"),
    ("pressure", np.array([100.0, 50.0, 10.0]), NOWHERE, None),
    ("wind_speed", np.array([12.0, 40.0]), NOWHERE, None),
]


@pytest.mark.parametrize(("quantity", "values", "pressures", "fits"), INFERRED)
def test_without_a_label_the_only_unit_that_fits_is_inferred(quantity, values, pressures, fits):
    verdict = judge(quantity, values, pressures)
    assert verdict.credible is None
    assert (verdict.unit.label if verdict.unit else None) == fits


def test_a_field_is_judged_with_its_levels_broadcast():
    field = np.broadcast_to(HEIGHTS[:, None, None], (10, 12, 24))
    assert judge("z", field, LEVELS[:, None, None], unit("z", "m2 s-2")) == Verdict(False, unit("z", "m"))
