"""The limits of specific humidity, each by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from phyda_cli.fields.humidity import limit_humidity
from phyda_cli.fields.state import Channel, State
from phyda_cli.fields.thermodynamics import saturation_specific_humidity
from phyda_cli.grids.latlon import LatLonGrid

GRID = LatLonGrid.equiangular(2, 4)
P = 85_000.0
CHANNELS = (Channel("q", P), Channel("t", P), Channel("q", 50_000.0))
TIME = np.datetime64("2020-01-01", "ns")


def saturation_at(temperature: float) -> float:
    """q_s over water above 0 °C, with e_s = 611.21 Pa exp(17.502 (T − 273.16)/(T − 32.19)), written out."""
    e = 611.21 * np.exp(17.502 * (temperature - 273.16) / (temperature - 32.19))
    epsilon = 287.0597 / 461.5250
    return float(epsilon * e / (P - (1 - epsilon) * e))


def fields(q: float, t: float, aloft: float = 1e-4) -> torch.Tensor:
    return torch.tensor([q, t, aloft], dtype=torch.float64)[:, None, None].expand(-1, 2, 4).clone()


def background(q: float, t: float, aloft: float = 1e-4) -> State:
    return State(fields(q, t, aloft), CHANNELS, GRID, TIME)


def limited(before: State, q: float, t: float, aloft: float = 1e-4) -> tuple[float, int, int]:
    values, negative, supersaturated = limit_humidity(before, fields(q, t, aloft))
    assert torch.equal(values[1], torch.full((2, 4), t).double())
    return float(values[0, 0, 0]), negative, supersaturated


def test_half_way_to_a_limit_nothing_changes():
    assert limited(background(5e-3, 285.0), 6e-3, 284.0) == (6e-3, 0, 0)
    assert limited(background(5e-3, 285.0), 2.5e-3, 285.0) == (2.5e-3, 0, 0)


def test_drying_never_reaches_zero():
    """From 5 g/kg: 1 g/kg and −1 g/kg become 2.5/1.6 and 2.5/2.4 g/kg."""
    assert limited(background(5e-3, 285.0), 1e-3, 285.0) == (pytest.approx(2.5e-3 / 1.6), 0, 0)
    assert limited(background(5e-3, 285.0), -1e-3, 285.0) == (pytest.approx(2.5e-3 / 2.4), 8, 0)
    # the slope is 1 where the limit begins to be felt
    q, _, _ = limited(background(5e-3, 285.0), 2.5e-3 - 1e-8, 285.0)
    assert q == pytest.approx(2.5e-3 - 1e-8, abs=1e-13)


def test_a_negative_background_goes_no_lower():
    assert limited(background(-1e-5, 285.0), -1e-3, 285.0) == (-1e-5, 8, 0)
    assert limited(background(-1e-5, 285.0), -1e-6, 285.0) == (-1e-6, 0, 0)
    assert limited(background(0.0, 285.0), -1e-3, 285.0) == (0.0, 8, 0)


def test_moistening_never_reaches_saturation():
    """With room r = (c − q_b)/2, an increment of 3 r becomes c − r/3."""
    cap = saturation_at(285.0)
    room = 0.5 * (cap - 5e-3)
    q, negative, supersaturated = limited(background(5e-3, 285.0), 5e-3 + 3 * room, 285.0)
    assert q == pytest.approx(cap - room / 3.0, rel=1e-4)
    assert (negative, supersaturated) == (0, 8)
    assert limited(background(5e-3, 285.0), 5e-3 + 0.9 * room, 285.0)[0] == 5e-3 + 0.9 * room


def test_the_cap_is_saturation_at_the_analysed_temperature():
    q, negative, supersaturated = limited(background(5e-3, 285.0), 50e-3, 280.0)
    room = 0.5 * (saturation_at(280.0) - 5e-3)
    assert q == pytest.approx(saturation_at(280.0) - room**2 / (50e-3 - 5e-3), rel=1e-4)
    assert q < saturation_at(280.0)
    assert (negative, supersaturated) == (0, 8)


def test_cooling_alone_takes_what_condenses():
    before = 0.99 * saturation_at(285.0)
    q, _, supersaturated = limited(background(before, 285.0), before, 283.0)
    assert q == pytest.approx(saturation_at(283.0), rel=1e-4)
    assert supersaturated == 8


def test_where_the_background_is_supersaturated_the_cap_is_the_background():
    wet = 1.2 * saturation_at(280.0)
    assert limited(background(wet, 280.0), wet + 1e-3, 280.0) == (wet, 0, 8)
    assert limited(background(wet, 280.0), wet - 1e-4, 280.0) == (wet - 1e-4, 0, 0)
    # or saturation, where the analysis is warmer and that is more
    q, _, _ = limited(background(wet, 280.0), 90e-3, 290.0)
    assert 0.9 * saturation_at(290.0) < q < saturation_at(290.0)


def test_a_background_of_just_above_saturation_that_cools_keeps_no_more_than_saturation():
    wet = (1.0 + 1e-12) * saturation_specific_humidity(torch.tensor(280.0).double(), P).item()
    q, _, supersaturated = limited(background(wet, 280.0), wet, 273.0)
    assert q == pytest.approx(saturation_at(273.16), rel=2e-2)
    assert supersaturated == 8


def test_a_supersaturated_background_that_cools_keeps_its_relative_humidity():
    wet = saturation_specific_humidity(torch.tensor(280.0).double(), P).item() * 1.2
    q, _, _ = limited(background(wet, 280.0), wet, 276.0)
    # e/e_s stays: q is nearly in proportion to it
    assert q / saturation_at(276.0) == pytest.approx(wet / saturation_at(280.0), rel=2e-3)


def test_hot_air_holds_no_more_than_a_background_may():
    q, _, _ = limited(background(0.02, 320.0), 0.5, 340.0)
    # bent by the hyperbola with room (0.06 - 0.02)/2: 0.06 - 0.02/(1 + 0.46/0.02)
    assert q == pytest.approx(0.06 - 0.02 / 24)


def test_what_equals_the_background_is_never_touched():
    for q in (-1e-4, 0.0, 5e-3, 30e-3):
        before = background(q, 275.0)
        assert torch.equal(limit_humidity(before, before.values.clone()).values, before.values)


def test_without_a_temperature_there_is_no_saturation():
    before = background(5e-3, 285.0)
    values, negative, supersaturated = limit_humidity(before, fields(5e-3, 285.0, aloft=0.05))
    assert float(values[2, 0, 0]) == 0.05
    assert (negative, supersaturated) == (0, 0)
    values, negative, _ = limit_humidity(before, fields(5e-3, 285.0, aloft=-1e-5))
    assert float(values[2, 0, 0]) == pytest.approx(5e-5 / 2.2)
    assert negative == 8


def test_values_are_limited_in_place_and_the_background_stays():
    before, values = background(5e-3, 285.0), fields(-1.0, 285.0)
    held = before.values.clone()
    limited = limit_humidity(before, values)
    assert limited.values is values
    assert float(values[0, 0, 0]) > 0.0
    assert torch.equal(before.values, held)


def test_single_precision_is_limited_as_double_is():
    """What is stored differs by the rounding of float32 alone."""
    before, values = background(5e-3, 285.0), fields(0.05, 283.0)
    single = replace(before, values=before.values.float())
    found = limit_humidity(single, values.float()).values
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), limit_humidity(before, values).values, rtol=1e-6, atol=0.0)


def test_the_dew_point_stays_below_the_temperature():
    """Depression 4 K: −1 K moves freely, −3 K is bent to 2/(1 + 1/2), −9 K to 2/(1 + 7/2); what is untouched stays."""
    channels = (Channel("t2m"), Channel("d2m"))
    grid = LatLonGrid.equiangular(4, 8)
    values = torch.tensor([280.1, 276.1], dtype=torch.float64)[:, None, None].expand(2, 4, 8).clone()
    background = State(values, channels, grid, np.datetime64("2020-01-01", "ns"))
    for move, depression in ((-1.0, 3.0), (-3.0, 2.0 / 1.5), (-9.0, 2.0 / 4.5)):
        moved = values.clone()
        moved[1] -= move
        limited = limit_humidity(background, moved)
        torch.testing.assert_close(limited.values[0] - limited.values[1], torch.full((4, 8), depression).double())
    assert limited.supersaturated == 32
    assert torch.equal(limit_humidity(background, values.clone()).values, values)
