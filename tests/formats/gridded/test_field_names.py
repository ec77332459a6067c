"""Names of variables in the layouts of many producers, and levels in names."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from phyda_cli.errors import BadDataError
from phyda_cli.fields.state import Channel
from phyda_cli.formats.gridded.analysis import write_analysis
from phyda_cli.formats.gridded.background import read_background
from phyda_cli.formats.gridded.folding import levels_in_names
from tests.formats.gridded.test_labels import LEVELS, atmosphere
from tests.support.fields import longitudes, save

SURFACE = {"msl": 1.0e5, "sp": 9.8e4, "t2m": 285.0, "u10": 4.0, "v10": -3.0}
UNITS = {"msl": "Pa", "sp": "Pa", "t2m": "K", "u10": "m s-1", "v10": "m s-1", "u": "m s-1", "v": "m s-1"}
PRODUCERS = {
    "CESM": {"t": "T", "gh": "Z3", "u": "U", "v": "V", "q": "Q", "sp": "PS", "msl": "PSL", "t2m": "TREFHT"},
    "CESM humidity": {"t": "T", "r": "RELHUM"},
    "CMIP": {"t": "ta", "gh": "zg", "u": "ua", "v": "va", "q": "hus", "msl": "psl", "sp": "ps", "t2m": "tas",
             "u10": "uas", "v10": "vas"},
    "CMIP humidity": {"t": "ta", "r": "hur"},
    "MERRA-2": {"t": "T", "gh": "H", "u": "U", "v": "V", "q": "QV", "msl": "SLP", "sp": "PS", "t2m": "T2M",
                "u10": "U10M", "v10": "V10M"},
    "NCL": {"t": "TMP_P0_L100_GLL0", "gh": "HGT_P0_L100_GLL0", "u": "UGRD_P0_L100_GLL0", "v": "VGRD_P0_L100_GLL0",
            "r": "RH_P0_L100_GLL0", "msl": "PRMSL_P0_L101_GLL0", "sp": "PRES_P0_L1_GLL0"},
    "THREDDS": {"t": "Temperature_isobaric", "gh": "Geopotential_height_isobaric", "u": "u-component_of_wind_isobaric",
                "v": "v-component_of_wind_isobaric", "r": "Relative_humidity_isobaric",
                "msl": "Pressure_reduced_to_MSL_msl", "sp": "Pressure_surface"},
    "NOMADS": {"t": "tmpprs", "gh": "hgtprs", "u": "ugrdprs", "v": "vgrdprs", "r": "rhprs", "msl": "prmslmsl",
               "sp": "pressfc", "t2m": "tmp2m", "u10": "ugrd10m", "v10": "vgrd10m"},
    "NCEP reanalysis": {"t": "air", "gh": "hgt", "u": "uwnd", "v": "vwnd", "q": "shum", "msl": "slp"},
    "WRF preprocessor": {"t": "TT", "gh": "GHT", "u": "UU", "v": "VV", "r": "RH", "msl": "PMSL", "sp": "PSFC"},
    "WeatherBench 2": {"t": "temperature", "z": "geopotential", "u": "u_component_of_wind",
                       "v": "v_component_of_wind", "q": "specific_humidity", "msl": "mean_sea_level_pressure",
                       "t2m": "2m_temperature", "u10": "10m_u_component_of_wind", "v10": "10m_v_component_of_wind"},
}  # fmt: skip


def fields(names):
    """The standard atmosphere with winds and surface fields of the named variables, under their own names."""
    data = atmosphere(tuple(name for name in names if name in ("t", "z", "gh", "q", "r")))
    wave = 1 + 0.1 * np.cos(np.radians(longitudes())) * np.ones((7, 1))
    for name in names:
        if name in ("u", "v"):
            speed = 10.0 + LEVELS[:, None, None] / 100
            data[name] = (("level", "latitude", "longitude"), wave * speed * (1 if name == "u" else -1))
        elif name in SURFACE:
            data[name] = (("latitude", "longitude"), SURFACE[name] * (1 + 0.01 * (wave - 1)))
        if name in UNITS:
            data[name].attrs["units"] = UNITS[name]
    return data


@pytest.mark.parametrize("producer", PRODUCERS)
def test_the_names_of_producers_are_known_and_kept(tmp_path, producer):
    names = PRODUCERS[producer]
    plain = fields(names)
    background = read_background([save(plain.rename(names), tmp_path / "bg.nc")])
    expected = read_background([save(plain, tmp_path / "plain.nc")])
    assert set(background.state.channels) == set(expected.state.channels)
    np.testing.assert_allclose(
        background.state.select(expected.state.channels).values, expected.state.values, rtol=1e-12
    )
    assert not [note for note in background.notes if "not read" in note]
    write_analysis(tmp_path / "a.nc", background, background.state, attributes={})
    with xr.open_dataset(tmp_path / "a.nc") as file:
        assert set(file.data_vars) == set(names.values())


def test_heights_are_known_by_their_long_name(tmp_path):
    data = fields(["t", "gh"]).rename(gh="GEO")
    data["GEO"].attrs["long_name"] = "Geopotential Height (above sea level)"
    assert Channel("z", 50_000.0) in read_background([save(data, tmp_path / "bg.nc")]).state.channels


def by_level(data, form, units=True):
    """One variable for each level, named by `form`; the surface fields stay."""
    flat = {}
    for name, field in data.data_vars.items():
        for index, level in enumerate(LEVELS if "level" in field.dims else []):
            flat[form(name, int(level))] = field.isel(level=index, drop=True)
        if "level" not in field.dims:
            flat[name] = field
    result = xr.Dataset(flat).drop_vars("level", errors="ignore")
    for name in result.data_vars:
        if not units:
            del result[name].attrs["units"]
    return result


@pytest.mark.parametrize("units", [True, False])
@pytest.mark.parametrize("form", ["{}{}", "{}_{}", "{}_{}mb", "{}-{}hPa"])
def test_levels_in_names_are_levels(tmp_path, form, units):
    data = fields(["t", "z", "u", "v", "q", "msl", "t2m"])
    path = save(by_level(data, form.format, units).rename(t2m="t2m"), tmp_path / "e2s.nc")
    background = read_background([path])
    expected = read_background([save(data, tmp_path / "plain.nc")])
    assert set(background.state.channels) == set(expected.state.channels)
    np.testing.assert_allclose(
        background.state.select(expected.state.channels).values, expected.state.values, rtol=1e-12
    )
    write_analysis(tmp_path / "a.nc", background, background.state, attributes={})
    with xr.open_dataset(tmp_path / "a.nc") as file:
        assert {form.format("t", 500), "msl"} <= set(file.data_vars)
    assert read_background([tmp_path / "a.nc"]).state.channels == background.state.channels


def test_humidity_named_by_level_without_a_unit_is_what_its_numbers_are(tmp_path):
    data = by_level(fields(["t", "q"]), "{}{}".format, units=False)
    right = read_background([save(data, tmp_path / "right.nc")]).state
    data["q1000"] = 1000 * data["q1000"]
    state = read_background([save(data, tmp_path / "bg.nc")]).state
    np.testing.assert_allclose(state.values, right.values, rtol=1e-12)


def test_a_wind_at_100_m_is_none_at_100_hpa():
    assert levels_in_names(["u100", "v100", "t2m", "u10", "v10"]) == {}
    assert levels_in_names(["u100", "u850"])["u100"][1] == 10_000.0
    assert levels_in_names(["TMP_500mb"])["TMP_500mb"][1] == 50_000.0
    assert "t2000" not in levels_in_names(["t2000", "t500", "t850"])


def test_a_level_beside_surface_fields_is_theirs_alone(tmp_path):
    data = fields(["t", "msl", "sp", "t2m"]).isel(level=3)
    state = read_background([save(data, tmp_path / "bg.nc")]).state
    assert set(state.channels) == {Channel("t", 50_000.0), Channel("msl"), Channel("sp"), Channel("t2m")}
    assert float(state.values[state.index(Channel("msl"))].mean()) == pytest.approx(1e5, rel=1e-3)


def test_what_is_not_read_is_named_once(tmp_path):
    data = fields(["t"])
    for number in range(11):
        data[f"soil{number:02}"] = data["t"].isel(level=0, drop=True)
    notes = read_background([save(data, tmp_path / "bg.nc")]).notes
    named = [note for note in notes if "not read" in note]
    assert len(named) == 1
    assert named[0].endswith("soil06, soil07 and 3 more")


def test_hybrid_levels_with_nominal_pressures_are_no_pressure_levels(tmp_path):
    data = fields(["t"])
    data["level"].attrs["standard_name"] = "atmosphere_hybrid_sigma_pressure_coordinate"
    with pytest.raises(BadDataError, match="interpolate model levels to pressure levels first"):
        read_background([save(data, tmp_path / "bg.nc")])
