from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

from phyda_cli.cli import main
from phyda_cli.formats.feedback import write_feedback
from tests.verification.test_desroziers import feedback

TIME = np.datetime64("2020-01-01T12", "ns")


def write(path, t500: float, *, rows: int = 10, columns: int = 20, time=TIME, north_first: bool = True):
    latitude = np.linspace(81.0, -81.0, rows) if north_first else np.linspace(-81.0, 81.0, rows)
    dims = ("level", "latitude", "longitude")
    values = np.stack([np.full((rows, columns), value, np.float32) for value in (280.0, t500)])
    dataset = xr.Dataset(
        {"t": (dims, values, {"units": "K", "standard_name": "air_temperature"})},
        {
            "level": ("level", [850.0, 500.0], {"units": "hPa", "standard_name": "air_pressure"}),
            "latitude": ("latitude", latitude, {"units": "degrees_north"}),
            "longitude": ("longitude", np.arange(columns) * 360.0 / columns, {"units": "degrees_east"}),
            "time": ((), time, {"standard_name": "time"}),
        },
    )
    dataset.to_netcdf(path)
    return str(path)


@pytest.fixture
def files(tmp_path):
    return {
        "analysis": write(tmp_path / "a.nc", 251.0),
        "background": write(tmp_path / "b.nc", 247.0),
        "truth": write(tmp_path / "t.nc", 250.0, rows=19, columns=36, north_first=False),
    }


def test_before_and_after_against_a_truth_on_another_grid(files, capsys):
    words = [
        "evaluate",
        "--analysis",
        files["analysis"],
        "--background",
        files["background"],
        "--truth",
        files["truth"],
    ]
    assert main([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    t500 = next(score for score in document["scores"] if score["level"] == 50_000)
    assert t500["scores"]["background"] == pytest.approx({"rmse": 3.0, "mae": 3.0, "bias": -3.0})
    assert t500["scores"]["analysis"] == pytest.approx({"rmse": 1.0, "mae": 1.0, "bias": 1.0})
    assert main(words) == 0
    assert "t500    K" in capsys.readouterr().out


def test_errors_at_withheld_observations(files, tmp_path, capsys):
    table = tmp_path / "withheld.csv"
    table.write_text(
        "time,latitude,longitude,pressure,variable,value\n"
        "2020-01-01T12:00:00Z,10,20,50000,t,250\n"
        "2020-01-01T11:00:00Z,-40,200,50000,t,252\n"
        "2020-01-02T12:00:00Z,-40,200,50000,t,290\n"  # a day later: not compared
    )
    words = ["evaluate", "-a", files["analysis"], "-b", files["background"], "--obs", str(table), "--json"]
    assert main(words) == 0
    (score,) = json.loads(capsys.readouterr().out)["scores"]
    assert (score["count"], score["level"]) == (2, 50_000)
    # H(x) − y: −3 and −5 before, 1 and −1 after
    assert score["scores"]["background"]["bias"] == pytest.approx(-4.0)
    assert score["scores"]["background"]["rmse"] == pytest.approx(17**0.5)
    assert score["scores"]["analysis"] == pytest.approx({"rmse": 1.0, "mae": 1.0, "bias": 0.0})


def test_refusals(files, tmp_path, capsys):
    assert main(["evaluate", "-a", files["analysis"]]) == 2
    assert "either --truth or --obs" in capsys.readouterr().err
    assert main(["evaluate", "-a", str(tmp_path / "none.nc"), "--truth", files["truth"]]) == 66
    later = write(tmp_path / "later.nc", 250.0, time=TIME + np.timedelta64(6, "h"))
    capsys.readouterr()
    assert main(["evaluate", "-a", files["analysis"], "--truth", later]) == 65
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "later.nc: holds no fields valid at 2020-01-01T12:00Z" in line


def test_feedback_files_tell_error_sizes(tmp_path, capsys):
    made = feedback(1.5, 2.0, count=2000)
    write_feedback(tmp_path / "f.nc", made, attributes={})
    assert main(["evaluate", "--feedback", str(tmp_path / "f.nc"), "--json"]) == 0
    first = json.loads(capsys.readouterr().out)["estimates"][0]
    assert (first["variable"], first["count"]) == ("t", 2000)
    assert first["sigma_o"] == pytest.approx(1.5, rel=0.1)
    assert main(["evaluate", "--feedback", str(tmp_path / "f.nc")]) == 0
    assert capsys.readouterr().out.startswith("variable")


def test_feedback_stands_alone_and_needs_rows(tmp_path, capsys):
    write_feedback(tmp_path / "f.nc", feedback(1.5, 2.0, count=5), attributes={})
    assert main(["evaluate", "--feedback", str(tmp_path / "f.nc"), "--store", "s"]) == 2
    assert "--store: --feedback stands alone" in capsys.readouterr().err
    assert main(["evaluate", "--feedback", str(tmp_path / "f.nc")]) == 65
    assert "too few for an estimate" in capsys.readouterr().err
