"""A state that a model of phyda wrote is read whatever its weather; the same file from elsewhere is judged."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from phyda_cli.errors import BadDataError
from phyda_cli.fields.state import Channel, State
from phyda_cli.forecast.base import write_state
from phyda_cli.formats.gridded.background import read_background
from phyda_cli.grids.latlon import LatLonGrid

TIME = np.datetime64("2001-07-29T00", "ns")


def cold(value: float) -> State:
    """T at 50 hPa, a polar night at one point."""
    values = torch.full((1, 8, 16), 210.0)
    values[0, 0, 0] = value
    return State(values, (Channel("t", 5_000.0),), LatLonGrid.equiangular(8, 16), TIME)


def test_a_cold_polar_night_of_the_simulation_is_weather_and_of_a_file_is_doubtful(tmp_path):
    write_state(cold(149.8), tmp_path / "background.nc")
    held = read_background([tmp_path / "background.nc"], time=TIME, own=True).state
    assert float(held.values.min()) == pytest.approx(149.8, abs=1e-4)
    with pytest.raises(BadDataError, match=r"outside the credible 150 to"):
        read_background([tmp_path / "background.nc"], time=TIME)


def test_a_value_that_is_none_is_refused_in_both(tmp_path):
    write_state(cold(float("nan")), tmp_path / "background.nc")
    with pytest.raises(BadDataError, match="missing or infinite"):
        read_background([tmp_path / "background.nc"], time=TIME, own=True)
