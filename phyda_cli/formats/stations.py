"""A table of stations: the places of reports that come without one, such as METAR.

A text table with the columns of observations (`columns.py`): station, latitude, longitude and, where known, elevation.
What a report says of its own place stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.formats.columns import ROLES, normalise

APART: Final = 0.1
"""Places of one station may differ by this [degree], as where reports made the table; the first counts."""


class Place(NamedTuple):
    """Degrees and m, as they are written."""

    latitude: str
    longitude: str
    elevation: str


Stations = Mapping[str, Place]


def stations_of(table: pd.DataFrame, label: str) -> Stations:
    """The places of a table's stations.

    Raises BadDataError when a column is not there, a place is no number, or two places of a station are far apart.
    """
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
    texts = pd.Series([known.get(name, "") for name in names.tolist()], dtype=object)
    return np.asarray(pd.to_numeric(texts, errors="coerce").to_numpy(dtype=np.float64))


def fill_places(table: pd.DataFrame, stations: Stations) -> pd.DataFrame:
    """The table with the places of known stations where a row has none."""
    station = _column(table, "station")
    if station is None or not stations:
        return table
    known = table[station].str.strip().map(stations)
    result = table.copy()
    places = {role: _column(table, role) for role in ("latitude", "longitude", "elevation")}
    for role, column in places.items():
        if column is None:
            places[role] = role
            result[role] = ""
    without = (result[places["latitude"]].str.strip() == "") & (result[places["longitude"]].str.strip() == "")
    rows = without & known.notna()
    for number, column in enumerate(places.values()):
        empty = rows & (result[column].str.strip() == "")
        result.loc[empty, column] = [place[number] for place in known[empty]]
    return result


def _column(table: pd.DataFrame, role: str) -> str | None:
    names = {normalise(str(column)): str(column) for column in table.columns}
    return next((names[name] for name in ROLES[role] if name in names), None)
