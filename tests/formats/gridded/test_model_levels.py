"""Model levels: pressures of every description, interpolation that is exact for ln p, and increments brought back."""

from __future__ import annotations

from dataclasses import replace

import eccodes
import numpy as np
import pytest
import xarray as xr

from phyda_cli.constants import CP_DRY, R_DRY
from phyda_cli.errors import BadDataError
from phyda_cli.fields.state import Channel
from phyda_cli.formats.gridded.analysis import analysis_dataset, increment_dataset, write_analysis
from phyda_cli.formats.gridded.analysis_members import members_dataset
from phyda_cli.formats.gridded.background import background_of, read_background
from phyda_cli.grids.maps import Cylinder, Earth

TIME = np.datetime64("2020-03-01T12:00", "ns")
LAT, LON = np.arange(40.0, 46.0), np.arange(5.0, 12.0)
A = np.array([5000.0, 12000.0, 10000.0, 4000.0, 500.0, 0.0])  # of full levels [Pa]
B = np.array([0.0, 0.05, 0.35, 0.70, 0.92, 0.995])
SURFACE = 1e5 - 9000.0 * np.exp(-0.5 * ((LAT[:, None] - 43) ** 2 + (LON - 8) ** 2))
PRESSURE = A[:, None, None] + B[:, None, None] * SURFACE


def of_pressure(pressure: np.ndarray) -> np.ndarray:
    """A temperature that is linear in ln p."""
    return 290.0 + 30.0 * np.log(pressure / 1e5)


def hybrid(terms: str = "ap") -> xr.Dataset:
    field = (("lev", "lat", "lon"), of_pressure(PRESSURE), {"units": "K", "standard_name": "air_temperature"})
    data = xr.Dataset(
        {"ta": field, "ps": (("lat", "lon"), SURFACE, {"units": "Pa"}), "ap": ("lev", A), "b": ("lev", B)},
        {
            "time": TIME, "lev": ("lev", np.arange(1.0, 7.0)),
            "lat": ("lat", LAT, {"units": "degrees_north"}), "lon": ("lon", LON, {"units": "degrees_east"}),
        },
    )  # fmt: skip
    about = {"standard_name": "atmosphere_hybrid_sigma_pressure_coordinate", "formula_terms": "ap: ap b: b ps: ps"}
    if terms == "a":
        about["formula_terms"] = "a: a b: b p0: p0 ps: ps"
        data = data.assign(a=("lev", A / 1e5), p0=1e5).drop_vars("ap")
    if terms in ("hyam", "lnsp"):
        data = data.assign(hyam=("nhym", A), hybm=("nhym", B)).drop_vars(["ap", "b"])
        about = {"long_name": "hybrid level at layer midpoints"}
    if terms == "lnsp":
        data = data.assign(lnsp=(("one", "lat", "lon"), np.log(SURFACE)[None])).drop_vars("ps")
    data["lev"].attrs = about
    return data


@pytest.mark.parametrize("terms", ["ap", "a", "hyam", "lnsp"])
def test_what_is_linear_in_the_logarithm_of_pressure_comes_exactly(terms):
    """Whatever way the file says the pressure; below the lowest level it is the extension, along 6.5 K/km."""
    background = background_of(hybrid(terms))
    state = background.state
    held = state.levels("t")
    assert held[0] == 97_500.0
    assert min(held) == 5_000.0
    lowest = PRESSURE.max(0)
    for number, channel in enumerate(state.channels):
        if channel.variable != "t":
            continue
        inside = channel.level <= lowest
        found = state.values[number].numpy()
        np.testing.assert_allclose(found[inside], of_pressure(channel.level), atol=1e-4)  # the file's single precision
    under = state.values[state.index(Channel("t", 97_500.0))].numpy()[lowest < 97_500.0]
    assert under.size > 3
    assert np.isfinite(under).all()
    assert any("6 model levels (t)" in note for note in background.notes)


def test_sigma_levels():
    sigma = np.array([0.1, 0.5, 0.9])
    pressure = 1000.0 + sigma[:, None, None] * (SURFACE - 1000.0)
    data = (
        hybrid()
        .isel(lev=slice(0, 3))
        .drop_vars(["ap", "b"])
        .assign(sigma=("lev", sigma), ptop=1000.0, ta=(("lev", "lat", "lon"), of_pressure(pressure), {"units": "K"}))
    )
    data["lev"].attrs = {
        "standard_name": "atmosphere_sigma_coordinate", "formula_terms": "sigma: sigma ps: ps ptop: ptop"
    }  # fmt: skip
    state = background_of(data).state
    at = state.values[state.index(Channel("t", 50_000.0))].numpy()
    np.testing.assert_allclose(at, of_pressure(np.array(50_000.0)), atol=1e-4)


def test_increments_go_back_to_the_levels_and_what_does_not_change_stays():
    """An increment linear in ln p is added as it is at each level; none changes no bit."""
    data = hybrid()
    background = background_of(data)
    state = background.state
    same = analysis_dataset(background, state, attributes={})
    np.testing.assert_array_equal(same["ta"].values[0], data["ta"].values.astype(np.float32))
    assert same["ta"].dims == ("time", "lev", "lat", "lon")
    assert "t_pl" not in same
    assert "pressure_level" not in same.variables

    values = state.values.clone()
    for number, channel in enumerate(state.channels):
        if channel.variable == "t":
            values[number] += 1.0 + 0.5 * np.log(channel.level / 1e5)
    moved = replace(state, values=values)
    change = analysis_dataset(background, moved, attributes={})["ta"].values[0] - data["ta"].values
    levels = state.levels("t")
    # below the lowest pressure level that a column reaches the increment there goes on
    lowest = np.max([np.where(PRESSURE.max(0) >= level, level, 0.0) for level in levels], axis=0)
    inside = (lowest >= PRESSURE) & (min(levels) <= PRESSURE)
    np.testing.assert_allclose(change[inside], (1.0 + 0.5 * np.log(PRESSURE / 1e5))[inside], atol=1e-4)
    top = change[0]
    np.testing.assert_allclose(top, 1.0 + 0.5 * np.log(min(levels) / 1e5), atol=1e-4)
    assert (change[-1] > 0.9).all()
    increment = increment_dataset(background, moved, attributes={})["ta"]
    np.testing.assert_allclose(increment.values[0], change, atol=1e-4)
    spread = analysis_dataset(background, state, spread=replace(state, values=values * 0 + 0.7), attributes={})
    np.testing.assert_allclose(spread["ta_spread"].values, 0.7, rtol=2.0**-11)
    members = members_dataset(background, [state, moved], count=2, attributes={})["ta"]
    assert members.dims == ("time", "number", "lev", "lat", "lon")
    np.testing.assert_allclose(members.values[0, 1] - members.values[0, 0], change, atol=1e-4)


def wrf() -> xr.Dataset:
    """A small Mercator domain of WRF with constant winds and a known temperature."""
    rows, columns, levels = 7, 8, 6
    radius, step = 6_370_000.0, 50_000.0
    x, y = step * np.arange(columns), step * (np.arange(rows) - 3)
    lat, lon = Cylinder(Earth(radius), -90.0, radius).inverse(np.repeat(y, columns), np.tile(x, rows))
    pressure = np.linspace(98_000.0, 20_000.0, levels)[:, None, None] * np.ones((levels, rows, columns))
    theta = of_pressure(pressure) * (1e5 / pressure) ** (R_DRY / CP_DRY)
    stag = {"U": (levels, rows, columns + 1), "V": (levels, rows + 1, columns)}
    east, north = "west_east", "south_north"
    dims = ("bottom_top", north, east)
    fields = {
        "T": (dims, theta - 300.0), "P": (dims, pressure - 5e4), "PB": (dims, np.full(pressure.shape, 5e4)),
        "QVAPOR": (dims, np.full(pressure.shape, 0.01)),
        "U": (("bottom_top", north, f"{east}_stag"), np.full(stag["U"], 12.0)),
        "V": (("bottom_top", f"{north}_stag", east), np.full(stag["V"], -4.0)),
    }  # fmt: skip
    data = xr.Dataset({name: (("Time", *d), v[None].astype(np.float32)) for name, (d, v) in fields.items()})
    data["XLAT"] = (("Time", north, east), lat.reshape(1, rows, columns), {"units": "degree_north"})
    data["XLONG"] = (("Time", north, east), lon.reshape(1, rows, columns), {"units": "degree_east"})
    data["XTIME"] = ("Time", [0.0], {"units": "minutes since 2020-03-01 12:00:00"})
    about = {"MAP_PROJ": 3, "DX": step, "DY": step, "TRUELAT1": 0.0, "TRUELAT2": 0.0, "STAND_LON": -90.0}
    return data.assign_attrs(about)


def test_wrf_is_read_and_written_in_its_own_variables(tmp_path):
    background = background_of(wrf())
    state = background.state
    assert isinstance(state.grid.projection, Cylinder)
    at = {name: state.values[state.index(Channel(name, 50_000.0))].numpy() for name in "tuvq"}
    np.testing.assert_allclose(at["t"], of_pressure(np.array(50_000.0)), atol=1.0)  # θ is linear in ln p, not T
    np.testing.assert_allclose(at["u"], 12.0, atol=1e-5)
    np.testing.assert_allclose(at["v"], -4.0, atol=1e-5)
    np.testing.assert_allclose(at["q"], 0.01 / 1.01, rtol=1e-6)
    sizes = {"t": 2.0, "u": 3.0, "v": 1.0, "q": 1e-3}
    values = state.values.clone()
    for number, channel in enumerate(state.channels):
        values[number] += sizes[channel.variable]
    write_analysis(tmp_path / "wrf.nc", background, replace(state, values=values), attributes={})
    with xr.open_dataset(tmp_path / "wrf.nc") as written:
        before = wrf()
        exner = ((before["P"] + before["PB"]) / 1e5) ** (R_DRY / CP_DRY)
        np.testing.assert_allclose((written["T"].values - before["T"].values) * exner.values, 2.0, atol=1e-4)
        np.testing.assert_allclose(written["U"].values, 15.0, atol=1e-5)
        np.testing.assert_allclose(written["V"].values, -3.0, atol=1e-5)
        np.testing.assert_allclose(written["QVAPOR"].values - 0.01, 1e-3 * 1.01**2, rtol=1e-5)
        for name in ("P", "PB"):
            np.testing.assert_array_equal(written[name].values, before[name].values)
        assert written["U"].dims[1:] == ("bottom_top", "south_north", "west_east_stag")
        assert written.attrs["MAP_PROJ"] == 3
    again = read_background([tmp_path / "wrf.nc"]).state
    assert again.grid == state.grid
    wind = again.values[again.index(Channel("u", 50_000.0))].numpy()
    np.testing.assert_allclose(wind, 15.0, atol=1e-4)


def ml(name: str, level: int, values: np.ndarray) -> int:
    own = eccodes.codes_grib_new_from_samples("regular_gg_ml_grib2")
    half_a, half_b = np.array([0.0, 10_000.0, 10_000.0, 0.0]), np.array([0.0, 0.1, 0.6, 1.0])
    keys = {
        "gridType": "regular_ll", "Ni": 7, "Nj": 6, "numberOfDataPoints": 42, "latitudeOfFirstGridPointInDegrees": 45.0,
        "latitudeOfLastGridPointInDegrees": 40.0, "longitudeOfFirstGridPointInDegrees": 5.0,
        "longitudeOfLastGridPointInDegrees": 11.0, "iDirectionIncrementInDegrees": 1.0,
        "jDirectionIncrementInDegrees": 1.0, "dataDate": 20200301, "dataTime": 1200, "shortName": name, "level": level,
    }  # fmt: skip
    for key, value in keys.items():
        eccodes.codes_set(own, key, value)
    eccodes.codes_set(own, "PVPresent", 1)
    eccodes.codes_set_array(own, "pv", np.concatenate([half_a, half_b]))
    eccodes.codes_set(own, "bitsPerValue", 24)
    eccodes.codes_set_values(own, values[::-1].ravel())
    return own


def written(path, handles):
    with path.open("wb") as file:
        for own in handles:
            eccodes.codes_write(own, file)
            eccodes.codes_release(own)
    return path


def test_hybrid_levels_of_grib_have_the_pressure_of_their_half_levels(tmp_path):
    full = 0.5 * (np.array([0.0, 1e4, 1e4])[:, None, None] + np.array([1e4, 1e4, 0.0])[:, None, None])
    full = full + 0.5 * (np.array([0, 0.1, 0.6]) + np.array([0.1, 0.6, 1.0]))[:, None, None] * SURFACE
    fields = [ml("t", level + 1, of_pressure(full[level])) for level in range(3)]
    state = read_background([written(tmp_path / "a.grib2", [*fields, ml("lnsp", 1, np.log(SURFACE))])]).state
    assert state.channels[0].variable == "t"
    found = state.values[state.index(Channel("t", 50_000.0))].numpy()
    np.testing.assert_allclose(found, of_pressure(np.array(50_000.0)), atol=1e-3)
    alone = written(tmp_path / "b.grib2", [ml("t", level + 1, of_pressure(full[level])) for level in range(3)])
    with pytest.raises(BadDataError, match=r"t is on hybrid levels.*give sp or lnsp of the same time too"):
        read_background([alone])
