"""Several files as the members of one background, and the choice of members."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from phyda_cli.errors import BadDataError
from phyda_cli.formats.gridded.background import read_background
from phyda_cli.formats.gridded.layout import Background
from phyda_cli.formats.gridded.layout import restore as put_back
from tests.support.fields import LEVELS, dataset, message, save, wave, write_grib


def member(shift: float, names=("t", "u")) -> xr.Dataset:
    data = dataset(list(names))
    for name in names:
        data[name] = (data[name] + shift).assign_attrs(data[name].attrs)
    return data


def files(tmp_path, shifts=(0.0, 1.0, 4.0), **coordinates):
    made = []
    for index, shift in enumerate(shifts):
        data = member(shift).assign_coords({key: value[index] for key, value in coordinates.items()})
        made.append(save(data, tmp_path / f"m{index}.nc"))
    return made


def read(paths, **choice) -> Background:
    return read_background(paths, as_members=True, **choice)


def shifts(background: Background) -> list[float]:
    """By how much the first channel of every member is above the wave of the test files."""
    assert background.state.channels[0].variable == "t"
    return [float(np.mean(x[0] - wave("t", LEVELS[0]))) for x in background.state.values.numpy()]


def test_files_of_the_same_fields_are_members_in_their_order(tmp_path):
    background = read(files(tmp_path))
    assert background.member == "number"
    assert background.member_numbers == (0, 1, 2)
    np.testing.assert_allclose(shifts(background), [0.0, 1.0, 4.0], atol=1e-9)
    assert len(background.sources) == 3
    mean = background.ensemble_mean()
    np.testing.assert_allclose(mean.state.values[0], wave("t", LEVELS[0]) + 5 / 3)


def test_members_keep_the_numbers_that_the_files_give_them(tmp_path):
    paths = files(tmp_path, number=[7, 3, 11])
    assert read(paths).member_numbers == (7, 3, 11)
    np.testing.assert_allclose(shifts(read(paths, member=(11, 7))), [4.0, 0.0], atol=1e-9)
    one = read(paths, member=3)
    np.testing.assert_allclose(one.state.values[0], wave("t", LEVELS[0]) + 1.0)
    assert one.member is None
    with pytest.raises(BadDataError, match="holds no member 5; there are: 7, 3, 11"):
        read(paths, member=(3, 5))


def test_numbers_that_are_not_distinct_are_given_anew(tmp_path):
    assert read(files(tmp_path, number=[1, 1, 2])).member_numbers == (0, 1, 2)


def test_files_with_several_members_each_are_joined(tmp_path):
    def group(numbers):
        data = xr.concat([member(float(n)) for n in numbers], "number").assign_coords(number=list(numbers))
        for name in ("t", "u"):
            data[name].attrs["units"] = dataset([name])[name].attrs["units"]
        return data

    first, second = save(group((0, 1)), tmp_path / "a.nc"), save(group((2, 3)), tmp_path / "b.nc")
    background = read([first, second])
    assert background.member_numbers == (0, 1, 2, 3)
    np.testing.assert_allclose(shifts(background), [0, 1, 2, 3], atol=1e-9)
    with pytest.raises(BadDataError, match=r"a\.nc and 1 more: two of them hold member 0"):
        read([first, save(group((0, 5)), tmp_path / "c.nc")])


def test_orientation_of_a_file_does_not_matter(tmp_path):
    paths = files(tmp_path)
    north_first = save(member(1.0).isel(latitude=slice(None, None, -1)), tmp_path / "north.nc")
    np.testing.assert_array_equal(read([paths[0], north_first, paths[2]]).state.values, read(paths).state.values)


def test_grib_files_without_numbers_are_members_and_those_with_numbers_keep_them(tmp_path):
    def grib(name, shift, number=None):
        handles = [message("t", p, member=number, values=(wave("t", p) + shift)[::-1]) for p in LEVELS]
        return write_grib(handles, tmp_path / name)

    plain = read([grib("a", 0.0), grib("b", 2.0)])
    assert plain.member_numbers == (0, 1)
    np.testing.assert_allclose(shifts(plain), [0.0, 2.0], atol=1e-3)
    numbered = read([grib("c", 0.0, 4), grib("d", 2.0, 2)])
    assert numbered.member_numbers == (2, 4)
    np.testing.assert_allclose(shifts(numbered), [2.0, 0.0], atol=1e-3)
    chosen = read([grib("c", 0.0, 4), grib("d", 2.0, 2), grib("e", 3.0, 7)], member=(2, 7))
    assert chosen.member_numbers == (2, 7)


def test_different_fields_are_merged_as_ever(tmp_path):
    paths = [save(dataset([name]), tmp_path / f"{name}.nc") for name in "tu"]
    background = read(paths)
    assert background.member is None
    assert {channel.variable for channel in background.state.channels} == {"t", "u"}


def test_files_that_are_neither_members_nor_parts_are_refused(tmp_path):
    first = save(member(0.0), tmp_path / "a.nc")
    with pytest.raises(BadDataError, match=r"both hold the field 't', so they are no parts of one background"):
        read([first, save(member(1.0, ["t"]), tmp_path / "b.nc")])
    later = member(0.0).assign_coords(time=("time", [18], {"units": "hours since 2020-03-01"}))
    with pytest.raises(BadDataError, match=r"one time, not 2020-03-01T12:00Z and 2020-03-01T18:00Z"):
        read([first, save(later, tmp_path / "later.nc")])
    coarse = member(0.0).isel(longitude=slice(None, None, 2))
    with pytest.raises(BadDataError, match="different grids"):
        read([first, save(coarse, tmp_path / "coarse.nc")])
    upper = member(0.0).assign_coords(level=("level", [700.0, 500.0], {"units": "hPa"}))
    with pytest.raises(BadDataError, match="'t' differs in its levels"):
        read([first, save(upper, tmp_path / "upper.nc")])
    celsius = member(0.0)
    celsius["t"] = (celsius["t"] - 273.15).assign_attrs(units="degC")
    with pytest.raises(BadDataError, match="'t' differs in its unit"):
        read([first, save(celsius, tmp_path / "c.nc")])


def test_without_being_asked_for_members_the_same_field_twice_is_refused(tmp_path):
    with pytest.raises(BadDataError, match="both hold the field 't'"):
        read_background(files(tmp_path))


def test_the_first_members_and_one_of_them(tmp_path):
    background = read(files(tmp_path, number=[7, 3, 11]))
    two = background.first_members(2)
    assert two.member_numbers == (7, 3)
    np.testing.assert_allclose(shifts(two), [0.0, 1.0], atol=1e-9)
    with pytest.raises(BadDataError, match="holds 3 members, not 4"):
        background.first_members(4)
    one = background.one_member(2)
    same = put_back(one, one.state)
    np.testing.assert_array_equal(same["t"].values, member(4.0)["t"].values.squeeze(0))
