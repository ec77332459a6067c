"""What an operator sees and sets: the JSON log, stages, files that are not there, the settings as a file."""

from __future__ import annotations

import json
import shlex
import tomllib

import netCDF4
import numpy as np
import pytest

from phyda_cli.cli.app import main
from phyda_cli.settings.assimilate import merge_config
from tests.support.runs import make_inputs


def test_the_json_log_holds_the_departures_and_rejections(tmp_path, capsys):
    inputs = make_inputs(tmp_path)
    with (tmp_path / "obs.csv").open("a") as stream:
        stream.write("2020-03-01T12:00:00Z,10,310,850,t,263.25,1.25,E\n2020-03-01T23:00:00Z,10,300,850,t,263,1.25,F\n")
    assert main(["--json", "--log-format", "json", *inputs.words()]) == 0
    said = capsys.readouterr()
    document = json.loads(said.out)
    lines = [json.loads(line) for line in said.err.splitlines()]
    departures = [line["departures"] for line in lines if "departures" in line]
    assert [(one["variable"], one["used"]) for one in departures] == [("t", 4), ("u", 1), ("v", 1)]
    assert departures[0]["background"]["rms"] == pytest.approx(document["reports"][0]["background"]["rms"])
    (rejected,) = [line["rejected"] for line in lines if "rejected" in line]
    assert (rejected["flag"], rejected["count"]) == ("domain", 1)
    assert rejected == document["rejections"][0]
    stages = [line["message"] for line in lines if line["message"].startswith("stage")]
    assert [text.split(": ")[1] for text in stages] == list(document["stages"])
    assert np.isfinite(list(document["stages"].values())).all()


def test_a_file_of_observations_that_is_not_there_is_fatal_unless_it_may_be(tmp_path, capsys):
    inputs = make_inputs(tmp_path)
    (tmp_path / "empty.csv").write_text("")
    words = [*inputs.words(), f"--obs={tmp_path / 'late.bufr'}", f"--obs={tmp_path / 'empty.csv'}"]
    assert main(words) == 66
    assert "late.bufr: no such file" in capsys.readouterr().err
    assert main([*words, "--on-missing-obs=warn", "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["used"] == 5
    assert said.err.count("not there or empty; the analysis goes on without it") == 2


def test_without_any_file_of_observations_the_analysis_is_the_background_or_nothing(tmp_path, capsys):
    inputs = make_inputs(tmp_path)
    words = [*inputs.words(obs=tmp_path / "late.csv", out=tmp_path / "b.nc"), "--on-missing-obs=warn"]
    assert main([*words, "--on-empty=fail"]) == 66
    assert not (tmp_path / "b.nc").exists()
    assert main(words) == 0
    assert "THE ANALYSIS IS THE BACKGROUND" in capsys.readouterr().err
    assert (tmp_path / "b.nc").exists()


def test_the_settings_as_a_file_give_the_same_run(tmp_path, capsys):
    inputs = make_inputs(tmp_path)
    flags = [*inputs.words()[1:], "--units=temp=degC", "--window=90min", '--withhold=station == "A"']
    assert main(["assimilate", *flags, "--print-config"]) == 0
    written = tmp_path / "printed.toml"
    written.write_text(capsys.readouterr().out)
    again = merge_config(written, {})
    assert again.common.units == {"temp": "degC"}
    assert again.common.window.total_seconds() == 5400
    assert again.common.withhold == 'station == "A"'
    assert again.own.members == 2
    assert main(["assimilate", f"--config={written}", "--print-config"]) == 0
    assert tomllib.loads(capsys.readouterr().out) == tomllib.loads(written.read_text())


def test_settings_are_printed_before_any_file_is_named(capsys):
    assert main(["assimilate", "--print-config"]) == 0
    said = capsys.readouterr().out
    for name in ("background", "observations", "output"):
        assert f"# {name} = …  needed" in said
    assert tomllib.loads(said)["method"] == "phyda"


def test_departures_far_beyond_a_short_forecast_are_a_warning(tmp_path, capsys):
    inputs = make_inputs(tmp_path)
    assert main(inputs.words(background_error_scale=5)) == 0
    assert "do background and observations belong together?" in capsys.readouterr().err
    assert main(inputs.words(background_error_scale=2)) == 0
    assert "belong together" not in capsys.readouterr().err


def test_the_history_is_the_command_line_without_what_the_result_does_not_hang_on(tmp_path, monkeypatch):
    inputs = make_inputs(tmp_path)
    outputs = [f"--out={tmp_path / 'b.nc'}", f"--feedback={tmp_path / 'f.nc'}"]
    words = [*inputs.words()[1:], *outputs, '--withhold=station == "A"']
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert main(["assimilate", *words, "--wait=1min", "--threads=1"]) == 0
    for name in ("b.nc", "f.nc"):
        with netCDF4.Dataset(tmp_path / name) as dataset:
            created, said = dataset.history.splitlines()[0].split(": ", 1)
        assert created.startswith("1970-01-01T00:00:00Z phyda ")
        again = shlex.split(said)
        assert again[:2] == ["phyda", "assimilate"]
        assert "--wait" not in again
        assert "--overwrite" not in again
        assert again[again.index("--withhold") + 1] == 'station == "A"'
    first = (tmp_path / "b.nc").read_bytes()
    assert main([*again[1:], "--overwrite"]) == 0  # what it says can be run
    assert (tmp_path / "b.nc").read_bytes() == first


def test_a_layout_is_written_beside_the_analysis_and_says_what_the_models_lack(tmp_path, capsys):
    inputs = make_inputs(tmp_path)
    layout = tmp_path / "ic.nc"
    words = [*inputs.words(), "--layout=earth2studio", f"--layout-out={layout}", "--json"]
    assert main([*words, "--dry-run"]) == 0
    asked = json.loads(capsys.readouterr().out)
    assert asked["layout_out"] is None
    assert not layout.exists()
    assert main(words) == 0
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert document["models"] == asked["models"]
    assert document["models"]["DLWP"] == [
        "t2m", "tcwv", "z at 1000, 700, 300 hPa", "the time 6 h before",
    ]  # fmt: skip
    assert "layout: DLWP lacks t2m; tcwv" in said.err
    with netCDF4.Dataset(layout) as made, netCDF4.Dataset(tmp_path / "a.nc") as analysis:
        names = [str(name) for name in made["variable"][:]]
        assert names == ["u500", "u850", "v500", "v850", "z500", "z850", "t500", "t850"]
        np.testing.assert_allclose(
            made["fields"][0, names.index("t500")], analysis["t"][0, 1, ::-1], rtol=1e-6
        )  # which runs north
        assert made.history.splitlines()[0] == analysis.history.splitlines()[0]


def test_a_layout_that_cannot_be_is_refused_before_the_observations_are_read(tmp_path, capsys):
    inputs = make_inputs(tmp_path)
    (tmp_path / "obs.csv").write_text("no observations")
    words, out = inputs.words(), f"--layout-out={tmp_path / 'ic.nc'}"
    assert main([*words, "--layout=aurora"]) == 2
    assert "--layout NAME and --layout-out FILE go together" in capsys.readouterr().err
    assert main([*words, "--previous=old.nc"]) == 2
    assert "--previous old.nc: is for --layout, which is not given" in capsys.readouterr().err
    assert main([*words, "--layout=aurora", out]) == 65
    assert "--layout aurora: Aurora needs t2m; u10; v10; msl; " in capsys.readouterr().err
    assert main([*words, "--layout=anemoi", out, f"--previous={tmp_path / 'bg.nc'}"]) == 65
    assert "--previous: valid at 2020-03-01T12:00Z, not before the background" in capsys.readouterr().err
