"""Cycling: an analysis is a background, and what passes between cycles is in one file that is never guessed."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from phyda_cli.cli.app import main
from phyda_cli.errors import BadDataError
from phyda_cli.formats.carry import FORMAT, VERSION, read_carry
from phyda_cli.formats.feedback.netcdf import read_feedback
from phyda_cli.methods.threedvar import ThreeDVar
from phyda_cli.observations.table import Flag
from phyda_cli.quality.duplicates import keys, was_used
from tests.support.fields import dataset, save
from tests.support.observations import observations

HEADER = "time,latitude,longitude,pressure_hPa,variable,value,error,station\n"
EARLY = ("2020-03-01T12:00:00Z,40,100,500,t,265,1,A\n", "2020-03-01T15:00:00Z,41,200,500,t,262,1,B\n")
LATE = (EARLY[1], "2020-03-01T18:00:00Z,-35,-160,850,t,262,1,C\n")


@pytest.fixture
def run(tmp_path, statistics_file):
    """Run a cycle at an hour of 2020-03-01 with some rows; gives the exit code."""
    carry = str(tmp_path / "carry.json")

    def cycle(hour, rows, *words, background=None, method="3dvar"):
        if background is None:
            background = tmp_path / f"bg{hour}.nc"
            time = ("time", [hour], {"units": "hours since 2020-03-01"})
            save(dataset(["t", "u", "v", "z"]).assign_coords(time=time), background)
        (tmp_path / "obs.csv").write_text(HEADER + "".join(rows))
        files = {"-b": background, "-y": tmp_path / "obs.csv", "-o": tmp_path / f"a{hour}.nc", "--carry": carry}
        files |= {"--feedback": tmp_path / f"f{hour}.nc", "--weights": statistics_file}
        options = [str(word) for pair in files.items() for word in pair]
        return main(["assimilate", *options, "--method", method, "--members", "2", "--overwrite", *words])

    return cycle


def carried(tmp_path):
    return json.loads((tmp_path / "carry.json").read_text())


def test_an_analysis_is_the_next_background_without_its_spread(run, tmp_path, capsys):
    assert run(12, EARLY, "--carry-new") == 0
    with xr.open_dataset(tmp_path / "a12.nc") as first:
        assert "t_spread" in first
        assert float(first["t_spread"].max()) > 0
        first = first.load()
    moved = first.assign_coords(time=[np.datetime64("2020-03-01T18:00", "ns")])
    moved.to_netcdf(tmp_path / "forecast.nc")
    capsys.readouterr()
    assert run(18, LATE[1:], "--members", "0", background=tmp_path / "forecast.nc") == 0
    notes = capsys.readouterr().err
    assert "an earlier analysis: its t_spread, u_spread, v_spread, z_spread are left out" in notes.replace("\n", " ")
    with xr.open_dataset(tmp_path / "a18.nc") as second:
        assert not [name for name in second if str(name).endswith("_spread")]
        assert "ancillary_variables" not in second["t"].attrs
        assert second.attrs["history"].count("Z phyda ") == 2  # one entry a run, after its time
        np.testing.assert_array_equal(second["t"].dims, first["t"].dims)
        assert 0.1 < float(np.abs(second["t"] - first["t"].values).max()) < 10


def test_an_observation_is_used_in_one_cycle_only(run, tmp_path):
    assert run(12, EARLY, "--carry-new") == 0
    assert run(18, LATE) == 0
    feedback = read_feedback(tmp_path / "f18.nc")
    assert feedback.observations.flag.tolist() == [Flag.HISTORY, Flag.PASS]
    assert feedback.observations.reason[0] == "used by the analysis of 2020-03-01T12:00Z"
    assert np.isfinite(feedback.background_departure).all()
    cycles = carried(tmp_path)["cycles"]
    assert [cycle["valid_time"] for cycle in cycles] == ["2020-03-01T12:00:00Z", "2020-03-01T18:00:00Z"]
    assert [len(cycle["used"]) for cycle in cycles] == [2, 1]


def test_a_corrected_value_and_another_longitude_convention_are_the_same_observation(run, tmp_path):
    assert run(12, EARLY, "--carry-new") == 0
    again = EARLY[1].replace("262", "261").replace(",200,", ",-160.0,")
    assert run(18, [again, again.replace("500", "850")]) == 0
    assert read_feedback(tmp_path / "f18.nc").observations.flag.tolist() == [Flag.HISTORY, Flag.PASS]


def test_the_last_cycle_may_be_run_again(run, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1583064000")
    assert run(12, EARLY, "--carry-new") == 0
    before = (tmp_path / "carry.json").read_bytes()
    assert run(18, LATE) == 0
    first = (tmp_path / "carry.json").read_bytes()
    with xr.open_dataset(tmp_path / "a18.nc") as analysis:
        fields = analysis[["t", "t_spread"]].load()
    assert run(18, LATE) == 0
    assert (tmp_path / "carry.json").read_bytes() == first != before
    with xr.open_dataset(tmp_path / "a18.nc") as analysis:
        xr.testing.assert_equal(analysis[["t", "t_spread"]], fields)


def test_going_back_is_refused(run, tmp_path, capsys):
    assert run(18, LATE, "--carry-new") == 0
    before = (tmp_path / "carry.json").read_bytes()
    assert run(12, EARLY) == 65
    assert "its last cycle is that of 2020-03-01T18:00:00Z, after this analysis" in capsys.readouterr().err
    assert (tmp_path / "carry.json").read_bytes() == before
    assert not (tmp_path / "a12.nc").exists()


def test_cycles_out_of_reach_are_forgotten_but_the_last(run, tmp_path):
    assert run(6, [], "--carry-new") == 0
    assert run(12, EARLY) == 0  # 6 h before, twice the window of 3 h: still within reach
    assert len(carried(tmp_path)["cycles"]) == 2
    assert run(18, []) == 0
    assert [cycle["valid_time"][11:13] for cycle in carried(tmp_path)["cycles"]] == ["12", "18"]
    assert run(23, [], "--window", "1h") == 0
    assert [cycle["valid_time"][11:13] for cycle in carried(tmp_path)["cycles"]] == ["18", "23"]


def test_the_scale_of_the_cycle_before_serves_where_departures_are_too_few(run, tmp_path, capsys):
    (tmp_path / "carry.json").write_text(json.dumps(document(scale=2.5)))
    assert run(18, LATE, "--json") == 0
    assert json.loads(capsys.readouterr().out)["log"]["background_error_scale"] == 2.5
    assert run(19, [], "--json", "--background-error-scale", "1.5") == 0
    assert json.loads(capsys.readouterr().out)["log"]["background_error_scale"] == 1.5
    assert carried(tmp_path)["cycles"][-1]["background_error_scale"] == 1.5


def test_the_memory_of_a_method_goes_on(run, tmp_path, monkeypatch):
    """What an analysis tells is given to the next one, over a cycle whose method tells nothing."""
    told, increments = [], ThreeDVar.increments
    monkeypatch.setattr(ThreeDVar, "remembering", lambda self, memory: told.append(memory) or self)
    with monkeypatch.context() as telling:
        telling.setattr(
            ThreeDVar,
            "increments",
            lambda self, cases: [replace(one, memory={"north t500": [1.5, 2.0]}) for one in increments(self, cases)],
        )
        assert run(12, EARLY, "--carry-new") == 0
    assert run(18, LATE) == 0
    assert run(19, LATE[1:]) == 0
    assert told == [{}, {"north t500": [1.5, 2.0]}, {"north t500": [1.5, 2.0]}]
    assert [cycle["memory"] for cycle in carried(tmp_path)["cycles"]] == [{"north t500": [1.5, 2.0]}] * 2


def document(*, scale=1.0, used=(), time="2020-03-01T12:00:00Z", memory=None, **changes):
    cycle = {"valid_time": time, "background_error_scale": scale, "used": list(used)}
    cycle |= {} if memory is None else {"memory": memory}
    return {"format": "phyda-carry", "version": 1, "method": "3dvar", "cycles": [cycle]} | changes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "damaged carry file"),
        ("{", "damaged carry file"),
        ("[" * 100_000, "damaged carry file"),
        ("[]", "not a carry file of phyda"),
        (json.dumps(document(format="other")), "not a carry file of phyda"),
        (json.dumps(document(version=2)), "of version 2, this phyda reads 1"),
        (json.dumps(document(method="oi")), "carried by --method oi, this run is of 3dvar"),
        (json.dumps(document(cycles=[{}])), "damaged carry file"),
        (json.dumps(document(cycles=7)), "damaged carry file"),
        (json.dumps(document(scale=-1.0)), "damaged carry file"),
        (json.dumps(document(scale="nan")), "damaged carry file"),
        (json.dumps(document(used=[1])), "damaged carry file"),
        (json.dumps(document(memory=[1])), "damaged carry file"),
        (json.dumps(document(memory={"north t500": "soon"})), "damaged carry file"),
        (json.dumps(document(time="soon")), "damaged carry file"),
    ],
)
def test_a_file_that_is_wrong_is_never_gone_on_with(run, tmp_path, capsys, content, message):
    (tmp_path / "carry.json").write_text(content)
    assert run(18, LATE) == 65
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("phyda: error: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert (tmp_path / "carry.json").read_text() == content
    assert not (tmp_path / "a18.nc").exists()


def test_a_missing_file_and_a_new_one_are_told_apart(run, tmp_path, capsys):
    assert run(18, LATE) == 66
    assert "no such file; the first cycle begins it with --carry-new" in capsys.readouterr().err
    assert run(18, LATE, "--carry-new", "--dry-run") == 0
    assert not (tmp_path / "carry.json").exists()
    assert run(18, LATE, "--carry-new") == 0
    before = (tmp_path / "carry.json").read_bytes()
    assert run(18, LATE, "--carry-new") == 73
    assert "exists already; leave --carry-new out" in capsys.readouterr().err
    assert (tmp_path / "carry.json").read_bytes() == before
    assert main(["assimilate", "-b", "x", "-y", "x", "-o", "x", "--carry-new"]) == 2


def test_the_carry_file_is_no_other_file_of_the_run(run, tmp_path, capsys):
    assert run(12, EARLY, "--carry", str(tmp_path / "a12.nc"), "--carry-new") == 2
    assert "is the file of --out too" in capsys.readouterr().err


def test_what_a_superob_and_a_duplicate_stand_for_was_used():
    table = observations("t", np.arange(5.0))
    table = table.reject(np.arange(5) == 1, Flag.SUPEROB, "part of a superob")
    table = table.reject(np.arange(5) == 2, Flag.THINNED, "duplicate of row 1")
    table = table.reject(np.arange(5) == 3, Flag.THINNED, "not the nearest to the centre")
    table = table.reject(np.arange(5) == 4, Flag.FIRST_GUESS, "far")
    assert was_used(table).tolist() == [True, True, True, False, False]


def test_the_key_of_a_time_is_that_of_the_nearest_second():
    moments = np.array(["2020-01-01T12:00:00", "2020-01-01T11:59:59.999900"], dtype="datetime64[ns]")
    first, second = keys(observations("t", [1.0, 2.0], time=moments))
    assert first == second


def test_the_configuration_is_an_input(tmp_path, capsys):
    config = tmp_path / "run.toml"
    names = {"background": tmp_path / "bg.nc", "observations": tmp_path / "o.csv"}
    for path in names.values():
        path.write_text("", encoding="utf-8")
    content = "".join(f'{key} = "{path}"\n' for key, path in names.items())
    config.write_text(content, encoding="utf-8")
    assert main(["assimilate", "--config", str(config), "--out", str(config), "--overwrite"]) != 0
    assert "run.toml: is an input" in capsys.readouterr().err
    assert config.read_text(encoding="utf-8") == content


def test_a_word_in_a_carry_file_is_no_time(tmp_path):
    path = tmp_path / "carry.json"
    cycle = {"valid_time": "now", "background_error_scale": 1.0, "used": []}
    path.write_text(json.dumps({"format": FORMAT, "version": VERSION, "method": "oi", "cycles": [cycle]}))
    with pytest.raises(BadDataError, match="'now' is no time"):
        read_carry(path, method="oi", time=np.datetime64("2030-01-01"))
