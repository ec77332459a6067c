"""Many dates in one process: each is what it is alone, and none spoils another."""

from __future__ import annotations

import json
import shutil
from datetime import datetime

import pytest

from phyda_cli.cli.app import main
from phyda_cli.cli.dates import parse_dates
from phyda_cli.errors import UsageError
from phyda_cli.formats.gridded.background_error import read_background_error, to_bytes
from phyda_cli.library import method as library_method
from tests.support.background_error import small_statistics
from tests.support.fields import dataset, save

HOURS = ("06", "12", "18")
EACH = "2020-03-01T06/2020-03-01T18/6h"


@pytest.fixture
def words(tmp_path):
    """A run over three dates, each with its own background and observation."""
    (tmp_path / "b.safetensors").write_bytes(to_bytes(small_statistics(), provenance={}))
    for number, hour in enumerate(HOURS):
        time = ("time", [int(hour)], {"units": "hours since 2020-03-01"})
        fields = dataset(["t", "u", "v", "z"]).assign_coords(time=time)
        save(fields, tmp_path / f"bg-{hour}.nc")
        row = f"2020-03-01T{hour}:00Z,40,100,500,t,{262 + number},1\n"
        (tmp_path / f"obs-{hour}.csv").write_text("time,latitude,longitude,pressure_hPa,variable,value,error\n" + row)
    files = {"--background": "bg-%H.nc", "--obs": "obs-%H.csv", "--out": "a-%H.nc", "--feedback": "f-%H.nc"}
    options = [word for option, name in files.items() for word in (option, str(tmp_path / name))]
    return ["assimilate", *options, "--method", "3dvar", "--members", "0", "--weights", str(tmp_path / "b.safetensors")]


def documents(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_each_date_has_the_bytes_that_it_has_alone(words, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1583064000")
    assert main([*words, "--each", EACH, "--json"]) == 0
    found = documents(capsys)
    assert [one["valid_time"] for one in found] == [f"2020-03-01T{hour}:00:00Z" for hour in HOURS]
    assert [one["output"] for one in found] == [str(tmp_path / f"a-{hour}.nc") for hour in HOURS]
    for hour in HOURS:
        together = {name: (tmp_path / f"{name}-{hour}.nc").read_bytes() for name in "af"}
        alone = [word.replace("%H", hour) for word in words]
        assert main([*alone, "--time", f"2020-03-01T{hour}:00:00", "--overwrite"]) == 0
        for name, content in together.items():
            assert (tmp_path / f"{name}-{hour}.nc").read_bytes() == content


def test_a_date_that_fails_leaves_the_others(words, tmp_path, capsys):
    """The second date's file is missing (66), the third's is damaged (65): the code is that of the first to fail."""
    (tmp_path / "obs-12.csv").unlink()
    shutil.copy(tmp_path / "obs-18.csv", tmp_path / "bg-18.nc")
    assert main([*words, "--each", EACH, "--json"]) == 66
    found = documents(capsys)
    assert [one["status"] for one in found] == ["ok", "error", "error"]
    assert [one.get("exit_code") for one in found] == [None, 66, 65]
    assert found[1]["valid_time"] == "2020-03-01T12:00:00Z"
    assert "obs-12.csv" in found[1]["error"]["message"]
    assert sorted(path.name for path in tmp_path.glob("a-*")) == ["a-06.nc"]


def test_statistics_are_read_once(words, monkeypatch):
    read = []
    monkeypatch.setattr(
        library_method, "read_background_error", lambda path: read.append(path) or read_background_error(path)
    )
    assert main([*words, "--each", EACH]) == 0
    assert len(read) == 1


def test_the_memory_of_a_cycle_goes_from_date_to_date(words, tmp_path):
    carried = ["--carry", str(tmp_path / "carry.json"), "--carry-new"]
    assert main([*words, "--each", EACH, *carried]) == 0
    cycles = json.loads((tmp_path / "carry.json").read_text())["cycles"]
    assert cycles[-1]["valid_time"] == "2020-03-01T18:00:00Z"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--each", EACH, "--out", "a.nc"], "--out a.nc: the same file for several dates"),
        (["--each", EACH, "--time", "2020-03-01"], "--each names the times already"),
        (["--each", EACH, "--obs", "-"], "standard input is read once"),
        (["--each", "2020-03-02/2020-03-01/6h"], "makes no dates"),
        (["--each", "soon"], "no ISO 8601 time"),
    ],
)
def test_what_makes_no_sense_is_refused(words, capsys, change, said):
    assert main([*words, *change]) == 2
    assert said in capsys.readouterr().err


def test_dates(tmp_path):
    assert parse_dates("2020-01-01T00/2020-01-01T13/6h") == [datetime(2020, 1, 1, hour) for hour in (0, 6, 12)]
    assert parse_dates("2020-01-02,2020-01-01T06,2020-01-02") == [datetime(2020, 1, 2), datetime(2020, 1, 1, 6)]
    (tmp_path / "dates").write_text("# analyses\n2020-01-01T06Z\n\n2020-01-02\n")
    assert parse_dates(str(tmp_path / "dates")) == [datetime(2020, 1, 1, 6), datetime(2020, 1, 2)]
    (tmp_path / "none").write_text("# nothing\n")
    with pytest.raises(UsageError, match="holds no date"):
        parse_dates(str(tmp_path / "none"))
