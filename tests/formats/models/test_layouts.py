"""Initial conditions of machine-learning models: names, order, levels, orientation, times, values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import netCDF4
import numpy as np
import pytest
import torch
import xarray as xr

from phyda_cli.constants import GRAVITY
from phyda_cli.errors import BadDataError, UsageError
from phyda_cli.fields.ground import Ground
from phyda_cli.fields.state import Channel, State
from phyda_cli.fields.thermodynamics import relative_humidity_from_specific_humidity
from phyda_cli.formats.gridded.background import read_background
from phyda_cli.formats.models.inputs import model_inputs
from phyda_cli.formats.models.layouts import LAYOUTS, LEVELS, shared_levels
from phyda_cli.formats.models.needs import MODELS, missing, summed
from phyda_cli.formats.models.write import check_layout, layout_dataset, read_previous, readiness, write_layout
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.settings.assimilate import LayoutName

GRID = LatLonGrid.with_poles(7, 12)
TIME = np.datetime64("2020-01-01T06", "ns")
NEAR_GROUND = ("t2m", "u10", "v10", "msl", "sp", "d2m", "tcwv")


def state(hours: int = 0, upper: str = "uvztqw", levels: tuple[int, ...] = LEVELS, grid: LatLonGrid = GRID) -> State:
    """Every field is its number in the stack, plus the latitude in hundredths and the longitude in ten thousandths."""
    channels = (*map(Channel, NEAR_GROUND), *(Channel(name, 100.0 * level) for name in upper for level in levels))
    latitude, longitude = (np.reshape(x, grid.shape) for x in grid.coordinates)
    place = 1e-2 * latitude + 1e-4 * longitude
    values = np.stack([number + place + 100 * hours for number in range(len(channels))])
    for number, channel in enumerate(channels):
        if channel.variable in "qt":
            values[number] = (1e-4 if channel.variable == "q" else 250.0) * (1.0 + 0.01 * place)
    return State(torch.from_numpy(values), channels, grid, TIME + np.timedelta64(hours, "h"))


def ground() -> Ground:
    height = torch.arange(84, dtype=torch.float64).reshape(7, 12)
    return Ground(height, (height > 40).double())


def written(tmp_path: Path, layout: str, *states: State) -> xr.Dataset:
    path = tmp_path / f"{layout}.nc"
    write_layout(path, layout_dataset(layout, states, ground(), attributes={"history": "made"}))
    return xr.load_dataset(path)


def southward(one: State, variable: str, level: int | None = None) -> np.ndarray:
    channel = Channel(variable, None if level is None else 100.0 * level)
    return one.values[one.index(channel)].numpy()[::-1].astype(np.float32)


def test_every_layout_of_the_command_has_a_maker():
    assert tuple(LAYOUTS) == get_args(LayoutName)


def test_earth2studio_has_one_array_with_its_names_southward_from_the_north_pole(tmp_path):
    now, before = state(), state(-6)
    found = written(tmp_path, "earth2studio", now, before)
    array = xr.load_dataarray(tmp_path / "earth2studio.nc")
    assert array.dims == ("time", "variable", "lat", "lon")
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array.lat, np.linspace(90, -90, 7))
    np.testing.assert_array_equal(array.lon, np.arange(12) * 30.0)
    np.testing.assert_array_equal(array.time, np.array(["2020-01-01T00", "2020-01-01T06"], "datetime64[ns]"))
    names = array["variable"].values.tolist()
    assert names[:7] == ["u10m", "v10m", "t2m", "d2m", "sp", "msl", "tcwv"]
    assert names[7:20] == [f"u{level}" for level in LEVELS]
    assert len(names) == 7 + 7 * len(LEVELS)  # u v z t q r w
    for name, own in (("u500", ("u", 500)), ("w1000", ("w", 1000)), ("u10m", ("u10",)), ("q50", ("q", 50))):
        np.testing.assert_array_equal(array.sel(variable=name)[1], southward(now, *own))
        np.testing.assert_array_equal(array.sel(variable=name)[0], southward(before, *own))
    humidity = relative_humidity_from_specific_humidity(
        now.values[now.index(Channel("q", 85000.0))], now.values[now.index(Channel("t", 85000.0))], 85000.0
    )
    np.testing.assert_allclose(array.sel(variable="r850")[1], 100 * humidity.numpy()[::-1], rtol=1e-6)
    assert found.attrs["history"] == "made"


def test_anemoi_has_a_variable_for_each_field_by_ecmwf_names(tmp_path):
    now, before = state(), state(-6)
    found = written(tmp_path, "anemoi", before, now)
    names = {"2t", "10u", "10v", "msl", "sp", "2d", "tcwv", "z", "lsm"} | {f"{n}_{p}" for n in "uvztqw" for p in LEVELS}
    assert set(found.data_vars) == names
    assert {found[name].dims for name in names} == {("time", "latitude", "longitude")}
    assert {str(found[name].dtype) for name in names} == {"float32"}
    np.testing.assert_array_equal(found["v_925"][1], southward(now, "v", 925))
    np.testing.assert_array_equal(found["10u"][0], southward(before, "u10"))
    np.testing.assert_allclose(found["z"][0], GRAVITY * ground().height.numpy()[::-1], rtol=1e-6)
    np.testing.assert_array_equal(found["z"][0], found["z"][1])
    assert found["lsm"].values.max() == 1
    assert found["latitude"].values[0] == 90


def test_weatherbench_has_its_names_and_the_levels_that_all_have(tmp_path):
    now = state()
    lacking = replace(now, values=now.values[1:], channels=now.channels[1:])  # no t2m
    extra = state(levels=(20, *LEVELS), upper="uvtq")
    both = State(
        torch.cat([lacking.values, extra.values[len(NEAR_GROUND) :][::14]]),  # u, v, t, q at 20 hPa, but no z
        (*lacking.channels, *extra.channels[len(NEAR_GROUND) :: 14]),
        GRID,
        TIME,
    )
    found = written(tmp_path, "weatherbench2", both)
    assert {"10m_u_component_of_wind", "mean_sea_level_pressure", "geopotential", "vertical_velocity"} <= set(found)
    assert "2m_temperature" not in found
    assert found["temperature"].dims == ("time", "level", "latitude", "longitude")
    np.testing.assert_array_equal(found["level"], LEVELS)
    assert found["level"].dtype == np.int32
    np.testing.assert_array_equal(found["u_component_of_wind"][0, 4], southward(now, "u", 250))
    assert found["geopotential_at_surface"].dims == ("latitude", "longitude")


def test_vertical_velocity_at_few_levels_takes_no_levels_from_the_others(tmp_path):
    now = state()
    kept = tuple(c for c in now.channels if c.variable != "w" or c.level >= 50000.0)
    found = written(tmp_path, "weatherbench2", now.select(kept))
    assert "vertical_velocity" not in found
    assert found["temperature"].sizes["level"] == len(LEVELS)
    assert shared_levels([Channel("u", 1.0), Channel("u", 2.0), Channel("t", 2.0), Channel("vo", 5.0)]) == [2.0]
    assert shared_levels([Channel("msl")]) == []


def test_aurora_has_a_batch_with_a_history_of_two(tmp_path):
    now, before = state(), state(-6)
    found = written(tmp_path, "aurora", before, now)
    assert {name for name in found if str(name).startswith("surf_")} == {"surf_2t", "surf_10u", "surf_10v", "surf_msl"}
    assert {name for name in found if str(name).startswith("atmos_")} == {f"atmos_{n}" for n in "uvtqz"}
    assert {name for name in found if str(name).startswith("static_")} == {"static_z", "static_lsm"}
    assert found["surf_2t"].dims == ("batch", "history", "latitude", "longitude")
    assert found["atmos_t"].shape == (1, 2, 13, 7, 12)
    np.testing.assert_array_equal(found["time"], [TIME])
    np.testing.assert_array_equal(found["level"], LEVELS)
    assert int(found["rollout_step"]) == 0
    np.testing.assert_array_equal(found["atmos_u"][0, 0, 7], southward(before, "u", 500))
    np.testing.assert_array_equal(found["surf_msl"][0, 1], southward(now, "msl"))


def test_graphcast_has_leads_and_dates_and_runs_north(tmp_path):
    now, before = state(), state(-6)
    found = written(tmp_path, "graphcast", before, now)
    assert found["temperature"].dims == ("batch", "time", "level", "lat", "lon")
    assert found["2m_temperature"].dims == ("batch", "time", "lat", "lon")
    assert found["geopotential_at_surface"].dims == found["land_sea_mask"].dims == ("lat", "lon")
    np.testing.assert_array_equal(found["lat"], np.linspace(-90, 90, 7))
    np.testing.assert_array_equal(found["time"], np.array([-6, 0], "timedelta64[h]").astype("timedelta64[ns]"))
    np.testing.assert_array_equal(found["datetime"][0], [before.time, now.time])
    np.testing.assert_array_equal(found["vertical_velocity"][0, 1, 12, ::-1], southward(now, "w", 1000))
    np.testing.assert_allclose(found["geopotential_at_surface"], GRAVITY * ground().height, rtol=1e-6)


def test_files_that_phyda_can_cycle_with_are_read_back_as_they_were(tmp_path):
    now = state(upper="uvztq")
    for layout in ("earth2studio", "anemoi", "weatherbench2"):
        dataset = layout_dataset(layout, [_credible(now)], Ground(), attributes={})
        write_layout(tmp_path / f"{layout}.nc", dataset)
        again = read_background([tmp_path / f"{layout}.nc"]).state
        assert set(again.channels) >= set(now.channels)
        assert again.time == TIME
        np.testing.assert_allclose(
            again.select(now.channels).values, _credible(now).values, rtol=1e-6, atol=1e-6, err_msg=layout
        )


def _credible(one: State) -> State:
    """The same with values that a reader believes."""
    values = one.values.clone()
    mean = {"sp": 1e5, "msl": 1e5, "t": 260.0, "t2m": 280.0, "d2m": 270.0, "tcwv": 20.0}
    for number, channel in enumerate(one.channels):
        size = mean.get(channel.variable, 5.0)
        if channel.variable == "q":
            size = 1e-3 * (channel.level / 1e5) ** 3
        if channel.variable == "z":
            size = 7500.0 * 9.8 * np.log(102000.0 / channel.level)
        values[number] = size * (1.0 + 1e-3 * torch.sin(values[number]))
    return replace(one, values=values)


def test_what_a_model_lacks_is_said_by_variable_and_level():
    assert summed([Channel("u", 50000.0), Channel("t2m"), Channel("u", 85000.0)]) == ["u at 500, 850 hPa", "t2m"]
    by_name = {model.name: model for model in MODELS}
    six = np.timedelta64(6, "h")
    now = frozenset(state().channels)
    assert missing(by_name["Pangu-Weather"], now, []) == []
    assert missing(by_name["FengWu"], now, []) == ["the time 6 h before"]
    assert missing(by_name["FengWu"], now, [six]) == []
    assert missing(by_name["GenCast"], now, [six]) == ["the time 12 h before"]
    assert missing(by_name["FourCastNet"], now, []) == ["r at 500, 850 hPa"]
    assert missing(by_name["GraphCast"], now, [six])[0].startswith("u at 1, 2, 3, 5, 7, 10, 20, 30, 70, 125, ")
    held = readiness("aurora", [state(-6), state()], Ground())
    assert held == {"Aurora": ["z", "lsm", "slt"]}
    held = readiness("earth2studio", [state()], ground())
    assert held["SFNO"] == ["u100m, v100m"]
    assert held["FourCastNet"] == ["u100m, v100m"]
    assert held["Pangu-Weather"] == []


@pytest.mark.parametrize(
    ("layout", "now", "before", "says"),
    [
        ("aurora", state(), None, "Aurora needs the time 6 h before; name the file with --previous"),
        ("aurora", state(), state(-12), "Aurora needs the time 6 h before"),
        ("graphcast", state(upper="uvztq"), state(-6), "GraphCast_operational needs w at 50, 100, 150"),
        ("aurora", state(levels=LEVELS[1:]), state(-6), "u at 50 hPa; v at 50 hPa; z at 50 hPa"),
        ("earth2studio", state(), state(6), "not before the background"),
        ("anemoi", state(), state(-6, grid=LatLonGrid.with_poles(9, 12)), "--previous: its grid is"),
    ],
)
def test_what_cannot_be_written_is_refused_before_there_is_an_analysis(layout, now, before, says):
    with pytest.raises(BadDataError, match=says):
        check_layout(layout, Path("out.nc"), now, before)


def test_a_layout_is_netcdf_and_its_values_are_finite(tmp_path):
    with pytest.raises(UsageError, match=r"layouts are NetCDF; give the file a name that ends in \.nc"):
        check_layout("anemoi", Path("out.grib2"), state(), None)
    broken = state()
    broken.values[broken.index(Channel("msl")), 3, 4] = np.nan
    with pytest.raises(BadDataError, match="values of mean_sea_level_pressure are not finite"):
        written(tmp_path, "weatherbench2", broken)
    assert not list(tmp_path.iterdir())


def test_the_state_before_is_that_of_six_hours_ago_or_the_only_one(tmp_path):
    states = [_credible(state(hours)) for hours in (-12, -6, 0)]
    write_layout(tmp_path / "two.nc", layout_dataset("anemoi", states[:2], ground(), attributes={}))
    write_layout(tmp_path / "one.nc", layout_dataset("anemoi", states[:1], ground(), attributes={}))
    assert read_previous(tmp_path / "two.nc", TIME).time == TIME - np.timedelta64(6, "h")
    assert read_previous(tmp_path / "one.nc", TIME).time == TIME - np.timedelta64(12, "h")
    with pytest.raises(BadDataError, match="holds several times, but not 2020-01-01T12"):
        read_previous(tmp_path / "two.nc", TIME + np.timedelta64(12, "h"))


def test_only_what_all_times_hold_is_written_and_times_are_put_in_order():
    inputs = model_inputs([state(), state(-6, upper="ut")], ground())
    assert {channel.variable for channel in inputs.fields} == {*NEAR_GROUND, "u", "t"}
    np.testing.assert_array_equal(inputs.times, [TIME - np.timedelta64(6, "h"), TIME])
    assert float(inputs.fields[Channel("msl")][1, 0, 0] - inputs.fields[Channel("msl")][0, 0, 0]) == 600.0


def test_files_are_compressed_and_tell_their_times_as_cf_has_them(tmp_path):
    written(tmp_path, "anemoi", state())
    with netCDF4.Dataset(tmp_path / "anemoi.nc") as file:
        assert file["time"].units == "hours since 1970-01-01"
        assert file["2t"].filters()["zlib"]
        assert file["2t"].standard_name == "air_temperature"
        assert "_FillValue" not in file["2t"].ncattrs()
