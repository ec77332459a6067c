"""Cycles of ensembles: members in files of their own or together, restarts, scores, and what is refused."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from phyda_cli.cli.app import main
from phyda_cli.cycle import run as loop
from phyda_cli.cycle.scores import line as line_of
from phyda_cli.cycle.scores import scores_of, summary
from phyda_cli.fields.state import State
from phyda_cli.forecast.command import CommandForecast
from phyda_cli.formats.gridded.background import background_of

ROOT = Path(__file__).parents[2]
COUNT = 3
MODEL = """
import shutil, sys
import netCDF4
start, end, hours, member = sys.argv[1:]
shutil.copyfile(start, end)
with netCDF4.Dataset(end, "a") as file:
    seconds = {"hours": 3600, "seconds": 1}[file["time"].units.split()[0]]
    file["time"][:] = file["time"][:] + int(hours) * 3600 // seconds
    file["t"][:] = file["t"][:] + 0.25 * int(member)
"""
"""Every field stands still, but that temperature rises by a quarter of a kelvin for the number of the member."""
HEAD = """
directory = "out"
start = "2003-10-17T12"
cycles = 2
truth = "truth/%Y%m%d%H.nc"
spin_up = 0
"""
TAIL = """
[observations.drawn]
stations = "stations.csv"
levels_hpa = [850, 500]
variables = ["u", "t"]
[observations.drawn.sigma]
t = 0.1
u = 0.5
[assimilate]
method = "letkf"
localisation = 4000
relaxation = 0.5
"""
EACH = f"""
[forecast]
kind = "command"
command = "{{python}} model.py {{analysis}} {{background}} {{hours}} {{member}}"
start = "first/{{member}}.nc"
members = {COUNT}
"""
TOGETHER = """
[forecast]
kind = "command"
command = "{python} model.py {analysis} {background} {hours} 0"
start = "first.nc"
"""


def run(place: Path) -> int:
    return main(["cycle", "--config", str(place / "cycle.toml"), "--quiet"])


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A truth that stands still, first members around the example's background, and a run with a model of each."""
    place = tmp_path_factory.mktemp("ensemble")
    (place / "truth").mkdir()
    (place / "first").mkdir()
    (place / "model.py").write_text(MODEL)
    with xr.open_dataset(ROOT / "examples" / "truth.nc") as opened:
        state = opened.load()
    for number in range(3):
        moved = state.assign_coords(time=state["time"] + np.timedelta64(6 * number, "h"))
        moved.to_netcdf(place / "truth" / f"{moved['time'].dt.strftime('%Y%m%d%H').item()}.nc")
    with xr.open_dataset(ROOT / "examples" / "background.nc") as opened:
        background = opened.load()
    members = []
    for number in range(COUNT):
        members.append(background + (number - 1) * (state - background))
        members[-1]["q"] = np.maximum(members[-1]["q"], 0.0)
        members[-1] = members[-1].assign_attrs(background.attrs).assign({"time": background["time"]})
        for name in background.data_vars:
            members[-1][name] = members[-1][name].astype(background[name].dtype).assign_attrs(background[name].attrs)
        members[-1].to_netcdf(place / "first" / f"{number}.nc")
    xr.concat(members, dim=xr.Variable("number", np.arange(COUNT)), coords="minimal", compat="override").to_netcdf(
        place / "first.nc"
    )
    random = np.random.default_rng(0)
    rows = zip(np.degrees(np.arcsin(random.uniform(-1, 1, 40))), random.uniform(0, 360, 40), strict=True)
    (place / "stations.csv").write_text("latitude,longitude\n" + "".join(f"{a:.2f},{b:.2f}\n" for a, b in rows))
    (place / "cycle.toml").write_text(HEAD + EACH + TAIL)
    assert run(place) == 0
    return place


def copy_of(prepared: Path, tmp_path: Path, config: str) -> Path:
    """The same without a run."""
    for name in ("truth", "first", "first.nc", "stations.csv", "model.py"):
        source = prepared / name
        shutil.copytree(source, tmp_path / name) if source.is_dir() else shutil.copy(source, tmp_path / name)
    (tmp_path / "cycle.toml").write_text(config)
    return tmp_path


def records(place: Path) -> list[dict]:
    """The lines of a run, without the time they took."""
    lines = [json.loads(line) for line in (place / "out" / "cycles.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def test_every_member_goes_on_from_its_own_analysis(prepared):
    """Member 2 is the model of its own analysis; the analysis is the members' mean and standard deviation."""
    here, following = (prepared / "out" / number for number in ("00001", "00002"))
    each = [xr.open_dataset(here / f"member-{number:03d}" / "analysis.nc")["t"].values for number in range(COUNT)]
    with xr.open_dataset(here / "analysis.nc") as mean:
        np.testing.assert_allclose(mean["t"].values, np.mean(each, axis=0), atol=2e-4)
        np.testing.assert_allclose(mean["t_spread"].values, np.std(each, axis=0, ddof=1), rtol=2.0**-11, atol=2e-4)
    with xr.open_dataset(following / "member-002" / "background.nc") as held:
        np.testing.assert_array_equal(held["t"].values, each[2] + np.float32(0.5))
    with (
        xr.open_dataset(here / "member-002" / "increment.nc") as change,
        xr.open_dataset(here / "member-002" / "background.nc") as before,
    ):
        np.testing.assert_allclose(change["t"].values, each[2] - before["t"].values, atol=2e-4)


def test_the_analysis_is_nearer_to_the_truth_and_the_line_has_the_spread(prepared):
    made = records(prepared)
    assert len(made) == 2
    # the truth is within the first members' span: three perturbations of one pattern, and it is one of them
    assert made[0]["analysis"]["globe"]["t500"] < 0.6 * made[0]["first_guess"]["globe"]["t500"]
    for line in made:
        assert line["spread"]["globe"]["t500"] < line["first_guess_spread"]["globe"]["t500"]
        ratio = (
            np.sqrt(1 + 1 / COUNT) * line["first_guess_spread"]["north"]["u850"] / line["first_guess"]["north"]["u850"]
        )
        assert line["spread_skill"]["north"]["u850"] == pytest.approx(ratio, rel=1e-3)
        assert line["departures"]["t"]["error"] == 0.1
    document = json.loads((prepared / "out" / "summary.json").read_text())
    ratios = [line["spread_skill"]["south"]["t850"] for line in made]
    assert document["spread_skill"]["south"]["t850"] == pytest.approx(np.mean(ratios), rel=1e-3)


@pytest.mark.parametrize("moment", ["in a member's forecast", "before the line"])
def test_a_run_that_ends_anywhere_goes_on_to_the_same(prepared, tmp_path, monkeypatch, moment):
    place = copy_of(prepared, tmp_path, HEAD + EACH + TAIL)
    calls = {"count": 0}
    target, name, last = {
        "in a member's forecast": (CommandForecast, "run", COUNT + 2),
        "before the line": (loop, "_write_records", 2),
    }[moment]
    original = getattr(target, name)

    def dying(*given, **more):
        calls["count"] += 1
        if calls["count"] == last:
            raise KeyboardInterrupt
        return original(*given, **more)

    with monkeypatch.context() as patched:
        patched.setattr(target, name, dying)
        assert run(place) != 0
    assert len(records(place)) == 1
    assert run(place) == 0
    assert records(place) == records(prepared)


def test_members_in_one_file_go_through_one_program(prepared, tmp_path):
    place = copy_of(prepared, tmp_path, HEAD + TOGETHER + TAIL)
    assert run(place) == 0
    together, each = records(place), records(prepared)
    # the first cycle knows no model: members in one file and in several are the same members
    assert together[0] == each[0]
    assert sorted(path.name for path in (place / "out" / "00001").iterdir()) == [
        "analysis.nc", "background.nc", "feedback.nc", "increment.nc", "members.nc"
    ]  # fmt: skip
    with xr.open_dataset(place / "out" / "00002" / "background.nc") as following:
        assert following.sizes["number"] == COUNT


def test_three_dimensional_variational_members_have_other_perturbations_in_every_cycle(prepared, tmp_path, monkeypatch):
    """An ensemble of data assimilations: the seed of a cycle is the run's plus its number."""
    tail = TAIL.replace('"letkf"\nlocalisation = 4000\nrelaxation = 0.5', '"3dvar"\nseed = 40')
    place = copy_of(prepared, tmp_path, HEAD + TOGETHER + tail)
    seeds = []
    original = loop.Centre.method

    def noted(self, background, cycle):
        make = self.make
        return original(loop.replace(self, make=lambda asked, b: (seeds.append(asked.common.seed), make(asked, b))[1]),
                        background, cycle)  # fmt: skip

    monkeypatch.setattr(loop.Centre, "method", noted)
    assert run(place) == 0
    assert seeds == [40, 41]
    line = records(place)[0]
    assert line["analysis"]["globe"]["t500"] < line["first_guess"]["globe"]["t500"]


def test_without_observations_the_members_run_free(prepared, tmp_path):
    place = copy_of(prepared, tmp_path, HEAD + EACH)
    assert run(place) == 0
    free = records(place)
    assert "analysis" not in free[0]
    assert free[0]["first_guess_spread"] == records(prepared)[0]["first_guess_spread"]
    with xr.open_dataset(place / "out" / "00001" / "member-001" / "increment.nc") as change:
        assert float(abs(change["t"]).max()) == 0.0


@pytest.mark.parametrize(
    ("old", "new", "code", "message"),
    [
        ('"letkf"\n', '"letkf"\nmembers = 2\n', 2, "assimilate.members: a cycle takes all members"),
        ('"letkf"\nlocalisation = 4000\nrelaxation = 0.5', '"oi"', 65, "holds 3 members, and --method oi takes one"),
        ("first/{member}", "first/no-{member}", 66, "no-0.nc: no such file"),
        ("t = 0.1", "t = 0.0", 78, "sigma"),
        ("t = 0.1", "warmth = 1.0", 78, "'warmth' is not a variable"),
    ],
)  # fmt: skip
def test_refusals_are_one_line(prepared, tmp_path, capsys, old, new, code, message):
    config = HEAD + EACH + TAIL
    assert old in config
    place = copy_of(prepared, tmp_path, config.replace(old, new))
    assert run(place) == code
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("phyda: error: ")]
    assert len(lines) == 1
    assert re.search(message, lines[0])


def test_spread_over_skill_by_hand(prepared):
    """Members 1, 2 and 3 K above the truth: error 2, spread 1, ratio √(4/3)/2."""
    with xr.open_dataset(ROOT / "examples" / "truth.nc") as opened:
        truth = background_of(opened.load())
    values = torch.stack([truth.state.values + more for more in (1.0, 2.0, 3.0)])
    with xr.open_dataset(prepared / "first.nc") as opened:
        held = background_of(opened.load().isel(number=slice(3)))
    state = State(values, truth.state.channels, truth.state.grid, truth.state.time)
    line = scores_of(None, loop.replace(held, state=state), truth.state)
    assert line["first_guess"]["globe"]["t500"] == pytest.approx(2.0)
    assert line["first_guess_spread"]["south"]["t500"] == pytest.approx(1.0)
    assert line["spread_skill"]["tropics"]["t500"] == pytest.approx(np.sqrt(4.0 / 3.0) / 2.0, rel=1e-4)
    assert "spread skill z500 0.577, t500 0.577" in line_of({"cycle": 0, "time": "now", **line}).replace("z500 nan", "")
    assert summary([line, line], 0)["spread_skill"]["globe"]["t500"] == line["spread_skill"]["globe"]["t500"]
