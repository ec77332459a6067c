from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

from phyda_cli.cli.app import main
from tests.formats.reports.test_bufr import sonde

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
    assert "\nt500   K     200" in capsys.readouterr().out


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
    document = json.loads(capsys.readouterr().out)
    (score,), (pooled,) = document["scores"], document["variables"]
    assert (score["count"], score["level"]) == (2, 50_000)
    assert pooled == {**score, "level": None}
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


LONG = "station,time,latitude,longitude,variable,pressure_hpa,value\n"


@pytest.mark.parametrize("option", ["--withhold", "--withheld"])
def test_only_the_rows_that_the_rule_names_are_scored(files, option, tmp_path, capsys):
    """The analysis is 251 K at 500 hPa everywhere: station 10 is 2 K warmer, station 11, not withheld, 50 K."""
    rows = "".join(f"{s},2020-01-01T12:00,{lat},30,t,500,{v}\n" for s, lat, v in ((10, 5, 253.0), (11, 9, 301.0)))
    (tmp_path / "all.csv").write_text(LONG + rows)
    words = ["evaluate", "-a", files["analysis"], "-y", str(tmp_path / "all.csv"), "--json"]
    assert main([*words, option, "station % 5 == 0"]) == 0
    (score,) = json.loads(capsys.readouterr().out)["scores"]
    assert (score["variable"], score["level"], score["count"]) == ("t", 50_000.0, 1)
    assert score["scores"]["analysis"] == pytest.approx({"rmse": 2.0, "mae": 2.0, "bias": -2.0})
    assert main([*words, option, "station == 7"]) == 2
    assert "names none of 2 observations" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_a_rule_needs_observations(files, capsys):
    words = ["evaluate", "-a", files["analysis"], "--truth", files["truth"], "--withhold", "station == 1"]
    assert main(words) == 2
    assert "are for --obs" in capsys.readouterr().err


def test_reports_are_scored_at_the_places_of_a_table_of_stations(files, tmp_path, capsys):
    (tmp_path / "s.csv").write_text("station,latitude,longitude\n10,5,30\n")
    (tmp_path / "o.csv").write_text(
        "station,time,latitude,longitude,pressure_hpa,temp\n10,2020-01-01T12:00,,,500,-20.15\n"
    )
    words = ["evaluate", "-a", files["analysis"], "-y", str(tmp_path / "o.csv"), "--json"]
    assert main([*words, "--stations", str(tmp_path / "s.csv"), "--units", "temp=degC"]) == 0
    (score,) = json.loads(capsys.readouterr().out)["scores"]
    assert score["scores"]["analysis"]["bias"] == pytest.approx(-2.0, abs=1e-6)


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["--feedback", "f.nc", "--feedback", "a b.nc"], "phyda diagnose f.nc 'a b.nc'"),
        (["--feedback=f.nc"], "phyda diagnose f.nc"),
        (["--store", "s", "--weights", "u=w", "--out", "d"], "phyda experiment --store s --weights u=w --out d"),
    ],
)
def test_what_has_become_another_command_says_its_new_spelling(words, command, capsys):
    assert main(["evaluate", *words]) == 2
    option = words[0].partition("=")[0]
    assert capsys.readouterr().err == f"phyda: error: evaluate {option} is a command of its own now: {command}\n"


def test_a_native_file_is_scored_like_a_table(files, tmp_path, capsys):
    """A sonde of station 03005 in BUFR with 250 K at 500 hPa at the time of the analysis, which is 251 K there."""
    level = {"pressure": 50_000.0, "airTemperature": 250.0, "windDirection": 180.0, "windSpeed": 20.0}
    when = {"year": 2020, "month": 1, "day": 1, "hour": 12, "minute": 0}
    (tmp_path / "o.bufr").write_bytes(sonde([level], **when))
    words = ["evaluate", "-a", files["analysis"], "-y", str(tmp_path / "o.bufr")]
    assert main([*words, "--withhold", "station % 5 == 0", "--json"]) == 0
    (score,) = json.loads(capsys.readouterr().out)["scores"]
    assert (score["variable"], score["level"], score["count"]) == ("t", 50_000.0, 1)
    assert score["scores"]["analysis"]["bias"] == pytest.approx(1.0, abs=1e-6)
    assert main([*words, "--withhold", "station % 5 == 1"]) == 2
