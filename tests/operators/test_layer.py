"""Layers between two pressures: closed forms, their tangent, what is missing, and tables that hold them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from phyda_cli.constants import GRAVITY, R_DRY
from phyda_cli.fields.standard_atmosphere import standard_height
from phyda_cli.fields.state import Channel, State
from phyda_cli.formats.feedback.ioda import write_ioda
from phyda_cli.formats.feedback.netcdf import read_feedback, write_feedback
from phyda_cli.formats.reports.observations import read_observations
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.observations.settings import Duplicates
from phyda_cli.observations.table import Feedback, Flag
from phyda_cli.operators.first_guess import first_guess, operator_of
from phyda_cli.quality.checks import check_bounds, check_missing
from phyda_cli.quality.duplicates import check_duplicates, keys
from tests.support.observations import TIME, observations

GRID = LatLonGrid.equiangular(8, 16)
LEVELS = (100_000.0, 85_000.0, 70_000.0, 50_000.0, 30_000.0)


def state(heights) -> State:
    values = torch.tensor([GRAVITY * h for h in heights], dtype=torch.float64)
    fields = values[:, None, None].expand(-1, *GRID.shape).clone()
    return State(fields, tuple(Channel("z", p) for p in LEVELS), GRID, TIME)


def seen(of: State, rows) -> np.ndarray:
    return operator_of(of, rows).states(of.grid, of.channels)(of.values)


def test_isothermal_air_has_its_temperature_in_every_layer_on_levels():
    """z = R_d T ln(p_0/p): thickness R_d T/g ln(p_b/p_t), T_v = T."""
    warm = 265.0
    air = state([R_DRY * warm / GRAVITY * np.log(1e5 / p) for p in LEVELS])
    bottom, top = np.array([100_000.0, 85_000.0, 100_000.0]), np.array([85_000.0, 30_000.0, 50_000.0])
    layer = observations("tv_layer", np.zeros(3), pressure=bottom, top=top)
    np.testing.assert_allclose(seen(air, layer), warm, rtol=1e-12)
    thick = observations("thickness", np.zeros(3), pressure=bottom, top=top)
    np.testing.assert_allclose(seen(air, thick), R_DRY * warm / GRAVITY * np.log(bottom / top), rtol=1e-12)


def test_between_levels_the_ends_are_those_of_the_standard_atmosphere():
    """In it a layer is exact everywhere."""
    air = state([float(standard_height(p)) for p in LEVELS])
    bottom, top = np.array([92_000.0, 61_000.0]), np.array([77_000.0, 33_000.0])
    thick = observations("thickness", np.zeros(2), pressure=bottom, top=top)
    np.testing.assert_allclose(seen(air, thick), standard_height(top) - standard_height(bottom), rtol=1e-12)


def test_the_tangent_is_the_difference_of_the_ends():
    air = state([float(standard_height(p)) for p in LEVELS])
    rows = observations("tv_layer", np.zeros(1), pressure=85_000.0, top=50_000.0)
    first = first_guess(air, rows, {})
    delta = torch.zeros_like(air.values)
    delta[1], delta[3] = 30.0, 130.0
    change = first.increments.increments(GRID, air.channels)(delta).item()
    assert change == pytest.approx(100.0 / (R_DRY * np.log(1.7)), rel=1e-12)
    assert first(air.values + delta)[0] - first(air.values)[0] == pytest.approx(change, rel=1e-9)


def test_a_layer_that_reaches_beyond_the_levels_or_lacks_z_has_no_h():
    air = state([float(standard_height(p)) for p in LEVELS])
    rows = observations("thickness", np.zeros(3), pressure=[101_000.0, 50_000.0, 50_000.0], top=[85e3, 20e3, 30e3])
    assert operator_of(air, rows).states(GRID, air.channels).defined.tolist() == [False, False, True]
    other = State(air.values, tuple(Channel("t", p) for p in LEVELS), GRID, TIME)
    assert not operator_of(other, rows).states(GRID, other.channels).defined.any()


def test_what_is_no_layer_is_said():
    rows = observations("thickness", [1500.0] * 4, pressure=[85e3, 85e3, 85e3, 85e3], top=[np.nan, 85e3, 90e3, 70e3])
    checked = check_bounds(check_missing(rows))
    assert checked.flag.tolist() == [Flag.MISSING, Flag.BOUNDS, Flag.BOUNDS, Flag.PASS]
    assert checked.reason[0] == "no upper end for a layer"
    assert checked.reason[1] == "upper end 85000 Pa is not above the layer's lower end 85000 Pa"


def test_layers_with_one_lower_end_are_no_duplicates():
    rows = observations(
        "thickness", [1.0, 2.0, 1.0], pressure=100_000.0, top=[85e3, 70e3, 85e3], station="A", error=1.0
    )
    checked = check_duplicates(rows, TIME, Duplicates())
    assert checked.used.tolist() == [True, True, False]
    assert len(set(keys(rows))) == 2


def test_a_table_gives_the_upper_end_in_the_unit_of_its_pressure(tmp_path):
    path = tmp_path / "layers.csv"
    path.write_text(
        "time,latitude,longitude,station,variable,value,pressure_hpa,pressure_top\n"
        "2020-03-01T12:00Z,10,20,A,thickness,5400,1000,500\n"
        "2020-03-01T12:00Z,10,20,A,tv_layer,262.5,1000,500\n"
        "2020-03-01T12:00Z,10,20,A,t,255.5,500,\n"
    )
    rows = read_observations(path)
    assert rows.used.all()
    np.testing.assert_allclose(rows.top, [50_000.0, 50_000.0, np.nan])
    np.testing.assert_allclose(rows.pressure, [100_000.0, 100_000.0, 50_000.0])
    feedback = Feedback(rows, rows.value, rows.value, np.full(3, np.nan))
    write_feedback(tmp_path / "f.nc", feedback, attributes={})
    np.testing.assert_allclose(read_feedback(tmp_path / "f.nc").observations.top, rows.top)
    write_ioda(tmp_path / "f.nc4", feedback, attributes={})
    again = read_observations(tmp_path / "f.nc4")
    assert sorted(again.variable) == ["t", "thickness", "tv_layer"]
    thick = again.take(again.variable == "thickness")
    assert (thick.top.item(), thick.pressure.item(), thick.value.item()) == (50_000.0, 100_000.0, 5_400.0)
