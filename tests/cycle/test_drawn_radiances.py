"""Brightness temperatures drawn from the truth beside the stations of a cycle, with a planted bias."""

from __future__ import annotations

import numpy as np
import torch

from phyda_cli.cycle.config import DrawnSettings
from phyda_cli.cycle.observations import DrawnSource
from phyda_cli.fields.standard_atmosphere import standard_height, standard_temperature
from phyda_cli.fields.state import Channel, State
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.observations.errors import default_error_table
from phyda_cli.operators.first_guess import operator_of

TIME = np.datetime64("2003-05-01T06")
GRID = LatLonGrid.equiangular(8, 16)
LEVELS = (100_000.0, 70_000.0, 50_000.0, 30_000.0, 20_000.0, 10_000.0, 5_000.0)


def truth(time: np.datetime64) -> State:
    values = [float(standard_temperature(standard_height(p))) for p in LEVELS]
    fields = torch.tensor(values, dtype=torch.float64)[:, None, None].expand(-1, *GRID.shape).clone()
    return State(fields, tuple(Channel("t", p) for p in LEVELS), GRID, time)


def source(tmp_path, **settings) -> DrawnSource:
    stations = tmp_path / "stations.csv"
    stations.write_text("station,latitude,longitude\nA,10,20\nB,-40,200\n")
    own = DrawnSettings(stations=stations, levels_hpa=(500,), variables=("t",), single=(), **settings)
    return DrawnSource(own, truth, default_error_table())  # type: ignore[arg-type]


def test_they_leave_the_stations_alone_and_are_new_every_time(tmp_path):
    plain, _ = source(tmp_path)(TIME)
    both, _ = source(tmp_path, radiances=40)(TIME)
    later, _ = source(tmp_path, radiances=40)(TIME + np.timedelta64(6, "h"))
    np.testing.assert_array_equal(both.value[:2], plain.value)
    seen = both.take(both.zenith == both.zenith)
    assert len(seen) == 200
    assert sorted(set(seen.variable)) == ["tb5", "tb6", "tb7", "tb8", "tb9"]
    assert np.abs(seen.zenith).max() <= 60.0
    assert seen.zenith.min() < -30.0 < 30.0 < seen.zenith.max()
    assert not np.isin(later.latitude[2:], both.latitude[2:]).any()


def test_values_are_those_of_the_truth_with_errors_and_bias(tmp_path):
    rows, _ = source(tmp_path, radiances=300, errors=0.5, radiance_bias=1.5)(TIME)
    rows = rows.take(np.isfinite(rows.zenith))
    state = truth(TIME)
    expected = operator_of(state, rows).states(state.grid, state.channels)(state.values)
    normal = (rows.value - 1.5 - expected) / rows.error
    assert abs(normal.mean()) < 0.1
    assert 0.93 < normal.std() < 1.07
    np.testing.assert_allclose(rows.error, 0.5 * default_error_table().sigma(rows.variable, rows.pressure))
    fixed, _ = source(tmp_path, radiances=3, sigma={"tb5": 0.1})(TIME)
    assert set(fixed.error[fixed.variable == "tb5"]) == {0.1}
