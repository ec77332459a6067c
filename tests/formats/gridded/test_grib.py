from __future__ import annotations

import os

import numpy as np
import pytest

from phyda_cli.errors import BadDataError, UsageError
from phyda_cli.fields.state import Channel
from phyda_cli.formats.gridded.background import read_background
from tests.support.fields import COLUMNS, LEVELS, ROWS, TIME, message, wave, write_grib, write_multi_field


def plane(background, name, level=None):
    state = background.state
    return state.values[..., state.index(Channel(name, level)), :, :].numpy()


@pytest.mark.parametrize("edition", [1, 2])
def test_values_times_and_levels_of_both_editions(tmp_path, edition):
    handles = [message(name, level, edition=edition) for name in "tuv" for level in LEVELS]
    background = read_background([write_grib(handles, tmp_path / "bg.f000")])
    assert background.state.time == TIME
    assert background.state.levels("u") == LEVELS
    for name in "tuv":
        for level in LEVELS:
            np.testing.assert_allclose(plane(background, name, level), wave(name, level), rtol=1e-6)
    assert os.listdir(tmp_path) == ["bg.f000"]  # no index file


def test_both_fields_of_a_multi_field_message_are_read(tmp_path):
    path = write_multi_field([message("u", 50000.0), message("v", 50000.0)], tmp_path / "uv.grib2")
    background = read_background([path])
    assert set(background.state.channels) == {Channel("u", 50000.0), Channel("v", 50000.0)}
    np.testing.assert_allclose(plane(background, "v", 50000.0), wave("v", 50000.0), rtol=1e-6)


@pytest.mark.parametrize("from_south", [0, 1])
@pytest.mark.parametrize("from_east", [0, 1])
@pytest.mark.parametrize("by_column", [0, 1])
@pytest.mark.parametrize("alternating", [0, 1])
def test_every_scanning_mode_gives_the_same_state(tmp_path, from_south, from_east, by_column, alternating):
    values = wave("t", 50000.0)
    stored = values if from_south else values[::-1]
    stored = stored[:, ::-1] if from_east else stored
    stored = stored.T.copy() if by_column else stored.copy()
    if alternating:
        stored[1::2] = stored[1::2, ::-1]
    keys = {
        "jScansPositively": from_south,
        "iScansNegatively": from_east,
        "jPointsAreConsecutive": by_column,
        "alternativeRowScanning": alternating,
        "latitudeOfFirstGridPointInDegrees": -90.0 if from_south else 90.0,
        "latitudeOfLastGridPointInDegrees": 90.0 if from_south else -90.0,
        "longitudeOfFirstGridPointInDegrees": 330.0 if from_east else 0.0,
        "longitudeOfLastGridPointInDegrees": 0.0 if from_east else 330.0,
    }
    path = write_grib([message("t", 50000.0, values=stored, keys=keys)], tmp_path / "scan.grib2")
    background = read_background([path])
    np.testing.assert_allclose(plane(background, "t", 50000.0), values, rtol=1e-6)
    assert (background.dataset["latitude"].values[0] < 0) == bool(from_south)


def test_wrong_increments_do_not_move_the_grid(tmp_path):
    keys = {"iDirectionIncrementInDegrees": 7.0, "jDirectionIncrementInDegrees": 3.0}
    background = read_background([write_grib([message("t", 50000.0, keys=keys)], tmp_path / "a.grib2")])
    np.testing.assert_allclose(background.state.grid.latitudes, np.linspace(-90, 90, ROWS))
    np.testing.assert_allclose(background.state.grid.longitudes, np.arange(COLUMNS) * 30.0)


def test_levels_in_pascal_join_those_in_hectopascal(tmp_path):
    pascal = message("t", None, values=wave("t", 50.0)[::-1], keys={"typeOfLevel": "isobaricInPa", "level": 50})
    path = write_grib([message("t", 50000.0), pascal], tmp_path / "a.grib2")
    background = read_background([path])
    assert set(background.state.levels("t")) == {50000.0, 50.0}
    np.testing.assert_allclose(plane(background, "t", 50.0), wave("t", 50.0), rtol=1e-6)
    np.testing.assert_allclose(background.dataset["isobaricInhPa"], [500.0, 0.5])


def test_members_are_kept_or_chosen(tmp_path):
    path = write_grib([message("t", 50000.0, member=m) for m in (2, 1)], tmp_path / "ens.grib2")
    whole = read_background([path])
    assert whole.member == "number"
    assert tuple(whole.state.values.shape) == (2, 1, ROWS, COLUMNS)
    np.testing.assert_allclose(plane(whole, "t", 50000.0)[1], wave("t", 50000.0, 2), rtol=1e-6)
    one = read_background([path], member=2)
    np.testing.assert_allclose(plane(one, "t", 50000.0), wave("t", 50000.0, 2), rtol=1e-6)
    with pytest.raises(BadDataError, match="no member 7; there are: 1, 2"):
        read_background([path], member=7)


def test_a_member_without_a_level_is_refused(tmp_path):
    handles = [message("t", 50000.0, member=1), message("t", 50000.0, member=2), message("t", 85000.0, member=1)]
    with pytest.raises(BadDataError, match="member 2 lacks t at 850 hPa"):
        read_background([write_grib(handles, tmp_path / "ens.grib2")])


def test_several_valid_times_are_listed_and_chosen(tmp_path):
    later = wave("t", 50000.0) + 5.0
    handles = [message("t", 50000.0), message("t", 50000.0, step=6, values=later[::-1])]
    path = write_grib(handles, tmp_path / "steps.grib2")
    with pytest.raises(
        BadDataError, match="2 valid times; choose one with --time: 2020-03-01T12:00Z, 2020-03-01T18:00Z"
    ):
        read_background([path])
    background = read_background([path], time=np.datetime64("2020-03-01T18:00"))
    np.testing.assert_allclose(plane(background, "t", 50000.0), later, rtol=1e-6)
    with pytest.raises(BadDataError, match="no fields valid at 2020-03-02T00:00Z"):
        read_background([path], time=np.datetime64("2020-03-02T00:00"))


def test_two_forecasts_of_one_time_need_a_choice(tmp_path):
    handles = [message("t", 50000.0), message("t", 50000.0, step=6, keys={"dataTime": 600})]
    path = write_grib(handles, tmp_path / "twice.grib2")
    with pytest.raises(BadDataError, match="twice, with stepRange 0 and 6; choose one with --select stepRange=0"):
        read_background([path])
    assert read_background([path], select={"stepRange": "6"}).dataset[
        "forecast_reference_time"
    ].values == np.datetime64("2020-03-01T06:00")
    with pytest.raises(BadDataError, match="no message has stepRange=9"):
        read_background([path], select={"stepRange": "9"})


def test_height_and_relative_humidity_become_geopotential_and_specific_humidity(tmp_path):
    path = write_grib([message(name, 85000.0) for name in ("t", "gh", "r")], tmp_path / "gfs")
    background = read_background([path])
    assert set(background.state.variables) == {"t", "z", "q"}
    np.testing.assert_allclose(plane(background, "z", 85000.0), 9.80665 * wave("gh", 85000.0), rtol=1e-6)
    # Magnus over the mixture at the mean (260 K, RH 0.5, 850 hPa): e_s lies between ice (195.8) and water (222.7 Pa).
    q = plane(background, "q", 85000.0).mean()
    assert 0.622 * 0.5 * 195.8 / 85000 * 0.97 < q < 0.622 * 0.5 * 222.7 / 85000 * 1.03


def test_unknown_fields_pass_through_with_missing_values_as_nan(tmp_path):
    values = wave("sd")[::-1].copy()
    values[0, :3] = 9999.0
    keys = {"typeOfLevel": "surface", "bitmapPresent": 1, "missingValue": 9999.0}
    path = write_grib([message("t", 50000.0), message("sd", values=values, keys=keys)], tmp_path / "a.grib2")
    background = read_background([path])
    assert background.state.variables == ("t",)
    assert np.isnan(background.dataset["sd"].values).sum() == 3
    np.testing.assert_allclose(background.dataset["sd"].values[1:], values[1:], rtol=1e-6)


def test_missing_values_in_an_analysed_field_are_counted(tmp_path):
    values = wave("t", 50000.0)[::-1].copy()
    values[2, :5] = 9999.0
    keys = {"bitmapPresent": 1, "missingValue": 9999.0}
    path = write_grib([message("t", 50000.0, values=values, keys=keys)], tmp_path / "a.grib2")
    with pytest.raises(BadDataError, match="variable 't': t500 has 5 missing"):
        read_background([path])


def test_wind_at_the_tropopause_is_no_upper_air_wind(tmp_path):
    path = write_grib([message("u", 50000.0), message("u", keys={"typeOfLevel": "tropopause"})], tmp_path / "a.grib2")
    background = read_background([path])
    assert background.state.channels == (Channel("u", 50000.0),)
    assert "u_tropopause" in background.dataset


@pytest.mark.parametrize(
    ("cut", "says"), [(10, "message 2 at byte \\d+ is cut off"), (-3, "cut off within its header")]
)
def test_a_truncated_file_names_the_message_and_the_byte(tmp_path, cut, says):
    path = write_grib([message("t", 50000.0), message("u", 50000.0)], tmp_path / "a.grib2")
    data = path.read_bytes()
    second = data.find(b"GRIB", 4)
    path.write_bytes(data[:-cut] if cut > 0 else data[: second + 8])
    with pytest.raises(BadDataError, match=says):
        read_background([path])


def test_garbage_between_messages_is_refused_and_bulletin_headers_are_not(tmp_path):
    path = write_grib([message("t", 50000.0), message("u", 50000.0)], tmp_path / "a.grib2")
    data = path.read_bytes()
    second = data.find(b"GRIB", 4)
    header = b"\x01\r\r\n002\r\r\nHTXC85 KWBC 011200\r\r\n"
    path.write_bytes(header + data[:second] + header + data[second:] + bytes(80))
    assert len(read_background([path]).state.channels) == 2
    path.write_bytes(data[:second] + b"\x93\x01\xff\x07" * 4 + data[second:])
    with pytest.raises(BadDataError, match=f"16 bytes at byte {second}, after message 1, are not GRIB"):
        read_background([path])


@pytest.mark.parametrize("edition", [1, 2])
def test_damaged_section_lengths_are_refused(tmp_path, edition):
    path = write_grib([message("t", 50000.0, edition=edition)], tmp_path / "a.grib")
    data = bytearray(path.read_bytes())
    data[6 if edition == 1 else 16 + 3] ^= 0x05
    path.write_bytes(bytes(data))
    with pytest.raises(BadDataError, match="message 1 at byte 0"):
        read_background([path])


@pytest.mark.parametrize(
    ("sample", "says"),
    [
        ("sh_pl_grib2", "spectral .spherical harmonics.: transform it to a grid first"),
        ("regular_gg_ml_grib2", "t is on hybrid levels, .*: give sp or lnsp of the same time too"),
    ],
)
def test_spectral_fields_and_model_levels_are_refused_with_a_remedy(tmp_path, sample, says):
    import eccodes

    path = write_grib([eccodes.codes_grib_new_from_samples(sample)], tmp_path / "a.grib2")
    with pytest.raises(BadDataError, match=says):
        read_background([path])


def test_several_grib_files_are_one_background(tmp_path):
    paths = [write_grib([message(n, 50000.0)], tmp_path / f"{n}.grib") for n in "tu"]
    assert {c.variable for c in read_background(paths).state.channels} == {"t", "u"}


def test_a_selection_that_no_netcdf_file_knows_is_a_usage_error(tmp_path):
    from tests.support.fields import dataset, save

    with pytest.raises(UsageError, match="--select nonsense=1"):
        read_background([save(dataset(), tmp_path / "a.nc")], select={"nonsense": "1"})


def test_a_missing_list_of_files_is_a_usage_error():
    with pytest.raises(UsageError):
        read_background([])


@pytest.mark.parametrize("order", [("msl", "prmsl"), ("prmsl", "msl")])
def test_of_two_sea_level_pressures_the_table_chooses_not_their_order(tmp_path, order):
    pressures = {"msl": 101_000.0, "prmsl": 100_500.0}
    keys = {"typeOfLevel": "meanSea", "level": 0}
    handles = [message(name, keys=keys, values=np.full((ROWS, COLUMNS), pressures[name])) for name in order]
    state = read_background([write_grib(handles, tmp_path / "a.grib2")]).state
    np.testing.assert_allclose(state.values[state.index(Channel("msl"))], 101_000.0, atol=1.0)
