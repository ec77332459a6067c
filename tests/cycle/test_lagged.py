"""Lagged forecasts of a cycle: which they are, that a run goes on with them, and what is refused."""

from __future__ import annotations

import shutil
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from phyda_cli.cli.app import main
from tests.cycle.test_run_cycles import CONFIG, MODEL, copy_of, prepared, records

__all__ = ["prepared"]
HYBRID = CONFIG.replace("spin_up = 1", "lagged = 2\nkeep = 9").replace('"3dvar"', '"envar"')


def run(place, config=HYBRID):
    (place / "cycle.toml").write_text(config)
    return main(["cycle", "--config", str(place / "cycle.toml"), "--quiet"])


@pytest.fixture(scope="module")
def finished(prepared, tmp_path_factory):
    place = copy_of(prepared, tmp_path_factory.mktemp("lagged"))
    assert run(place) == 0
    return place


def test_they_are_forecasts_that_go_on_without_an_increment(finished, tmp_path):
    """b_1(n + 1) = M b(n) and b_2(n + 1) = M b_1(n), by the program itself."""
    out = finished / "out"
    there = [sorted(path.name for path in (out / f"{n:05d}").glob("lag-*")) for n in range(5)]
    assert there == [[], ["lag-1"], ["lag-1", "lag-2"], ["lag-1", "lag-2"], ["lag-1", "lag-2"]]
    for source, target in (("00002", "00003/lag-1"), ("00002/lag-1", "00003/lag-2")):
        files = ["--init", str(out / source / "background.nc"), "--out", str(tmp_path / "f.nc")]
        subprocess.run([sys.executable, str(MODEL), *files, "--hours", "6"], check=True)
        with xr.open_dataset(tmp_path / "f.nc") as made, xr.open_dataset(out / target / "background.nc") as held:
            np.testing.assert_array_equal(made.t, held.t)


def test_they_are_members_of_the_background_error(finished, prepared):
    """The first cycle, which has none, is 3D-Var's; later ones are not."""
    hybrid, plain = records(finished), records(prepared)
    assert hybrid[0] == plain[0]
    assert hybrid[2]["analysis"] != plain[2]["analysis"]


def test_a_run_that_was_stopped_goes_on_to_the_same_end(finished):
    whole, path = records(finished), finished / "out" / "cycles.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:3]))
    shutil.rmtree(finished / "out" / "00004")
    assert run(finished) == 0
    assert records(finished) == whole


@pytest.mark.parametrize(
    ("config", "code", "message"),
    [
        (HYBRID.replace('"envar"', '"3dvar"'), 78, "lagged = 2: is for assimilate.method envar, not for 3dvar"),
        (f'{HYBRID}lagged = ["f.nc"]', 2, "assimilate.lagged: a cycle makes its own"),
        (HYBRID.replace("lagged = 2", "lagged = -1"), 78, "key 'lagged'"),
        (HYBRID.replace("lagged = 2", ""), 2, "--method envar needs members"),
    ],
)
def test_refusals_are_one_line(prepared, tmp_path, capsys, config, code, message):
    assert run(copy_of(prepared, tmp_path), config) == code
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("phyda: error: ")]
    assert len(lines) == 1
    assert message in lines[0]
