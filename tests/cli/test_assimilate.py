"""`phyda assimilate` on small files: what it writes, refuses and reports."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from phyda_cli.cli.app import main
from phyda_cli.formats.feedback.netcdf import read_feedback
from phyda_cli.formats.gridded.background_error import to_bytes
from phyda_cli.observations.table import Flag
from phyda_cli.outputs import output_lock
from tests.support.background_error import small_statistics
from tests.support.fields import dataset, save

HEADER = "time,latitude,longitude,pressure_hPa,variable,value,error\n"
TIME = "2020-03-01T12:00:00Z"
ROWS = (
    f"{TIME},40,100,500,t,265,1\n",
    f"{TIME},41,200,500,t,262,1\n",
    f"{TIME},-35,20,850,u,9,2\n",
    f"{TIME},-35,20,850,v,-1,2\n",
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "b.safetensors"
    path.write_bytes(to_bytes(small_statistics(), provenance={}))
    return path


@pytest.fixture
def words(tmp_path, weights):
    """The options of a good run in `tmp_path`."""
    save(dataset(["t", "u", "v", "z"]), tmp_path / "bg.nc")
    (tmp_path / "obs.csv").write_text(HEADER + "".join(ROWS))
    files = {"--background": "bg.nc", "--obs": "obs.csv", "--out": "a.nc"}
    options = [word for option, name in files.items() for word in (option, str(tmp_path / name))]
    return ["assimilate", *options, "--method", "3dvar", "--weights", str(weights)]


def observations(tmp_path: Path, text: str) -> None:
    (tmp_path / "obs.csv").write_text(HEADER + text)


def error_of(words, capsys, code):
    """The one line of a run that must fail with a code."""
    assert main(words) == code
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if line.startswith("phyda: error: ")]
    assert len(lines) == 1
    assert captured.out == ""
    return lines[0]


def test_the_result_is_the_path_and_the_analysis_draws_to_the_observation(words, tmp_path, capsys):
    extra = ["--feedback", str(tmp_path / "f.nc"), "--increment", str(tmp_path / "i.nc")]
    assert main([*words, *extra]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{tmp_path / 'a.nc'}\n"
    assert "peak memory" in captured.err
    feedback = read_feedback(tmp_path / "f.nc")
    assert feedback.observations.used.all()
    assert (np.abs(feedback.analysis_departure) < np.abs(feedback.background_departure)).all()
    with xr.open_dataset(tmp_path / "a.nc") as analysis, xr.open_dataset(tmp_path / "bg.nc") as before:
        with xr.open_dataset(tmp_path / "i.nc") as increment:
            change = analysis["t"] - before["t"]
            np.testing.assert_allclose(increment["t"], change, atol=1e-9)
            assert float(np.abs(change).max()) > 0.1
        assert analysis.attrs["phyda_version"]
        assert set(json.loads(analysis.attrs["phyda_inputs_sha256"])) == {words[2], words[4]}


def test_json_document(words, tmp_path, capsys):
    assert main([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["status"], document["observations"], document["used"]) == ("ok", 4, 4)
    assert document["output"] == str(tmp_path / "a.nc")
    assert document["valid_time"] == "2020-03-01T12:00:00Z"
    temperature = document["variables"][0]
    assert (temperature["variable"], temperature["total"]) == ("t", 2)
    assert temperature["analysis"]["rms"] < temperature["background"]["rms"]


def test_members_give_a_spread_and_the_seed_decides_it(words, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1583064000")
    spreads = []
    for seed in ("1", "1", "2"):
        assert main([*words, "--members", "3", "--seed", seed, "--overwrite"]) == 0
        with xr.open_dataset(tmp_path / "a.nc") as analysis:
            spreads.append(analysis["t_spread"].values)
    np.testing.assert_array_equal(spreads[0], spreads[1])
    assert np.abs(spreads[0] - spreads[2]).max() > 0
    assert spreads[0].min() >= 0


def test_same_run_same_bytes_whatever_the_threads(words, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1583064000")
    before = torch.get_num_threads()
    contents = []
    for threads in ("1", "2"):
        assert main([*words, "--threads", threads, "--overwrite"]) == 0
        contents.append((tmp_path / "a.nc").read_bytes())
    torch.set_num_threads(before)
    assert contents[0] == contents[1]


def test_order_of_the_rows_does_not_matter(words, tmp_path):
    fields = []
    for rows in (ROWS, ROWS[::-1]):
        observations(tmp_path, "".join(rows))
        assert main([*words, "--overwrite"]) == 0
        with xr.open_dataset(tmp_path / "a.nc") as analysis:
            fields.append(analysis["t"].values)
    np.testing.assert_array_equal(fields[0], fields[1])


def test_oi_changes_what_was_observed_only(words, tmp_path):
    observations(tmp_path, ROWS[0])
    assert main([*words, "--method", "oi"]) == 0
    with xr.open_dataset(tmp_path / "a.nc") as analysis, xr.open_dataset(tmp_path / "bg.nc") as before:
        np.testing.assert_array_equal(analysis["u"], before["u"])
        assert float(np.abs(analysis["t"] - before["t"]).max()) > 0.1


def test_dry_run_writes_nothing_but_the_feedback_that_is_asked_for(words, tmp_path, capsys):
    held = sorted(path.name for path in tmp_path.iterdir())
    assert main([*words, "--dry-run", "--increment", str(tmp_path / "i.nc")]) == 0
    assert capsys.readouterr().out == "dry run: nothing written\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == held
    without = [word for word in words if word not in ("--out", str(tmp_path / "a.nc"))]
    assert main([*without, "--dry-run"]) == 0  # nothing is written: no name is needed
    assert capsys.readouterr().out == "dry run: nothing written\n"
    assert "--output is missing" in error_of(without, capsys, 2)
    assert main([*words, "--dry-run", "--feedback", str(tmp_path / "f.nc")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'f.nc'}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*held, "f.nc"])
    feedback = read_feedback(tmp_path / "f.nc")
    assert np.isfinite(feedback.background_departure).all()
    assert np.isnan(feedback.analysis_departure).all()
    assert main(["diagnose", str(tmp_path / "f.nc")]) == 65
    assert "holds no analysis" in capsys.readouterr().err


def test_a_rule_withholds(words, tmp_path, capsys):
    assert main([*words, "--withhold", "pressure > 60000", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["used"] == 2
    withheld = {entry["variable"]: entry["withheld"]["count"] for entry in document["variables"]}
    assert withheld == {"t": 0, "u": 1, "v": 1}
    assert [entry["variable"] for entry in document["reports"]] == ["t", "u", "v"]
    line = error_of([*words, "--overwrite", "--withhold", "pressure >"], capsys, 2)
    assert "--withhold 'pressure >': the rule ends at character 11 instead of a number" in line
    limit = ["--overwrite", "--max-reject-fraction", "0", "--withhold", "pressure > 60000"]
    assert main([*words, *limit]) == 0  # withheld is not rejected


def test_first_guesses_at_other_times(words, tmp_path, capsys):
    """The background is a degree warmer three hours later: an observation one hour late sees a third of it."""
    save(dataset(["t", "u", "v", "z"]), tmp_path / "bg.nc")
    with xr.open_dataset(tmp_path / "bg.nc", decode_times=False) as held:
        later = held.load()
    later["t"] = later["t"] + 1.0
    later["time"] = later["time"] + 3  # hours
    later.to_netcdf(tmp_path / "later.nc")
    observations(tmp_path, ROWS[0].replace("12:00:00", "13:00:00"))
    departures = {}
    for name, extra in (("one", []), ("two", ["--fgat", str(tmp_path / "later.nc")])):
        options = [*extra, "--dry-run", "--feedback", str(tmp_path / f"{name}.nc"), "--json"]
        assert main([*words, *options]) == 0
        document = json.loads(capsys.readouterr().out)
        departures[name] = read_feedback(tmp_path / f"{name}.nc").background_departure[0]
    assert departures["one"] - departures["two"] == pytest.approx(1 / 3, abs=1e-5)
    assert document["log"]["first_guesses"] == "2020-03-01T12:00Z, 2020-03-01T15:00Z"
    assert (document["log"]["late"], document["log"]["outside_first_guesses"]) == (1, 0)
    (tmp_path / "later.nc").unlink()
    assert "later.nc" in error_of([*words, "--fgat", str(tmp_path / "later.nc")], capsys, 66)


def test_standard_input(words, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO(HEADER + ROWS[0]))
    words[words.index("--obs") + 1] = "-"
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["used"] == 1


def test_configuration_file_and_flags(words, tmp_path, capsys):
    (tmp_path / "run.toml").write_text('method = "oi"\nwindow = "1h"')
    config = ["--config", str(tmp_path / "run.toml")]
    words = [word for word in words if word not in ("--method", "3dvar")]
    assert main([*words, *config, "--json"]) == 0
    settings = json.loads(capsys.readouterr().out)["settings"]
    assert (settings["method"], settings["window"]) == ("oi", "PT1H")
    (tmp_path / "run.toml").write_text('metod = "oi"')
    line = error_of([*words, *config], capsys, 78)
    assert line.endswith("run.toml: unknown key 'metod'; did you mean 'method'?")


def test_existing_output_is_refused_and_kept(words, tmp_path, capsys):
    (tmp_path / "a.nc").write_text("mine")
    assert "a.nc: exists already; give --overwrite" in error_of(words, capsys, 73)
    assert (tmp_path / "a.nc").read_text() == "mine"
    assert main([*words, "--overwrite"]) == 0


@pytest.mark.parametrize("name", ["bg.nc", "obs.csv", "link.nc"])
def test_output_that_is_an_input_is_refused(words, tmp_path, capsys, name):
    (tmp_path / "link.nc").symlink_to("bg.nc")
    content = (tmp_path / name).read_bytes()
    words[words.index("--out") + 1] = str(tmp_path / name)
    assert f"{name}: is an input too" in error_of([*words, "--overwrite"], capsys, 73)
    assert (tmp_path / name).read_bytes() == content


def test_two_outputs_in_one_place(words, tmp_path, capsys):
    line = error_of([*words, "--feedback", str(tmp_path / "a.nc")], capsys, 2)
    assert line.endswith("a.nc: is the file of --out too; choose another")


def test_output_in_a_missing_directory(words, tmp_path, capsys):
    words[words.index("--out") + 1] = str(tmp_path / "none" / "a.nc")
    assert "none does not exist; create it first" in error_of(words, capsys, 73)


@pytest.mark.parametrize("option", ["--background", "--obs", "--weights"])
def test_missing_input(words, tmp_path, capsys, option):
    words[words.index(option) + 1] = str(tmp_path / "none")
    assert error_of(words, capsys, 66) == f"phyda: error: {tmp_path / 'none'}: no such file"


def test_paths_are_checked_before_anything_heavy_is_loaded(words, tmp_path):
    (tmp_path / "a.nc").touch()
    code = (
        "import sys\nfrom phyda_cli.cli.app import main\ncode = main(sys.argv[1:])\n"
        "sys.exit(code if not {'torch', 'xarray', 'pandas'} & set(sys.modules) else 1)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 73


def test_a_second_run_of_the_same_output_is_told_to_retry(words, tmp_path, capsys):
    with output_lock(tmp_path / "a.nc"):
        assert "another run" in error_of(words, capsys, 75)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there(words, capsys):
    assert "no CUDA device" in error_of([*words, "--device", "cuda"], capsys, 69)


def test_wrong_time(words, capsys):
    line = error_of([*words, "--time", "2021-01-01T00"], capsys, 65)
    assert "2020-03-01T12:00Z" in line


def test_without_a_usable_observation_the_analysis_is_the_background(words, tmp_path, capsys):
    observations(tmp_path, "")
    assert main(words) == 0
    assert "THE ANALYSIS IS THE BACKGROUND" in capsys.readouterr().err
    with xr.open_dataset(tmp_path / "a.nc") as analysis, xr.open_dataset(tmp_path / "bg.nc") as before:
        np.testing.assert_array_equal(analysis["t"], before["t"])
    line = error_of([*words, "--on-empty", "fail", "--overwrite"], capsys, 65)
    assert "none of 0 observations can be used" in line


def test_too_many_rejected(words, tmp_path, capsys):
    observations(tmp_path, ROWS[0] + f"{TIME},40,100,500,t,999,1\n")
    line = error_of([*words, "--max-reject-fraction", "0.4"], capsys, 65)
    assert "1 of 2 observations are rejected, more than --max-reject-fraction 0.4 allows" in line
    assert not (tmp_path / "a.nc").exists()
    assert main([*words, "--max-reject-fraction", "0.5"]) == 0


def test_quality_and_error_files(words, tmp_path, capsys):
    observations(tmp_path, "".join(ROWS) + f"{TIME},40.1,100,500,t,267,1\n{TIME},0,0,500,t,260,\n")
    (tmp_path / "q.toml").write_text(
        '[[blacklist]]\nvariable = "v"\nreason = "vanes"\n[superob]\nhorizontal_km = 100\ncorrelation = 0.5'
    )
    (tmp_path / "e.toml").write_text("[sigma.t]\nsigma = 3.0\n[inflation]\nt = 2")
    files = ["--quality", str(tmp_path / "q.toml"), "--errors", str(tmp_path / "e.toml")]
    assert main([*words, *files, "--feedback", str(tmp_path / "f.nc"), "--max-reject-fraction", "0.2"]) == 0
    feedback = read_feedback(tmp_path / "f.nc")
    table = feedback.observations
    assert sorted(table.flag[[0, 4]].tolist()) == [Flag.PASS, Flag.SUPEROB]
    assert (table.flag[3], table.reason[3]) == (Flag.BLACKLIST, "vanes")
    assert table.used.sum() == 4
    # inflation 2 on a given 1 and on the file's 3; two of σ 2 with correlation ½: 2 √(½ + ¼)
    assert table.error[1] == pytest.approx(2.0)
    assert table.error[5] == pytest.approx(6.0)
    carrier = 0 if table.used[0] else 4
    assert table.error[carrier] == pytest.approx(2.0 * np.sqrt(0.75))
    with xr.open_dataset(tmp_path / "a.nc") as analysis:
        assert set(json.loads(analysis.attrs["phyda_inputs_sha256"])) == {words[2], words[4], files[1], files[3]}
    capsys.readouterr()
    (tmp_path / "q.toml").write_text("[tracks]\nenabled = false")
    assert "did you mean 'track'" in error_of([*words, *files, "--overwrite"], capsys, 78)


def test_nothing_is_left_beside_the_files(words, tmp_path):
    assert main(words) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.nc", "bg.nc", "obs.csv"]
