"""Lists of stations as archives publish them, as tables that `stations.py` understands.

    IGRA 2, igra2-station-list.txt: identifier, latitude, longitude and elevation in fixed columns
    ISD, isd-history.csv: the columns USAF, WBAN, LAT, LON, ELEV(M); the station is USAF-WBAN, as in the files' names

Stations without a place (fill values, empty cells) are left out.
"""

from __future__ import annotations

import csv
import io
import re
from typing import Final

import numpy as np
import pandas as pd

from phyda_cli.formats.reports.fixed_columns import Lines

_IGRA: Final = re.compile(r"[A-Z]{2}[A-Z0-9]{9} +-?\d+\.\d+ +-?\d+\.\d+ +-?\d+\.\d\b")
_NAMES: Final = ("station", "latitude", "longitude", "elevation")
_ISD: Final = ("USAF", "WBAN", "LAT", "LON", "ELEV(M)")
_NO_ELEVATION: Final = -900.0
"""Elevations below this are fill values, such as −998.8, −999.9 and −9999 [m]."""


def station_list(text: str) -> pd.DataFrame | None:
    """A table with the columns station, latitude, longitude and elevation; None for any other text."""
    if _IGRA.match(text):
        lines = Lines([line for line in text.splitlines() if line.strip()])
        columns = ((1, 11), (13, 20), (22, 30), (32, 37))
        return _usable(pd.DataFrame({n: lines.texts(*place) for n, place in zip(_NAMES, columns, strict=True)}))
    header = [name.strip() for name in next(csv.reader([text.split("\n", 1)[0]]), [])]
    if not set(_ISD) <= set(header):
        return None
    table = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False, usecols=list(_ISD))
    station = table["USAF"].str.strip() + "-" + table["WBAN"].str.strip()
    places = {name: table[column].str.strip() for name, column in zip(_NAMES[1:], _ISD[2:], strict=True)}
    return _usable(pd.DataFrame({"station": station, **places}))


def _usable(table: pd.DataFrame) -> pd.DataFrame:
    """The stations with a place; an elevation that is a fill value is empty."""
    latitude, longitude, elevation = (pd.to_numeric(table[name], errors="coerce") for name in _NAMES[1:])
    unknown = (latitude.abs() > 90) | (longitude.abs() > 360) | latitude.isna() | longitude.isna()
    unknown |= (latitude == 0) & (longitude == 0)
    texts = np.where(elevation.to_numpy() > _NO_ELEVATION, table["elevation"].to_numpy(dtype=object), "")
    return table.assign(elevation=texts)[~unknown].reset_index(drop=True).astype(object)
