"""Make the example: truth.nc, background.nc, observations.csv and withheld.csv, in this directory.

    python examples/make_example.py data/simulation

The truth is a state of a simulated nature run (`phyda prepare --simulate` leaves its pieces in the directory), the
background an imperfect forecast valid at the same time. Observations are the truth at the places of an invented network
(`network.py`), plus Gaussian noise with the default observation errors:

    y = H(x_t) + ε,   ε ~ N(0, σ_o²)

with a σ_o of a quarter of the humidity where the table has more, so that no q becomes negative. The reports of every
fifth station go to withheld.csv. The same simulation and seed give the same files.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from network import Places, flights, sonde_stations, surface_stations

from phyda_cli.errors import InputMissingError
from phyda_cli.fields.variables import VARIABLES
from phyda_cli.formats.gridded.background import read_background
from phyda_cli.observations.errors import default_error_table
from phyda_cli.operators.operator import Operator
from phyda_cli.simulation.chunks import read_forecasts, read_nature
from phyda_cli.simulation.config import SimulationConfig

HERE = Path(__file__).resolve().parent
SEED = 20_010_206
EPOCH = np.datetime64("1970-01-01T00", "h")

SONDE_LEVELS = (850, 700, 500, 300, 250, 200, 100)
"""hPa."""
HUMIDITY_LEVELS = (850, 700, 500, 300)
"""Higher up sondes do not measure humidity well [hPa]."""
CRUISE_LEVELS = (287.4, 250.0, 238.4, 216.6)
"""Flight levels 310, 340, 350 and 370 in the standard atmosphere [hPa]."""
LARGEST_HUMIDITY_ERROR = 0.25
"""Of the humidity itself."""
DRIEST = 5e-5
"""Sondes do not report less humidity than this [kg kg-1]."""
WITHHELD = 0.2
"""Part of the stations whose reports are not assimilated."""

Fields = dict[str, np.ndarray]


def find_pair(directory: Path, init: np.datetime64, lead: int) -> tuple[Fields, Fields]:
    """Truth and forecast, each name → (level, lat, lon) or (lat, lon). Raises InputMissingError."""
    start = int((init - EPOCH).astype(int))
    for chunk in read_forecasts(directory):
        rows = np.flatnonzero((chunk.init_time == start) & (chunk.lead_hours == lead))
        if rows.size:
            forecast = {name: values[rows[0]] for name, values in chunk.fields.items()}
            break
    else:
        raise InputMissingError(f"{directory}: no forecast of {lead} h from {init}")
    for times, fields in read_nature(directory):
        rows = np.flatnonzero(times == start + lead)
        if rows.size:
            return {name: values[rows[0]] for name, values in fields.items()}, forecast
    raise InputMissingError(f"{directory}: no nature state {lead} h after {init}")


def write_fields(path: Path, fields: Fields, time: np.datetime64, attributes: dict[str, str]) -> None:
    """One state as CF NetCDF with levels in hPa."""
    rows, columns = fields["msl"].shape
    coordinates = {
        "time": ("time", [time.astype("datetime64[ns]")], {"standard_name": "time"}),
        "level": (
            "level",
            np.array(SimulationConfig().levels_hpa, np.int32),
            {"standard_name": "air_pressure", "units": "hPa", "positive": "down", "axis": "Z"},
        ),
        "latitude": (
            "latitude",
            -90.0 + (np.arange(rows) + 0.5) * 180.0 / rows,
            {"standard_name": "latitude", "units": "degrees_north", "axis": "Y"},
        ),
        "longitude": (
            "longitude",
            np.arange(columns) * 360.0 / columns,
            {"standard_name": "longitude", "units": "degrees_east", "axis": "X"},
        ),
    }
    dims = ("time", "level", "latitude", "longitude")
    variables = {}
    for name, values in fields.items():
        entry = VARIABLES[name]
        about = {"standard_name": entry.standard_name, "long_name": entry.long_name, "units": entry.units}
        axes = dims if entry.pressure_level else (dims[0], *dims[2:])
        variables[name] = (axes, values[None].astype(np.float32), about)
    dataset = xr.Dataset(variables, coordinates, {"Conventions": "CF-1.11", **attributes})
    encoding: dict[str, dict[str, object]] = {
        name: {"zlib": True, "complevel": 9, "shuffle": True, "_FillValue": None} for name in variables
    }
    encoding |= {name: {"_FillValue": None} for name in ("latitude", "longitude")}
    encoding["time"] = {"units": "hours since 1970-01-01 00:00:00", "calendar": "standard", "dtype": "int32"}
    dataset.to_netcdf(path, engine="netcdf4", encoding=encoding)


def network(random: np.random.Generator) -> pd.DataFrame:
    """Everything that is observed: station, report, latitude, longitude, pressure_hpa, variable; one row each."""
    rows = []

    def add(station: str, report: str, place: tuple[float, float], pressure: float, variables: str | list[str]) -> None:
        rows.extend((station, report, *place, pressure, variable) for variable in variables)

    for number, place in enumerate(_pairs(sonde_stations(random)), start=1):
        # Some balloons burst early.
        top = random.choice([100, 200, 300], p=[0.85, 0.1, 0.05])
        add(f"S{number:04d}", "sonde", place, np.nan, ["msl"])
        for level in (level for level in SONDE_LEVELS if level >= top):
            add(f"S{number:04d}", "sonde", place, level, "uvtzq" if level in HUMIDITY_LEVELS else "uvtz")
    for number, track in enumerate(flights(random), start=1):
        level = random.choice(CRUISE_LEVELS)
        for place in _pairs(track):
            add(f"A{number:04d}", "aircraft", place, level, "uvt")
    for number, place in enumerate(_pairs(surface_stations(random)), start=1):
        add(f"P{number:04d}", "surface", place, np.nan, ["msl"])
    return pd.DataFrame(rows, columns=["station", "report", "latitude", "longitude", "pressure_hpa", "variable"])


def observe(table: pd.DataFrame, truth_file: Path, random: np.random.Generator) -> pd.DataFrame:
    """The table with value and error: H(x_t) of the file plus noise."""
    truth = read_background([truth_file]).state
    variable = table["variable"].to_numpy(object)
    pressure = 100.0 * table["pressure_hpa"].to_numpy(float)
    places = (table["latitude"].to_numpy(float), table["longitude"].to_numpy(float), pressure)
    operator = Operator.at(variable, *places).states(truth.grid, truth.channels).parts[0]
    assert operator.defined.all()
    exact = operator(truth.values).numpy()
    error = default_error_table().sigma(variable, pressure)
    humid = variable == "q"
    error[humid] = np.minimum(error[humid], LARGEST_HUMIDITY_ERROR * exact[humid])
    error = np.array([float(f"{value:.3g}") for value in error])
    value = exact + error * random.standard_normal(error.size)
    return table.assign(value=value, error=error)[~humid | (exact > DRIEST)]


def write_table(path: Path, table: pd.DataFrame, time: np.datetime64) -> None:
    """The columns in the order that people read them; values with six digits, far below their errors."""
    table = table.assign(time=f"{time.astype('datetime64[m]')}Z")
    table = table.assign(
        pressure_hpa=[f"{p:g}" if np.isfinite(p) else "" for p in table["pressure_hpa"]],
        value=[f"{value:.6g}" for value in table["value"]],
        error=[f"{value:g}" for value in table["error"]],
    )
    columns = ["time", "station", "report", "latitude", "longitude", "pressure_hpa", "variable", "value", "error"]
    table[columns].to_csv(path, index=False, lineterminator="\n")


def _pairs(places: Places) -> list[tuple[float, float]]:
    return list(zip(places.latitude.tolist(), places.longitude.tolist(), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, help="where the simulation lies")
    parser.add_argument("--init", default="2003-10-15T12", help="start of the forecast, UTC")
    parser.add_argument("--lead", type=int, default=48, help="lead of the forecast [h]")
    arguments = parser.parse_args()

    init = np.datetime64(arguments.init, "h")
    valid = init + np.timedelta64(arguments.lead, "h")
    truth, forecast = find_pair(arguments.directory, init, arguments.lead)
    source = "jcm 3.0.0 (SPEEDY physics), on 64x32 points"
    write_fields(
        HERE / "truth.nc", truth, valid, {"title": "Simulated truth", "source": f"{source}; nature run at T42"}
    )
    about = f"{source}; forecast at T31 of {arguments.lead} h from a perturbed state of {init} UTC"
    write_fields(HERE / "background.nc", forecast, valid, {"title": "Background: imperfect forecast", "source": about})

    random = np.random.default_rng(SEED)
    table = observe(network(random), HERE / "truth.nc", random)
    stations = table["station"].unique()
    withheld = random.choice(stations, size=round(WITHHELD * stations.size), replace=False)
    hidden = table["station"].isin(withheld)
    write_table(HERE / "observations.csv", table[~hidden], valid)
    write_table(HERE / "withheld.csv", table[hidden], valid)


if __name__ == "__main__":
    main()
