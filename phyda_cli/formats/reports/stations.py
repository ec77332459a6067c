"""A table of stations: the places of reports that come without one, such as METAR.

A text table with the columns of observations (`columns.py`): station, latitude, longitude and, where known, elevation.
What a report says of its own place stays. Lists as archives publish them are read too; stations without a place (fill
values, empty cells) are left out:

    IGRA 2, igra2-station-list.txt: identifier, latitude, longitude and elevation in fixed columns
    ISD, isd-history.csv: the columns USAF, WBAN, LAT, LON, ELEV(M); the station is USAF-WBAN, as in the files' names
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.formats.reports.cells import Lines, is_any_fill, is_empty, is_fill, numbers, texts_of
from phyda_cli.formats.reports.columns import ROLES, normalise
from phyda_cli.formats.reports.table_roles import refuse_repeated
from phyda_cli.formats.reports.table_text import parse_table, text_of

APART: Final = 0.1
"""Places of one station may differ by this [degree], as where reports made the table; the first counts."""


class Place(NamedTuple):
    """Degrees and m, as they are written."""

    latitude: str
    longitude: str
    elevation: str


_IGRA: Final = re.compile(r"[A-Z]{2}[A-Z0-9]{9} +-?\d+\.\d+ +-?\d+\.\d+ +-?\d+\.\d\b")
_NAMES: Final = ("station", "latitude", "longitude", "elevation")
_ISD: Final = ("USAF", "WBAN", "LAT", "LON", "ELEV(M)")
_NO_ELEVATION: Final = -900.0
"""Elevations below this are fill values, such as −998.8, −999.9 and −9999 [m]."""

Stations = Mapping[str, Place]


def stations_of(table: pd.DataFrame, label: str) -> Stations:
    """Return the places of a table's stations.

    Raises BadDataError when a column is not there, a place is no number, or two places of a station are far apart.
    """
    refuse_repeated(table, label)
    columns = {role: _column(table, role) for role in ("station", "latitude", "longitude", "elevation")}
    for role in ("station", "latitude", "longitude"):
        if columns[role] is None:
            raise BadDataError(f"{label}: no {role} column (one of {', '.join(ROLES[role])})")
    empty = pd.Series([""] * len(table), dtype=object)
    names, latitude, longitude, elevation = (
        (empty if column is None else table[column]).str.strip().tolist() for column in columns.values()
    )
    places: dict[str, Place] = {}
    for row, (name, *place) in enumerate(zip(names, latitude, longitude, elevation, strict=True), start=1):
        try:
            here = np.array([float(place[0]), float(place[1])])
        except ValueError:
            raise BadDataError(f"{label}: row {row}: place {place[0]!r}, {place[1]!r} is no pair of numbers") from None
        first = places.setdefault(name, Place(*place))
        apart = np.abs(here - [float(first.latitude), float(first.longitude)])
        if min(apart[1], abs(apart[1] - 360.0)) > APART or apart[0] > APART:
            raise BadDataError(f"{label}: row {row}: station {name} is at another place than in a row before; keep one")
    return places


def places_of(names: NDArray[np.object_], stations: Stations) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(latitude, longitude) [degree] of stations (n,) by their names; NaN for those that the table does not hold."""
    return _looked_up(names, stations, "latitude"), _looked_up(names, stations, "longitude")


def elevations_of(names: NDArray[np.object_], stations: Stations) -> NDArray[np.float64]:
    """(n,) elevations [m] of stations by their names; NaN where the table has none."""
    return _looked_up(names, stations, "elevation")


def _looked_up(names: NDArray[np.object_], stations: Stations, field: str) -> NDArray[np.float64]:
    known = {name: getattr(stations[name], field) for name in set(names.tolist()) & stations.keys()}
    return numbers(np.array([known.get(name, "") for name in names.tolist()], dtype=object))


def fill_places(table: pd.DataFrame, stations: Stations) -> pd.DataFrame:
    """The table with the places of known stations where a row has none, and their elevations where it has none."""
    station = _column(table, "station")
    if station is None or not stations:
        return table
    known = table[station].str.strip().map(stations)
    result = table.copy()
    columns: list[str] = []
    for role in ("latitude", "longitude", "elevation"):
        column = _column(table, role)
        if column is None:
            result[role] = ""
        columns.append(column or role)
    places = [[None if place is None else place[i] for place in known.where(known.notna(), None)] for i in range(3)]
    own, given = ([_degrees(texts) for texts in side] for side in ((result[c] for c in columns[:2]), places[:2]))
    without = np.isnan(own[0]) & np.isnan(own[1])
    turn = np.abs(own[1] - given[1])
    here = without | ((np.abs(own[0] - given[0]) <= APART) & (np.minimum(turn, np.abs(turn - 360.0)) <= APART))
    for column, place, rows in zip(columns, places, (without, without, here), strict=True):
        empty = rows & known.notna().to_numpy() & _is_missing(result[column])
        result.loc[empty, column] = [text for text, fill in zip(place, empty, strict=True) if fill]
    return result


def _degrees(texts: Iterable[str | None]) -> NDArray[np.float64]:
    """Return numbers of a place; NaN where there is none, or a fill value."""
    values = numbers(np.array([text or "" for text in texts], dtype=object))
    return np.where(is_any_fill(values), np.nan, values)


def _is_missing(column: pd.Series[str]) -> NDArray[np.bool_]:
    texts = texts_of(column)
    return np.asarray(is_empty(texts) | is_fill(numbers(texts)))


def _column(table: pd.DataFrame, role: str) -> str | None:
    names = {normalise(str(column)): str(column) for column in table.columns}
    return next((names[name] for name in ROLES[role] if name in names), None)


def read_stations(path: Path) -> Stations:
    """Read a table of stations, or an archive's list of them.

    Raises InputMissingError when the file cannot be read, BadDataError as `stations_of` does.
    """
    label = str(path)
    text = text_of(path, label)
    table = _archive_list(text)
    return stations_of(parse_table(text, label) if table is None else table, label)


def _archive_list(text: str) -> pd.DataFrame | None:
    """Return a table with the columns station, latitude, longitude and elevation; None for any other text."""
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
    """Return the stations with a place; an elevation that is a fill value is empty."""
    latitude, longitude, elevation = (pd.to_numeric(table[name], errors="coerce") for name in _NAMES[1:])
    unknown = (latitude.abs() > 90) | (longitude.abs() > 360) | latitude.isna() | longitude.isna()
    unknown |= (latitude == 0) & (longitude == 0)
    texts = np.where(elevation.to_numpy() > _NO_ELEVATION, table["elevation"].to_numpy(dtype=object), "")
    return table.assign(elevation=texts)[~unknown].reset_index(drop=True).astype(object)
