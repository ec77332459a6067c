from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from phyda_cli.errors import BadDataError
from phyda_cli.fields.state import Channel
from phyda_cli.formats.file_safety import expected_size
from phyda_cli.formats.gridded.background import read_background
from tests.support.fields import COLUMNS, LEVELS, ROWS, TIME, dataset, save, wave


def assert_canonical(background, names=("t", "u", "v", "z"), rtol=1e-12):
    state = background.state
    assert state.time == TIME
    assert len(state.channels) == len(names) * len(LEVELS)
    for name in names:
        for level in LEVELS:
            plane = state.values[..., state.index(Channel(name, level)), :, :].numpy()
            np.testing.assert_allclose(plane, wave(name, level), rtol=rtol)


def shifted(data):
    """−180…180."""
    moved = data.assign_coords(longitude=(data["longitude"] + 180.0) % 360.0 - 180.0)
    return moved.sortby("longitude").assign_coords(
        longitude=lambda d: d["longitude"].assign_attrs(units="degrees_east")
    )


def with_pascal(data):
    return data.assign_coords(level=("level", data["level"].values * 100.0, {"units": "Pa"}))


LAYOUTS = {
    "canonical": lambda d: d,
    "north first": lambda d: d.isel(latitude=slice(None, None, -1)),
    "from -180": shifted,
    "levels reversed": lambda d: d.isel(level=slice(None, None, -1)),
    "pascal": with_pascal,
    "axes in another order": lambda d: d.transpose("longitude", "latitude", "level", "time"),
    "WeatherBench names": lambda d: d.rename(
        t="temperature", u="u_component_of_wind", v="v_component_of_wind", z="geopotential"
    ),
    "new CDS": lambda d: d.rename(time="valid_time", level="pressure_level").assign_coords(
        number=0, expver=("valid_time", ["0001"])
    ),
    "THREDDS GFS": lambda d: d.rename(
        t="Temperature_isobaric", u="u-component_of_wind_isobaric", v="v-component_of_wind_isobaric", level="isobaric6"
    ),
    "no level units": lambda d: d.assign_coords(level=("level", d["level"].values)),
    "levels as text": lambda d: d.assign_coords(level=("level", [f"{int(p)}hPa" for p in d["level"].values])),
    "levels counted, pressures beside": lambda d: d.assign_coords(
        plev=("level", d["level"].values * 100.0, {"units": "Pa", "standard_name": "air_pressure"}),
        level=("level", np.arange(d.sizes["level"])),
    ),
    "duplicate meridian": lambda d: xr.concat(
        [d, d.isel(longitude=[0]).assign_coords(longitude=[360.0])], "longitude", data_vars="minimal"
    ).assign_coords(longitude=lambda x: x["longitude"].assign_attrs(units="degrees_east")),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_of_the_same_fields_gives_the_same_state(tmp_path, layout):
    background = read_background([save(LAYOUTS[layout](dataset()), tmp_path / "bg.nc")])
    assert_canonical(background)
    assert background.state.grid.shape == (ROWS, COLUMNS)


def test_an_inferred_level_unit_is_said(tmp_path):
    background = read_background([save(LAYOUTS["no level units"](dataset()), tmp_path / "bg.nc")])
    assert any("'level' has no units and was taken as hPa" in note for note in background.notes)


def test_packed_integers_are_unpacked_to_half_a_step(tmp_path):
    step = 0.01
    packing = {"t": {"dtype": "int16", "scale_factor": step, "add_offset": 260.0, "_FillValue": -32767}}
    path = save(dataset(["t"]), tmp_path / "cds.nc", encoding=packing, format="NETCDF3_64BIT")
    values = read_background([path]).state.values.numpy()
    assert np.max(np.abs(values[0] - wave("t", LEVELS[0]))) <= 0.5 * step + 1e-9


@pytest.mark.parametrize(
    ("name", "unit", "file_value"),
    [
        ("t", "degC", lambda x: x - 273.15),
        ("t", "°C", lambda x: x - 273.15),
        ("q", "g/kg", lambda x: 1000 * x),
        ("u", "knots", lambda x: x / (1852 / 3600)),
        ("z", "m", lambda x: x / 9.80665),
        ("z", "gpm", lambda x: x / 9.80665),
        ("u", "m s**-1", lambda x: x),
        ("z", "m**2 s**-2", lambda x: x),
    ],
)
def test_units_become_si(tmp_path, name, unit, file_value):
    data = dataset([name])
    data[name] = file_value(data[name]).assign_attrs(units=unit)
    assert_canonical(read_background([save(data, tmp_path / "bg.nc")]), [name], rtol=1e-9)


@pytest.mark.parametrize("name", ["t", "z", "gh"])
def test_a_missing_unit_is_inferred_where_the_numbers_tell_it(tmp_path, name):
    data = dataset([name])
    if name == "z":
        data["z"][:, 1] *= 1.35  # near 55 000 m2 s-2, as at 500 hPa
    if name == "gh":
        data["gh"][:, 1] *= 1.4
    del data[name].attrs["units"]
    background = read_background([save(data, tmp_path / "bg.nc")])
    factor = 9.80665 if name == "gh" else 1.0
    np.testing.assert_allclose(background.state.values[0], factor * wave(name, LEVELS[0]), rtol=1e-12)
    assert any("has no units and was taken as" in note for note in background.notes)


def test_a_missing_unit_of_wind_is_refused_since_knots_look_alike(tmp_path):
    data = dataset(["u"])
    del data["u"].attrs["units"]
    with pytest.raises(BadDataError, match=r"variable 'u' has no units.*ncatted"):
        read_background([save(data, tmp_path / "bg.nc")])


def test_an_unknown_unit_names_variable_and_unit(tmp_path):
    data = dataset(["u"])
    data["u"].attrs["units"] = "furlong fortnight-1"
    with pytest.raises(BadDataError, match=r"variable 'u' has the unit 'furlong fortnight-1'.*use m s-1, kt"):
        read_background([save(data, tmp_path / "bg.nc")])


@pytest.mark.parametrize(("unit", "offset", "fits"), [("degC", 0.0, "K"), ("K", -273.15, "°C")])
def test_celsius_and_kelvin_mixed_up_are_refused_with_the_unit_that_fits(tmp_path, unit, offset, fits):
    data = dataset(["t"])
    data["t"] = (data["t"] + offset).assign_attrs(units=unit)
    with pytest.raises(BadDataError, match=f"variable 't': its numbers.*; its numbers fit {fits}"):
        read_background([save(data, tmp_path / "bg.nc")])


def test_missing_values_are_counted_by_level(tmp_path):
    data = dataset(["t"])
    data["t"][0, 1, 2, 3:5] = np.nan
    with pytest.raises(BadDataError, match="variable 't': t500 has 2 missing"):
        read_background([save(data, tmp_path / "bg.nc")])


def test_vertical_velocity_with_holes_passes_through(tmp_path):
    data = dataset(["t"])
    data["w"] = data["t"].copy() * 0
    data["w"][0, 0, 0, 0] = np.nan
    data["w"].attrs["units"] = "Pa s-1"
    background = read_background([save(data, tmp_path / "bg.nc")])
    assert {str(c) for c in background.state.channels} == {"t850", "t500", "w500"}
    assert any(note.startswith("w850 is passed through") for note in background.notes)


def several_times(data):
    second = data.assign_coords(time=("time", [18], {"units": "hours since 2020-03-01"})) + 1.0
    return xr.concat([data, second], "time").assign_coords(time=("time", [12, 18], {"units": "hours since 2020-03-01"}))


def test_one_of_several_times_is_chosen_or_all_are_listed(tmp_path):
    data = several_times(dataset(["t"]))
    data["t"].attrs["units"] = "K"
    path = save(data, tmp_path / "bg.nc")
    with pytest.raises(
        BadDataError, match="2 valid times; choose one with --time: 2020-03-01T12:00Z, 2020-03-01T18:00Z"
    ):
        read_background([path])
    background = read_background([path], time=np.datetime64("2020-03-01T18:00"))
    np.testing.assert_allclose(background.state.values[0], wave("t", LEVELS[0]) + 1.0)
    assert "time" not in background.dataset.dims
    with pytest.raises(BadDataError, match="no fields valid at 2020-03-05T00:00Z"):
        read_background([path], time=np.datetime64("2020-03-05"))


def test_valid_time_is_base_time_plus_lead(tmp_path):
    first = dataset(["t"]).isel(time=0, drop=True)
    data = xr.concat([first, first + 1.0], "prediction_timedelta").expand_dims("time")
    data = data.assign_coords(
        time=("time", [0], {"units": "hours since 2020-03-01"}),
        prediction_timedelta=("prediction_timedelta", [6, 12], {"units": "hours"}),
    )
    data["t"].attrs["units"] = "K"
    background = read_background([save(data, tmp_path / "wb.nc")], time=TIME)
    np.testing.assert_allclose(background.state.values[0], wave("t", LEVELS[0]) + 1.0)
    assert background.dataset["valid_time"].values == TIME


def climatology(tmp_path):
    january = dataset(["t"]).isel(time=0, drop=True)
    data = xr.concat([january, january + 9.0], "month").assign_coords(month=[1, 7])
    data["t"].attrs["units"] = "K"
    return save(data, tmp_path / "months.nc")


def test_a_climatology_is_read_by_select_and_dated_by_time(tmp_path):
    path = climatology(tmp_path)
    with pytest.raises(BadDataError, match="'month' of 2 \\(1, 7\\); choose one with --select month=1"):
        read_background([path], time=TIME)
    with pytest.raises(BadDataError, match="no valid time; give it with --time"):
        read_background([path], select={"month": "7"})
    with pytest.raises(BadDataError, match="no single month is '3'; there are: 1, 7"):
        read_background([path], time=TIME, select={"month": "3"})
    background = read_background([path], time=TIME, select={"month": "7"})
    assert background.state.time == TIME == background.dataset["time"].values
    np.testing.assert_allclose(background.state.values[0], wave("t", LEVELS[0]) + 9.0)


def test_selecting_on_the_time_axis_lets_time_name_the_valid_time(tmp_path):
    data = several_times(dataset(["t"]))
    data["t"].attrs["units"] = "K"
    path = save(data, tmp_path / "bg.nc")
    wanted = np.datetime64("2021-12-08T12:00", "ns")
    background = read_background([path], time=wanted, select={"time": "2020-03-01T18:00"})
    assert background.state.time == wanted
    np.testing.assert_allclose(background.state.values[0], wave("t", LEVELS[0]) + 1.0)


def test_members_lead_or_one_is_chosen(tmp_path):
    base = dataset(["t"])
    data = xr.concat([base, base + 2.0], "number").assign_coords(number=[3, 8])
    data["t"].attrs["units"] = "K"
    path = save(data, tmp_path / "ens.nc")
    whole = read_background([path])
    assert tuple(whole.state.values.shape) == (2, 2, ROWS, COLUMNS)
    np.testing.assert_allclose(whole.state.values[1, 0], wave("t", LEVELS[0]) + 2.0)
    np.testing.assert_allclose(read_background([path], member=8).state.values[0], wave("t", LEVELS[0]) + 2.0)
    np.testing.assert_allclose(whole.ensemble_mean().state.values[0], wave("t", LEVELS[0]) + 1.0)
    with pytest.raises(BadDataError, match="no member 1; there are: 3, 8"):
        read_background([path], member=1)


def test_a_scalar_level_is_a_level(tmp_path):
    data = dataset(["t"]).isel(level=1)
    assert read_background([save(data, tmp_path / "t500.nc")]).state.channels == (Channel("t", 50000.0),)


@pytest.mark.parametrize("format", ["NETCDF3_CLASSIC", "NETCDF3_64BIT", "NETCDF3_64BIT_DATA", "NETCDF4"])
@pytest.mark.parametrize("unlimited", [[], ["time"]])
def test_a_truncated_file_is_refused_and_a_whole_one_is_not(tmp_path, format, unlimited):
    path = save(dataset(), tmp_path / "bg.nc", format=format, unlimited_dims=unlimited)
    assert_canonical(read_background([path]))
    data = path.read_bytes()
    if format != "NETCDF4":
        assert len(data) - 4 < expected_size(path) <= len(data)
    for size in (len(data) // 2, len(data) - 8, 100):
        path.write_bytes(data[:size])
        with pytest.raises(BadDataError, match=r"bg\.nc: (is cut off|its NetCDF header is cut off|cannot be opened)"):
            read_background([path])


def test_files_without_a_grid_are_refused(tmp_path):
    places = {"XLAT": (("y", "x"), np.zeros((4, 5)), {"units": "degree_north"})}
    with pytest.raises(BadDataError, match=r"has no longitude .*nothing says where its points are"):
        read_background([save(xr.Dataset(places), tmp_path / "wrf.nc")])
    with pytest.raises(BadDataError, match="no latitude and longitude"):
        read_background([save(xr.Dataset({"a": ("x", np.zeros(3))}), tmp_path / "none.nc")])


def test_model_levels_are_refused(tmp_path):
    data = dataset(["t"]).assign_coords(level=("level", [1, 2], {"units": "1", "long_name": "hybrid level"}))
    with pytest.raises(BadDataError, match=r"no analysed variable on pressure levels: t .*model levels"):
        read_background([save(data, tmp_path / "ml.nc")])


def test_one_file_for_each_variable_whatever_its_orientation(tmp_path):
    turn = [LAYOUTS["canonical"], LAYOUTS["north first"], LAYOUTS["from -180"], LAYOUTS["levels reversed"]]
    paths = [save(turn[i](dataset([n])), tmp_path / f"{n}.nc") for i, n in enumerate("tuvz")]
    assert_canonical(read_background(paths))


def test_files_that_do_not_fit_together_are_refused_by_name(tmp_path):
    first = save(dataset(["t"]), tmp_path / "t.nc")
    later = dataset(["u"]).assign_coords(time=("time", [18], {"units": "hours since 2020-03-01"}))
    with pytest.raises(BadDataError, match=r"t\.nc and .*u\.nc: valid at different times"):
        read_background([first, save(later, tmp_path / "u.nc")])
    coarse = dataset(["u"]).isel(longitude=slice(None, None, 2))
    with pytest.raises(BadDataError, match="different grids \\(7×12 and 7×6\\)"):
        read_background([first, save(coarse, tmp_path / "coarse.nc")])
    with pytest.raises(BadDataError, match="both hold the field 't'"):
        read_background([first, save(dataset(["t"]), tmp_path / "again.nc")])


def test_a_zarr_store_reads_like_netcdf(tmp_path):
    pytest.importorskip("zarr")
    dataset().rename(t="temperature").to_zarr(tmp_path / "store.zarr", consolidated=False)
    assert_canonical(read_background([tmp_path / "store.zarr"]))


@pytest.mark.parametrize("format", ["NETCDF3_CLASSIC", "NETCDF3_64BIT", "NETCDF3_64BIT_DATA"])
def test_the_expected_size_counts_every_record(tmp_path, format):
    data = several_times(dataset(["t"]))
    path = save(data, tmp_path / "bg.nc", format=format, unlimited_dims=["time"])
    size = path.stat().st_size
    assert size - 4 < expected_size(path) <= size
    path.write_bytes(path.read_bytes()[: size - 2000])
    with pytest.raises(BadDataError, match="is cut off: "):
        read_background([path], time=TIME)


DAMAGED = {
    "a time that is missing": (
        lambda d: d.assign_coords(time=("time", [np.nan], {"units": "hours since 2020-03-01"})),
        "the time 'time' has missing values",
    ),
    "a level without entries": (lambda d: d.isel(level=slice(0, 0)), "its dimension 'level' has no entries"),
    "a level of zero": (
        lambda d: d.assign_coords(level=("level", [0.0, *d["level"].values[1:]], {"units": "hPa"})),
        r"has the value 0 \(entry 0\), which is no pressure",
    ),
    "an increment": (
        lambda d: d.assign(t=d["t"].assign_attrs(units_metadata="temperature: difference")),
        "its 't' is a difference",
    ),
    "one time twice": (
        lambda d: xr.concat([d, d], "time", data_vars="minimal"),
        "2 forecasts valid at .* choose one with ncks -d time,0",
    ),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_axes_are_refused_with_the_remedy(tmp_path, damage):
    change, said = DAMAGED[damage]
    with pytest.raises(BadDataError, match=said):
        read_background([save(change(dataset()), tmp_path / "bg.nc")])


def test_fields_on_an_axis_without_pressures_are_named(tmp_path):
    data = dataset(["t"]).assign(u=dataset(["u"])["u"].rename(level="height"))
    data = data.assign_coords(height=("height", np.arange(data.sizes["height"]) * 100.0, {"units": "m"}))
    background = read_background([save(data, tmp_path / "bg.nc")])
    assert any("height is no axis of pressure, so phyda does not read what is on it: u" in n for n in background.notes)
