"""Layouts of machine-learning models: names along an axis, points along an axis; outputs have them again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from phyda_cli.errors import BadDataError
from phyda_cli.formats.gridded.analysis import write_analysis, write_increment
from phyda_cli.formats.gridded.analysis_members import write_members
from phyda_cli.formats.gridded.background import read_background
from tests.formats.gridded.test_field_names import by_level, fields
from tests.support.fields import save


def plain():
    return by_level(fields(["t", "z", "u", "v", "q", "msl", "t2m"]), "{}{}".format, units=False)


def stacked(data, dim="variable"):
    array = data.to_array(dim).rename("fields").expand_dims("time").transpose("time", dim, ...)
    return array.to_dataset()


def flat(data, order=None):
    points = data.stack(values=("latitude", "longitude")).reset_index("values")
    points = points.rename(latitude="latitudes", longitude="longitudes").reset_coords(["latitudes", "longitudes"])
    return points if order is None else points.isel(values=order)


SHUFFLED = np.random.default_rng(5).permutation(7 * 12)
LAYOUTS = {
    "names": stacked,
    "channels": lambda d: stacked(d, "channel"),
    "points": flat,
    "points in any order": lambda d: flat(d, SHUFFLED),
    "points and names": lambda d: stacked(flat(d).set_coords(["latitudes", "longitudes"])),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_folded_fields_are_read_and_written_in_their_own_layout(tmp_path, layout):
    data = LAYOUTS[layout](plain())
    background = read_background([save(data, tmp_path / "bg.nc")])
    expected = read_background([save(plain(), tmp_path / "plain.nc")]).state
    assert set(background.state.channels) == set(expected.channels)
    np.testing.assert_allclose(background.state.select(expected.channels).values, expected.values, rtol=1e-12)
    state = replace(background.state, values=background.state.values * 1.001)
    spread = replace(background.state, values=torch.ones_like(background.state.values))
    write_analysis(tmp_path / "a.nc", background, state, spread=spread, attributes={})
    write_increment(tmp_path / "i.nc", background, state, attributes={})
    write_members(tmp_path / "m.nc", background, [state, background.state], count=2, attributes={})
    with xr.open_dataset(tmp_path / "bg.nc") as before, xr.open_dataset(tmp_path / "a.nc") as after:
        for name in before.data_vars:
            if name in ("latitudes", "longitudes"):
                np.testing.assert_array_equal(after[name], before[name])
                continue
            dims = [dim for dim in before[name].dims if dim != "time"]
            assert after[name].dims == ("time", *dims)
            np.testing.assert_allclose(after[name].squeeze("time"), 1.001 * before[name].squeeze(), rtol=1e-9)
        if "variable" in before.dims:
            assert after["variable"].values.tolist() == before["variable"].values.tolist()
            assert after["fields_spread"].shape == after["fields"].shape
    again = read_background([tmp_path / "a.nc"])
    np.testing.assert_allclose(again.state.select(state.channels).values, state.values, rtol=1e-9)
    for number, member in enumerate((state, background.state)):
        found = read_background([tmp_path / "m.nc"], member=number).state
        np.testing.assert_allclose(found.select(state.channels).values, member.values, rtol=1e-9)
    with xr.open_dataset(tmp_path / "i.nc") as increment:
        assert "time" in increment.dims


def test_points_that_make_no_grid_are_refused(tmp_path):
    data = flat(plain()).isel(values=slice(0, 80))
    with pytest.raises(BadDataError, match="rows of points neither go round the globe nor end at the same meridians"):
        read_background([save(data, tmp_path / "bg.nc")])
