"""Make the files of docs/gfs.md: the shipped example as a forecast centre and the GTS would have sent it.

    python examples/gfs/make.py [DIRECTORY]

- `gfs.t12z.pgrb2.f048`: background.nc as NCEP writes the GFS: GRIB 2, geopotential height, relative humidity, both
  components of the wind in one message, mean sea level pressure, from the north pole southwards.
- `temp.bufr`: the soundings of observations.csv and withheld.csv in BUFR messages of radiosondes (309052): heights in
  gpm, dew points, wind by direction and speed, with the digits that BUFR has. Stations are numbered from 1; their msl,
  which these messages have no place for, is left out.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import eccodes
import numpy as np
import pandas as pd
import xarray as xr

from phyda_cli.constants import GRAVITY
from phyda_cli.fields.thermodynamics import dewpoint_from_specific_humidity, relative_humidity_from_specific_humidity

HERE = Path(__file__).resolve().parent
GRIB, BUFR = "gfs.t12z.pgrb2.f048", "temp.bufr"
LEAD = 48
"""Of the forecast [h]."""
BITS = 14
"""A packed value; those of the GFS have about as many."""
PARAMETERS = {"gh": (3, 5), "t": (0, 0), "r": (1, 1), "u": (2, 2), "v": (2, 3), "prmsl": (3, 1)}
"""Category and number of WMO's table 4.2, discipline 0."""


def ncep_fields(background: xr.Dataset) -> dict[str, xr.DataArray]:
    """The fields in the quantities and units of the GFS, from the north southwards."""
    north_first = background.isel(time=0).sortby("latitude", ascending=False)
    pressure = 100.0 * north_first["level"]
    relative = relative_humidity_from_specific_humidity(north_first["q"], north_first["t"], pressure)
    return {
        "gh": north_first["z"] / GRAVITY, "t": north_first["t"], "r": 100.0 * relative.clip(0.0, 1.0),
        "u": north_first["u"], "v": north_first["v"], "prmsl": north_first["msl"],
    }  # fmt: skip


def message(name: str, field: xr.DataArray, level: float | None, start: np.datetime64) -> int:
    """An ecCodes handle of one field (lat, lon). level: [Pa], None at mean sea level."""
    handle = eccodes.codes_grib_new_from_samples("regular_ll_pl_grib2")
    latitude, longitude = field["latitude"].values, field["longitude"].values
    category, number = PARAMETERS[name]
    keys: dict[str, Any] = {
        "centre": "kwbc", "shapeOfTheEarth": 6, "tablesVersion": 2, "significanceOfReferenceTime": 1,
        "typeOfProcessedData": 1, "typeOfGeneratingProcess": 2, "generatingProcessIdentifier": 96,
        "dataDate": int(np.datetime_as_string(start, "D").replace("-", "")),
        "dataTime": 100 * int(start.astype("datetime64[h]").astype(int) % 24), "forecastTime": LEAD,
        "Ni": longitude.size, "Nj": latitude.size, "iDirectionIncrementInDegrees": 360.0 / longitude.size,
        "jDirectionIncrementInDegrees": float(latitude[0] - latitude[1]),
        "latitudeOfFirstGridPointInDegrees": float(latitude[0]), "longitudeOfFirstGridPointInDegrees": 0.0,
        "latitudeOfLastGridPointInDegrees": float(latitude[-1]),
        "longitudeOfLastGridPointInDegrees": float(longitude[-1]),
        "parameterCategory": category, "parameterNumber": number,
        "typeOfFirstFixedSurface": 101 if level is None else 100,
    }  # fmt: skip
    for key, value in keys.items():
        eccodes.codes_set(handle, key, value)
    for key, value in (("scaleFactorOfFirstFixedSurface", 0), ("scaledValueOfFirstFixedSurface", level)):
        if level is None:
            eccodes.codes_set_missing(handle, key)
        else:
            eccodes.codes_set(handle, key, int(value))
    eccodes.codes_set(handle, "bitsPerValue", BITS)
    eccodes.codes_set_values(handle, field.values.astype(float).ravel())
    return int(handle)


def write_grib(path: Path, background: xr.Dataset) -> None:
    """Write the background as one file of the GFS; u and v of a level share a message."""
    fields = ncep_fields(background)
    start = background["time"].values[0] - np.timedelta64(LEAD, "h")
    groups: list[tuple[tuple[str, ...], float | None]] = [(("prmsl",), None)]
    for level in sorted(background["level"].values.tolist()):
        groups += [((names), 100.0 * level) for names in (("gh",), ("t",), ("r",), ("u", "v"))]
    with path.open("wb") as stream:
        for names, pressure in groups:
            multi = eccodes.codes_grib_multi_new()
            for name in names:
                field = fields[name] if pressure is None else fields[name].sel(level=pressure / 100.0)
                handle = message(name, field, pressure, start)
                eccodes.codes_grib_multi_append(handle, 4, multi)
                eccodes.codes_release(handle)
            eccodes.codes_grib_multi_write(multi, stream)
            eccodes.codes_grib_multi_release(multi)


def levels_of(sounding: pd.DataFrame) -> list[dict[str, float]]:
    """The levels of a sounding from below, each ecCodes key → value. sounding: its rows in SI units."""
    levels = []
    wide = sounding.dropna(subset="pressure_hpa").pivot(index="pressure_hpa", columns="variable", values="value")
    for pressure, row in wide.sort_index(ascending=False).iterrows():
        level = {"pressure": 100.0 * float(pressure)}
        if np.isfinite(row.get("z", np.nan)):
            level["nonCoordinateGeopotentialHeight"] = float(round(row["z"] / GRAVITY))
        if np.isfinite(row.get("t", np.nan)):
            level["airTemperature"] = float(row["t"])
        if np.isfinite(row.get("q", np.nan)):
            level["dewpointTemperature"] = float(dewpoint_from_specific_humidity(row["q"], level["pressure"]))
        if np.isfinite(row.get("u", np.nan)) and np.isfinite(row.get("v", np.nan)):
            level["windSpeed"] = float(np.hypot(row["u"], row["v"]))
            level["windDirection"] = float(round(np.degrees(np.arctan2(-row["u"], -row["v"])) % 360.0)) or 360.0
        levels.append(level)
    return levels


def bulletin(number: int, sounding: pd.DataFrame) -> bytes:
    """The BUFR message of a sounding. number: of its station."""
    first, levels = sounding.iloc[0], levels_of(sounding)
    time = pd.Timestamp(first["time"])
    handle = eccodes.codes_bufr_new_from_samples("BUFR4")
    for key, value in (("masterTablesVersionNumber", 31), ("localTablesVersionNumber", 0), ("dataCategory", 2)):
        eccodes.codes_set(handle, key, value)
    for part in ("year", "month", "day", "hour", "minute"):
        eccodes.codes_set(handle, f"typical{part.capitalize()}", getattr(time, part))
    eccodes.codes_set_array(handle, "inputDelayedDescriptorReplicationFactor", [1])
    eccodes.codes_set_array(handle, "inputExtendedDelayedDescriptorReplicationFactor", [len(levels)])
    eccodes.codes_set_array(handle, "unexpandedDescriptors", [309052])
    values: dict[str, Any] = {part: getattr(time, part) for part in ("year", "month", "day", "hour", "minute")}
    values |= {"blockNumber": 90 + number // 1000, "stationNumber": number % 1000}
    values |= {"latitude": float(first["latitude"]), "longitude": (float(first["longitude"]) + 180.0) % 360.0 - 180.0}
    for rank, level in enumerate(levels, 1):
        values |= {f"#{rank}#{key}": value for key, value in level.items()}
    for key, value in values.items():
        eccodes.codes_set(handle, key, value)
    eccodes.codes_set(handle, "pack", 1)
    content = bytes(eccodes.codes_get_message(handle))
    eccodes.codes_release(handle)
    return content


def write_bufr(path: Path, tables: list[Path]) -> None:
    """Write the soundings of tables as BUFR."""
    rows = pd.concat([pd.read_csv(table) for table in tables])
    sondes = rows[rows["report"] == "sonde"].groupby("station", sort=True)
    path.write_bytes(b"".join(bulletin(number, sounding) for number, (_, sounding) in enumerate(sondes, 1)))


def main() -> None:
    """Make both files in a directory, by default this one."""
    directory, source = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE, HERE.parent
    with xr.open_dataset(source / "background.nc") as background:
        write_grib(directory / GRIB, background)
    write_bufr(directory / BUFR, [source / "observations.csv", source / "withheld.csv"])


if __name__ == "__main__":
    main()
