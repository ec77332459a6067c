"""The extension of fields below the ground against closed forms and the standard atmosphere."""

from __future__ import annotations

import numpy as np
import pytest

from phyda_cli.constants import GRAVITY
from phyda_cli.fields.below_ground import below_ground, extend_downwards
from phyda_cli.fields.standard_atmosphere import standard_height, standard_temperature
from phyda_cli.fields.state import Channel

LEVELS = (100_000.0, 85_000.0, 70_000.0, 50_000.0)
NAN = np.nan


def column(values, name):
    return {Channel(name, p): np.array([[value]]) for p, value in zip(LEVELS, values, strict=True)}


@pytest.mark.parametrize(
    ("values", "under"),
    [
        ((NAN, NAN, 2.0, 3.0), (True, True, False, False)),
        ((NAN, 1.0, 2.0, 3.0), (True, False, False, False)),
        ((0.0, NAN, 2.0, 3.0), (False, False, False, False)),
        ((0.0, 1.0, 2.0, NAN), (False, False, False, False)),
        ((NAN, 1.0, NAN, 3.0), (True, False, False, False)),
        ((NAN, NAN, NAN, NAN), (False, False, False, False)),
    ],
)
@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
def test_only_what_has_nothing_but_missing_values_beneath_is_below_the_ground(values, under, order):
    masks = [np.isnan(np.array([[value]])) for value in values]
    found = below_ground(masks[order], LEVELS[order])
    assert tuple(bool(mask[0, 0]) for mask in found) == under[order]


def test_no_ground_reaches_above_400_hpa():
    masks = [np.array([[True]]), np.array([[False]])]
    assert below_ground(masks, (40_000.0, 30_000.0))[0][0, 0]
    assert not below_ground(masks, (39_000.0, 30_000.0))[0][0, 0]


def test_wind_and_humidity_are_those_of_the_lowest_level_with_a_value():
    planes = column((NAN, NAN, 7.0, 3.0), "u") | column((NAN, 4e-3, 3e-3, 2e-3), "q")
    result = extend_downwards(planes)
    assert [float(result[Channel("u", p)][0, 0]) for p in LEVELS] == [7.0, 7.0, 7.0, 3.0]
    assert [float(result[Channel("q", p)][0, 0]) for p in LEVELS] == [4e-3, 4e-3, 3e-3, 2e-3]


def test_the_standard_atmosphere_is_extended_to_itself():
    heights = standard_height(LEVELS)
    whole = column(standard_temperature(heights), "t") | column(GRAVITY * heights, "z")
    cut = {c: np.full((1, 1), NAN) if c.level >= 85_000.0 else plane for c, plane in whole.items()}
    result = extend_downwards(cut)
    for channel, plane in whole.items():
        np.testing.assert_allclose(result[channel], plane, rtol=1e-9, atol=1e-6)


def test_cold_air_at_700_hpa_by_hand():
    # T = 250 K (1000/700)^0.190263 = 267.55 K; the layer between has 0.5·(250 + 267.55) K on average, so nearly
    # z = 2800 m − 287.0597·258.7/9.80665·ln(1000/700) = 2800 − 2701 = 99 m
    planes = column((NAN, NAN, 250.0, 240.0), "t") | column((NAN, NAN, 2800 * GRAVITY, 5200 * GRAVITY), "z")
    result = extend_downwards(planes)
    assert float(result[Channel("t", 100_000.0)][0, 0]) == pytest.approx(250.0 * (10 / 7) ** 0.190263, rel=1e-5)
    assert float(result[Channel("z", 100_000.0)][0, 0]) / GRAVITY == pytest.approx(99.0, abs=3.0)


def test_heights_without_a_temperature_use_that_of_the_standard_atmosphere():
    heights = standard_height(LEVELS)
    planes = column((NAN, *(GRAVITY * heights[1:])), "z")
    assert float(extend_downwards(planes)[Channel("z", LEVELS[0])][0, 0]) == pytest.approx(GRAVITY * heights[0])
