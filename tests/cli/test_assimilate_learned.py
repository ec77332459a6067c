"""`phyda assimilate` with the learned method, its default: weights, members, repeatability, orientations."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from phyda_cli import resources
from phyda_cli.cli.app import main
from phyda_cli.formats.feedback.netcdf import read_feedback
from phyda_cli.formats.gridded.background import read_background
from phyda_cli.formats.gridded.background_error import to_bytes
from phyda_cli.resources import sha256
from tests.support.background_error import small_statistics
from tests.support.fields import dataset, save
from tests.support.learned import scrambled, weights

HEADER = "time,latitude,longitude,pressure_hPa,variable,value,error\n"
TIME = "2020-03-01T12:00:00Z"
ROWS = (
    f"{TIME},40,100,500,t,265,1\n",
    f"{TIME},41,200,500,t,262,1\n",
    f"{TIME},-35,20,850,u,9,2\n",
    f"{TIME},-35,20,850,v,-1,2\n",
)
FILES = ("background-error.safetensors", "phyda/phyda.safetensors")


@pytest.fixture(scope="module")
def shipped(tmp_path_factory) -> Path:
    """A directory of weights like the one that ships."""
    directory = tmp_path_factory.mktemp("weights")
    (directory / "phyda").mkdir()
    (directory / FILES[0]).write_bytes(to_bytes(small_statistics(), provenance={}))
    digest = sha256(directory / FILES[0])
    (directory / FILES[1]).write_bytes(weights(scrambled(), background_error=digest))
    lines = [f"{sha256(directory / name)}  {name}\n" for name in FILES]
    (directory / "SHA256SUMS").write_text("".join(lines))
    return directory


@pytest.fixture
def installed(tmp_path, shipped, monkeypatch) -> Path:
    """A copy of it as the installation's own."""
    package = tmp_path / "installation" / "phyda_cli"
    package.mkdir(parents=True)
    monkeypatch.setattr(resources, "_PACKAGE", package)
    shutil.copytree(shipped, package.parent / "weights")
    return package.parent / "weights"


@pytest.fixture
def words(tmp_path, monkeypatch):
    """The options of a good run in `tmp_path`."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1583064000")
    save(dataset(["t", "u", "v", "z", "q"]), tmp_path / "bg.nc")
    (tmp_path / "obs.csv").write_text(HEADER + "".join(ROWS))
    files = {"--background": "bg.nc", "--obs": "obs.csv", "--out": "a.nc"}
    options = [word for option, name in files.items() for word in (option, str(tmp_path / name))]
    return ["assimilate", *options, "--members", "4", "--evaluations", "3", "--overwrite"]


@pytest.fixture
def ready(words, shipped):
    """The same with weights named."""
    return [*words, "--weights", str(shipped / FILES[1]), "--background-error", str(shipped / FILES[0])]


def error_of(words, capsys, code):
    """The one line of a run that must fail with a code."""
    assert main(words) == code
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if line.startswith("phyda: error: ")]
    assert len(lines) == 1
    assert captured.out == ""
    return lines[0]


def fields(path: Path) -> dict[str, np.ndarray]:
    with xr.open_dataset(path) as file:
        return {str(name): file[name].values for name in file.data_vars}


def test_the_learned_method_is_the_default_and_takes_the_shipped_weights(words, installed, tmp_path, capsys):
    assert main([*words, "--json", "--feedback", str(tmp_path / "f.nc")]) == 0
    document = json.loads(capsys.readouterr().out)
    log = document["log"]
    assert (log["method"], log["members"], log["evaluations"], log["humidity_clipped"]) == ("phyda", 4, 3, 0)
    assert document["settings"]["method"] == "phyda"
    feedback = read_feedback(tmp_path / "f.nc")
    assert feedback.observations.used.all()
    assert (feedback.spread > 0).all()
    with xr.open_dataset(tmp_path / "a.nc") as analysis, xr.open_dataset(tmp_path / "bg.nc") as before:
        assert float(np.abs(analysis["t"] - before["t"].squeeze("time")).max()) > 0.1
        assert float(analysis["t_spread"].max()) > 0
        named = analysis.attrs["phyda_weights_sha256"]
    assert all(sha256(installed / name) in named for name in FILES)


def test_sixteen_members_unless_told_otherwise(ready, tmp_path, capsys):
    at = ready.index("--members")
    assert main([*ready[:at], *ready[at + 2 :], "--members-out", str(tmp_path / "m.nc"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["log"]["members"] == 16
    with xr.open_dataset(tmp_path / "m.nc") as members:
        assert members.sizes["number"] == 16
        assert members["number"].attrs["standard_name"] == "realization"
        assert members["t"].dims == ("time", "number", "level", "latitude", "longitude")


def test_members_are_backgrounds_again_and_their_mean_is_the_analysis(ready, tmp_path):
    assert main([*ready, "--members-out", str(tmp_path / "m.nc")]) == 0
    whole, analysis = read_background([tmp_path / "m.nc"]), read_background([tmp_path / "a.nc"])
    third = read_background([tmp_path / "m.nc"], member=3)
    assert whole.state.values.shape[0] == 4
    assert torch.equal(whole.state.values[3], third.state.values)
    q = [i for i, channel in enumerate(whole.state.channels) if channel.variable == "q"]
    assert float(whole.state.values[:, q].min()) >= 0
    rest = [i for i in range(len(whole.state.channels)) if i not in q]
    mean = whole.state.values.mean(0)
    held = [analysis.state.channels.index(whole.state.channels[i]) for i in rest]
    np.testing.assert_allclose(mean[rest], analysis.state.values[held], rtol=1e-5)
    assert float(whole.state.values.std(0)[rest].max()) > 0


def test_without_members_there_is_no_spread(ready, tmp_path):
    ready[ready.index("--members") + 1] = "0"
    assert main(ready) == 0
    assert not [name for name in fields(tmp_path / "a.nc") if name.endswith("_spread")]


def test_nothing_observed_still_gives_members(ready, tmp_path, capsys):
    (tmp_path / "obs.csv").write_text(HEADER)
    assert main([*ready, "--members-out", str(tmp_path / "m.nc")]) == 0
    assert "THE ANALYSIS IS THE BACKGROUND" in capsys.readouterr().err
    np.testing.assert_array_equal(fields(tmp_path / "a.nc")["t"], fields(tmp_path / "bg.nc")["t"])
    assert fields(tmp_path / "m.nc")["t"].std(1).min() > 0


def test_same_run_same_bytes(ready, tmp_path):
    contents = []
    for _ in range(2):
        assert main([*ready, "--churn", "0.2", "--members-out", str(tmp_path / "m.nc")]) == 0
        contents.append([(tmp_path / name).read_bytes() for name in ("a.nc", "m.nc")])
    assert contents[0] == contents[1]
    analysis = fields(tmp_path / "a.nc")
    assert main([*ready, "--churn", "0.2", "--seed", "1"]) == 0
    assert np.abs(fields(tmp_path / "a.nc")["t_spread"] - analysis["t_spread"]).max() > 1e-4


def test_order_of_the_rows_does_not_matter_and_threads_by_rounding_only(ready, tmp_path):
    """Two threads sum in another order: within 1e-4 of the largest increment and spread."""
    assert main(ready) == 0
    first, before = fields(tmp_path / "a.nc"), fields(tmp_path / "bg.nc")
    (tmp_path / "obs.csv").write_text(HEADER + "".join(ROWS[::-1]))
    assert main(ready) == 0
    for name, values in fields(tmp_path / "a.nc").items():
        np.testing.assert_array_equal(values, first[name])
    threads = torch.get_num_threads()
    assert main([*ready, "--threads", "2"]) == 0
    torch.set_num_threads(threads)
    for name, values in fields(tmp_path / "a.nc").items():
        size = np.abs(first[name] - (0 if name.endswith("_spread") else before[name][0])).max()
        assert np.abs(values - first[name]).max() <= 1e-4 * size, name


def test_another_orientation_of_the_file_gives_the_same_analysis(ready, tmp_path):
    assert main(ready) == 0
    straight = fields(tmp_path / "a.nc")
    data = dataset(["t", "u", "v", "z", "q"])
    turned = data.isel(latitude=slice(None, None, -1), level=slice(None, None, -1))
    turned = turned.assign_coords(longitude=(turned.longitude + 180.0) % 360.0 - 180.0).sortby("longitude")
    turned["longitude"].attrs["units"] = "degrees_east"
    save(turned, tmp_path / "bg.nc")
    assert main(ready) == 0
    with xr.open_dataset(tmp_path / "a.nc") as analysis:
        assert float(analysis["longitude"].min()) == -180.0
        back = analysis.isel(latitude=slice(None, None, -1), level=slice(None, None, -1))
        back = back.assign_coords(longitude=back.longitude % 360.0).sortby("longitude")
        for name in ("t", "u", "v", "z", "q", "t_spread"):
            np.testing.assert_allclose(back[name], straight[name], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("method", ["phyda", "3dvar", "oi"])
def test_total_column_water_vapour_is_assimilated(words, shipped, tmp_path, capsys, method):
    """The field of the column moves by the column of what q moves by, and so towards the observation."""
    data = dataset(["t", "u", "v", "z", "q"])
    data["q"].values[:] = 1e-4  # below saturation wherever t is warm
    data["tcwv"] = (("time", "latitude", "longitude"), np.full((1, 7, 12), 20.0), {"units": "kg m-2"})
    save(data, tmp_path / "bg.nc")
    learned = ["--weights", str(shipped / FILES[1]), "--background-error", str(shipped / FILES[0])]
    own = learned if method == "phyda" else ["--weights", str(shipped / FILES[0])]
    files = words[: words.index("--members")]
    used, column = [], []
    for further in ("", f"{TIME},0,90,,tcwv,21,0.5\n"):
        (tmp_path / "obs.csv").write_text(HEADER + "".join(ROWS) + further)
        assert main([*files, *own, "--method", method, "--json", "--overwrite"]) == 0
        used.append(json.loads(capsys.readouterr().out)["used"])
        column.append(fields(tmp_path / "a.nc")["tcwv"])
    assert used == [4, 5]
    assert 0.005 < (column[1] - column[0]).max() < 1.0


def test_without_shipped_weights_one_line_says_what_to_do(words, installed, capsys):
    (installed / FILES[1]).unlink()
    line = error_of(words, capsys, 78)
    assert "phyda.safetensors: these weights are missing from the installation; reinstall phyda" in line
    assert line.endswith("or give --weights FILE, or --method 3dvar")
    assert main([*words[: words.index("--evaluations")], "--overwrite", "--method", "3dvar"]) == 0


@pytest.mark.parametrize("name", FILES)
def test_shipped_weights_that_were_changed_are_refused(words, installed, capsys, name):
    content = bytearray((installed / name).read_bytes())
    content[-1] ^= 1
    (installed / name).write_bytes(content)
    line = error_of(words, capsys, 78)
    assert f"{name}: damaged: SHA-256 " in line
    assert "reinstall phyda, or give --" in line


def test_shipped_weights_that_are_not_in_the_list_are_refused(words, installed, capsys):
    sums = installed / "SHA256SUMS"
    sums.write_text(sums.read_text().splitlines()[0] + "\n")  # without the learned model
    assert "not listed in SHA256SUMS" in error_of(words, capsys, 78)


@pytest.mark.parametrize("fault", ["cut", "text", "kind"])
def test_weights_that_are_not_what_they_should_be_are_refused(ready, shipped, tmp_path, capsys, fault):
    content = (shipped / FILES[1]).read_bytes()
    other = (shipped / FILES[0]).read_bytes()
    path = tmp_path / "w.safetensors"
    path.write_bytes({"cut": content[:-10], "text": b"no weights", "kind": other}[fault])
    ready[ready.index("--weights") + 1] = str(path)
    assert f"{path}: " in error_of(ready, capsys, 65)


def test_unfinished_weights_are_used_with_a_warning(ready, shipped, tmp_path, capsys):
    path = tmp_path / "w.safetensors"
    path.write_bytes(weights(scrambled(), background_error=sha256(shipped / FILES[0]), stage="encoder"))
    ready[ready.index("--weights") + 1] = str(path)
    assert main([*ready, "--dry-run"]) == 0
    assert "weights of stage encoder, not of a finished training" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--members", "1"], "--members 1: one member makes no spread; give at least 2, or 0"),
        (["--members", "0", "--members-out", "m.nc"], "--members-out m.nc: --members 0 makes none"),
        (["--method", "oi", "--members-out", "m.nc"], "--evaluations: is of --method phyda, not of oi"),
        (["--method", "3dvar"], "--evaluations: is of --method phyda, not of 3dvar"),
        (["--churn", "-1"], "--churn: "),
        (["--evaluations", "0"], "--evaluations: "),
    ],
)
def test_settings_that_cannot_be(words, capsys, extra, message):
    assert message in error_of([*words, *extra], capsys, 2)


def test_3dvar_takes_its_statistics_from_weights(words, shipped, capsys):
    plain = [*words[: words.index("--evaluations")], "--method", "3dvar"]
    line = error_of([*plain, "--background-error", str(shipped / FILES[0])], capsys, 2)
    assert line.endswith("--background-error: is of --method phyda, not of 3dvar; give the statistics with --weights")
    line = error_of([*plain, "--method", "oi", "--members-out", "m.nc"], capsys, 2)
    assert line.endswith("--members-out m.nc: oi has no members")
