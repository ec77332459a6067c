"""What goes in comes out: `restore` against the files' own layout."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from phyda_cli.errors import BadDataError
from phyda_cli.fields.state import Channel
from phyda_cli.fields.thermodynamics import relative_humidity_from_specific_humidity
from phyda_cli.formats.gridded.background import read_background
from phyda_cli.formats.gridded.layout import Conversion, restore
from tests.formats.gridded.test_netcdf import LAYOUTS
from tests.support.fields import LEVELS, dataset, message, save, wave, write_grib


def changed(background, channel, row, column, by):
    values = background.state.values.clone()
    values[..., background.state.index(channel), row, column] += by
    return replace(background.state, values=values)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_background_itself_restores_bit_for_bit_in_any_layout(tmp_path, layout):
    background = read_background([save(LAYOUTS[layout](dataset()), tmp_path / "bg.nc")])
    assert restore(background, background.state).identical(background.dataset)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_changed_value_lands_at_its_place_and_nowhere_else(tmp_path, layout):
    background = read_background([save(LAYOUTS[layout](dataset()), tmp_path / "bg.nc")])
    channel = Channel("t", 50000.0)
    new = restore(background, changed(background, channel, 4, 0, 1.5))
    place = background.layout[channel]
    difference = new[place.name] - background.dataset[place.name]
    spots = np.argwhere(difference.values != 0)
    assert len(spots) == (2 if layout == "duplicate meridian" else 1)
    for spot in spots:
        at = difference[tuple(spot)]
        assert float(at) == pytest.approx(1.5)
        assert float(at[background.latitude]) == 30.0
        assert float(at[background.longitude]) % 360.0 == 0.0
        level = at["plev"] if "plev" in at.coords else at[place.level_dim]
        assert level.item() in (500.0, 50000.0, "500hPa")
    others = [name for name in background.dataset.variables if name != place.name]
    assert new[others].identical(background.dataset[others])


def test_units_and_height_are_converted_back(tmp_path):
    data = dataset(["t", "gh"])
    data["t"] = (data["t"] - 273.15).assign_attrs(units="degC")
    background = read_background([save(data, tmp_path / "bg.nc")])
    state = replace(background.state, values=background.state.values * 1.01)
    new = restore(background, state)
    np.testing.assert_allclose(new["t"][0], 1.01 * wave("t", LEVELS[0]) - 273.15, rtol=1e-12)
    np.testing.assert_allclose(new["gh"][0], 1.01 * wave("gh", LEVELS[0]), rtol=1e-12)
    assert new["t"].attrs == background.dataset["t"].attrs


def test_relative_humidity_follows_humidity_and_temperature(tmp_path):
    handles = [message(name, 85000.0) for name in ("t", "r")]
    background = read_background([write_grib(handles, tmp_path / "gfs.grib2")])
    assert background.layout[Channel("q", 85000.0)].conversion is Conversion.RELATIVE_HUMIDITY
    warmer = restore(background, changed(background, Channel("t", 85000.0), 2, 3, 2.0))
    old, new = background.dataset["r"].values, warmer["r"].values
    row = 6 - 2  # the file runs from north to south
    assert np.argwhere(old != new).tolist() == [[0, row, 3]]
    q = background.state.values[1, 2, 3].item()
    t = background.state.values[0, 2, 3].item() + 2.0
    expected = relative_humidity_from_specific_humidity(np.array([q]), np.array([t]), 85000.0)[0]
    assert new[0, row, 3] == pytest.approx(100 * expected, rel=1e-6)
    assert new[0, row, 3] < old[0, row, 3]


def test_humidity_beside_relative_humidity_keeps_both_consistent(tmp_path):
    data = dataset(["t", "q", "r"])
    background = read_background([save(data, tmp_path / "bg.nc")])
    channel = Channel("q", 85000.0)
    assert background.layout[channel].conversion is Conversion.IDENTITY
    new = restore(background, changed(background, channel, 3, 5, 1e-4))
    assert np.count_nonzero((new["q"] != background.dataset["q"]).values) == 1
    assert np.argwhere((new["r"] != background.dataset["r"]).values).tolist() == [[0, 3, 5]]
    t = wave("t", 85000.0)[3, 5]
    expected = relative_humidity_from_specific_humidity(
        np.array([wave("q", 85000.0)[3, 5] + 1e-4]), np.array([t]), 85000.0
    )
    assert float(new["r"][0, 3, 5]) == pytest.approx(expected[0], rel=1e-12)


def test_relative_humidity_without_temperature_passes_through(tmp_path):
    data = dataset(["u", "r"])
    background = read_background([save(data, tmp_path / "bg.nc")])
    assert background.state.variables == ("u",)
    assert any("no temperature at that level" in note for note in background.notes)


def test_dew_point_becomes_specific_humidity_and_returns(tmp_path):
    data = dataset(["t"])
    data["dewpoint"] = (data["t"] - 5.0).assign_attrs(units="K")
    background = read_background([save(data, tmp_path / "bg.nc")])
    # Over water at 255 K: 611.21·exp(17.502·(255 − 273.16)/(255 − 32.19)) = 146.8 Pa; q = 0.62198·146.8/(85000 − 55).
    state = background.state
    at = np.unravel_index(np.argmin(np.abs(wave("t", 85000.0) - 260.0)), (7, 12))
    value = state.values[state.index(Channel("q", 85000.0))][at].item()
    assert value == pytest.approx(0.62198 * 146.8 / (85000 - 55), rel=2e-2)
    moister = restore(background, replace(state, values=state.values * 1.0 + 0.0))
    assert moister.identical(background.dataset)
    wet = changed(background, Channel("q", 85000.0), 3, 3, 1e-4)
    assert float(restore(background, wet)["dewpoint"][0, 3, 3]) > float(background.dataset["dewpoint"][0, 3, 3])


def test_a_state_in_single_precision_is_no_change(tmp_path):
    background = read_background([save(dataset(), tmp_path / "bg.nc")])
    single = replace(background.state, values=background.state.values.float())
    assert restore(background, single).identical(background.dataset)


def test_members_are_restored_each_in_its_place(tmp_path):
    path = write_grib([message("t", 50000.0, member=m) for m in (1, 2)], tmp_path / "ens.grib2")
    background = read_background([path])
    values = background.state.values.clone()
    values[1, 0, 0, 0] += 3.0
    new = restore(background, replace(background.state, values=values))
    assert np.argwhere((new["t"] != background.dataset["t"]).values).tolist() == [[1, 0, 6, 0]]
    with pytest.raises(BadDataError, match="cannot go back"):
        restore(background, replace(background.state, values=values[0]))


def test_only_some_channels_may_come_back(tmp_path):
    background = read_background([save(dataset(), tmp_path / "bg.nc")])
    only = background.state.select((Channel("u", 50000.0),))
    new = restore(background, replace(only, values=only.values + 1.0))
    np.testing.assert_allclose(new["u"][1], wave("u", 50000.0) + 1.0, rtol=1e-12)
    assert new[["t", "v", "z"]].identical(background.dataset[["t", "v", "z"]])


def test_the_dataset_can_be_written_and_read_again(tmp_path):
    packing = {"t": {"dtype": "int16", "scale_factor": 0.01, "add_offset": 260.0, "_FillValue": -32767}}
    background = read_background([save(dataset(["t"]), tmp_path / "bg.nc", encoding=packing)])
    path = save(restore(background, background.state), tmp_path / "again.nc")
    with xr.open_dataset(path) as again:
        np.testing.assert_array_equal(again["t"], background.dataset["t"])
