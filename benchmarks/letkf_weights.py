"""Weights of the LETKF on a coarser grid: what interpolating them changes, and what a large ensemble costs.

    python benchmarks/letkf_weights.py difference             2.5°, spacing of the weights against every point
    python benchmarks/letkf_weights.py scale FOLDER           1°, 20 members, 70 000 observations, the whole command

The members differ by draws of the shipped background error (T106, 13 levels and the ground); observations are the first
member's, with errors, at random places. rms and max are of differences to the computation at every point, in units of
the rms of the increment of the mean and of the analysis spread.
"""

from __future__ import annotations

import math
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from phyda_cli.constants import GRAVITY
from phyda_cli.fields.standard_atmosphere import standard_height, standard_temperature
from phyda_cli.fields.state import Channel, State
from phyda_cli.fields.variables import VARIABLES
from phyda_cli.formats.gridded.background_error import read_background_error
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.grids.regrid import regrid
from phyda_cli.methods.base import Departures
from phyda_cli.methods.letkf import LETKF
from phyda_cli.methods.threedvar import ThreeDVar
from phyda_cli.operators.operator import Operator
from phyda_cli.resources import BACKGROUND_ERROR, weights_path

TIME = np.datetime64("2020-01-01T00", "ns")
RADIUS = 2000e3
"""Cut-off of the localisation of `difference` [m]."""
LEVELS = (25_000.0, 50_000.0, 85_000.0)
ERRORS = {"u": 2.0, "v": 2.0, "t": 1.0}


def ensemble(grid: LatLonGrid, members: int) -> State:
    """Members (member, channel, lat, lon) around a standard atmosphere at rest."""
    statistics, _ = read_background_error(weights_path(BACKGROUND_ERROR))
    channels = statistics.channels
    base = State(
        torch.stack([torch.full(grid.shape, _standard(c), dtype=torch.float64) for c in channels]), channels, grid, TIME
    )
    draws = ThreeDVar(statistics, members=members, seed=1, dtype=torch.float32).prior_members(base)
    assert draws is not None
    values = torch.empty(members, len(channels), *grid.shape, dtype=torch.float64)
    for number, channel in enumerate(channels):
        vector = VARIABLES[channel.variable].is_wind_component
        values[:, number] = base.values[number] + regrid(
            draws[:, number].double(), statistics.grid, grid, vector=vector
        )
    return State(values, channels, grid, TIME)


def _standard(channel: Channel) -> float:
    if channel.level is None:
        return {"msl": 101_325.0, "sp": 101_325.0, "t2m": 288.0}.get(channel.variable, 0.0)
    height = float(standard_height(channel.level))
    temperature = float(standard_temperature(np.array(height)))
    return {"t": temperature, "z": GRAVITY * height, "q": 1e-2 * np.exp(-height / 2500.0)}.get(channel.variable, 0.0)


def network(count: int, levels: tuple[float, ...]) -> tuple[np.ndarray, Operator, np.ndarray]:
    """Names, operator and errors of observations at random places, even over the globe."""
    random = np.random.default_rng(7)
    names = random.choice(np.array(list(ERRORS), dtype=object), count)
    latitude, longitude = np.degrees(np.arcsin(random.uniform(-1, 1, count))), random.uniform(0, 360, count)
    operator = Operator.at(names, latitude, longitude, random.choice(np.array(levels), count))
    return names, operator, np.array([ERRORS[name] for name in names])


def difference() -> None:
    """Print the differences for some spacings."""
    whole = ensemble(LatLonGrid.with_poles(73, 144), 21)
    state = whole.select(tuple(Channel(name, level) for name in ERRORS for level in LEVELS))
    names, operator, error = network(5_000, LEVELS)
    seen = operator.states(state.grid, state.channels)
    truth, members = state.values[0], state.values[1:]
    equivalents = np.stack([seen(values) for values in members])
    noise = np.random.default_rng(8).standard_normal(len(names)) * error
    data = Departures(operator, seen(truth) + noise - equivalents.mean(0), error, equivalents)
    held = State(members, state.channels, state.grid, TIME)
    background = State(members.mean(0), state.channels, state.grid, TIME)
    results = {}
    print("| spacing / radius | places | s | mean: rms | mean: max | spread: rms | rmse u, v, t / rmse before |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for share in (0.0, 1 / 6, 1 / 4, 1 / 3, 1 / 2):
        method = LETKF(held, radius=RADIUS, spacing=share * RADIUS)
        begin = time.perf_counter()
        found = method.increment(background, data)
        took = time.perf_counter() - begin
        assert found.members is not None
        analysis = members + found.members
        results[share] = found.mean.values, analysis.std(0)
        apart = [a - b for a, b in zip(results[share], results[0.0], strict=True)]
        sizes = [
            float(x.square().mean((1, 2)).sqrt().div(y).mean())
            for x, y in zip(apart, _sizes(results[0.0]), strict=True)
        ]
        most = float((apart[0].abs().amax((1, 2)) / _sizes(results[0.0])[0]).mean())
        before, after = (
            float((x - truth).square().mean((1, 2)).sqrt().div(_spread(members)).mean())
            for x in (background.values, analysis.mean(0))
        )
        places = math.prod(state.grid.shape) if method._anchors is None else method._anchors.count
        print(
            f"| {share:.3f} | {places} | {took:.1f} | {sizes[0]:.4f} | {most:.3f} | {sizes[1]:.4f} "
            f"| {after / before:.4f} |",
            flush=True,
        )


def _sizes(result: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """rms (channel,) of the increment and of the spread."""
    return result[0].square().mean((1, 2)).sqrt(), result[1].square().mean((1, 2)).sqrt()


def _spread(members: torch.Tensor) -> torch.Tensor:
    return members.var(0).mean((1, 2)).sqrt()


def scale(folder: Path) -> None:
    """Write an ensemble and observations once, run the command on them, print its time and memory."""
    folder.mkdir(parents=True, exist_ok=True)
    background, observations = folder / "ensemble.nc", folder / "obs.csv"
    if not background.is_file():
        _write(background, observations)
    command = [
        "/usr/bin/time", "-f", "%e s wall, %U s processor, %M KiB", sys.executable, "-m", "phyda_cli", "assimilate",
        "--method", "letkf", "-b", str(background), "-y", str(observations), "-o", str(folder / "an.nc"),
        "--feedback", str(folder / "feedback.nc"), "--threads", "1", "--overwrite",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stderr[-3000:])


def _write(background: Path, observations: Path) -> None:
    state = ensemble(LatLonGrid.with_poles(181, 360), 21)
    coordinates = {
        "number": np.arange(20), "level": [level / 100 for level in state.levels("t")], "time": TIME,
        "latitude": list(state.grid.latitudes), "longitude": list(state.grid.longitudes),
    }  # fmt: skip
    data = xr.Dataset(coords=coordinates)
    data["level"].attrs["units"] = "hPa"
    for name in state.variables:
        index = [n for n, c in enumerate(state.channels) if c.variable == name]
        values = state.values[1:, index].float().numpy()
        dims = ("number", *(("level",) if state.levels(name) else ()), "latitude", "longitude")
        data[name] = (dims, values if state.levels(name) else values[:, 0], {"units": VARIABLES[name].units})
    data.to_netcdf(background)
    names, operator, error = network(70_000, state.levels("t"))
    noise = np.random.default_rng(8).standard_normal(len(names)) * error
    value = operator.states(state.grid, state.channels)(state.values[0]) + noise
    with observations.open("w") as file:
        file.write("time,latitude,longitude,pressure,variable,value,error,station\n")
        for i in range(len(names)):
            file.write(
                f"2020-01-01T00:00Z,{operator.latitude[i]:.4f},{operator.longitude[i]:.4f},{operator.pressure[i]:.1f},"
                f"{names[i]},{value[i]:.5f},{error[i]},S{i}\n"
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["difference"]:
        difference()
    else:
        scale(Path(sys.argv[2]))
