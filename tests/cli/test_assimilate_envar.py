"""`phyda assimilate --method envar`: lagged forecasts and ensembles from files, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

from phyda_cli.cli.app import main
from phyda_cli.library.analysis import assimilate
from tests.cli.test_assimilate_ensemble import HEADER, ROWS, member
from tests.support.fields import dataset, save

NAMES = ("t", "u", "v", "z")


@pytest.fixture
def place(tmp_path):
    """A background, three other forecasts of its time, and two that do not fit."""
    save(dataset(list(NAMES)), tmp_path / "b.nc")
    for number in range(1, 4):
        save(member(number), tmp_path / f"f{number}.nc")
    late = member(4)
    late["time"] = ("time", [18], {"units": "hours since 2020-03-01"})
    save(late, tmp_path / "late.nc")
    save(member(5).drop_vars("v"), tmp_path / "calm.nc")
    (tmp_path / "obs.csv").write_text(HEADER + ROWS)
    return tmp_path


@pytest.fixture
def words(place, statistics_file):
    def made(*lagged, method="envar", background="b.nc", more=()):
        named = [word for name in lagged for word in ("--lagged", str(place / name))]
        files = ["--background", place / background, "--obs", place / "obs.csv", "--out", place / "a.nc"]
        return ["assimilate", *map(str, files), "--method", method, "--weights", str(statistics_file), *named, *more]

    return made


def run(arguments, capsys):
    assert main([*arguments, "--json", "--overwrite"]) == 0
    return json.loads(capsys.readouterr().out)


def test_lagged_forecasts_make_one_analysis_with_a_spread_whatever_their_order(words, place, capsys):
    found = run(words("f1.nc", "f2.nc", "f3.nc", more=["--members-out", str(place / "m.nc")]), capsys)
    assert (found["used"], found["log"]["method"]) == (2, "envar")
    assert len(found["settings"]["lagged"]) == 3
    with xr.open_dataset(place / "a.nc") as analysis, xr.open_dataset(place / "m.nc") as members:
        assert float(np.abs(analysis.t - xr.open_dataset(place / "b.nc").t).max()) > 0.1
        assert float(analysis.t_spread.min()) > 0
        assert members.sizes["number"] == 8
        assert analysis.attrs["phyda_inputs_sha256"].count("f2.nc") == 1
        values = members.load()
    run(words("f3.nc", "f1.nc", "f2.nc", more=["--members-out", str(place / "m.nc")]), capsys)
    with xr.open_dataset(place / "m.nc") as members:
        for name in NAMES:
            np.testing.assert_array_equal(members[name], values[name])


def test_without_weight_it_is_3dvar(words, place, capsys):
    run(words("f1.nc", more=["--ensemble-weight", "0"]), capsys)
    with xr.open_dataset(place / "a.nc") as file:
        found = file.load()
    run(words(method="3dvar"), capsys)
    with xr.open_dataset(place / "a.nc") as plain:
        for name in (*NAMES, "t_spread"):
            np.testing.assert_allclose(found[name], plain[name], rtol=1e-5)


def test_an_ensemble_moves_with_its_own_errors_and_may_have_lagged_forecasts_beside(words, place, capsys):
    whole = xr.concat([member(n) for n in range(1, 4)], "member").assign_coords(member=range(1, 4))
    save(whole, place / "ensemble.nc")
    logs = [run(words(*lagged, background="ensemble.nc"), capsys)["log"] for lagged in ((), ("f3.nc",))]
    assert [log["ensemble"] for log in logs] == [3, 3]
    assert logs[0]["gradient_reduction"] != logs[1]["gradient_reduction"]


def test_the_library_takes_files_and_datasets(place, statistics_file):
    settings = {"method": "envar", "weights": statistics_file, "members": 0}
    given = [place / "f1.nc", place / "f2.nc"]
    first = assimilate(place / "b.nc", place / "obs.csv", lagged=given, **settings)
    opened = [xr.open_dataset(path).load() for path in given]
    second = assimilate(place / "b.nc", place / "obs.csv", lagged=opened, **settings)
    np.testing.assert_array_equal(first.dataset.t, second.dataset.t)
    assert "f1.nc" in first.attributes["phyda_inputs_sha256"]


@pytest.mark.parametrize(
    ("lagged", "method", "code", "message"),
    [
        ((), "envar", 2, "--method envar needs members"),
        (("f1.nc",), "3dvar", 2, "--lagged: is of --method envar, not of 3dvar"),
        (("f1.nc", "late.nc"), "envar", 65, "late.nc: valid at 2020-03-01T18:00Z, the background at 2020-03-01T12:00Z"),
        (("calm.nc",), "envar", 65, "calm.nc: holds no v850, which the background has"),
        (("b.nc",), "envar", 65, "b.nc: is the background itself"),
        (("none.nc",), "envar", 66, "none.nc"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(words, place, capsys, lagged, method, code, message):
    assert main(words(*lagged, method=method)) == code
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("phyda: error: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert not (place / "a.nc").exists()
