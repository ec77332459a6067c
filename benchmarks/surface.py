"""The surface analysis at stations that it has not seen, beside gridpp and the nearest station; writes docs/surface.md.

    python -m benchmarks.surface CASES docs/surface.md [CASE …]

The background is a real forecast of another year, `gfs_2011011012_f120`, brought to 1° and told another date, so that
its errors are those of the weather. A fifth of the stations is withheld. gridpp gets the rows that the analysis uses,
its departures and heights, and works on the same grid with its Barnes structure: 100 km, 200 m, land 0.5, a ratio of
0.1 and 50 stations, and also with the length that is best at the withheld stations themselves. The last column takes
the departure of the nearest station. Rows are scored that pass the checks of the analysis.
"""

from __future__ import annotations

import csv
import sys
import tempfile
import time as clock
from pathlib import Path
from typing import Any, Final, NamedTuple

import gridpp
import numpy as np
import pandas as pd
import xarray as xr

from phyda_cli import assimilate, open_background, read_observations
from phyda_cli.evaluation.compare import on_grid
from phyda_cli.experiments.markdown import table
from phyda_cli.fields.variables import VARIABLES
from phyda_cli.formats.gridded.ground import ground_of
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.grids.places import unit_vectors
from tools.pages import put

GRID: Final = LatLonGrid.with_poles(181, 360)
FORECAST: Final = "grid_grib/gfs_2011011012_f120_2p5deg.grib2"
NAMES: Final = ("t2m", "d2m", "u10", "v10", "msl", "sp")
RULE: Final = "station % 5 == 0"
LENGTHS: Final = (100e3, 200e3, 400e3)
USUAL: Final = 100e3
REGIONS: Final = {
    "Europe": "latitude > 35 and latitude < 72 and (longitude > 345 or longitude < 45)",
    "North America": "latitude > 20 and latitude < 72 and longitude > 190 and longitude < 310",
    "elsewhere": "",
    "above 500 m": "elevation > 500",
}


class Files(NamedTuple):
    """observations: of a case. time: of the analysis. units: of columns that do not say theirs.

    stations: whether places come from another file.
    """

    observations: str
    time: str
    units: dict[str, str] | None = None
    stations: bool = False


METAR_UNITS: Final = {"Temp": "degC", "Dewp": "degC", "Wspd": "kt", "Altimeter": "inHg"}
FILES: Final = {
    "SYNOP 2014-01-12 12 UTC": Files("obs/synop_2014011212.bufr", "2014-01-12T12:00"),
    "SYNOP 2018-11-20 12 UTC, Europe": Files("obs/synop_2018112012_europe.bufr", "2018-11-20T12:00"),
    "METAR 2020-10-01 06 UTC": Files("obs/2020100106_metars.csv", "2020-10-01T06:00", METAR_UNITS),
    "METAR 2019-07-01 12 UTC": Files("obs/metar_20190701_1200.txt", "2019-07-01T12:00", stations=True),
}


def background(cases: Path, time: str) -> xr.Dataset:
    """The forecast's fields near the ground at 1°, with the height of the ground and the land, at a time."""
    opened = open_background(cases / FORECAST)
    state, ground = opened.state, ground_of(opened)
    own = on_grid(state.select(tuple(c for c in state.channels if c.variable in NAMES)), GRID)
    fields = {name: own.values[i].numpy() for i, name in enumerate(c.variable for c in own.channels)}
    corners = state.grid.corners(*GRID.coordinates)
    for name, values in (("orog", ground.height), ("lsm", ground.land)):
        assert values is not None
        fields[name] = (values.numpy().reshape(-1)[corners.index] * corners.weight).sum(1).reshape(GRID.shape)
    units = {"orog": "m", "lsm": "1"}
    return xr.Dataset(
        {
            name: (("latitude", "longitude"), values, {"units": units.get(name) or VARIABLES[name].units})
            for name, values in fields.items()
        },
        {
            "latitude": ("latitude", list(GRID.latitudes), {"units": "degrees_north"}),
            "longitude": ("longitude", list(GRID.longitudes), {"units": "degrees_east"}),
            "time": ((), np.datetime64(time, "ns")),
        },
    )


def places(cases: Path, folder: Path) -> Path:
    """A table of stations, from the METAR that say their places."""
    held = pd.read_csv(cases / "obs/2020100106_metars.csv", dtype=str, skipinitialspace=True, on_bad_lines="skip")
    path = folder / "stations.csv"
    columns = {"ICAO": "station", "Latitude": "latitude", "Longitude": "longitude", "Elev": "elevation"}
    held.rename(columns=columns)[list(columns.values())].drop_duplicates("station").to_csv(
        path, index=False, quoting=csv.QUOTE_MINIMAL
    )
    return path


def theirs(fields: xr.Dataset, used: pd.DataFrame, out: pd.DataFrame, length: float) -> np.ndarray:
    """gridpp's increment of one variable at the grid points around the rows that are scored, linear between them."""
    corners = GRID.corners(out.latitude.to_numpy(), out.longitude.to_numpy())
    around, place = np.unique(corners.index, return_inverse=True)
    latitude, longitude = (x[around] for x in GRID.coordinates)
    grid = gridpp.Points(latitude, longitude, fields.orog.values.ravel()[around], fields.lsm.values.ravel()[around])
    high = used.elevation.fillna(0.0)
    points = gridpp.Points(*(x.to_numpy() for x in (used.latitude, used.longitude, high)), np.ones(len(used)))
    structure = gridpp.BarnesStructure(length, 200, 0.5)
    n = len(used)
    made = gridpp.optimal_interpolation(
        grid, np.zeros(around.size), points, used.o_minus_b.to_numpy(), np.full(n, 0.1), np.zeros(n), structure, 50
    )
    return np.asarray((np.asarray(made)[place.reshape(corners.index.shape)] * corners.weight).sum(1))


def nearest(used: pd.DataFrame, out: pd.DataFrame) -> np.ndarray:
    """The departure of the nearest station."""
    a, b = (unit_vectors(x.latitude.to_numpy(), x.longitude.to_numpy()) for x in (out, used))
    closest = np.concatenate([np.argmax(part @ b.T, axis=1) for part in np.array_split(a, max(1, len(a) // 500))])
    return np.asarray(used.o_minus_b.to_numpy()[closest])


def rms(values: Any) -> float:
    """Root of the mean square."""
    return float(np.sqrt(np.mean(np.asarray(values) ** 2)))


def case(name: str, files: Files, cases: Path, folder: Path) -> str:
    """One case: a table of scores by variable, and one of temperature by region and height."""
    fields = background(cases, files.time)
    stations = places(cases, folder) if files.stations else None
    rows = read_observations(cases / files.observations, time=files.time, stations=stations, units=files.units)
    begun = clock.perf_counter()
    done = assimilate(fields, rows, method="surface", withhold=RULE, window="90min")
    seconds = clock.perf_counter() - begun
    feedback = done.feedback
    withheld = (feedback.use == "withhold") & (feedback.flag == 1)
    lines, parts = [], []
    for variable in NAMES:
        own = feedback[feedback.variable == variable]
        used, out = own[own.flag == 0], own[withheld[own.index]]
        if len(used) < 50 or len(out) < 20:
            continue
        left = {length: out.o_minus_b - theirs(fields, used, out, length) for length in LENGTHS}
        best = min(LENGTHS, key=lambda length: rms(left[length]))
        near = out.o_minus_b - nearest(used, out)
        expected = np.hypot(out.spread, out.error)
        scores = [f"{rms(x):.3g}" for x in (out.o_minus_b, out.o_minus_a, left[USUAL])]
        scores += [f"{rms(left[best]):.3g} ({best / 1e3:.0f} km)", f"{rms(near):.3g}"]
        lines.append([variable, len(used), len(out), *scores, f"{rms(out.o_minus_a / expected):.2f}"])
        for region, query in REGIONS.items() if variable == "t2m" else ():
            inside = out.query(query).index if query else out.index
            if not query:
                others = [out.query(REGIONS[other]).index for other in ("Europe", "North America")]
                inside = out.index.difference(others[0]).difference(others[1])
            if len(inside) >= 20:
                scores = (out.o_minus_b, out.o_minus_a, left[USUAL], left[best], near)
                parts.append([region, len(inside), *(f"{rms(x.loc[inside]):.3g}" for x in scores)])
    head = ["", "used", "withheld", "O−B", "O−A", "gridpp", "gridpp, best length", "nearest", "O−A / expected"]
    by_region = ["t2m", "withheld", "O−B", "O−A", "gridpp", "gridpp, best", "nearest"]
    log = {key: value for key, value in done.log.items() if key.endswith(("σ_b", "L km"))}
    said = ", ".join(f"{key} {value:.3g}" for key, value in log.items())
    return f"### {name}\n\n{table(head, lines)}\n{table(by_region, parts)}\n{said}; {seconds:.0f} s.\n"


def main() -> None:
    """Run the cases and replace the tables."""
    cases, page, *wanted = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        shown = [
            case(name, files, Path(cases), Path(folder))
            for name, files in FILES.items()
            if not wanted or any(word in name for word in wanted)
        ]
    text = "\n".join(shown)
    put(Path(page), "stations", text)


if __name__ == "__main__":
    main()
