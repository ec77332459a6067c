"""Comparisons with errors that are known because they were put in."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from phyda_cli.errors import BadDataError
from phyda_cli.evaluation.compare import compare_fields, compare_observations, format_comparison, over_levels
from phyda_cli.fields.state import Channel, State
from phyda_cli.grids.latlon import LatLonGrid
from tests.support.observations import make_observations

TIME = np.datetime64("2020-03-01T12", "ns")
GRID = LatLonGrid.with_poles(7, 12)
CHANNELS = (Channel("t", 50_000.0), Channel("t", 85_000.0), Channel("msl"))
HOURS_3 = np.timedelta64(3, "h")


def constant(t500: float, t850: float, msl: float, grid: LatLonGrid = GRID, time: np.datetime64 = TIME) -> State:
    values = torch.tensor([t500, t850, msl], dtype=torch.float64)[:, None, None].expand(3, *grid.shape)
    return State(values, CHANNELS, grid, time)


def test_constant_errors_on_another_grid():
    truth = constant(250.0, 280.0, 101_000.0, grid=LatLonGrid.equiangular(16, 32))
    states = {"background": constant(253.0, 278.0, 101_000.0), "analysis": constant(251.0, 280.0, 101_100.0)}
    first, second, third = compare_fields(states, truth)
    assert (first.variable, first.level, first.units, first.count) == ("t", 50_000.0, "K", 84)
    scores = [entry.scores for entry in (first, second, third)]
    assert [s["background"].bias for s in scores] == pytest.approx([3.0, -2.0, 0.0], abs=1e-9)
    assert [s["background"].rmse for s in scores] == pytest.approx([3.0, 2.0, 0.0], abs=1e-9)
    assert [s["analysis"].mae for s in scores] == pytest.approx([1.0, 0.0, 100.0], abs=1e-9)


def test_another_time_or_nothing_in_common_is_refused():
    truth = constant(250.0, 280.0, 101_000.0)
    with pytest.raises(BadDataError, match="valid at"):
        compare_fields({"analysis": constant(1.0, 1.0, 1.0, time=TIME + np.timedelta64(6, "h"))}, truth)
    wind = State(torch.zeros(1, *GRID.shape), (Channel("u", 50_000.0),), GRID, TIME)
    with pytest.raises(BadDataError, match="no variable and level"):
        compare_fields({"analysis": wind}, truth)


def test_observations_fall_to_the_nearest_standard_level():
    """T is 250 at 500 hPa and 280 at 850 hPa, linear in ln p; errors of +1, −3 near 500 and +2 near 850 hPa."""
    analysis = constant(250.0, 280.0, 101_000.0)

    def at(pressure: float) -> float:
        return 250.0 + 30.0 * np.log(pressure / 5e4) / np.log(8.5e4 / 5e4)

    rows = [
        ("t", 50_000.0, 10.0, 20.0, 249.0, 1.0),
        ("t", 52_000.0, -10.0, 20.0, at(52_000.0) + 3.0, 1.0),
        ("t", 84_000.0, 10.0, 359.0, at(84_000.0) - 2.0, 1.0),
        ("msl", np.nan, 10.0, 20.0, 101_200.0, 1.0),
        ("t", 10_000.0, 10.0, 20.0, 220.0, 1.0),
        ("u", 50_000.0, 10.0, 20.0, 5.0, 1.0),
    ]
    table = make_observations(rows, time=TIME)
    entries = {
        str(Channel(e.variable, e.level)): e for e in compare_observations({"a": analysis}, table, window=HOURS_3)
    }
    assert set(entries) == {"t500", "t850", "msl"}
    assert entries["t500"].count == 2
    assert entries["t500"].scores["a"].bias == pytest.approx((1 - 3) / 2)
    assert entries["t500"].scores["a"].rmse == pytest.approx(np.sqrt(5.0))
    assert entries["t850"].scores["a"].mae == pytest.approx(2.0)
    assert entries["msl"].scores["a"].bias == pytest.approx(-200.0)
    # by variable t and msl, by level t500 and t850
    first, second = (table.splitlines() for table in format_comparison(tuple(entries.values())).split("\n\n"))
    assert [line.split()[0] for line in first] == ["field", "t", "msl"]
    assert [line.split()[0] for line in second] == ["field", "t850", "t500"]
    # msl is 2 hPa low
    assert first[2].split()[1:] == ["hPa", "1", "2", "2", "-2"]
    # over all levels: errors of 1, −3 and 2 K
    pooled = over_levels(tuple(entries.values()))[0]
    assert (pooled.variable, pooled.level, pooled.count) == ("t", None, 3)
    assert pooled.scores["a"].rmse == pytest.approx(np.sqrt(14 / 3))
    assert pooled.scores["a"].mae == pytest.approx(2.0)
    assert abs(pooled.scores["a"].bias) == pytest.approx(0.0, abs=1e-6)


def test_observations_of_another_time_are_not_compared():
    table = make_observations([("t", 5e4, 0.0, 0.0, 250.0, 1.0)], time=TIME + np.timedelta64(6, "h"))
    with pytest.raises(BadDataError, match="none of 1 observations can be compared"):
        compare_observations({"a": constant(250.0, 280.0, 101_000.0)}, table, window=HOURS_3)
