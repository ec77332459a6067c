"""The axis of time of every gridded output: one valid time, right for other tools, and files join along it."""

from __future__ import annotations

from dataclasses import replace

import netCDF4
import numpy as np
import pytest
import torch
import xarray as xr

from phyda_cli.formats.gridded.analysis import write_analysis, write_increment
from phyda_cli.formats.gridded.analysis_members import write_members
from phyda_cli.formats.gridded.background import read_background
from tests.formats.gridded.test_valid_time import VALID_AT_NOON
from tests.support.fields import TIME, dataset, message, save, wave, write_grib

WRITERS = {
    "analysis": lambda path, bg, state: write_analysis(path, bg, state, spread=ones(bg), attributes={}),
    "increment": lambda path, bg, state: write_increment(path, bg, state, attributes={}),
    "members": lambda path, bg, state: write_members(path, bg, [state, state, state], count=3, attributes={}),
}


def ones(background):
    return replace(background.state, values=torch.ones_like(background.state.values))


def warmer(background):
    return replace(background.state, values=background.state.values + 1.0)


@pytest.mark.parametrize("output", WRITERS)
@pytest.mark.parametrize("layout", VALID_AT_NOON)
def test_every_field_has_an_axis_of_the_valid_time_whatever_the_background_had(tmp_path, layout, output):
    data = VALID_AT_NOON[layout].assign(soil=VALID_AT_NOON[layout]["t"].isel(level=0, drop=True))
    data["soil"].attrs["units"] = "1"
    background = read_background([save(data, tmp_path / "bg.nc")])
    WRITERS[output](tmp_path / "out.nc", background, warmer(background))
    with netCDF4.Dataset(tmp_path / "out.nc") as file:
        axis = "valid_time" if layout in ("init and valid", "start by name and lead") else "time"
        time = file[axis]
        assert (time.units, time.calendar) == ("hours since 1970-01-01", "standard")
        assert time[:].tolist() == [(TIME - np.datetime64("1970-01-01T00")) / np.timedelta64(1, "h")]
        gridded = [name for name, v in file.variables.items() if {"latitude", "longitude"} <= set(v.dimensions)]
        assert set(gridded) >= {"t"}
        assert all(file[name].dimensions[0] == axis and file[name].shape[0] == 1 for name in gridded)
        assert [name for name, held in file.dimensions.items() if held.isunlimited()] == [axis]  # ncrcat's record
        assert not {"step", "lead_time", "forecast_period", "init_time", "forecast_reference_time"} & set(
            file.variables
        )
    if output == "analysis":
        assert "soil" in gridded
    if output != "increment":
        again = read_background([tmp_path / "out.nc"])
        assert again.state.time == TIME
        np.testing.assert_allclose(again.ensemble_mean().state.values[0], wave("t", 85000.0) + 1.0)


def test_the_axis_of_a_new_cds_file_keeps_its_name(tmp_path):
    background = read_background([save(dataset(["t"]).rename(time="valid_time"), tmp_path / "bg.nc")])
    write_analysis(tmp_path / "a.nc", background, warmer(background), attributes={})
    with xr.open_dataset(tmp_path / "a.nc") as file:
        assert file["t"].dims[0] == "valid_time"
        assert file["valid_time"].values.tolist() == [TIME.astype(int)]
        assert "time" not in file.variables


@pytest.mark.parametrize("output", WRITERS)
@pytest.mark.parametrize("kind", ["netcdf", "grib"])
def test_two_outputs_join_along_time(tmp_path, output, kind):
    for day in (1, 2):
        if kind == "netcdf":
            data = dataset(["t"]).assign_coords(time=("time", [12], {"units": f"hours since 2020-03-0{day}"}))
            path = save(data, tmp_path / f"{day}.bg")
        else:
            keys = {"dataDate": 20200300 + day}
            path = write_grib([message("t", 50000.0, keys=keys)], tmp_path / f"{day}.bg")
        background = read_background([path])
        WRITERS[output](tmp_path / f"{day}.nc", background, warmer(background))
    with xr.open_dataset(tmp_path / "1.nc") as first, xr.open_dataset(tmp_path / "2.nc") as second:
        both = xr.combine_by_coords([second, first], combine_attrs="override")
        assert both["time"].values.tolist() == [TIME.astype(int), (TIME + np.timedelta64(1, "D")).astype(int)]
        assert both["t"].sizes["time"] == 2


def test_an_analysis_of_an_analysis_has_one_axis_of_time(tmp_path):
    background = read_background([save(dataset(["t"]), tmp_path / "bg.nc")])
    write_analysis(tmp_path / "a.nc", background, warmer(background), attributes={})
    first = read_background([tmp_path / "a.nc"])
    write_analysis(tmp_path / "b.nc", first, warmer(first), attributes={})
    with xr.open_dataset(tmp_path / "b.nc") as file:
        assert file["t"].dims == ("time", "level", "latitude", "longitude")
        np.testing.assert_allclose(file["t"][0, 0], wave("t", 85000.0) + 2.0)
