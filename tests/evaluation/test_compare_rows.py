"""Which observations count in a comparison, where they are binned, and how the table shows it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from phyda_cli.errors import BadDataError
from phyda_cli.evaluation.compare import (
    compare_fields,
    compare_observations,
    format_comparison,
    on_grid,
)
from phyda_cli.evaluation.levels import nearest_standard_level
from phyda_cli.fields.state import Channel, State
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.quality.checks import check_bounds
from tests.support.observations import make_observations

TIME = np.datetime64("2020-01-01T12", "ns")
GRID = LatLonGrid.equiangular(6, 12)
HIGH, LOW = Channel("t", 50_000.0), Channel("t", 85_000.0)
WINDOW = np.timedelta64(3, "h")


def state(values: dict[Channel, float]) -> State:
    planes = torch.stack([torch.full(GRID.shape, value, dtype=torch.float64) for value in values.values()])
    return State(planes, tuple(values), GRID, TIME)


def test_only_common_channels_in_the_order_of_the_analysis():
    truth = state({LOW: 280.0, HIGH: 250.0, Channel("msl"): 101_000.0})
    states = {"background": state({HIGH: 253.0, LOW: 279.0}), "analysis": state({LOW: 280.5, HIGH: 249.0})}
    assert [entry.level for entry in compare_fields(states, truth)] == [85_000.0, 50_000.0]


def test_every_state_is_compared_at_the_same_rows():
    # the analysis lacks 850 hPa: the observation there is left out for the background too
    states = {"background": state({LOW: 280.0, HIGH: 250.0}), "analysis": state({HIGH: 250.0})}
    table = make_observations(
        [("t", 85_000.0, 10.0, 10.0, 282.0, 1.0), ("t", 50_000.0, 30.0, 11.0, 249.0, 1.0)], time=TIME
    )
    entries = compare_observations(states, table, window=WINDOW)
    assert [(entry.level, entry.count) for entry in entries] == [(50_000.0, 1)]


def test_incredible_values_do_not_count_and_nothing_left_is_an_error():
    states = {"analysis": state({LOW: 280.0, HIGH: 250.0})}
    rows = [("t", 85_000.0, 10.0, 10.0, 9.0, 1.0), ("t", 50_000.0, 30.0, 11.0, 249.0, 1.0)]
    read = check_bounds(make_observations(rows, time=TIME))
    assert len(compare_observations(states, read, window=WINDOW)) == 1
    with pytest.raises(BadDataError, match="none of 1 observations can be compared: t 9 is not within"):
        compare_observations(states, read.take(np.array([0])), window=WINDOW)


def test_standard_levels_are_nearest_in_the_logarithm():
    # between 850 and 700 hPa the border is √(850·700) = 771.4 hPa
    found = nearest_standard_level(np.array([77_200.0, 77_100.0, 50_000.0, np.nan]))
    assert found.tolist() == [85_000.0, 70_000.0, 50_000.0, 0.0]


def test_a_wind_across_the_pole_keeps_its_direction_on_another_grid():
    # air that streams over the pole along 0° E – 180° E: u = sin λ, v = −cos λ north of the last row, |wind| = 1 there
    longitude = torch.deg2rad(torch.tensor(GRID.longitudes, dtype=torch.float64))
    values = torch.stack([torch.sin(longitude).expand(6, -1), -torch.cos(longitude).expand(6, -1)])
    moved = on_grid(State(values, (Channel("u", 5e4), Channel("v", 5e4)), GRID, TIME), LatLonGrid.with_poles(13, 12))
    assert moved.values.square().sum(0)[-1] == pytest.approx(np.ones(12))


def test_the_table_shows_before_and_after():
    entries = compare_fields(
        {"background": state({HIGH: 253.0}), "analysis": state({HIGH: 249.0})}, state({HIGH: 250.0})
    )
    line = format_comparison(entries).splitlines()[-1].split()
    assert line == ["t500", "K", "72", "3", "→", "1", "3", "→", "1", "3", "→", "-1"]
