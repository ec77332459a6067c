"""The analysis file: content, conventions, and the same bytes for the same run."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import torch
import xarray as xr

from phyda_cli.constants import GRAVITY
from phyda_cli.errors import BadDataError, CannotWriteError
from phyda_cli.fields.state import Channel
from phyda_cli.fields.thermodynamics import dewpoint_from_specific_humidity, relative_humidity_from_specific_humidity
from phyda_cli.formats.gridded.analysis import analysis_dataset, write_analysis, write_increment
from phyda_cli.formats.gridded.analysis_members import write_members
from phyda_cli.formats.gridded.background import read_background
from phyda_cli.formats.gridded.spread_fields import humidity_channels, humidity_spread
from phyda_cli.formats.provenance import InputRecord, provenance
from tests.support.fields import LEVELS, dataset, message, save, wave, write_grib

ABOUT = {"history": "2020-01-01T00:00:00Z phyda", "date_created": "2020-01-01T00:00:00Z"}

GROUND = (("t2m", "K", 280.0), ("u10", "m s-1", 1.0), ("v10", "m s-1", -1.0), ("msl", "Pa", 101_000.0))
SOIL = {"units": "1", "standard_name": "volume_fraction_of_condensed_water_in_soil"}


@pytest.fixture
def background(tmp_path):
    """North to south, from −180°, temperature in °C, height for geopotential, and a field that phyda does not know."""
    data = dataset(["t", "u", "gh"]).isel(latitude=slice(None, None, -1))
    data["t"] = (data["t"] - 273.15).assign_attrs(units="degC", valid_range=[-90.0, 60.0])
    data["soil"] = (("latitude", "longitude"), np.where(np.eye(7, 12) > 0, np.nan, 0.25), SOIL)
    data = data.assign_coords(longitude=(data.longitude + 180.0) % 360.0 - 180.0).sortby("longitude")
    data["longitude"].attrs["units"] = "degrees_east"
    return read_background([save(data.assign_attrs(history="made"), tmp_path / "bg.nc")])


def shifted(background, by=1.0):
    return replace(background.state, values=background.state.values + by)


def write(path, background, **options):
    write_analysis(path, background, shifted(background), attributes=ABOUT, **options)
    return xr.open_dataset(path)


def test_values_are_on_the_background_s_axes_in_its_units(tmp_path, background):
    with write(tmp_path / "a.nc", background) as analysis, xr.open_dataset(tmp_path / "bg.nc") as before:
        for axis in ("latitude", "longitude", "level"):
            np.testing.assert_array_equal(analysis[axis], before[axis])
        np.testing.assert_allclose(analysis["t"], before["t"] + 1.0, rtol=1e-12)
        np.testing.assert_allclose(analysis["gh"], before["gh"] + 1.0 / GRAVITY, rtol=1e-12)
        np.testing.assert_array_equal(analysis["soil"].isel(time=0), before["soil"])
        assert analysis["time"].values.ravel() == [np.datetime64("2020-03-01T12", "ns")]
        assert analysis["t"].attrs["units_metadata"] == "temperature: on_scale"
        assert "valid_range" not in analysis["t"].attrs
        assert analysis.attrs["history"] == f"{ABOUT['history']}\nmade"


def test_the_analysis_is_a_background_again(tmp_path, background):
    write(tmp_path / "a.nc", background).close()
    again = read_background([tmp_path / "a.nc"])
    assert again.state.channels == background.state.channels
    assert again.state.time == background.state.time
    np.testing.assert_allclose(again.state.values, shifted(background).values, rtol=1e-6)


def test_encoding(tmp_path, background):
    with write(tmp_path / "a.nc", background) as analysis:
        assert "_FillValue" not in analysis["latitude"].encoding
        assert "_FillValue" not in analysis["t"].encoding
        assert np.isfinite(analysis["soil"].encoding["_FillValue"])
        assert analysis["time"].encoding["units"] == "hours since 1970-01-01"
        assert analysis["time"].encoding["calendar"] in ("standard", "gregorian", "proleptic_gregorian")
        assert {key: analysis["t"].encoding[key] for key in ("zlib", "complevel", "shuffle")} == {
            "zlib": True,
            "complevel": 1,
            "shuffle": True,
        }


def test_spread_has_the_units_of_its_field_and_no_offset(tmp_path, background):
    spread = replace(background.state, values=0.0 * background.state.values)
    for channel, value in ((Channel("t", LEVELS[0]), 2.0), (Channel("z", LEVELS[1]), 3.0 * GRAVITY)):
        spread.values[spread.index(channel), 6, 0] = value  # the north pole at 0°E
    with write(tmp_path / "a.nc", background, spread=spread) as analysis:
        place = {"latitude": 90.0, "longitude": 0.0}
        assert float(analysis["t_spread"].sel(**place, level=850.0).squeeze()) == pytest.approx(2.0)
        assert float(analysis["gh_spread"].sel(**place, level=500.0).squeeze()) == pytest.approx(3.0)
        assert float(analysis["t_spread"].sum()) == pytest.approx(2.0)
        assert "u_spread" not in analysis
        assert analysis["t"].attrs["ancillary_variables"] == "t_spread"
        assert analysis["t_spread"].attrs["standard_name"] == "air_temperature standard_error"
        assert analysis["t_spread"].attrs["units_metadata"] == "temperature: difference"


@pytest.mark.parametrize("name", ["r", "td"])
def test_humidity_of_another_kind_has_the_spread_of_its_members(tmp_path, name):
    """Of members that the test makes; those of temperature move relative humidity too."""
    data = dataset(["t"])
    humidity = data["t"] - 10.0 if name == "td" else 0.5 + 0.0 * data["t"]
    data[name] = humidity.assign_attrs(units="K" if name == "td" else "1")
    background = read_background([save(data, tmp_path / "bg.nc")])
    wanted = humidity_channels(background)
    assert set(wanted) == {Channel(v, level) for v in "qt" for level in LEVELS}
    generator = torch.Generator().manual_seed(1)
    members = []
    for _ in range(5):
        state = background.state.select(wanted)
        size = torch.tensor([1.0 if c.variable == "t" else 1e-4 for c in wanted])[:, None, None]
        members.append(
            replace(state, values=state.values + size * torch.randn(state.values.shape, generator=generator))
        )
    found = humidity_spread(background, members)
    level = LEVELS[1]
    q, t = (torch.stack([m.values[m.index(Channel(v, level))] for m in members]) for v in "qt")
    own = (
        relative_humidity_from_specific_humidity(q, t, level)
        if name == "r"
        else dewpoint_from_specific_humidity(q, level)
    )
    spread = replace(background.state, values=torch.full_like(background.state.values, 0.1))
    with write(tmp_path / "a.nc", background, spread=spread, of_humidity=found) as analysis:
        held = analysis[f"{name}_spread"]
        np.testing.assert_allclose(held.isel(time=0, level=1), own.std(0), rtol=2.0**-11)
        assert held.attrs["standard_name"].endswith("standard_error")
        assert analysis[name].attrs["ancillary_variables"] == f"{name}_spread"
    with write(tmp_path / "b.nc", background, spread=spread) as without:
        assert f"{name}_spread" not in without
        assert "t_spread" in without


def test_increment_is_a_difference_of_the_known_fields(tmp_path, background):
    write_increment(tmp_path / "i.nc", background, shifted(background), attributes=ABOUT)
    with xr.open_dataset(tmp_path / "i.nc") as increment:
        assert set(increment.data_vars) == {"t", "u", "gh"}
        np.testing.assert_allclose(increment["t"], 1.0, rtol=1e-9)
        np.testing.assert_allclose(increment["gh"], 1.0 / GRAVITY, rtol=1e-9)
        assert increment["t"].attrs["units_metadata"] == "temperature: difference"
        assert increment["t"].attrs["standard_name"] == "air_temperature"


def test_nan_is_refused_and_nothing_is_written(tmp_path, background):
    state = shifted(background)
    state.values[state.index(Channel("u", LEVELS[0])), 2, 3] = float("nan")
    with pytest.raises(BadDataError, match="1 values of the analysis of u850 are not finite"):
        write_analysis(tmp_path / "a.nc", background, state, attributes=ABOUT)
    assert not (tmp_path / "a.nc").exists()


def test_existing_file_is_kept(tmp_path, background):
    (tmp_path / "a.nc").write_text("mine")
    with pytest.raises(CannotWriteError, match="--overwrite"):
        write_analysis(tmp_path / "a.nc", background, shifted(background), attributes=ABOUT)
    assert (tmp_path / "a.nc").read_text() == "mine"


def test_same_run_same_bytes(tmp_path, background, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1583064000")
    for name in ("a.nc", "b.nc"):
        record = InputRecord()
        record.add([tmp_path / "bg.nc"])
        about = provenance(record, [tmp_path / "bg.nc"], weights=(), settings={"seed": 1}, log={"used": 3})
        assert about["date_created"] == "2020-03-01T12:00:00Z"
        write_analysis(tmp_path / name, background, shifted(background), attributes=about)
    assert (tmp_path / "a.nc").read_bytes() == (tmp_path / "b.nc").read_bytes()


def test_from_grib_no_grib_attributes_are_left(tmp_path):
    path = write_grib(
        [message("t", level) for level in LEVELS]
        + [message("msl", values=np.full((7, 12), 1e5), keys={"typeOfLevel": "meanSea"})],
        tmp_path / "g",
    )
    background = read_background([path])
    with write(tmp_path / "a.nc", background) as analysis:
        attributes = [name for variable in analysis.variables.values() for name in variable.attrs]
        assert not [name for name in attributes if name.startswith("GRIB_")]
        assert "forecast_reference_time" not in analysis.coords
        np.testing.assert_allclose(
            analysis["t"].isel(time=0).sel(isobaricInhPa=500.0), wave("t", 50000.0)[::-1] + 1.0, rtol=1e-5
        )


def test_members_of_a_background_that_was_a_member_itself(tmp_path):
    path = write_grib([message("t", level, member=7) for level in LEVELS], tmp_path / "g")
    background = read_background([path], member=7)
    members = [shifted(background, by) for by in (0.0, 1.0, 2.5)]
    for name in ("m.nc", "n.nc"):
        write_members(tmp_path / name, background, iter(members), count=3, attributes=ABOUT)
    assert (tmp_path / "m.nc").read_bytes() == (tmp_path / "n.nc").read_bytes()
    with xr.open_dataset(tmp_path / "m.nc") as file:
        assert file["number"].values.tolist() == [0, 1, 2]
        assert file["number"].attrs["standard_name"] == "realization"
        assert file["t"].dims[:2] == ("time", "number")
        assert "number" not in file.encoding["unlimited_dims"]
    for number, member in enumerate(members):
        again = read_background([tmp_path / "m.nc"], member=number)
        np.testing.assert_allclose(again.state.values, member.values, rtol=1e-6)
    spoiled = shifted(background, float("nan"))
    with pytest.raises(BadDataError, match="of the member 1 of t"):
        write_members(tmp_path / "o.nc", background, [members[0], spoiled], count=2, attributes=ABOUT)
    assert not (tmp_path / "o.nc").exists()


def near_ground(tmp_path):
    """A background with fields at 2 m, 10 m and sea level."""
    data, axes = dataset(["t"]), ("time", "latitude", "longitude")
    for name, units, value in GROUND:
        data[name] = (axes, np.full((1, 7, 12), value) + wave("u", LEVELS[0]), {"units": units})
    return read_background([save(data, tmp_path / "ground.nc")])


def test_fields_near_the_ground_name_their_heights(tmp_path):
    background = near_ground(tmp_path)
    for _ in range(2):  # an analysis is a background again
        write_analysis(tmp_path / "a.nc", background, shifted(background), attributes=ABOUT, overwrite=True)
        with netCDF4.Dataset(tmp_path / "a.nc") as file:
            named = {name: getattr(file[name], "coordinates", None) for name in ("t2m", "u10", "v10", "msl", "t")}
            assert (float(file["height_2m"][:]), float(file["height_10m"][:])) == (2.0, 10.0)
            assert file["height_2m"].standard_name == "height"
            assert "coordinates" not in file.ncattrs()
        assert named == {"t2m": "height_2m", "u10": "height_10m", "v10": "height_10m", "msl": None, "t": None}
        again = read_background([tmp_path / "a.nc"])
        assert again.state.channels == background.state.channels
        background = again
    whole = analysis_dataset(background, shifted(background), attributes=ABOUT)
    whole.to_netcdf(tmp_path / "b.nc")  # the same by xarray alone
    with netCDF4.Dataset(tmp_path / "b.nc") as file:
        assert {name: getattr(file[name], "coordinates", None) for name in named} == named


def test_a_height_that_the_file_has_is_taken(tmp_path):
    height = xr.Variable((), 2.0, {"standard_name": "height", "units": "m"})
    with xr.open_dataset(near_ground(tmp_path).sources[0]) as data:
        save(data[["t2m"]].assign_coords(height=height), tmp_path / "cmip.nc")
    background = read_background([tmp_path / "cmip.nc"])
    write_analysis(tmp_path / "a.nc", background, shifted(background), attributes=ABOUT)
    with netCDF4.Dataset(tmp_path / "a.nc") as file:
        assert file["t2m"].coordinates == "height"
        assert "height_2m" not in file.variables


def findings(path) -> dict[str, list[str]]:
    """What compliance-checker finds: everything by CF, by ACDD what is of high priority."""
    report, checker = path.with_suffix(".json"), Path(sys.executable).with_name("compliance-checker")
    options = ["-t", "cf:1.11", "-t", "acdd:1.3", "-f", "json", "-o", report]
    subprocess.run([checker, *options, path], check=False, capture_output=True)
    found = json.loads(report.read_text())
    assert all(found[name]["scored_points"] > 0 for name in ("cf:1.11", "acdd:1.3"))
    ranks = {"cf:1.11": ("high", "medium", "low"), "acdd:1.3": ("high",)}
    return {
        name: [message for rank in each for entry in found[name][f"{rank}_priorities"] for message in entry["msgs"]]
        for name, each in ranks.items()
    }


def test_compliance_checker_finds_nothing(tmp_path):
    background = near_ground(tmp_path)
    spread = replace(background.state, values=background.state.values * 0 + 1.5)
    write_analysis(tmp_path / "a.nc", background, shifted(background), spread=spread, attributes=ABOUT)
    write_increment(tmp_path / "i.nc", background, shifted(background), attributes=ABOUT)
    for name in ("a.nc", "i.nc"):
        assert findings(tmp_path / name) == {"cf:1.11": [], "acdd:1.3": []}
