"""The cycle: what is in its records, that it goes on as if it had never stopped, and what it refuses."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from phyda_cli.cli.app import main
from phyda_cli.cycle import run as loop
from phyda_cli.cycle.observations import DrawnSource
from phyda_cli.cycle.scores import errors, summary
from phyda_cli.cycle.truth import truth_of
from phyda_cli.fields.state import Channel, State
from phyda_cli.forecast.command import CommandForecast
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.methods.threedvar import ThreeDVar
from phyda_cli.observations.errors import default_error_table

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "examples" / "cycle" / "model.py"
START = "2003-10-17T12"
CONFIG = f"""
directory = "out"
start = "{START}"
cycles = 4
truth = "truth/%Y%m%d%H.nc"
spin_up = 1
[forecast]
kind = "command"
command = "{{python}} {MODEL} --init {{analysis}} --out {{background}} --hours {{hours}}"
start = "{ROOT / "examples" / "background.nc"}"
timeout = "1h"
[observations.drawn]
stations = "stations.csv"
levels_hpa = [850, 500]
variables = ["u", "t"]
[assimilate]
method = "3dvar"
members = 0
background_error_scale = 1.0
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A truth that stands still, stations, and a finished run of four cycles."""
    place = tmp_path_factory.mktemp("cycle")
    (place / "truth").mkdir()
    with xr.open_dataset(ROOT / "examples" / "truth.nc") as opened:
        state = opened.load()
    for number in range(5):
        moved = state.assign_coords(time=state["time"] + np.timedelta64(6 * number, "h"))
        moved.to_netcdf(place / "truth" / f"{moved['time'].dt.strftime('%Y%m%d%H').item()}.nc")
    random = np.random.default_rng(0)
    rows = zip(np.degrees(np.arcsin(random.uniform(-1, 1, 40))), random.uniform(0, 360, 40), strict=True)
    (place / "stations.csv").write_text("latitude,longitude\n" + "".join(f"{a:.2f},{b:.2f}\n" for a, b in rows))
    (place / "cycle.toml").write_text(CONFIG)
    assert main(["cycle", "--config", str(place / "cycle.toml"), "--quiet"]) == 0
    return place


def copy_of(prepared: Path, tmp_path: Path) -> Path:
    """The same without a run."""
    for name in ("truth", "stations.csv", "cycle.toml"):
        source = prepared / name
        shutil.copytree(source, tmp_path / name) if source.is_dir() else shutil.copy(source, tmp_path / name)
    return tmp_path


def records(place: Path) -> list[dict]:
    """The lines of a run, without the time they took."""
    lines = [json.loads(line) for line in (place / "out" / "cycles.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def test_a_cycle_says_what_happened(prepared):
    made = records(prepared)
    assert [line["time"] for line in made] == [f"2003-10-{day}T{hour}:00Z" for day, hour in
                                               (("17", "12"), ("17", "18"), ("18", "00"), ("18", "06"))]  # fmt: skip
    assert all(line["used"] <= line["observations"] == 40 * 5 for line in made)
    for line in made:
        assert line["departures"]["t"]["o_minus_a"] < line["departures"]["t"]["o_minus_b"]
        assert line["analysis"]["globe"]["t500"] < line["first_guess"]["globe"]["t500"]
    document = json.loads((prepared / "out" / "summary.json").read_text())
    expected = np.sqrt(np.mean([line["analysis"]["north"]["u850"] ** 2 for line in made[1:]]))
    assert document["analysis"]["north"]["u850"] == pytest.approx(expected, rel=1e-4)
    assert document["cycles"] == 3


def test_the_background_is_the_model_s_forecast_of_the_analysis_before(prepared, tmp_path):
    kept = sorted(path.name for path in (prepared / "out").iterdir() if path.is_dir())
    assert kept == ["00002", "00003", "00004"]
    again = tmp_path / "again.nc"
    words = [sys.executable, str(MODEL), "--init", str(prepared / "out" / "00003" / "analysis.nc"), "--out", str(again)]
    import subprocess

    subprocess.run(words, check=True)
    with xr.open_dataset(again) as own, xr.open_dataset(prepared / "out" / "00004" / "background.nc") as held:
        xr.testing.assert_identical(own.load(), held.load())


@pytest.mark.parametrize("moment", ["before the analysis", "in the forecast", "before the line"])
def test_a_run_that_ends_anywhere_goes_on_to_the_same(prepared, tmp_path, monkeypatch, moment):
    place = copy_of(prepared, tmp_path)
    words = ["cycle", "--config", str(place / "cycle.toml"), "--quiet"]
    calls = {"count": 0}

    def dying(original):
        def call(*given, **more):
            calls["count"] += 1
            if calls["count"] == 3:
                raise KeyboardInterrupt
            return original(*given, **more)

        return call

    target = {
        "before the analysis": (loop, "solve"),
        "in the forecast": (CommandForecast, "run"),
        "before the line": (loop, "_write_records"),
    }[moment]
    with monkeypatch.context() as patched:
        patched.setattr(*target, dying(getattr(*target)))
        assert main(words) != 0
    assert len(records(place)) == 2
    assert main(words) == 0
    assert records(place) == records(prepared)
    with (
        xr.open_dataset(place / "out" / "00004" / "background.nc") as own,
        xr.open_dataset(prepared / "out" / "00004" / "background.nc") as held,
    ):
        xr.testing.assert_identical(own.load(), held.load())


def test_a_cycle_is_told_what_the_method_has_learned_before(prepared, tmp_path, monkeypatch):
    """Each analysis tells the number of those before it; the run is ended after two of them and goes on."""
    place, told, solve = copy_of(prepared, tmp_path), [], loop.solve

    def telling(*given, **named):
        analysis = solve(*given, **named)
        return replace(analysis, result=replace(analysis.result, memory={"analyses": [float(len(told))]}))

    monkeypatch.setattr(loop, "solve", telling)
    monkeypatch.setattr(ThreeDVar, "remembering", lambda self, memory: told.append(memory) or self)
    words = ["cycle", "--config", str(place / "cycle.toml"), "--quiet"]
    assert main([*words, "--cycles", "2"]) == 0
    assert main([*words, "--cycles", "4"]) == 0
    assert told == [{}, {"analyses": [1.0]}, {"analyses": [2.0]}, {"analyses": [3.0]}]
    (place / "out" / "00004" / "memory.json").write_text("[]")
    monkeypatch.setattr(ThreeDVar, "remembering", lambda self, memory: memory.get("analyses"))
    assert main([*words, "--cycles", "5"]) == 65


def test_a_longer_run_goes_on_and_other_settings_are_refused(prepared, tmp_path, capsys):
    place = copy_of(prepared, tmp_path)
    words = ["cycle", "--config", str(place / "cycle.toml"), "--quiet"]
    assert main([*words, "--cycles", "2"]) == 0
    assert main([*words, "--cycles", "4"]) == 0
    assert records(place) == records(prepared)
    (place / "cycle.toml").write_text(CONFIG.replace("members = 0", "members = 0\nseed = 5"))
    assert main(words) == 78
    assert "holds cycles of other settings; choose another directory" in capsys.readouterr().err


@pytest.mark.parametrize(("change", "code"), [("known", 0), ("unknown", 78), ("other", 78)])
def test_a_run_of_an_earlier_version_goes_on(prepared, tmp_path, change, code):
    """Its record lacks settings that have a default now; one with others, or of a later version, is refused."""
    place = copy_of(prepared, tmp_path)
    words = ["cycle", "--config", str(place / "cycle.toml"), "--quiet"]
    assert main([*words, "--cycles", "2"]) == 0
    path = place / "out" / "cycle.json"
    held = json.loads(path.read_text())
    if change == "known":
        del held["observations"]["drawn"]["radiances"], held["forecast"]["timeout"]
    elif change == "unknown":
        held["observations"]["drawn"]["radars"] = 3
    else:
        held["observations"]["drawn"]["radiances"] = 3
    path.write_text(json.dumps(held))
    assert main([*words, "--cycles", "3"]) == code
    if code == 0:
        assert records(place) == records(prepared)[:3]


def test_without_observations_it_is_a_free_run(prepared, tmp_path):
    place = copy_of(prepared, tmp_path)
    head, tail = CONFIG.split("[observations.drawn]")
    (place / "cycle.toml").write_text(head + "[assimilate]" + tail.split("[assimilate]")[1])
    assert main(["cycle", "--config", str(place / "cycle.toml"), "--quiet"]) == 0
    free, held = records(place), records(prepared)
    assert "analysis" not in free[0]
    assert free[0]["first_guess"] == held[0]["first_guess"]
    assert free[3]["first_guess"]["globe"]["t500"] > held[3]["analysis"]["globe"]["t500"]


@pytest.mark.parametrize(
    ("old", "new", "code", "message"),
    [
        ("--hours {hours}", "--hours {hour}", 78, "'hour' stands for nothing; there are {analysis}"),
        ("--out {background} ", "", 78, "lacks {background}"),
        ("--hours {hours}", "--hours six", 65, "ended with code 2: .*invalid int value: 'six'"),
        (str(MODEL), "missing.py", 65, "ended with code 2: .*missing.py"),
        ("{python}", "no-such-program", 65, "no-such-program: cannot be run"),
        ("cycles = 4", "cycles = 0", 78, "key 'cycles'"),
        ("spin_up", "spinup", 78, "unknown key 'spinup'; did you mean 'spin_up'"),
        ('truth = "truth', 'truth = "nowhere', 66, "2003101712.nc"),
        ('"stations.csv"', '"none.csv"', 66, "none.csv: no such file"),
        ('method = "3dvar"\nmembers = 0', 'method = "letkf"', 65, "one member, and --method letkf needs several"),
        ("--hours {hours}", "--hours {member}", 78, "names {member}; give members and name {member} in command and"),
        ('timeout = "1h"', 'members = 3', 78, "lacks {member} for 3 members; give members and name {member}"),
        ("members = 0", "evaluations = 3", 2, "--evaluations: is of --method phyda, not of 3dvar"),
    ],
)  # fmt: skip
def test_refusals_are_one_line(prepared, tmp_path, capsys, old, new, code, message):
    import re

    place = copy_of(prepared, tmp_path)
    assert old in CONFIG
    (place / "cycle.toml").write_text(CONFIG.replace(old, new))
    assert main(["cycle", "--config", str(place / "cycle.toml"), "--quiet"]) == code
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("phyda: error: ")]
    assert len(lines) == 1
    assert re.search(message, lines[0])


def test_a_forecast_of_another_time_is_refused(prepared, tmp_path, capsys):
    place = copy_of(prepared, tmp_path)
    (place / "cycle.toml").write_text(CONFIG.replace("--hours {hours}", "--hours 3"))
    assert main(["cycle", "--config", str(place / "cycle.toml"), "--quiet"]) == 65
    assert "2003-10-17T18:00" in capsys.readouterr().err


def test_drawn_observations_are_the_truth_with_its_errors_and_depend_on_their_time_alone(prepared):
    from phyda_cli.cycle.config import DrawnSettings

    truth = truth_of(str(prepared / "truth" / "%Y%m%d%H.nc"))
    settings = DrawnSettings(
        stations=prepared / "stations.csv", levels_hpa=(850, 500), variables=("u", "q"), lowest_q_hpa=600
    )
    draw = DrawnSource(settings, truth, default_error_table())
    first, second = (np.datetime64(f"2003-10-17T{hour}", "ns") for hour in (12, 18))
    rows, again, other = draw(first)[0], draw(first)[0], draw(second)[0]
    assert np.array_equal(rows.value, again.value)
    assert not np.array_equal(rows.value, other.value)
    upper = rows.take(rows.variable != "msl")
    assert set(zip(upper.variable.tolist(), upper.pressure.tolist(), strict=True)) == {
        ("u", 85_000.0), ("u", 50_000.0), ("q", 85_000.0)
    }  # fmt: skip
    assert len(rows) - len(upper) == 40
    winds = rows.variable == "u"
    noise = (rows.value - other.value)[winds] / rows.error[winds]  # the same truth twice
    assert noise.std() == pytest.approx(np.sqrt(2.0), rel=0.2)
    assert rows.value[rows.variable == "q"].min() >= 0.0


def test_errors_by_region_by_hand():
    """1 K north of 20° N and 0 elsewhere: √(share of the area) on the globe, 1 and 0 in the regions."""
    grid = LatLonGrid.equiangular(36, 72)
    north = torch.from_numpy((np.asarray(grid.latitudes) > 20.0).astype(np.float64))[:, None].expand(grid.shape)
    zero, one = (State(x[None].clone(), (Channel("t2m"),), grid, np.datetime64("2020-01-01", "ns"))
                 for x in (torch.zeros_like(north), north))  # fmt: skip
    found = errors(one, zero)
    assert found["north"] == {"t2m": 1.0}
    assert found["south"] == {"t2m": 0.0}
    assert found["globe"]["t2m"] == pytest.approx(np.sqrt(0.5 * (1.0 - np.sin(np.radians(20.0)))), abs=1e-4)


def test_the_summary_is_a_root_mean_square_after_the_spin_up():
    lines = [{"first_guess": {"globe": {"t500": value}}, "scale": value} for value in (9.0, 1.0, 7.0)]
    found = summary(lines, 1)
    assert found["first_guess"]["globe"]["t500"] == pytest.approx(5.0)
    assert (found["cycles"], found["scale"]) == (2, 4.0)
