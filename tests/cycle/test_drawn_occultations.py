"""Occultations drawn from the truth beside the stations of a cycle."""

from __future__ import annotations

import numpy as np
import torch

from phyda_cli.constants import GRAVITY
from phyda_cli.cycle.config import DrawnSettings
from phyda_cli.cycle.observations import DrawnSource
from phyda_cli.fields.standard_atmosphere import standard_height, standard_temperature
from phyda_cli.fields.state import Channel, State
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.observations.errors import default_error_table
from phyda_cli.operators.first_guess import operator_of

TIME = np.datetime64("2003-05-01T06")
GRID = LatLonGrid.equiangular(8, 16)
LEVELS = (100_000.0, 70_000.0, 50_000.0, 30_000.0, 20_000.0, 10_000.0)


def truth(time: np.datetime64) -> State:
    values = [GRAVITY * float(standard_height(p)) for p in LEVELS]
    values += [float(standard_temperature(standard_height(p))) for p in LEVELS] + [1e-4] * len(LEVELS)
    fields = torch.tensor(values, dtype=torch.float64)[:, None, None].expand(-1, *GRID.shape).clone()
    return State(fields, tuple(Channel(name, p) for name in "ztq" for p in LEVELS), GRID, time)


def source(tmp_path, **settings) -> DrawnSource:
    stations = tmp_path / "stations.csv"
    stations.write_text("station,latitude,longitude\nA,10,20\nB,-40,200\n")
    own = DrawnSettings(stations=stations, levels_hpa=(500,), variables=("t",), single=(), **settings)
    return DrawnSource(own, truth, default_error_table())  # type: ignore[arg-type]


def test_profiles_are_new_every_time_and_leave_the_stations_alone(tmp_path):
    plain, _ = source(tmp_path)(TIME)
    both, _ = source(tmp_path, occultations=30, heights_km=(4.0, 10.0, 40.0))(TIME)
    again, _ = source(tmp_path, occultations=30, heights_km=(4.0, 10.0, 40.0))(TIME)
    later, _ = source(tmp_path, occultations=30, heights_km=(4.0, 10.0, 40.0))(TIME + np.timedelta64(6, "h"))
    np.testing.assert_array_equal(both.value[:2], plain.value)
    np.testing.assert_array_equal(both.value, again.value)
    profiles = both.take(both.variable == "refractivity")
    assert len(profiles) == 60  # 40 km is above the truth
    assert set(profiles.height) == {4_000.0, 10_000.0}
    assert not np.isin(later.latitude[2:], both.latitude[2:]).any()
    assert abs(np.sin(np.radians(profiles.latitude)).mean()) < 0.35


def test_values_are_those_of_the_truth_within_their_errors(tmp_path):
    rows, _ = source(tmp_path, occultations=200, heights_km=(4.0, 10.0), errors=0.5)(TIME)
    rows = rows.take(rows.variable == "refractivity")
    state = truth(TIME)
    expected = operator_of(state, rows).states(state.grid, state.channels)(state.values)
    normal = (rows.value - expected) / rows.error
    assert abs(normal.mean()) < 0.2
    assert 0.9 < normal.std() < 1.1
    usual = default_error_table().sigma(rows.variable, rows.pressure, rows.report, rows.latitude)
    np.testing.assert_allclose(rows.error, 0.5 * usual)
    tropics = np.abs(rows.latitude) < 20.0
    assert set(np.round(rows.error[tropics & (rows.height == 1e4)], 2)) == {0.24}
    fixed, _ = source(tmp_path, occultations=2, heights_km=(4.0,), sigma={"refractivity": 0.7})(TIME)
    assert set(fixed.error[fixed.variable == "refractivity"]) == {0.7}
