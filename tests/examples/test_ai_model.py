"""The example of a learned model in the cycle, with a stand-in for the program that runs it."""

from __future__ import annotations

import os
import shutil
import sys
import tomllib
from pathlib import Path

import numpy as np
import xarray as xr

from phyda_cli.cli.app import main
from phyda_cli.cycle.config import read_cycle_config

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "cycle" / "ai-model"
STAND_IN = """#!{python}
import sys
import netCDF4
import shutil
assert sys.argv[1] == "run"
said = dict(line.strip().split(": ", 1) for line in open(sys.argv[2]) if ": " in line)
into, out = [line.strip().split(": ")[1] for line in open(sys.argv[2]) if "netcdf" in line]
with netCDF4.Dataset(into) as given:
    times = netCDF4.num2date(given["time"][:], given["time"].units)
    assert times[-1].isoformat() + "Z" == said["date"], (times, said)
    gaps = [(b - a).total_seconds() / 3600 for a, b in zip(times, times[1:])]
    assert all(gap == 6 for gap in gaps), gaps
    open(sys.argv[2] + ".gaps", "w").write(str(len(gaps)))
shutil.copyfile(into, out)
with netCDF4.Dataset(out, "a") as file:  # the states stand still; every step of the forecast is in the file
    hours = int(said["lead_time"].rstrip("h"))
    seconds = {{"hours": 3600, "seconds": 1, "days": 86400}}[file["time"].units.split()[0]]
    file["time"][:] = file["time"][:] + hours * 3600 / seconds
    file["t"][:] = file["t"][:] + 1.0
"""


def test_the_example_gives_the_model_two_states_and_goes_on_from_its_forecast(tmp_path, monkeypatch):
    for name in ("model.sh", "cycle.toml"):
        shutil.copy(EXAMPLE / name, tmp_path / name)
    program = tmp_path / "anemoi-inference"
    program.write_text(STAND_IN.format(python=sys.executable))
    program.chmod(0o755)
    with xr.open_dataset(ROOT / "examples" / "background.nc") as opened:
        background = opened.load()
    background.to_netcdf(tmp_path / "background.nc")
    time = background["time"] - np.timedelta64(6, "h")
    background.assign_coords(time=time).to_netcdf(tmp_path / "before.nc")
    begin = np.datetime_as_string(background["time"].values.ravel()[0], unit="h")
    config = (tmp_path / "cycle.toml").read_text().replace("2024-01-01T00", begin).replace("cycles = 40", "cycles = 2")
    config = config.replace("../../../out/ai-model", "out").replace(
        '\n[observations]\nfiles = ["obs/%Y%m%d%H/*"]\n', ""
    )
    (tmp_path / "cycle.toml").write_text(config)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHON", sys.executable)
    monkeypatch.setenv("EARLIER", str(tmp_path / "before.nc"))
    assert main(["cycle", "--config", str(tmp_path / "cycle.toml"), "--quiet"]) == 0
    assert [(tmp_path / "out" / cycle / "run.yaml.gaps").read_text() for cycle in ("00000", "00001")] == ["1", "1"]
    with xr.open_dataset(tmp_path / "out" / "00001" / "analysis.nc") as analysis:
        np.testing.assert_allclose(analysis["t"].values.squeeze(), background["t"].values.squeeze() + 1.0, atol=1e-3)


def test_the_example_is_a_configuration_of_a_cycle():
    config = read_cycle_config(EXAMPLE / "cycle.toml")
    assert config.forecast.place == EXAMPLE
    assert tomllib.loads((EXAMPLE / "cycle.toml").read_text())["keep"] >= 1
