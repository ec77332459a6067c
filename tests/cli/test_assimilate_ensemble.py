"""`phyda assimilate` with a background of several members: files, choices, outputs and refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

from phyda_cli.cli.app import main
from phyda_cli.formats.feedback.netcdf import read_feedback
from phyda_cli.formats.gridded.background_error import to_bytes
from tests.support.background_error import small_statistics
from tests.support.fields import dataset, save

HEADER = "time,latitude,longitude,pressure_hPa,variable,value,error\n"
ROWS = "2020-03-01T12:00:00Z,30,90,500,t,262,1\n2020-03-01T12:00:00Z,-30,240,850,u,6,2\n"
NAMES = ("t", "u", "v", "z")
SHIFTS = {"t": 1.0, "u": 2.0, "v": 2.0, "z": 100.0}
COUNT = 5


def member(number: int) -> xr.Dataset:
    """Members apart by a random constant for each field, and a wave."""
    data, draw = dataset(list(NAMES)), np.random.default_rng(number)
    for name in NAMES:
        pattern = draw.standard_normal() + 0.3 * draw.standard_normal(data[name].shape)
        data[name] = (data[name].dims, data[name].values + SHIFTS[name] * pattern, data[name].attrs)
    return data


@pytest.fixture
def ensemble(tmp_path):
    """One file of all members, numbered 1 to 5, and one file for each."""
    files = [save(member(n), tmp_path / f"m{n}.nc") for n in range(1, COUNT + 1)]
    opened = [xr.open_dataset(path, decode_times=False).load() for path in files]
    whole = xr.concat(opened, "member").assign_coords(member=range(1, COUNT + 1))
    for path in opened:
        path.close()
    save(whole, tmp_path / "ensemble.nc")
    (tmp_path / "obs.csv").write_text(HEADER + ROWS)
    return files


def words(tmp_path, *more, method="letkf", backgrounds=("ensemble.nc",)):
    named = [word for name in backgrounds for word in ("--background", str(tmp_path / name))]
    rest = ["--obs", str(tmp_path / "obs.csv"), "--out", str(tmp_path / "a.nc"), "--method", method]
    return ["assimilate", *named, *rest, *map(str, more)]


def document(arguments, capsys):
    assert main([*arguments, "--json", "--overwrite"]) == 0
    return json.loads(capsys.readouterr().out)


def error_of(arguments, capsys, code):
    assert main(arguments) == code
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("phyda: error: ")]
    assert len(lines) == 1
    return lines[0]


def test_analysis_is_mean_and_spread_of_the_members_written(ensemble, tmp_path, capsys):
    outputs = {"--members-out": "m.nc", "--increment": "i.nc", "--feedback": "f.nc"}
    extra = [word for option, name in outputs.items() for word in (option, tmp_path / name)]
    found = document(words(tmp_path, *extra), capsys)
    assert (found["used"], found["log"]["ensemble"], found["log"]["background_error_scale"]) == (2, COUNT, 1.0)
    with xr.open_dataset(tmp_path / "m.nc") as members, xr.open_dataset(tmp_path / "a.nc") as analysis:
        assert members["number"].values.tolist() == [1, 2, 3, 4, 5]
        assert "member" not in analysis.dims
        for name in NAMES:
            np.testing.assert_allclose(analysis[name], members[name].mean("number"), rtol=1e-6)
            np.testing.assert_allclose(
                analysis[f"{name}_spread"], members[name].std("number", ddof=1), rtol=2.0**-11, atol=1e-5
            )
        with xr.open_dataset(tmp_path / "ensemble.nc") as before, xr.open_dataset(tmp_path / "i.nc") as increment:
            change = (analysis["t"] - before["t"].mean("member")).squeeze("time")
            np.testing.assert_allclose(increment["t"].squeeze(), change, atol=1e-4)
            assert float(np.abs(change).max()) > 0.1
            # 140° from both observations
            far = {"latitude": -60.0, "longitude": 90.0}
            np.testing.assert_array_equal(
                members["t"].sel(far).squeeze(), before["t"].sel(far).squeeze().rename(member="number")
            )
    feedback = read_feedback(tmp_path / "f.nc")
    assert (np.abs(feedback.analysis_departure) < np.abs(feedback.background_departure)).all()
    assert (feedback.spread > 0).all()


def test_one_file_for_each_member_gives_the_same_analysis(ensemble, tmp_path, capsys):
    document(words(tmp_path), capsys)
    with xr.open_dataset(tmp_path / "a.nc") as whole:
        expected = {name: whole[name].values for name in NAMES}
    document(words(tmp_path, backgrounds=[path.name for path in ensemble]), capsys)
    with xr.open_dataset(tmp_path / "a.nc") as parts:
        for name in NAMES:
            np.testing.assert_array_equal(parts[name].values, expected[name])


def test_members_are_chosen_by_number_or_the_first_are_taken(ensemble, tmp_path, capsys):
    extra = ["--members-out", tmp_path / "m.nc"]
    for choice, numbers in ((["--members", 3], [1, 2, 3]), (["--member", "5,1-2"], [5, 1, 2])):
        found = document(words(tmp_path, *extra, *choice), capsys)
        assert found["log"]["ensemble"] == len(numbers)
        with xr.open_dataset(tmp_path / "m.nc") as members:
            assert members["number"].values.tolist() == numbers


def test_threads_and_the_order_of_rows_do_not_show_in_the_bytes(ensemble, tmp_path, capsys, monkeypatch):
    import torch

    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1583064000")
    before, contents = torch.get_num_threads(), []
    for threads in (1, 2):
        document(words(tmp_path, "--threads", threads, "--relaxation", 0.5), capsys)
        contents.append((tmp_path / "a.nc").read_bytes())
    torch.set_num_threads(before)
    assert contents[0] == contents[1]
    with xr.open_dataset(tmp_path / "a.nc") as analysis:
        values = analysis["t"].values
    (tmp_path / "obs.csv").write_text(HEADER + "\n".join(ROWS.splitlines()[::-1]) + "\n")
    document(words(tmp_path, "--relaxation", 0.5), capsys)
    with xr.open_dataset(tmp_path / "a.nc") as analysis:
        np.testing.assert_array_equal(analysis["t"].values, values)


def test_localisation_inflation_and_relaxation_reach_the_method(ensemble, tmp_path, capsys):
    plain = document(words(tmp_path, "--localisation", 4000), capsys)
    wide = document(words(tmp_path, "--localisation", 9000), capsys)
    assert wide["log"]["columns_reached"] > plain["log"]["columns_reached"]

    def spread(*settings):
        document(words(tmp_path, *settings), capsys)
        with xr.open_dataset(tmp_path / "a.nc") as analysis:
            at = analysis["t_spread"].sel(latitude=30.0, longitude=90.0, level=500.0)
            high = analysis["t"].sel(latitude=30.0, longitude=90.0, level=850.0)
            return float(at.squeeze()), float(high.squeeze())

    none, near = spread()
    assert spread("--relaxation", 0.5)[0] > none
    assert spread("--inflation", 1.5)[0] > none
    # 850 hPa is 0.53 in ln p from the observation
    assert spread("--vertical-localisation", 0.5)[1] != near


def test_threedvar_of_every_member(ensemble, tmp_path, capsys):
    weights = tmp_path / "b.safetensors"
    weights.write_bytes(to_bytes(small_statistics(), provenance={}))
    extra = ["--members-out", tmp_path / "m.nc", "--weights", weights]
    found = document(words(tmp_path, *extra, method="3dvar"), capsys)
    assert found["log"]["ensemble"] == COUNT
    with xr.open_dataset(tmp_path / "m.nc") as members, xr.open_dataset(tmp_path / "a.nc") as analysis:
        assert members.sizes["number"] == COUNT
        np.testing.assert_allclose(analysis["t"], members["t"].mean("number"), rtol=1e-6)


def test_without_a_usable_observation_members_are_the_backgrounds(ensemble, tmp_path, capsys):
    (tmp_path / "obs.csv").write_text(HEADER)
    document(words(tmp_path, "--members-out", tmp_path / "m.nc", "--inflation", 2), capsys)
    with xr.open_dataset(tmp_path / "m.nc") as members, xr.open_dataset(tmp_path / "ensemble.nc") as before:
        np.testing.assert_array_equal(members["t"].squeeze(), before["t"].squeeze().rename(member="number"))


@pytest.mark.parametrize(
    ("more", "method", "backgrounds", "code", "message"),
    [
        ([], "letkf", ["m1.nc"], 65, "m1.nc: one member, and --method letkf needs several"),
        (["--member", 2], "letkf", ["ensemble.nc"], 65, "needs several"),
        (["--member", "2,9"], "letkf", ["ensemble.nc"], 65, "holds no member 9; there are: 1, 2, 3, 4, 5"),
        (["--members", 6], "letkf", ["ensemble.nc"], 65, "holds 5 members, not 6"),
        (["--members", 1], "letkf", ["ensemble.nc"], 2, "letkf needs at least 2 members"),
        (
            ["--members", 1],
            "3dvar",
            ["ensemble.nc"],
            65,
            "1 member of an ensemble, and --method 3dvar needs at least 2",
        ),
        ([], "oi", ["ensemble.nc"], 65, "holds 5 members, and --method oi takes one; choose it with --member"),
        ([], "phyda", ["m1.nc", "m2.nc"], 65, "holds 2 members, and --method phyda takes one"),
        (["--localisation", 900], "oi", ["m1.nc"], 2, "--localisation: is of --method envar or letkf, not of oi"),
        (["--relaxation", 1.5], "letkf", ["ensemble.nc"], 2, "--relaxation: Input should be less than or equal to 1"),
        (["--weights", "obs.csv"], "letkf", ["ensemble.nc"], 2, "letkf has none"),
        (["--member", "1,1"], "letkf", ["ensemble.nc"], 2, "'1,1' names a member twice"),
        (["--member", "3-1"], "letkf", ["ensemble.nc"], 2, "'3-1' names no members"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(ensemble, tmp_path, capsys, more, method, backgrounds, code, message):
    assert message in error_of(words(tmp_path, *more, method=method, backgrounds=backgrounds), capsys, code)
    assert not (tmp_path / "a.nc").exists()
