"""What `real_cases.py` reads and makes: a January mean, the parts of a twin, tables of observations and feedback."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr

from phyda_cli.evaluation.compare import on_grid
from phyda_cli.fields.state import Channel, State
from phyda_cli.fields.variables import VARIABLES
from phyda_cli.formats.feedback.netcdf import read_feedback
from phyda_cli.formats.gridded.background import read_background
from phyda_cli.formats.reports.observations import read_observations
from phyda_cli.grids.grid import Grid
from phyda_cli.observations.errors import assign_errors, default_error_table
from phyda_cli.operators.equivalent import model_equivalent
from phyda_cli.operators.operator import ObservationOperator
from phyda_cli.preparation.store import open_store
from phyda_cli.quality.screening import screen

SONDE_TIME = "2008-12-08T12:00"
TWIN_TIME = "2011-01-15T12:00"
LEAD = 48
MARKS = {"z": "zqm", "t": "tqm", "t2m": "tqm", "q": "qqm"} | dict.fromkeys(("u", "v", "u10", "v10"), "wqm")


def january_mean(cases: Path, target: Path, time: str) -> None:
    """u, v, z of ERA-Interim and T of uvt.nc (its unit corrected) on one 2.5° grid, each on its own levels."""
    moment, grid = np.datetime64(time, "ns"), Grid.with_poles(73, 144)
    temperature = xr.open_dataset(cases / "grid_netcdf" / "uvt.nc", decode_times=False)[["T"]].isel(time=0, drop=True)
    temperature["T"].attrs["units"] = "K"
    corrected = target.with_suffix(".t.nc")
    temperature.to_netcdf(corrected)
    parts = [
        on_grid(read_background([path], time=moment, select=select).state, grid)
        for path, select in ((cases / "grid_netcdf" / "eraint_uvz.nc", {"month": "1"}), (corrected, {}))
    ]
    channels = tuple(channel for part in parts for channel in part.channels)
    write_state(State(torch.cat([part.values for part in parts]), channels, grid, moment), target)


def store_error(store: Path, truth: State) -> tuple[str, State]:
    """(part, ε) of the first pair at the lead, of the test part or, where that has none, the validation part."""
    opened = open_store(store)
    part = next(name for name in ("test", "validation") if opened.pair_index(name, [LEAD]).size)
    pair = opened.read_pairs(opened.pair_index(part, [LEAD])[:1])
    error = torch.from_numpy(pair.background[0] - pair.truth[0]).double()
    return part, State(error, opened.channels, opened.grid, truth.time)


def draw_sondes(cases: Path, truth: State, target: Path) -> int:
    """Write a long table: truth + N(0, σo) where the sondes of case A have a value that H(truth) exists for."""
    moment = np.datetime64(SONDE_TIME, "ns")
    o = read_observations(cases / "obs_csv" / "temp_2008120812.csv.gz", reference_time=moment)
    operator = ObservationOperator(truth.grid, truth.channels, o.variable, o.latitude, o.longitude, o.pressure)
    equivalent = model_equivalent(operator, truth.values, o)
    o = assign_errors(o, default_error_table())
    o = screen(o, channels=truth.channels, operator_defined=operator.defined, background_equivalent=equivalent,
               time=moment, window=np.timedelta64(3, "h"))  # fmt: skip
    noise = np.random.default_rng(0).standard_normal(len(o)) * np.nan_to_num(o.error)
    drawn = np.where(o.variable == "q", np.maximum(equivalent + noise, 0.0), equivalent + noise)
    rows = pd.DataFrame({"station": o.station, "time": TWIN_TIME, "lat": o.latitude, "lon": o.longitude,
                         "pressure": o.pressure, "variable": o.variable, "value": drawn})  # fmt: skip
    rows[o.used].to_csv(target, index=False)
    return int(o.used.sum())


def write_state(state: State, target: Path) -> None:
    """A state as NetCDF, each variable on its own levels."""
    dataset = xr.Dataset()
    for name in state.variables:
        channels = tuple(channel for channel in state.channels if channel.variable == name)
        values, units = state.select(channels).values.numpy(), {"units": VARIABLES[name].units}
        if state.levels(name):
            axis = f"level_{name}"
            dataset[name] = ((axis, "latitude", "longitude"), values, units)
            dataset[axis] = (axis, [c.level for c in channels], {"units": "Pa", "standard_name": "air_pressure"})
        else:
            dataset[name] = (("latitude", "longitude"), values[0], units)
    dataset["latitude"] = ("latitude", list(state.grid.latitudes), {"units": "degrees_north"})
    dataset["longitude"] = ("longitude", list(state.grid.longitudes), {"units": "degrees_east"})
    dataset["time"] = ((), state.time)
    dataset.to_netcdf(target)


def read_table(path: Path) -> pd.DataFrame:
    """A table with its cells as they stand in the file."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def feedback_rows(path: Path, table: pd.DataFrame, sigma_b: State) -> pd.DataFrame:
    """Every row of a feedback with its NCEP mark; normalised: O−B over the σ that the background check expects."""
    feedback = read_feedback(path)
    o = feedback.observations
    source = table.iloc[o.row - 1]
    marks = {name: pd.to_numeric(source[name]).fillna(0).to_numpy() for name in {*MARKS.values(), "pqm"}}
    mark = np.array([max(marks[MARKS.get(v, "pqm")][i], marks["pqm"][i]) for i, v in enumerate(o.variable)])
    reach = ObservationOperator(
        sigma_b.grid, sigma_b.channels, o.variable, o.latitude, o.longitude, o.pressure, extend="increment"
    )
    expected = np.hypot(o.error, reach.of_spread(sigma_b.values).numpy())
    return pd.DataFrame({
        "row": o.row, "station": o.station, "variable": o.variable, "hPa": (o.pressure / 100).round(1),
        "latitude": o.latitude, "longitude": o.longitude, "error": o.error, "flag": o.flag, "reason": o.reason,
        "mark": mark.astype(int),
        "report": o.report, "o_minus_a": feedback.analysis_departure,
        "unmet": np.abs(feedback.analysis_departure / o.error).round(1),
        "normalised": feedback.background_departure / expected,
    })  # fmt: skip


def regional_rmse(error: State, channel: Channel, south: float, north: float) -> float:
    """Area-weighted size of an error between two latitudes."""
    latitude = np.asarray(error.grid.latitudes)
    weight = error.grid.area_weights * ((latitude >= south) & (latitude <= north))
    square = error.values[error.index(channel)].square().mean(-1).numpy()
    return float(np.sqrt((weight * square).sum() / weight.sum()))


def minus(state: State, truth: State) -> State:
    """The error of a state on the truth's channels."""
    chosen = state.select(truth.channels)
    return State(chosen.values - truth.values, truth.channels, truth.grid, truth.time)
