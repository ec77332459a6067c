"""Heights of stations and of the background's ground, by hand and by closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from phyda_cli.constants import GRAVITY, LAPSE_RATE, R_DRY
from phyda_cli.fields.standard_atmosphere import standard_height, standard_pressure, standard_temperature
from phyda_cli.fields.state import Channel, State
from phyda_cli.fields.surface_height import surface_height
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.observations.settings import Surface
from phyda_cli.observations.table import Flag
from phyda_cli.operators.first_guess import operator_of
from phyda_cli.operators.operator import StateOperator
from phyda_cli.quality.checks import check_surface
from tests.support.observations import observations

GRID = LatLonGrid.equiangular(8, 16)
LEVELS = (50_000.0, 70_000.0, 85_000.0, 100_000.0)
NAN = float("nan")


def state(*, warm: float = 0.0, surface: float | None = None, **single: float) -> State:
    """Levels `warm` m above the standard atmosphere's, a surface pressure, and single fields, the same everywhere."""
    channels = [Channel("z", level) for level in LEVELS]
    values = [GRAVITY * (float(standard_height(level)) + warm) for level in LEVELS]
    if surface is not None:
        single["sp"] = surface
    fields = torch.tensor([*values, *single.values()], dtype=torch.float64)
    return State(
        fields[:, None, None].expand(-1, *GRID.shape).clone(),
        (*channels, *(Channel(name) for name in single)),
        GRID,
        np.datetime64("2020-01-01T00"),
    )


def adjustment(background: State, rows, orography=None) -> StateOperator:
    """H of stations, which knows their height above the background's ground."""
    return operator_of(background, rows, orography).states(background.grid, background.channels)


def stations(variable, elevation, value=280.0):
    many = np.atleast_1d(elevation)
    return observations(variable, np.full(many.size, value), pressure=NAN, elevation=many, latitude=3.0, longitude=7.0)


@pytest.mark.parametrize("pressure", [55_000.0, 77_000.0, 92_500.0, 103_000.0])
def test_the_ground_lies_where_the_levels_put_its_pressure(pressure):
    found = surface_height(state(warm=40.0, surface=pressure))
    assert torch.allclose(found, torch.full_like(found, float(standard_height(pressure)) + 40.0), atol=1e-6)


def test_a_slope_between_levels_is_linear_in_ln_p():
    made = state(surface=77_136.2)  # half-way between 850 and 700 hPa in ln p
    made.values[made.index(Channel("z", 85_000.0))] += GRAVITY * 30.0
    made.values[made.index(Channel("z", 70_000.0))] += GRAVITY * 10.0
    found = surface_height(made)
    assert float(found[0, 0]) == pytest.approx(float(standard_height(77_136.2)) + 20.0, abs=0.01)


def test_an_orography_comes_first_and_without_either_there_is_no_height():
    raised = adjustment(state(surface=90_000.0), stations("t2m", [200.0]), flat(123.0))
    assert raised.operator.difference[0] == pytest.approx(77.0)
    assert surface_height(state()) is None
    assert np.isnan(adjustment(state(), stations("t2m", [200.0])).operator.difference[0])


def flat(height: float) -> torch.Tensor:
    return torch.full(GRID.shape, height, dtype=torch.float64)


def test_temperature_falls_with_the_height_by_the_standard_lapse():
    raised = adjustment(state(t2m=285.0), stations("t2m", [200.0, 500.0, 0.0, NAN]), flat(200.0))
    np.testing.assert_allclose(raised(state(t2m=285.0).values), [285.0, 285.0 - 1.95, 285.0 + 1.3, 285.0])
    assert raised.operator.difference[1] == pytest.approx(300.0)
    assert np.isnan(raised.operator.difference[3])


def test_pressure_in_the_standard_atmosphere_is_that_of_its_height():
    """The formula is exact there: a ground at 300 m, stations at 0, 300 and 800 m."""
    heights = np.array([0.0, 300.0, 800.0])
    ground = 101_325.0 * (1 - LAPSE_RATE * 300.0 / 288.15) ** (GRAVITY / (R_DRY * LAPSE_RATE))
    raised = adjustment(state(surface=ground), stations("sp", heights, 1e5), flat(300.0))
    np.testing.assert_allclose(standard_height(raised(state(surface=ground).values)), heights, atol=0.01)


def test_the_temperature_of_the_background_counts_where_it_has_one():
    background = state(surface=1e5, t2m=250.0)
    cold = adjustment(background, stations("sp", [100.0], 1e5), flat(0.0))
    expected = (1 - LAPSE_RATE * 100.0 / 250.0) ** (GRAVITY / (R_DRY * LAPSE_RATE))
    assert cold(background.values)[0] == pytest.approx(1e5 * expected)


def test_other_variables_and_other_backgrounds_stay_as_they_are():
    for ground, variable in ((flat(0.0), "msl"), (flat(0.0), "u10"), (None, "t2m")):
        background = state(**{variable: 3.0})
        assert adjustment(background, stations(variable, [400.0]), ground)(background.values).tolist() == [3.0]


def test_the_dew_point_and_wind_are_judged_by_the_height_too():
    o = observations(
        ["t2m", "d2m", "u10", "t2m", "msl", "msl", "msl"],
        np.full(7, 280.0),
        pressure=NAN,
        elevation=[501.0, 501.0, 501.0, 499.0, 1001.0, 999.0, NAN],
    )
    difference = adjustment(state(), o, flat(0.0)).operator.difference
    checked = check_surface(o, difference, Surface())
    assert checked.flag.tolist() == [Flag.DOMAIN] * 3 + [Flag.PASS, Flag.DOMAIN, Flag.PASS, Flag.PASS]
    assert checked.reason[0] == "station is +501 m from the background's ground, more than 500 m"
    assert "sea level from 1001 m" in checked.reason[4]
    assert check_surface(o, difference, Surface(enabled=False)).used.all()
    assert check_surface(o, difference, Surface(height_difference=600.0, sea_level_elevation=2000.0)).used.all()


def test_an_unknown_height_refuses_what_depends_on_it():
    o = observations(
        ["t2m", "sp", "u10", "t2m", "sp"], np.full(5, 280.0), pressure=NAN, elevation=[NAN, NAN, NAN, 5, 5]
    )
    difference = adjustment(state(), o, flat(0.0)).operator.difference
    flags = [Flag.H_FAILED, Flag.H_FAILED, Flag.PASS, Flag.PASS, Flag.PASS]
    assert check_surface(o, difference, Surface()).flag.tolist() == flags
    assert check_surface(o, difference, Surface(require_height=False)).used.all()
    unknown = check_surface(o, adjustment(state(), o).operator.difference, Surface())
    assert (
        unknown.reason[3]
        == "the background tells no height of its ground: it needs an orography, or sp and z on levels"
    )
    assert unknown.reason[0] == "the station's elevation is not known"


def test_longitudes_of_any_convention_give_one_height():
    ground = torch.arange(GRID.shape[1]).double().expand(GRID.shape)
    west = observations("t2m", [280.0], pressure=NAN, elevation=0.0, longitude=-30.0)
    east = replace(west, longitude=np.array([330.0]))
    assert (
        adjustment(state(), west, ground).operator.difference[0]
        == adjustment(state(), east, ground).operator.difference[0]
    )


def test_temperature_of_the_standard_atmosphere():
    np.testing.assert_allclose(
        standard_temperature([0.0, 1000.0, 11_000.0, 15_000.0]), [288.15, 281.65, 216.65, 216.65]
    )


def test_without_sp_the_pressure_at_a_station_is_that_of_sea_level_brought_up():
    """In the standard atmosphere exactly, with the ground's temperature or without; not at an unknown height."""
    heights = np.array([0.0, 600.0, 1800.0, NAN])
    rows = stations("sp", heights, 9e4)
    for background in (state(msl=101_325.0), state(msl=101_325.0, t2m=288.15 - 300.0 * LAPSE_RATE)):
        raised = adjustment(background, rows, flat(300.0))
        found = raised(background.values)
        np.testing.assert_allclose(standard_height(found[:3]), heights[:3], atol=0.01)
        assert raised.defined.tolist() == [True, True, True, False]


def test_increments_that_know_msl_alone_move_a_station_by_as_much_of_ln_p():
    background = state(sp=80_000.0, t2m=270.0)
    rows = stations("sp", [2000.0], 8e4)
    operator = adjustment(background, rows, flat(2000.0)).linearised(background.values)
    step = operator.increments(GRID, (Channel("msl"),))(torch.full((1, *GRID.shape), 100.0, dtype=torch.float64))
    assert float(step[0]) == pytest.approx(100.0 * 80_000.0 / 101_325.0)


def test_pressure_between_points_of_different_heights_is_brought_to_the_station_from_each():
    """The standard atmosphere on a slope: without that the mean of pressures would be 1.2 hPa too high at 1000 m."""
    ground = torch.from_numpy(np.broadcast_to(np.linspace(0.0, 8000.0, 8)[:, None], GRID.shape).copy())
    sp = torch.from_numpy(standard_pressure(ground.numpy()))
    background = state(sp=9e4)
    background.values[background.index(Channel("sp"))] = sp
    middle = float(np.mean(GRID.latitudes[:2]))
    rows = observations("sp", [9e4], pressure=NAN, elevation=[float(ground[:2, 0].mean())], latitude=middle)
    found = adjustment(background, rows, ground)(background.values)[0]
    exact = float(standard_pressure(ground[:2, 0].mean().numpy()))
    assert abs(float(sp[:2, 0].mean()) - exact) > 100.0
    assert found == pytest.approx(exact, abs=0.5)


def test_ships_stand_on_the_sea_and_stations_on_land():
    o = observations(
        ["t2m"] * 3, np.full(3, 280.0), pressure=NAN, elevation=[NAN, NAN, 30.0], report=["ship", "synop", "metar"]
    )
    operator = operator_of(state(t2m=280.0), o, flat(0.0))
    np.testing.assert_array_equal(operator.difference, [0.0, NAN, 30.0])
    np.testing.assert_array_equal(operator.land, [0.0, 1.0, 1.0])
