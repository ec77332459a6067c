"""docs/gfs.md: its commands run as they stand, and its files are what the script makes of the shipped example."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import sys
from pathlib import Path

import eccodes
import numpy as np
import pandas as pd

from phyda_cli.cli.app import main
from phyda_cli.constants import GRAVITY
from phyda_cli.cycle.scores import errors
from phyda_cli.fields.state import Channel
from phyda_cli.fields.thermodynamics import relative_humidity_from_specific_humidity
from phyda_cli.formats.gridded.background import read_background
from phyda_cli.formats.reports.observations import read_observations

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
FILES = EXAMPLES / "gfs"
GRIB, BUFR = "gfs.t12z.pgrb2.f048", "temp.bufr"


def commands() -> list[list[str]]:
    """The lines of the page that begin with phyda, its two names of files put in."""
    page = (ROOT / "docs" / "gfs.md").read_text(encoding="utf-8").replace("\\\n", " ")
    names = dict(re.findall(r"^    (BG|OBS)=(\S+)", page, re.MULTILINE))
    lines = [line for line in page.splitlines() if line.startswith("    phyda ")]
    return [[word if word[0] != "$" else names[word[1:]] for word in shlex.split(line)][1:] for line in lines]


def test_the_commands_of_the_page_run_in_their_order(tmp_path, monkeypatch, capsys):
    (tmp_path / "examples").symlink_to(EXAMPLES)
    monkeypatch.chdir(tmp_path)
    asked = commands()
    assert [words[0] for words in asked] == ["assimilate", "assimilate", "plot", "evaluate", "diagnose"]
    for words in asked:
        quick = ["--members", "2"] if words[0] == "assimilate" else []
        assert main([*words, *quick]) == 0, words
    said = capsys.readouterr()
    assert "10602 of 10605 valid rows are used" in said.err
    assert (tmp_path / "picture.png").read_bytes()[1:4] == b"PNG"
    with (tmp_path / "analysis.grib2").open("rb") as stream:
        kinds = []
        while (handle := eccodes.codes_grib_new_from_file(stream)) is not None:
            keys = ("typeOfGeneratingProcess", "validityDate", "validityTime", "step")
            kinds.append(tuple(eccodes.codes_get(handle, key, int) for key in keys))
            eccodes.codes_release(handle)
    assert kinds == [(0, 20031017, 1200, 0)] * 41  # u and v apart
    truth = read_background([EXAMPLES / "truth.nc"]).state
    before, after = (
        errors(read_background([path]).state, truth)["globe"] for path in (FILES / GRIB, tmp_path / "analysis.grib2")
    )
    assert len(before) == 41
    assert sum(after[name] < before[name] for name in before) >= 38
    assert after["z500"] < 0.92 * before["z500"]


def test_the_files_are_what_the_script_makes(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["make.py", os.fspath(tmp_path)])
    runpy.run_path(os.fspath(FILES / "make.py"), run_name="__main__")
    made, held = (read_background([place / GRIB]).state for place in (tmp_path, FILES))
    assert made.channels == held.channels
    np.testing.assert_array_equal(made.values, held.values)
    made_rows, held_rows = (read_observations(place / BUFR) for place in (tmp_path, FILES))
    np.testing.assert_array_equal(made_rows.value, held_rows.value)
    assert sum((FILES / name).stat().st_size for name in (GRIB, BUFR)) < 250_000


def test_the_forecast_is_that_of_the_example():
    grib, example = read_background([FILES / GRIB]).state, read_background([EXAMPLES / "background.nc"]).state
    assert (grib.time, grib.grid) == (example.time, example.grid)
    bound = {"z": 0.13 * GRAVITY, "t": 0.01, "u": 0.01, "v": 0.01, "msl": 1.0}
    for channel in example.channels:
        own, theirs = (state.values[state.channels.index(channel)] for state in (grib, example))
        if channel.variable != "q":
            assert float((own - theirs).abs().max()) < bound[channel.variable], channel
            continue
        warmth = Channel("t", channel.level)
        packed, exact = (
            relative_humidity_from_specific_humidity(
                values, state.values[state.channels.index(warmth)], float(channel.level or 0.0)
            )
            for values, state in ((own, grib), (theirs, example))
        )
        assert float((packed - exact.clip(0.0, 1.0)).abs().max()) < 1e-4, channel


def test_the_soundings_are_those_of_the_example():
    tables = pd.concat([pd.read_csv(EXAMPLES / name) for name in ("observations.csv", "withheld.csv")])
    sondes = tables[(tables["report"] == "sonde") & (tables["variable"] != "msl")]
    read = read_observations(FILES / BUFR)
    assert read.used.all()
    assert len(set(read.station)) == sondes["station"].nunique()
    speed = 60.0
    bound = {"t": 0.006, "z": 0.51 * GRAVITY, "u": 0.05 + speed * np.radians(0.5), "v": 0.05 + speed * np.radians(0.5)}
    for name, held in sondes.groupby("variable"):
        rows = read.variable == name
        assert rows.sum() == len(held)
        own = pd.DataFrame(
            {"latitude": read.latitude[rows], "pressure": read.pressure[rows], "value": read.value[rows]}
        )
        own = own.sort_values(["latitude", "pressure", "value"])["value"].to_numpy()
        theirs = held.sort_values(["latitude", "pressure_hpa", "value"])["value"].to_numpy()
        if name == "q":
            np.testing.assert_allclose(own, theirs, rtol=2e-3)
        else:
            np.testing.assert_allclose(own, theirs, atol=bound[str(name)])


def test_the_grib_file_is_told_as_one_of_ncep_with_both_winds_in_one_message():
    found = []
    with (FILES / GRIB).open("rb") as stream:
        while (handle := eccodes.codes_grib_new_from_file(stream)) is not None:  # the first field of each message
            found.append((eccodes.codes_get(handle, "centre"), eccodes.codes_get(handle, "shortName")))
            eccodes.codes_release(handle)
    assert found == [("kwbc", "prmsl"), *[("kwbc", name) for name in ("gh", "t", "r", "u")] * 8]
